"""The room on the disk, promised before the first byte comes instead of missed after the last."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from xferproto.errors import NoSpace

SPARE = 64 * 1024 * 1024
"""Bytes left for the databases: two write-ahead logs of 16 MiB (schema.CHECKPOINT), and growth."""


def free_bytes(path: Path) -> tuple[int, int]:
    """What the file system of C{path} has free for us, and in all, in bytes. Blocks."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


class Reservation:
    """
    Room for the bytes of one upload.

    @ivar missing: how many of them are not written yet.
    """

    def __init__(self, space: Space, size: int) -> None:
        self.missing = size
        self._space = space

    def release(self) -> None:
        """The upload has ended."""
        self._space.held.discard(self)


class Space:
    """
    Keeps account of the bytes that were promised to uploads and are not written yet.

    @param root: a directory on the file system.
    @param free: what L{free_bytes} tells.
    @ivar held: the reservations of the uploads that run.
    """

    def __init__(self, root: Path, free: Callable[[Path], tuple[int, int]] = free_bytes) -> None:
        self._root = root
        self._free = free
        self.held: set[Reservation] = set()

    def reserve(self, size: int) -> Reservation:
        """Count C{size} bytes as promised; L{check} tells whether they are there."""
        reservation = Reservation(self, size)
        self.held.add(reservation)
        return reservation

    def check(self) -> None:
        """
        Whether all that is promised fits. Blocks.

        @raise NoSpace: it does not.
        """
        free, total = self._free(self._root)
        if sum(one.missing for one in tuple(self.held)) > free - min(SPARE, total // 32):
            raise NoSpace()
