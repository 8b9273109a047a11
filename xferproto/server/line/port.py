"""Define what a session needs of the protocol that holds it."""

from __future__ import annotations

from typing import Any, Protocol


class Line(Protocol):
    """
    What a session needs of the protocol that holds it.

    @ivar transport: writes what the peer reads.
    @ivar lowest: the transport below all that wrap it.
    """

    transport: Any
    lowest: Any

    @property
    def buffered(self) -> int:
        """The number of bytes that have come and were not looked at."""

    def take(self, count: int) -> bytes:
        """Take so many of them."""

    def set_mode(self, raw: bool) -> None:
        """Read bytes from now on, or lines."""

    def hold(self) -> None:
        """Read nothing for now."""

    def let_come(self) -> None:
        """Read on."""
