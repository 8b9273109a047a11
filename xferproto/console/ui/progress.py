"""What there is to show of transfers while they go on: a bar for each big file, and a total."""

from __future__ import annotations

from typing import Protocol

HASHING = "hashing"
SENDING = "sending"
RECEIVING = "receiving"
COMPARING = "comparing"
SERVER_CHECKS = "server verifying"

MOVING = (SENDING, RECEIVING)
"""The phases whose bytes count for the total."""


class Bar(Protocol):
    """The progress of one file."""

    def phase(self, name: str, size: int) -> None:
        """
        Something else begins; it may be what goes on already.

        @param size: how much work it is, 0 where nobody knows.
        """

    def at(self, done: int, skipped: bool = False) -> None:
        """So much is done; C{skipped} where nothing had to be moved for it."""

    def end(self) -> None:
        """It is through, or given up."""


class Display(Protocol):
    """Where progress is shown."""

    def looking(self, found: int) -> None:
        """So many files were found so far."""

    def plan(self, files: int, size: int) -> None:
        """So many are to be carried, of so many bytes together."""

    def bar(self, name: str, size: int) -> Bar:
        """A file begins that is worth a bar of its own."""

    def through(self, size: int = 0) -> None:
        """A file is through, however it went; C{size} are its bytes, where it had no bar."""

    def close(self) -> None:
        """Take all bars away."""


class Nothing:
    """A L{Display}, and a L{Bar}, that shows nothing."""

    def looking(self, found: int) -> None:
        pass

    def plan(self, files: int, size: int) -> None:
        pass

    def bar(self, name: str, size: int) -> Bar:
        return self

    def through(self, size: int = 0) -> None:
        pass

    def close(self) -> None:
        pass

    def phase(self, name: str, size: int) -> None:
        pass

    def at(self, done: int, skipped: bool = False) -> None:
        pass

    def end(self) -> None:
        pass
