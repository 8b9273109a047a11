"""Where a download is written: aside or into memory, until it is proven."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from xferproto.files.direct_io import WORTH_IT
from xferproto.files.staged_file import FILE_MODE, StagedFile, sync_path
from xferproto.model.errors import TargetExists, TargetIsNoFile

NEW_MODE = 0o666
"""Permissions of a file that replaces none, less the process's umask."""

OF_THE_SYSTEM = ("/dev/", "/proc/")
"""Where links lead that name devices or open files, whatever these are just now."""


class Part(Protocol):
    """What a download is written to."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that it has."""

    def expect(self, size: int) -> None:
        """So many bytes will come."""

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append bytes."""


class MemoryPart:
    """A download that is kept in memory; a L{Part}."""

    size = 0

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def read(self, offset: int, length: int) -> bytes:
        return b""

    def expect(self, size: int) -> None:
        pass

    def write(self, blocks: Sequence[bytes]) -> None:
        self._blocks.extend(blocks)

    def content(self) -> bytes:
        """All that has come."""
        return b"".join(self._blocks)


class PartFile:
    """
    A download on its way: a file without a name where the system has such files, else a hidden one
    beside the one it will become.

    All methods block. A file that is replaced hands on its permissions, and its owner and group as
    far as the process may give them. Other names of it (hard links) keep the old bytes, and so does
    what a link leads to: it is the link that is replaced.

    @param target: the final path.
    @param replace: whether a regular file that is there already may be replaced.
    @param id: of the content, where what came of it is to be kept and found again; else None.
    @raise TargetExists: it may not.
    @raise TargetIsNoFile: what is there is no regular file.
    @raise OSError: the directory can't be written to, or another download has the part.
    """

    def __init__(self, target: Path, replace: bool, id: str | None = None) -> None:
        self._target = target
        self._replace = replace
        self._keep = id is not None
        self._placed = False
        # Until it gets the permissions of what it replaces, nobody else may read it.
        mode = NEW_MODE if self._check() is None else FILE_MODE
        if id is None:
            file = None if replace else StagedFile.nameless(target, mode)
            if file is None:
                part = target.with_name(f".{secrets.token_hex(8)}.part")
                file = StagedFile.new(part, mode)
            self._file = file
        else:
            # Of the target too: two downloads of one content must not write into one part.
            key = hashlib.sha256(f"{target.name}\0{id}".encode("utf-8", "surrogateescape"))
            part = target.with_name(f".{key.hexdigest()[:32]}.part")
            self._file = StagedFile.open(part, mode)
            self._file.lock()

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._file.size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes that it has."""
        return self._file.read(offset, length)

    def empty(self) -> None:
        """Start over."""
        self._file.empty()

    def expect(self, size: int) -> None:
        """So many bytes will come; many of them, unless they are kept, pass the page cache."""
        if size >= WORTH_IT and not self._keep:
            self._file.pass_cache()

    def _check(self) -> os.stat_result | None:
        return check_target(self._target, self._replace)

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append bytes."""
        try:
            self._file.write(blocks)
        except OSError as error:
            raise self._named(error) from None

    def _named(self, error: OSError) -> OSError:
        """Add the name of the file to an error of the disk."""
        if error.filename is None:
            error.filename = str(self._target)
        return error

    def publish(self) -> None:
        """
        Give the proven bytes their final name, durably.

        @raise TargetExists: another file took the name meanwhile.
        """
        self.sync()
        self.place()
        sync_path(self._target.parent)

    def sync(self) -> None:
        """
        Make the bytes, and the permissions of what they replace, durable: the first step of
        L{publish}.

        @raise TargetExists: what is there by now may not be replaced.
        """
        replaced = self._check()
        try:
            if replaced is not None:
                self._file.take_after(replaced)
            self._file.sync()
        except OSError as error:
            raise self._named(error) from None

    def begin_write_back(self) -> None:
        """Set the disk to work, so that L{sync} has less to wait for."""
        self._file.begin_write_back()

    def place(self) -> None:
        """
        Give the durable bytes their final name; its directory is not synced yet.

        @raise TargetExists: another file took the name meanwhile.
        """
        self._check()
        try:
            self._file.place(self._target, self._replace)
        except FileExistsError:
            raise TargetExists(f"{self._target} is there already.") from None
        self._placed = True

    def leave(self) -> None:
        """Close it; remove it unless it has bytes to be kept. Does nothing once it is published."""
        if self._keep and self._file.size:
            self._file.close()
        elif not self._placed:
            self._file.discard()


def check_target(target: Path, replace: bool) -> os.stat_result | None:
    """
    Whether a download may get this path. Blocks.

    @return: of the regular file that it would replace, or that a link there leads to; None where
        there is nothing.
    @raise TargetExists: it may not.
    @raise TargetIsNoFile: it may not, and C{replace} does not matter.
    """
    if not os.path.lexists(target):
        return None
    try:
        found = target.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        found = None  # a link to nothing, or to itself
    if found is not None and not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
    elif _leads_into_the_system(target):
        what = "a link to a device or an open file"
    elif replace:
        return found
    else:
        raise TargetExists(f"{target} is there already; nothing was written.")
    raise TargetIsNoFile(f"{target} is {what}; it is never replaced.")


def _leads_into_the_system(target: Path) -> bool:
    try:
        return os.readlink(target).startswith(OF_THE_SYSTEM)  # noqa: PTH115 (as it stands there)
    except OSError:
        return False


def local_name(name: str) -> str:
    """
    The file name to use for a stored name: its last component.

    The grammar has refused C{..}, absolute paths and the like; the other components are dropped, so
    that no name from a server decides on a directory.
    """
    return name.rpartition("/")[2]
