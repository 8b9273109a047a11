"""Find, check and remove the bytes of a content: in an object file, or among the small contents."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from xferproto.store.local.objects import Objects
from xferproto.store.local.packed import PackedContents
from xferproto.store.local.quarantine import Quarantine
from xferproto.store.local.schema import Content
from xferproto.threads.executor import Executor


class Contents:
    """
    What can be done to stored bytes, wherever they lie.

    @param objects: the ones with a file.
    @param quarantine: where bytes go that are wrong.
    @param small: the others.
    @param files: runs what touches files.
    @param writer: runs what changes small ones.
    @param reader: runs what reads small ones.
    @param now: the time, seconds since the epoch.
    """

    def __init__(
        self,
        objects: Objects,
        quarantine: Quarantine,
        small: PackedContents,
        files: Executor,
        writer: Executor,
        reader: Executor,
        now: Callable[[], float],
    ) -> None:
        self._objects = objects
        self._quarantine = quarantine
        self._small = small
        self._files = files
        self._writer = writer
        self._reader = reader
        self._now = now

    async def identity(self, content: Content) -> Hashable | None:
        """Which bytes a content has; None where it has none of its length."""
        if content.small is None:
            return await self._files.run(self._objects.identity, content.id, content.size)
        there = await self._bytes(content)
        return content.small if there is not None and len(there) == content.size else None

    async def has(self, content: Content) -> bool:
        """Whether there are bytes of its length."""
        return await self.identity(content) is not None

    async def remove(self, id: str, small: int | None) -> None:
        """Remove bytes that have no row, with their mark."""
        if small is None:
            await self._files.run(self._objects.remove, id)
        else:
            await self._writer.run(self._small.remove, [(small, id)])

    async def quarantine(self, content: Content) -> None:
        """Put bytes aside that are wrong."""
        if content.small is None:
            await self._files.run(self._quarantine.add, content.id, self._now())
            return
        rotten = await self._bytes(content)
        if rotten is not None:
            await self._files.run(self._quarantine.add_bytes, content.id, self._now(), rotten)
        await self._writer.run(self._small.remove, [(content.small, content.id)])

    async def _bytes(self, content: Content) -> bytes | None:
        assert content.small is not None
        row = {content.small: content.id}
        return (await self._reader.run(self._small.read, row)).get(content.small)
