"""What a local store gives to read: the bytes of a content, the pages of a listing."""

from __future__ import annotations

import os
from collections.abc import Hashable

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from xferproto.files.staged_file import read_exactly
from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt
from xferproto.store.interface import IContent, ITextListing
from xferproto.store.local.catalogue import Catalogue
from xferproto.threads.executor import Executor


@implementer(IContent)
class LocalContent:
    """An object file, open."""

    def __init__(self, files: Executor, entry: Entry, fd: int) -> None:
        self.entry = entry
        self._files = files
        self._fd = fd
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return self._files.run(read_exactly, self._fd, offset, length)

    def close(self) -> None:
        os.close(self._fd)


@implementer(IContent)
class SmallContent:
    """A small content, in memory."""

    def __init__(self, entry: Entry, content: bytes, identity: Hashable) -> None:
        self.entry = entry
        self.identity = identity
        self._content = content

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        data = self._content[offset : offset + length]
        if len(data) < length:
            return fail(Corrupt(f"The stored file ends at byte {len(self._content)}."))
        return succeed(data)

    def close(self) -> None:
        pass


@implementer(ITextListing)
class LocalListing:
    """The pages of a catalogue; of the damaged entries, or of all others."""

    def __init__(
        self, catalogue: Catalogue, prefix: str, only: str | None, damaged: bool = False
    ) -> None:
        self._catalogue = catalogue
        self._size = catalogue.paging.begin()
        self._only = only
        self._prefix = prefix
        self._damaged = damaged
        self._last: tuple[str, str] | None = None
        self._ended = False

    async def _read(self) -> bytes:
        if self._ended:
            return b""
        page = await self._catalogue.page(
            self._prefix, self._last, self._size, self._only, self._damaged
        )
        self._ended = page.last
        if page.text:
            self._size.learn(page.text)
            last = page.text[page.text.rfind(b"\n", 0, -1) + 1 :].decode()
            id, _, rest = last.partition(";")
            self._last = (rest.rpartition(";")[0], id)
        return page.text

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._read())
