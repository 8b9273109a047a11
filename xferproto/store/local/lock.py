"""Lock a storage directory, so that one process at a time uses it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from xferproto.files.directories import make_directories, unusable
from xferproto.files.staged_file import FILE_MODE
from xferproto.model.errors import StorageUnavailable
from xferproto.store.local.objects import DIRECTORY_MODE

LOCK = "lock"
"""The name of the lock file in the storage directory."""


class DirectoryLock:
    """
    Holds a storage directory for this process: the directory itself, and its lock file.

    The file alone would not do, since it can be removed; earlier versions look at it alone.

    @param root: the storage directory; it is there.
    @raise OSError: it can't be opened, or the lock file not be made.
    @raise BlockingIOError: another process has one of the two.
    """

    def __init__(self, root: Path) -> None:
        self._directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self._file: int | None = None
        try:
            _lock_directory(self._directory)
            self._file = self._locked_file()
        except BaseException:
            self.close()
            raise

    def renew(self) -> None:
        """
        Make the lock file anew where somebody has removed it.

        @raise OSError: that can't be done.
        @raise BlockingIOError: a server of an earlier version has come in meanwhile.
        """
        if self._file is None or self._is_there(self._file):
            return
        held, self._file = self._file, self._locked_file()
        os.close(held)

    def close(self) -> None:
        """Let go of the directory; does nothing the second time."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _is_there(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(LOCK, dir_fd=self._directory), os.fstat(fd))
        except FileNotFoundError:
            return False

    def _locked_file(self) -> int:
        while True:
            fd = os.open(LOCK, os.O_RDWR | os.O_CREAT, FILE_MODE, dir_fd=self._directory)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_there(fd):  # and was not removed between the two
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)


def lock_directory(root: Path) -> DirectoryLock:
    """
    Make the directory and take it for this process.

    @raise StorageUnavailable: it can't be made or opened, or another server has it.
    """
    try:
        make_directories(root, DIRECTORY_MODE)
        return DirectoryLock(root)
    except BlockingIOError as error:
        raise StorageUnavailable(
            f"The storage directory {root} is in use by another server."
        ) from error
    except OSError as error:
        raise StorageUnavailable(
            f"The storage directory {root} can't be used: {unusable(root, error)}"
        ) from error


def _lock_directory(fd: int) -> None:
    """
    Lock a directory, where its file system can lock one: NFS can't.

    @raise BlockingIOError: another process has locked it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
