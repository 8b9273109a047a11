"""Share memory fairly between the transfers of one process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

KIB = 1024
MIB = 1024 * KIB


class MemoryBudget:
    """
    Split a number of bytes between the transfers that run in one direction.

    @param total: bytes that all transfers may hold together.
    @param largest: the most bytes that one may hold; more gains no speed.
    @param smallest: the bytes that each may hold however many there are, so that all make progress.
    """

    def __init__(
        self, total: int = 32 * MIB, largest: int = 6 * MIB, smallest: int = 64 * KIB
    ) -> None:
        self._total = total
        self._largest = largest
        self._smallest = smallest
        self._members = 0

    def join(self) -> None:
        """Count one more transfer; L{leave} follows."""
        self._members += 1

    def leave(self) -> None:
        """Count one transfer less."""
        self._members -= 1

    @contextlib.contextmanager
    def membership(self) -> Iterator[None]:
        """Join, and leave at the end of the context."""
        self.join()
        try:
            yield
        finally:
            self.leave()

    @property
    def used(self) -> bool:
        """Whether any transfer has joined."""
        return self._members > 0

    @property
    def share(self) -> int:
        """The bytes that each transfer may hold now."""
        return max(self._smallest, min(self._largest, self._total // max(1, self._members)))
