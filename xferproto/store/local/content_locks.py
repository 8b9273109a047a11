"""Lock contents, so that one change at a time is made to each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import DeferredLock


class ContentLocks:
    """The locks of the contents that are being changed."""

    def __init__(self) -> None:
        self._locks: dict[str, DeferredLock] = {}

    @asynccontextmanager
    async def held(self, id: str) -> AsyncIterator[None]:
        """Hold a content's lock; others wait for it, in the order in which they came."""
        lock = self._locks.setdefault(id, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()
            if not lock.locked:
                self._locks.pop(id, None)
