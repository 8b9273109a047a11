"""What an upload is read from."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from xferproto.errors import SourceChanged
from xferproto.transfer.digest import md5
from xferproto.transfer.sender import BLOCK


class Source(Protocol):
    """
    Bytes of a known number, hashed as they are read.

    @ivar size: how many.
    """

    size: int

    def read(self) -> bytes:
        """The next block, empty at the end. Blocks; called on any thread, never twice at once."""

    def md5(self) -> str:
        """The MD5 of all that was read, 32 lower-case hex digits."""

    def close(self) -> None:
        """Let go of it."""


class FileSource:
    """
    A regular file of this machine.

    Opening it blocks.

    @raise OSError: it can't be opened, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        # Not blocking, so that a pipe without a writer is refused instead of waited for.
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise OSError(None, "not a regular file", str(path))
        self.size = status.st_size
        self._path = path
        self._position = 0
        self._md5 = md5()

    def read(self) -> bytes:
        """
        The next block.

        @raise SourceChanged: the file has become shorter than it was.
        """
        if self._position == self.size:
            return b""
        block = os.pread(self._fd, min(BLOCK, self.size - self._position), self._position)
        if not block:
            raise SourceChanged(
                f"{self._path} ended at byte {self._position} of {self.size}: it was changed while "
                "it was sent."
            )
        self._position += len(block)
        self._md5.update([block])
        return block

    def md5(self) -> str:
        return self._md5.hex()

    def close(self) -> None:
        os.close(self._fd)


class BytesSource:
    """Bytes that are in memory already."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._content = memoryview(content)
        self._position = 0
        self._md5 = md5()

    def read(self) -> bytes:
        block = bytes(self._content[self._position : self._position + BLOCK])
        self._position += len(block)
        self._md5.update([block])
        return block

    def md5(self) -> str:
        return self._md5.hex()

    def close(self) -> None:
        pass
