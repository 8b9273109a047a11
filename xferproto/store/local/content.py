"""Read the bytes of stored contents."""

from __future__ import annotations

import os
from collections.abc import Hashable

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from xferproto.files.staged_file import read_exactly
from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt
from xferproto.store.interface import IContent
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
