"""Reserve room on the disk for uploads before their first byte comes."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from xferproto.model.errors import NoSpace
from xferproto.store.reservation import Promise

SPARE = 64 * 1024 * 1024
"""Bytes left for the databases: two write-ahead logs of 16 MiB (schema.CHECKPOINT), and growth."""

SPARE_FILES = 1024
"""Files left to be made for what is no upload: marks, folders of objects, copies of databases."""


def free_bytes(path: Path) -> tuple[int, int]:
    """What the file system of C{path} has free for us, and in all, in bytes. Blocks."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def free_files(path: Path) -> tuple[int, int]:
    """
    How many more files the file system of C{path} takes from us, and in all; 0 in all where it has
    no such limit. Blocks.
    """
    status = os.statvfs(path)
    return status.f_favail, status.f_files


P = ParamSpec("P")
R = TypeVar("R")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def translated(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """
    Call C{work}; that the disk is full is an error of ours.

    @raise NoSpace: it is.
    """
    try:
        return work(*args, **kwargs)
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace() from error
        raise


class Reservation:
    """
    Room for the bytes of one upload.

    @ivar promise: how many of them are not written yet, and kept for it.
    """

    def __init__(self, space: Space, size: int) -> None:
        self.promise = Promise(size, space.now())
        self._space = space

    def take(self, count: int) -> None:
        """
        See that there is room for so many of its bytes, which are written next. Blocks.

        @raise NoSpace: others have it: so little came for so long that it was not kept.
        """
        if count > self.promise.kept:
            self._space.grow(self, count)

    def wrote(self, count: int) -> None:
        """So many of its bytes are written."""
        with self._space.lock:
            self.promise.use(count)

    def release(self) -> None:
        """The upload has ended."""
        with self._space.lock:
            self._space.held.discard(self)


class Space:
    """
    Keeps account of the bytes that were promised to uploads and are not written yet.

    @param root: a directory on the file system.
    @param free: what L{free_bytes} tells.
    @param files: what L{free_files} tells.
    @param now: the time, in seconds of any clock that never goes back.
    @ivar held: the reservations of the uploads that run.
    """

    def __init__(
        self,
        root: Path,
        free: Callable[[Path], tuple[int, int]] = free_bytes,
        files: Callable[[Path], tuple[int, int]] = free_files,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._free = free
        self._files = files
        self.now = now
        self.lock = threading.Lock()  # uploads are written on several threads
        self.held: set[Reservation] = set()

    def reserve(self, size: int) -> Reservation:
        """Count C{size} bytes as promised; L{check} tells whether they are there."""
        reservation = Reservation(self, size)
        with self.lock:
            self.held.add(reservation)
        return reservation

    def check(self) -> None:
        """
        Whether all that is promised fits. Blocks.

        @raise NoSpace: it does not.
        """
        room = self._room()
        with self.lock:
            if self._kept() > room:
                raise NoSpace()

    def check_files(self) -> None:
        """
        Whether one more file can be made. Blocks.

        @raise NoSpace: too few are left.
        """
        free, total = self._files(self._root)
        if total and free <= min(SPARE_FILES, total // 32):
            raise NoSpace()

    def grow(self, reservation: Reservation, count: int) -> None:
        """Keep at least so many bytes for one upload, as L{Reservation.take} says."""
        room = self._room()
        with self.lock:
            promise = reservation.promise
            if not promise.grow(count, room - self._kept() + promise.kept):
                raise NoSpace()

    def _room(self) -> int:
        free, total = self._free(self._root)
        return free - min(SPARE, total // 32)

    def _kept(self) -> int:
        now = self.now()
        for one in self.held:
            one.promise.look(now)
        return sum(one.promise.kept for one in self.held)
