"""
Object files: contents on disk, each in a file named by its id.

Layout below the storage directory::

    objects/ab/abcdef…   a complete content; its name is its id
    incoming/RANDOM      an upload on its way
    incoming/ID.commit   an empty mark: this object may lack its catalogue row

Everything here blocks. A content is made visible as tahoe-lafs, restic and the like do it: written
aside, synced, renamed, the directory synced.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from xferproto.errors import Corrupt

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

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
        for directory in (self._incoming, self._objects):
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        for number in range(256):
            (self._objects / f"{number:02x}").mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(self._objects)
        sync_directory(root)

    def path(self, id: str) -> Path:
        return self._objects / id[:2] / id

    def _mark(self, id: str) -> Path:
        return self._incoming / (id + _MARK)

    def marked(self) -> Iterator[str]:
        """The ids whose objects may lack a row: their server was killed before it could tell."""
        for path in self._incoming.iterdir():
            if path.name.endswith(_MARK):
                yield path.name.removesuffix(_MARK)

    def new(self) -> IncomingFile:
        """A new, empty file to write a content into."""
        return IncomingFile(self._incoming / secrets.token_hex(16))

    def publish(self, incoming: IncomingFile, id: str) -> None:
        """
        Make a written file the object C{id}, durably, and mark it as not in the catalogue yet.

        An object of that name without a row is what a crash left; it is replaced.
        """
        incoming.sync()
        os.close(os.open(self._mark(id), os.O_WRONLY | os.O_CREAT, FILE_MODE))
        path = self.path(id)
        incoming.path.rename(path)
        sync_directory(path.parent)

    def confirm(self, id: str) -> None:
        """Take the mark away: the row is in the catalogue."""
        self._mark(id).unlink(missing_ok=True)

    def remove(self, id: str) -> None:
        """Remove an object that has no row, and its mark."""
        self.path(id).unlink(missing_ok=True)
        self.confirm(id)

    def has(self, id: str, size: int) -> bool:
        """Whether there is such an object, of this length."""
        try:
            return self.path(id).stat().st_size == size
        except FileNotFoundError:
            return False

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
            raise Corrupt() from None
        if (found := os.fstat(fd).st_size) != size:
            os.close(fd)
            raise Corrupt(f"The stored file has {found} bytes instead of {size}; send it again.")
        return fd


class IncomingFile:
    """
    A file that is being written aside.

    @param mode: the permissions that it gets, less the process's umask.
    @ivar path: where.
    """

    def __init__(self, path: Path, mode: int = FILE_MODE) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append all of the blocks' bytes."""
        for start in range(0, len(blocks), _IOV_MAX):
            rest = [memoryview(block) for block in blocks[start : start + _IOV_MAX]]
            while rest:
                written = os.writev(self._fd, rest)
                # A disk that fills up takes a part; the next call tells why.
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]

    def sync(self) -> None:
        """Wait until the bytes are on the disk, and close."""
        os.fsync(self._fd)
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def discard(self) -> None:
        """Close and remove it; does nothing where it was published."""
        self.close()
        self.path.unlink(missing_ok=True)


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


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
