"""
Writing past the page cache (O_DIRECT of Linux, open(2)), for large files that are synced anyway.

What is written that way takes no memory of the system's and is not copied to it: on a machine where
memory is slow to be had, that copy takes longer than the disk. What is written through the cache
comes to lie on the disk no earlier.
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
"""What offset, length and address of a write must be multiples of; enough for disks of today."""

WORTH_IT = 2 * BLOCK
"""The least size in bytes of a file that is written that way."""

LIMIT = 8
"""How many files at once; each takes L{BLOCK} bytes of memory."""

_taken = threading.BoundedSemaphore(LIMIT)


class DirectWriter:
    """
    Gathers bytes to aligned blocks, and writes those.

    @param fd: a file that is written at its end; nobody else writes to it until L{finish}.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = mmap.mmap(-1, BLOCK)  # as mapped memory it is aligned
        self._filled = 0

    @classmethod
    def begin(cls, fd: int, size: int) -> DirectWriter | None:
        """
        Write a file that way from now on; None where it can't be.

        @param size: the bytes that it has.
        """
        flag = getattr(os, "O_DIRECT", 0)
        if not flag or size % ALIGNMENT or not _taken.acquire(blocking=False):
            return None
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | flag)
            return cls(fd)
        except OSError:  # of a file system that does not do it
            _taken.release()
            return None

    def write(self, blocks: Sequence[bytes]) -> None:
        """
        Take bytes; they are on their way to the disk when L{finish} has returned.

        @raise OSError: the disk refuses, what is taken now or what was.
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
        Write what was gathered, and let the file be written as usual from now on.

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
        """Write the first C{count} bytes; the others move to their place."""
        with memoryview(self._buffer) as whole:
            written = 0
            while written < count:
                with whole[written:count] as part:
                    written += os.write(self._fd, part)
                if written % ALIGNMENT and written < count:  # a disk that fills up takes a part
                    self._end_direct()
        if count < self._filled:
            self._buffer.move(0, count, self._filled - count)
        self._filled -= count
