"""The watched directory: whether it is usable and still there, and the lock on it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from xferproto.files.directories import make_directory
from xferproto.model.errors import XferError

SENT = "sent"
"""The directory for files that were stored."""

FAILED = "failed"
"""The directory for files that can't be stored, each with a reason file beside it."""

LOCK = ".xfer-watch.lock"
STATE = ".xfer-watch.sqlite"
STATUS = ".xfer-watch.json"
ASIDE = ".xfer-watch.aside"
"""Other files in a watched directory; never sent, like everything hidden."""

LOCK_TRIES = 10
LOCK_PAUSE = 0.1
"""How often and how long to wait for a process that holds the lock only to check it."""


class DirectoryUnusable(XferError):
    """A directory can't be watched; the text says which one and why."""


class DirectoryGone(DirectoryUnusable):
    """A watched directory is gone, or is another one."""


class WatchedDirectory:
    """
    Lock a directory, so that this process alone watches it while it is open. All methods block.

    @param path: its absolute path.
    @param made: the names of directories that are made in it.
    @param written: whether files will be moved in it; else it need not be writable.
    @ivar path: its absolute path.
    @ivar device: the file system that it lies on.
    @ivar has_file: whether it has a lock file.
    @ivar marker: the mark in its lock file, if it has one: it distinguishes the directory from an
        empty mount point.
    """

    def __init__(self, path: Path, made: Sequence[str], written: bool) -> None:
        self.path = path
        self.device = 0
        self.marker: str | None = None
        self._made = made
        self._written = written
        self._identity = (0, 0)
        self._fd = -1
        self.has_file = False

    @property
    def lock(self) -> Path:
        """The path of what is locked while the directory is open."""
        return self.path / LOCK if self.has_file else self.path

    def open(self) -> None:
        """
        Lock it for this process.

        @raise DirectoryUnusable: it can't be watched.
        """
        status = self._looked_at()
        if not self._written and not os.access(self.path, os.W_OK):
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        else:
            self._open_file()
        try:
            self._lock()
            self._identity = (status.st_dev, status.st_ino)
            self.device = status.st_dev
            if self.has_file:
                self.marker = _word(os.pread(self._fd, 100, 0))
                for name in self._made:
                    self._make(name)
        except BaseException:
            self.close()
            raise

    def _looked_at(self) -> os.stat_result:
        try:
            status = self.path.stat()
            if not stat.S_ISDIR(status.st_mode):
                raise DirectoryUnusable(f"{self.path} is not a directory.")
            with os.scandir(self.path):
                pass
        except OSError as error:
            raise self._unusable("be read", error) from None
        return status

    def _unusable(self, what: str, error: OSError) -> DirectoryUnusable:
        if error.errno == errno.ENOENT:
            return DirectoryUnusable(f"{self.path} does not exist.")
        return DirectoryUnusable(f"{self.path} can't {what}: {error.strerror}.")

    def _open_file(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            self._fd = os.open(self.path / LOCK, flags, 0o644)
        except OSError as error:
            raise self._unusable("be written to", error) from None
        self.has_file = True

    def _lock(self) -> None:
        for tried in range(LOCK_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if tried < LOCK_TRIES - 1:
                    time.sleep(LOCK_PAUSE)
            except OSError as error:
                raise self._unusable("be locked", error) from None
        raise DirectoryUnusable(f"Another process watches {self.path} already.")

    def _make(self, name: str) -> None:
        path = self.path / name
        try:
            with contextlib.suppress(FileExistsError):
                make_directory(path)
            status = path.lstat()
        except OSError as error:
            raise self._unusable("be written to", error) from None
        if not stat.S_ISDIR(status.st_mode):
            raise DirectoryUnusable(
                f"{path} has to be a directory, and is something else; move it away."
            )
        if status.st_dev != self.device:
            raise DirectoryUnusable(
                f"{path} is on another file system, and files can't be moved there; "
                f"it has to be on that of {self.path}."
            )

    def mark(self, marker: str) -> None:
        """Write a mark of 32 hex digits into the lock file."""
        if self.has_file and marker != self.marker:
            os.pwrite(self._fd, marker.encode() + b"\n", 0)
            self.marker = marker

    def check(self) -> None:
        """
        Check that the directory is still there, and the same.

        @raise DirectoryGone: it is not.
        """
        try:
            status = self.path.stat()
            if (status.st_dev, status.st_ino) != self._identity:
                raise DirectoryGone(f"{self.path} is another directory than before.")
            if self.has_file:
                lock = (self.path / LOCK).stat()
                if not os.path.samestat(lock, os.fstat(self._fd)):
                    raise DirectoryGone(f"{self.path} has another lock file than before.")
        except OSError as error:
            what = error.filename or self.path
            raise DirectoryGone(f"{what} is gone: {error.strerror}.") from None

    def is_back(self) -> bool:
        """
        Whether the directory is back, or a new one on the same file system is in its place; an
        empty mount point is not.
        """
        try:
            status = self.path.stat()
            if not stat.S_ISDIR(status.st_mode):
                return False
            if status.st_dev == self.device:
                return True
            with (self.path / LOCK).open("rb") as lock:
                return self.marker is not None and _word(lock.read(100)) == self.marker
        except OSError:
            return False

    def close(self) -> None:
        """Unlock it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _word(content: bytes) -> str | None:
    match = re.fullmatch(rb"([0-9a-f]{32})\n.*", content, re.DOTALL)
    return match[1].decode() if match else None
