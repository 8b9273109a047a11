"""Read one stored content in blocks."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from xferproto.depot.depot import Depot
from xferproto.model.entry import Entry
from xferproto.store.interface import IContent


class Download:
    """
    Read one content; to be closed, once, while nothing of it is being read.

    @ivar entry: what is read, under the oldest of its names.
    """

    def __init__(self, depot: Depot, content: IContent) -> None:
        self.entry: Entry = content.entry
        self._content = content
        self._budget = depot.outgoing
        self._budget.join()

    def blocks(
        self, offset: int, length: int, largest: int | None = None
    ) -> Callable[[], Deferred[bytes]]:
        """
        A reader for a L{Sender<xferproto.transfer.sender.Sender>}: the bytes of a range, in blocks
        of a share of the memory that all downloads have.

        @param largest: the most bytes of a block, where that is less.
        """
        position, end = offset, offset + length

        async def read() -> bytes:
            nonlocal position
            share = self._budget.share
            block = share if largest is None else min(share, largest)
            start, position = position, min(position + block, end)
            if position == start:
                return b""
            return await self._content.read(start, position - start)

        return lambda: Deferred.fromCoroutine(read())

    def close(self) -> None:
        """Let go of the content."""
        self._budget.leave()
        self._content.close()
