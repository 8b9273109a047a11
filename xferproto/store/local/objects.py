"""
Object files: contents on disk, each in a file named by its id.

Layout below the storage directory::

    objects/ab/abcdef…   a complete content; its name is its id
    incoming/RANDOM      an upload on its way
    incoming/ID.commit   an empty mark: this object may lack its catalogue row
    partial/HASH         what has come of an upload under a token; named by the token's SHA-256
    quarantine/ID.TIME   bytes that no longer hashed to their id, kept for whoever investigates
    quarantine/ID.TIME.unnamed   an object that nothing named, kept for a week

Everything here blocks. A content is made visible as tahoe-lafs, restic and the like do it: written
aside, synced, renamed, the directory synced.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from xferproto.files.staged_file import FILE_MODE, StagedFile, sync_path
from xferproto.model.errors import Corrupt, StorageLost
from xferproto.store.local.layout import (
    DIRECTORIES,
    INCOMING,
    MARK,
    OBJECTS,
    PARTIAL,
    is_id,
    object_files,
    own_files,
)

DIRECTORY_MODE = 0o700


class Objects:
    """
    The object files of one storage directory.

    @param root: the storage directory; it is there.
    @ivar first: whether nothing was ever committed here. Until then marks are durable too, so that
        an object without a row and a mark is one whose catalogue was lost.
    """

    first = False

    def __init__(self, root: Path) -> None:
        self._objects = root / OBJECTS
        self._incoming = root / INCOMING
        self._root = root
        self._synced: set[Path] = set()  # folders of objects that are known to be durable
        for directory in DIRECTORIES:
            (root / directory).mkdir(mode=DIRECTORY_MODE, exist_ok=True)
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
        return self._incoming / (id + MARK)

    def ids(self) -> Iterator[str]:
        """The ids of all objects, in no order; what else lies there is passed over."""
        for path in object_files(self._root):
            yield path.name

    def folders(self) -> list[str]:
        """The names of the folders of objects."""
        self.check()
        names = (path.name for path in self._objects.iterdir())
        return sorted(name for name in names if re.fullmatch("[0-9a-f]{2}", name))

    def ids_in(self, folder: str) -> set[str]:
        """The ids of the objects in a folder; what is no object's is passed over."""
        with os.scandir(self._objects / folder) as found:
            return {
                one.name
                for one in found
                if one.name.startswith(folder)
                and is_id(one.name)
                and one.is_file(follow_symlinks=False)
            }

    def marked(self) -> Iterator[str]:
        """The ids whose objects may lack a row: their server was killed before it could tell."""
        for path in own_files(self._root, INCOMING):
            if path.name.endswith(MARK):
                yield path.name.removesuffix(MARK)

    def new(self) -> StagedFile:
        """A new, empty file to write a content into."""
        return StagedFile.new(self._incoming / secrets.token_hex(16))

    def partial(self, token: str) -> StagedFile:
        """The file of an upload under a token, with the bytes that came so far, or new."""
        self.check()
        return StagedFile.open(partial_path(self._root, token))

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
        for path in own_files(self._root, PARTIAL):
            if path not in keep:
                path.unlink()

    def publish(self, incoming: StagedFile, id: str) -> None:
        """
        Make a written file the object C{id}, durably, and mark it as not in the catalogue yet.

        An object of that name without a row is what a crash left; it is replaced.
        """
        incoming.sync()
        self.check()
        self.mark(id)
        if self.first:
            sync_path(self._incoming)
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

    def confirm(self, id: str) -> None:
        """Take the mark away: the row is in the catalogue."""
        self._mark(id).unlink(missing_ok=True)

    def take_back(self, id: str, path: Path) -> None:
        """Undo what L{publish} has done of its work, for an object that has no row."""
        if not path.exists():
            with contextlib.suppress(FileNotFoundError):
                self.path(id).rename(path)
        self.confirm(id)

    def share(self, id: str, path: Path) -> None:
        """Let what came under a token be found there again, and stay the object that it became."""
        if not path.exists():
            with contextlib.suppress(FileNotFoundError):
                os.link(self.path(id), path)

    def remove(self, id: str) -> None:
        """Remove an object that has no row, and its mark; a directory of its name stays."""
        if not self.path(id).is_dir():
            self.path(id).unlink(missing_ok=True)
        self.confirm(id)

    def identity(self, id: str, size: int) -> tuple[int, int] | None:
        """Which file an object is: device and inode; None where there is none of this length."""
        try:
            status = self.path(id).stat()
        except FileNotFoundError:
            self.check()  # what can't be found where nothing is may be whole all the same
            return None
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return None
        return status.st_dev, status.st_ino

    def clean(self) -> None:
        """Remove the uploads that an earlier server left unfinished."""
        for path in own_files(self._root, INCOMING):
            if not path.name.endswith(MARK):
                path.unlink(missing_ok=True)

    def open(self, id: str, size: int) -> int:
        """
        A file descriptor to read the object from.

        @raise Corrupt: it is not there, or has another length.
        """
        try:
            fd = os.open(self.path(id), os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe by now
        except FileNotFoundError:
            self.check()
            raise Corrupt() from None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Corrupt()
        if (found := status.st_size) != size:
            os.close(fd)
            raise Corrupt(f"The stored file has {found} bytes instead of {size}; send it again.")
        return fd


def partial_path(root: Path, token: str) -> Path:
    """Where what came under a token is kept, in a storage directory."""
    # A hash, since tokens that differ in case alone would meet on some file systems.
    return root / PARTIAL / hashlib.sha256(token.encode("ascii")).hexdigest()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
