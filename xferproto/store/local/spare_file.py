"""Keep room on the disk that is given up when it is full, so that a start and deletions work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from xferproto.files.staged_file import FILE_MODE
from xferproto.store.local.schema import CHECKPOINT
from xferproto.store.local.space import SPARE, free_bytes

SPARE_FILE = "spare"
"""The name of the file in the storage directory that holds the room."""

SPARE_SIZE = 2 * CHECKPOINT * 4096
"""Its bytes, on a large disk: what both write-ahead logs hold that is not in the databases yet."""

PART = 16
"""Of a smaller disk it has one of so many parts."""


class Spare:
    """
    A file that holds room on the disk. It is removed when that is needed, and made again when there
    is enough of it. Everything here blocks.

    @param root: the storage directory; it is there.
    @param free: what L{free_bytes} tells.
    """

    def __init__(self, root: Path, free: Callable[[Path], tuple[int, int]] = free_bytes) -> None:
        self._root = root
        self._path = root / SPARE_FILE
        self._free = free

    def make(self) -> None:
        """Hold the room, unless it is held, or would be missed."""
        if self._path.exists() or not hasattr(os, "posix_fallocate"):
            return
        free, total = self._free(self._root)
        size = min(SPARE_SIZE, total // PART)
        if not size or free < size + min(SPARE, total // 32):
            return
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:  # somebody else was faster, or the file system does not do it
            self.give_up()
        finally:
            os.close(fd)

    def give_up(self) -> None:
        """Let others have the room: the bytes, and one inode."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def give_up_if_full(self) -> None:
        """The same, where the disk has less room than a start may need."""
        status = os.statvfs(self._root)
        free = status.f_bavail * status.f_frsize
        total = status.f_blocks * status.f_frsize
        if free < min(SPARE_SIZE, total // PART) or (status.f_files and not status.f_favail):
            self.give_up()
