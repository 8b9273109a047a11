"""How much memory the transfers of one process may hold, shared fairly between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

KIB = 1024
MIB = 1024 * KIB


class MemoryBudget:
    """
    Splits a number of bytes between the transfers that run in one direction.

    @param total: bytes that all of them may hold together.
    @param largest: the most that one may hold; more than this gains no speed.
    @param smallest: what each may hold however many there are, so that all of them move.
    """

    def __init__(
        self, total: int = 32 * MIB, largest: int = 6 * MIB, smallest: int = 64 * KIB
    ) -> None:
        self._total = total
        self._largest = largest
        self._smallest = smallest
        self._members = 0

    def join(self) -> None:
        self._members += 1

    def leave(self) -> None:
        self._members -= 1

    @contextlib.contextmanager
    def membership(self) -> Iterator[None]:
        """A context in which one is a member."""
        self.join()
        try:
            yield
        finally:
            self.leave()

    @property
    def used(self) -> bool:
        """Whether there are members."""
        return self._members > 0

    @property
    def share(self) -> int:
        """Bytes that each member may hold now."""
        return max(self._smallest, min(self._largest, self._total // max(1, self._members)))
