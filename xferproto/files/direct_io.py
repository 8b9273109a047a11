"""
Write past the page cache (O_DIRECT of Linux, open(2)), for large files that are synced anyway.

Such writes take no memory of the system and need no copy: where allocating memory is slow, that
copy takes longer than the disk. Bytes written through the cache reach the disk no earlier.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Sequence

BLOCK = 4 * 1024 * 1024
"""Bytes written at a time."""

ALIGNMENT = 4096
"""Offset, length and address of a write are multiples of this; enough for disks of today."""

WORTH_IT = 2 * BLOCK
"""The least size in bytes of a file that is worth it."""

LIMIT = 8
"""The most files at once; each takes L{BLOCK} bytes of memory."""

_taken = threading.BoundedSemaphore(LIMIT)


class DirectWriter:
    """
    Gather bytes into aligned blocks, and write those.

    @param fd: a file open at its end; nobody else writes to it until L{finish}.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = mmap.mmap(-1, BLOCK)  # mapped memory is aligned
        self._filled = 0

    @classmethod
    def begin(cls, fd: int, size: int) -> DirectWriter | None:
        """
        Write a file past the cache from now on; return None where that is not possible.

        @param size: the size of the file in bytes.
        """
        flag = getattr(os, "O_DIRECT", 0)
        if not flag or size % ALIGNMENT or not _taken.acquire(blocking=False):
            return None
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | flag)
            return cls(fd)
        except OSError:  # the file system does not support it
            _taken.release()
            return None

    def write(self, blocks: Sequence[bytes]) -> None:
        """
        Take bytes; all of them are written when L{finish} has returned.

        @raise OSError: the disk refuses these bytes or earlier ones.
        """
        for block in blocks:
            rest = memoryview(block)
            while rest:
                part = rest[: BLOCK - self._filled]
                self._buffer[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
                rest = rest[len(part) :]
                if self._filled == BLOCK:
                    self._write(BLOCK)

    def finish(self) -> None:
        """
        Write the gathered bytes, and return the file to writes through the cache.

        @raise OSError: the disk refuses.
        """
        try:
            try:
                self._write(self._filled - self._filled % ALIGNMENT)
            finally:
                self._end_direct()
            self._write(self._filled)
        finally:
            self._buffer.close()
            _taken.release()

    def _end_direct(self) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)

    def _write(self, count: int) -> None:
        """Write the first C{count} bytes, and move the others to the front."""
        with memoryview(self._buffer) as whole:
            written = 0
            while written < count:
                with whole[written:count] as part:
                    written += os.write(self._fd, part)
                if written % ALIGNMENT and written < count:  # a full disk takes a part
                    self._end_direct()
        if count < self._filled:
            self._buffer.move(0, count, self._filled - count)
        self._filled -= count
