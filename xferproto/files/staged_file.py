"""Stage a file: write it beside its target, and sync it before it gets its name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from xferproto.files.direct_io import DirectWriter
from xferproto.model.errors import Corrupt

FILE_MODE = 0o600
"""The permissions of the files of a store."""

WRITE_BACK = 32 * 1024 * 1024
"""Bytes after which write-back begins, so that the final sync has little left to do."""

_PROC = Path("/proc/self/fd")
"""Where linkat(2) finds a file without a name, to give it one."""

_IOV_MAX = 1024
"""The most buffers one writev(2) takes (IOV_MAX of Linux, limits.h)."""


class StagedFile:
    """
    Write a file beside its target, and publish it when it is complete.

    @param path: the path of the staged file.
    @param fd: its descriptor, open for reading and writing, at the end.
    @param size: its size in bytes.
    @param nameless: whether it has no name yet; C{path} is for messages then.
    @ivar path: the same.
    @ivar size: its size in bytes.
    """

    def __init__(self, path: Path, fd: int, size: int, nameless: bool = False) -> None:
        self.path = path
        self._nameless = nameless
        self.size = size
        self._fd = fd
        self._written_back = size
        self._direct: DirectWriter | None = None

    @classmethod
    def new(cls, path: Path, mode: int = FILE_MODE) -> StagedFile:
        """
        Create a file.

        @param mode: its permissions, less the umask of the process.
        @raise FileExistsError: the name is taken.
        """
        return cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), 0)

    @classmethod
    def nameless(cls, path: Path, mode: int) -> StagedFile | None:
        """
        Create a file without a name, which vanishes if the process ends before it gets one
        (O_TMPFILE of Linux, open(2)). Return None where the system has no such files.

        @param path: the name that it will get.
        @param mode: its permissions, less the umask of the process.
        """
        flag = getattr(os, "O_TMPFILE", 0)
        if not flag or not _PROC.exists():
            return None
        try:
            return cls(path, os.open(path.parent, os.O_RDWR | flag, mode), 0, nameless=True)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                return None
            raise

    @classmethod
    def open(cls, path: Path, mode: int = FILE_MODE) -> StagedFile:
        """Open a file to append to it; create it if it does not exist."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
        return cls(path, fd, os.lseek(fd, 0, os.SEEK_END))

    def lock(self) -> None:
        """
        Lock the file against other processes while it is open.

        @raise OSError: another process has locked it; the file is closed.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise OSError(error.errno, "in use by another download", str(self.path)) from None

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes that have been written."""
        return read_exactly(self._fd, offset, length)

    def is_shared(self) -> bool:
        """Return whether the file has a second name, so that its bytes must not change."""
        return os.fstat(self._fd).st_nlink > 1

    def replace(self) -> None:
        """Start over in a new file of this name; the former one keeps its other name."""
        self.path.unlink()
        os.close(self._fd)
        self._fd = -1
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        self.size = self._written_back = 0

    def empty(self) -> None:
        """Truncate the file to 0 bytes."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.size = self._written_back = 0

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append all bytes of the blocks."""
        if self._direct is not None:
            self._direct.write(blocks)
            self.size += sum(map(len, blocks))
            return
        for start in range(0, len(blocks), _IOV_MAX):
            rest = [memoryview(block) for block in blocks[start : start + _IOV_MAX]]
            while rest:
                written = os.writev(self._fd, rest)
                self.size += written
                # A full disk takes a part; the next call raises the error.
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]
        if self.size - self._written_back >= WRITE_BACK:
            self.begin_write_back()

    def begin_write_back(self) -> None:
        """Begin write-back, so that L{sync} has less to wait for."""
        begin, self._written_back = self._written_back, self.size
        if hasattr(os, "posix_fadvise"):
            # On Linux this starts to write dirty pages and drops clean ones; these are all dirty.
            os.posix_fadvise(self._fd, begin, self.size - begin, os.POSIX_FADV_DONTNEED)

    def pass_cache(self) -> None:
        """
        Write past the page cache from now on, if possible. The bytes can be read, and survive the
        end of the process, no earlier than when L{sync} or L{close} returns.
        """
        if self._direct is None:
            self._direct = DirectWriter.begin(self._fd, self.size)

    def _end_direct(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.finish()

    def take_after(self, other: os.stat_result) -> None:
        """
        Take the permissions of another file, and its owner and group as far as the process may set
        them. Set-user-id and set-group-id bits are dropped.
        """
        own, mode = os.fstat(self._fd), stat.S_IMODE(other.st_mode) & 0o777
        if own.st_uid != other.st_uid:
            with contextlib.suppress(OSError):
                os.fchown(self._fd, other.st_uid, -1)
        if own.st_gid != other.st_gid:
            try:
                os.fchown(self._fd, -1, other.st_gid)
            except OSError:  # the rights of that group are not for another
                mode &= 0o707 | (mode & 0o007) << 3
        os.fchmod(self._fd, mode)

    def sync(self) -> None:
        """Wait until the bytes are on the disk; close the file if it has a name."""
        self._end_direct()
        os.fsync(self._fd)
        if not self._nameless:
            self.close()

    def place(self, target: Path, replace: bool) -> None:
        """
        Give the synced file its name, and close it.

        @param replace: whether it may replace another file.
        @raise FileExistsError: another file has the name, and must not be replaced.
        """
        if self._nameless:
            # linkat(2) follows the link in /proc with a flag that Python sets for a directory's fd;
            # the path is absolute, so that the directory does not matter.
            path = f"/proc/self/fd/{self._fd}"
            os.link(path, target, src_dir_fd=self._fd, follow_symlinks=True)
            self.close()
        elif replace:
            self.path.rename(target)
        else:
            os.link(self.path, target)  # unlike a rename, it never replaces
            self.path.unlink()

    def close(self) -> None:
        """Close the file; does nothing if it is closed."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # L{sync} reports errors
                self._end_direct()
            fd, self._fd = self._fd, -1
            os.close(fd)

    def discard(self) -> None:
        """Close and remove the file; does nothing once it has its name."""
        self.close()
        if not self._nameless:
            self.path.unlink(missing_ok=True)


def read_exactly(fd: int, offset: int, length: int) -> bytes:
    """
    Read C{length} bytes of a file from C{offset} on.

    @raise Corrupt: the file ends before.
    """
    data = os.pread(fd, length, offset)
    if len(data) == length:
        return data
    blocks = [data]
    while missing := length - sum(map(len, blocks)):
        data = os.pread(fd, missing, offset + length - missing)
        if not data:
            raise Corrupt(f"The stored file ends at byte {offset + length - missing}.")
        blocks.append(data)
    return b"".join(blocks)


def sync_path(path: Path) -> None:
    """Make the bytes of a file, or the names in a directory, durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
