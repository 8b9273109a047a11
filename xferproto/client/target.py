"""The targets of downloads: files that appear when they are proven, and memory."""

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
"""Permissions of a new file, less the process's umask."""

OF_THE_SYSTEM = ("/dev/", "/proc/")
"""Links into these directories name devices or open files."""


class Part(Protocol):
    """The bytes of a download so far."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Read some of the bytes."""

    def expect(self, size: int) -> None:
        """Prepare for this many bytes."""

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append bytes."""


class MemoryPart:
    """Keep a download in memory; a L{Part}."""

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
        """Return all bytes."""
        return b"".join(self._blocks)


class PartFile:
    """
    Write a download aside, and give it its name when it is proven: to a file without a name if the
    system has such files, else to a hidden one beside the target.

    All methods block. The new file gets the permissions of one that it replaces, and its owner and
    group if the process may set them. Other hard links of the old file keep the old bytes. If the
    target is a symbolic link, the link is replaced, and its target keeps the old bytes.

    @param target: the final path.
    @param replace: whether a regular file at the target may be replaced.
    @param id: of the content, if a part is to be kept and found again; else None.
    @raise TargetExists: the target exists and may not be replaced.
    @raise TargetIsNoFile: the target is not a regular file.
    @raise OSError: the directory can't be written to, or another download has the part.
    """

    def __init__(self, target: Path, replace: bool, id: str | None = None) -> None:
        self._target = target
        self._replace = replace
        self._keep = id is not None
        self._placed = False
        # Nobody else may read it until it has the permissions of the file that it replaces.
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
        """The number of bytes."""
        return self._file.size

    def read(self, offset: int, length: int) -> bytes:
        """Read some of the bytes."""
        return self._file.read(offset, length)

    def empty(self) -> None:
        """Remove all bytes."""
        self._file.empty()

    def expect(self, size: int) -> None:
        """Prepare for this many bytes; many of them bypass the page cache, unless they are kept."""
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
        """Add the name of the file to an error of the disk, and that of the part that is kept."""
        if error.filename is None:
            error.filename = str(self._target)
            if self._keep and self._file.size:
                error.filename2 = str(self._file.path)
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

        @raise TargetExists: a file is there by now that may not be replaced.
        """
        replaced = self._check()
        try:
            if replaced is not None:
                self._file.take_after(replaced)
            self._file.sync()
        except OSError as error:
            raise self._named(error) from None

    def begin_write_back(self) -> None:
        """Start writing back, so that L{sync} has less to wait for."""
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
        """Close the file, and remove it unless it is published, or its bytes are to be kept."""
        if self._keep and self._file.size:
            self._file.close()
        elif not self._placed:
            self._file.discard()


def check_target(target: Path, replace: bool) -> os.stat_result | None:
    """
    Check that a download may be written to this path. Blocks.

    @return: the status of the regular file that it would replace, or that a link there leads to;
        None if there is nothing.
    @raise TargetExists: a file is there, and C{replace} is false.
    @raise TargetIsNoFile: what is there is never replaced.
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
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
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
    Return the file name for a stored name: its last component.

    The grammar has refused C{..}, absolute paths and the like; the other components are dropped, so
    that no name from a server decides on a directory.
    """
    return name.rpartition("/")[2]
