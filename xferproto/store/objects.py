"""
Object files: contents on disk, each in a file named by its id.

Layout below the storage directory::

    objects/ab/abcdef…   a complete content; its name is its id
    incoming/RANDOM      an upload on its way
    incoming/ID.commit   an empty mark: this object may lack its catalogue row
    partial/HASH         what has come of an upload under a token; named by the token's SHA-256
    quarantine/ID.TIME   bytes that no longer hashed to their id, kept for whoever investigates

Everything here blocks. A content is made visible as tahoe-lafs, restic and the like do it: written
aside, synced, renamed, the directory synced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xferproto.errors import Corrupt, StorageLost
from xferproto.store.direct import DirectWriter

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

WRITE_BACK = 32 * 1024 * 1024
"""Bytes after which the disk is set to work, so that the sync in the end has little left to do."""

_PROC = Path("/proc/self/fd")
"""Where a file without a name can be found, to be given one."""

_MARK = ".commit"
_IOV_MAX = 1024
"""The most buffers one writev(2) takes (IOV_MAX of Linux, limits.h)."""


class Objects:
    """
    The object files of one storage directory.

    @param root: the storage directory; it is there.
    """

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._incoming = root / "incoming"
        self._root = root
        self._partial = root / "partial"
        self._quarantine = root / "quarantine"
        self._synced: set[Path] = set()  # folders of objects that are known to be durable
        for directory in (self._incoming, self._objects, self._partial, self._quarantine):
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        self._identity = _identity(self._objects)
        sync_path(root)

    def check(self) -> None:
        """
        Whether the directory is the one that was opened, and not an empty mount point.

        @raise StorageLost: it is not.
        """
        try:
            if _identity(self._objects) == self._identity:
                return
        except OSError:
            pass
        raise StorageLost()

    def path(self, id: str) -> Path:
        return self._objects / id[:2] / id

    def _mark(self, id: str) -> Path:
        return self._incoming / (id + _MARK)

    def ids(self) -> Iterator[str]:
        """The ids of all objects, in no order."""
        for folder in self._objects.iterdir():
            for path in folder.iterdir():
                yield path.name

    def marked(self) -> Iterator[str]:
        """The ids whose objects may lack a row: their server was killed before it could tell."""
        for path in self._incoming.iterdir():
            if path.name.endswith(_MARK):
                yield path.name.removesuffix(_MARK)

    def new(self) -> IncomingFile:
        """A new, empty file to write a content into."""
        return IncomingFile.new(self._incoming / secrets.token_hex(16))

    def partial(self, token: str) -> IncomingFile:
        """The file of an upload under a token, with the bytes that came so far, or new."""
        self.check()
        return IncomingFile.open(partial_path(self._root, token))

    def partial_size(self, token: str) -> int:
        """How many bytes came so far under a token, 0 where there is no file."""
        try:
            return partial_path(self._root, token).stat().st_size
        except FileNotFoundError:
            return 0

    def remove_partial(self, token: str) -> None:
        """Remove what came under a token."""
        partial_path(self._root, token).unlink(missing_ok=True)

    def clean_partials(self, tokens: Iterable[str]) -> None:
        """Remove what came under all tokens but these."""
        keep = {partial_path(self._root, token) for token in tokens}
        for path in self._partial.iterdir():
            if path not in keep:
                path.unlink()

    def publish(self, incoming: IncomingFile, id: str) -> None:
        """
        Make a written file the object C{id}, durably, and mark it as not in the catalogue yet.

        An object of that name without a row is what a crash left; it is replaced.
        """
        incoming.sync()
        self.check()
        self.mark(id)
        path = self.path(id)
        if path.parent not in self._synced or not path.parent.is_dir():
            path.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            sync_path(self._objects)
            self._synced.add(path.parent)
        incoming.path.rename(path)
        sync_path(path.parent)

    def mark(self, id: str) -> None:
        """From now on, and after a crash too, this object may lack its row."""
        self.check()
        os.close(os.open(self._mark(id), os.O_WRONLY | os.O_CREAT, FILE_MODE))

    def quarantine(self, id: str, now: float) -> None:
        """Put an object aside whose bytes are wrong."""
        self.check()
        path = self.path(id)
        with contextlib.suppress(FileNotFoundError):
            path.rename(self._aside(id, now))
            sync_path(path.parent)

    def quarantine_bytes(self, id: str, now: float, content: bytes) -> None:
        """Put bytes aside that had no file of their own."""
        self.check()
        fd = os.open(self._aside(id, now), os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(content)

    def _aside(self, id: str, now: float) -> Path:
        """A place in the quarantine where nothing is yet."""
        while (path := self._quarantine / f"{id}.{now:.0f}").exists():
            now += 1
        return path

    def confirm(self, id: str) -> None:
        """Take the mark away: the row is in the catalogue."""
        self._mark(id).unlink(missing_ok=True)

    def take_back(self, id: str, path: Path) -> None:
        """Undo what L{publish} has done of its work, for an object that has no row."""
        if not path.exists():
            with contextlib.suppress(FileNotFoundError):
                self.path(id).rename(path)
        self.confirm(id)

    def remove(self, id: str) -> None:
        """Remove an object that has no row, and its mark."""
        self.path(id).unlink(missing_ok=True)
        self.confirm(id)

    def has(self, id: str, size: int) -> bool:
        """Whether there is such an object, of this length."""
        try:
            return self.path(id).stat().st_size == size
        except FileNotFoundError:
            self.check()
            return False

    def identity(self, id: str, size: int) -> tuple[int, int] | None:
        """Which file an object is: device and inode; None where there is none of this length."""
        try:
            status = self.path(id).stat()
        except FileNotFoundError:
            return None
        return (status.st_dev, status.st_ino) if status.st_size == size else None

    def clean(self) -> None:
        """Remove the uploads that an earlier server left unfinished."""
        for path in self._incoming.iterdir():
            if not path.name.endswith(_MARK):
                path.unlink(missing_ok=True)

    def open(self, id: str, size: int) -> int:
        """
        A file descriptor to read the object from.

        @raise Corrupt: it is not there, or has another length.
        """
        try:
            fd = os.open(self.path(id), os.O_RDONLY)
        except FileNotFoundError:
            self.check()
            raise Corrupt() from None
        if (found := os.fstat(fd).st_size) != size:
            os.close(fd)
            raise Corrupt(f"The stored file has {found} bytes instead of {size}; send it again.")
        return fd


class IncomingFile:
    """
    A file that is being written aside.

    @param path: where.
    @param fd: its descriptor, open for reading and writing, at the end.
    @param size: the bytes that it has.
    @param nameless: whether it has no name yet, and C{path} is what is told of it.
    @ivar path: where.
    @ivar size: the bytes that it has.
    """

    def __init__(self, path: Path, fd: int, size: int, nameless: bool = False) -> None:
        self.path = path
        self._nameless = nameless
        self.size = size
        self._fd = fd
        self._written_back = size
        self._direct: DirectWriter | None = None

    @classmethod
    def new(cls, path: Path, mode: int = FILE_MODE) -> IncomingFile:
        """
        A file that is not there yet.

        @param mode: the permissions that it gets, less the process's umask.
        """
        return cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), 0)

    @classmethod
    def nameless(cls, path: Path, mode: int) -> IncomingFile | None:
        """
        A file that gets its name when it is whole, and is gone when the process is gone before
        (O_TMPFILE of Linux, open(2)). None where there is no such thing.

        @param path: the name that it will have.
        @param mode: the permissions that it gets, less the process's umask.
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
    def open(cls, path: Path, mode: int = FILE_MODE) -> IncomingFile:
        """A file that may be there already, to be written on."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
        return cls(path, fd, os.lseek(fd, 0, os.SEEK_END))

    def lock(self) -> None:
        """
        Keep other processes from it, while it is open.

        @raise OSError: another one has it.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise OSError(error.errno, "in use by another download", str(self.path)) from None

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that were written already."""
        return read_exactly(self._fd, offset, length)

    def empty(self) -> None:
        """Start over."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.size = self._written_back = 0

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append all of the blocks' bytes."""
        if self._direct is not None:
            self._direct.write(blocks)
            self.size += sum(map(len, blocks))
            return
        for start in range(0, len(blocks), _IOV_MAX):
            rest = [memoryview(block) for block in blocks[start : start + _IOV_MAX]]
            while rest:
                written = os.writev(self._fd, rest)
                self.size += written
                # A disk that fills up takes a part; the next call tells why.
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]
        if self.size - self._written_back >= WRITE_BACK:
            self.begin_write_back()

    def begin_write_back(self) -> None:
        """Set the disk to work, so that L{sync} has less to wait for."""
        begin, self._written_back = self._written_back, self.size
        if hasattr(os, "posix_fadvise"):
            # On Linux this starts to write dirty pages and drops clean ones; these are all dirty.
            os.posix_fadvise(self._fd, begin, self.size - begin, os.POSIX_FADV_DONTNEED)

    def pass_cache(self) -> None:
        """
        Write past the page cache from now on, if that can be done. What is written then can be
        read, and is there after the process is killed, no earlier than L{sync} or L{close} returns.
        """
        if self._direct is None:
            self._direct = DirectWriter.begin(self._fd, self.size)

    def _end_direct(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.finish()

    def sync(self) -> None:
        """Wait until the bytes are on the disk, and close, if it has a name."""
        self._end_direct()
        os.fsync(self._fd)
        if not self._nameless:
            self.close()

    def place(self, target: Path, replace: bool) -> None:
        """
        Give the synced file its name, and close it.

        @raise FileExistsError: another file has the name, and may not be replaced.
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
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # who wants to know whether it is there syncs
                self._end_direct()
            fd, self._fd = self._fd, -1
            os.close(fd)

    def discard(self) -> None:
        """Close and remove it; does nothing where it was published."""
        self.close()
        if not self._nameless:
            self.path.unlink(missing_ok=True)


def partial_path(root: Path, token: str) -> Path:
    """Where what came under a token is kept, in a storage directory."""
    # A hash, since tokens that differ in case alone would meet on some file systems.
    return root / "partial" / hashlib.sha256(token.encode("ascii")).hexdigest()


def read_exactly(fd: int, offset: int, length: int) -> bytes:
    """
    C{length} bytes of a file from C{offset} on.

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


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def sync_path(path: Path) -> None:
    """Make the bytes of a file, or the names in a directory, durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
