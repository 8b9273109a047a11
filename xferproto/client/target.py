"""Where a download is written: aside or into memory, until it is proven."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from xferproto.errors import TargetExists
from xferproto.store.direct import WORTH_IT
from xferproto.store.incoming import IncomingFile, sync_path


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

    All methods block.

    @param target: the final path.
    @param replace: whether a file that is there already may be replaced.
    @param id: of the content, where what came of it is to be kept and found again; else None.
    @raise TargetExists: it may not.
    @raise OSError: the directory can't be written to, or another download has the part.
    """

    def __init__(self, target: Path, replace: bool, id: str | None = None) -> None:
        self._target = target
        self._replace = replace
        self._keep = id is not None
        self._placed = False
        self._check()
        if id is None:
            file = None if replace else IncomingFile.nameless(target, 0o666)
            if file is None:
                part = target.with_name(f".{secrets.token_hex(8)}.part")
                file = IncomingFile.new(part, 0o666)
            self._file = file
        else:
            # Of the target too: two downloads of one content must not write into one part.
            key = hashlib.sha256(f"{target.name}\0{id}".encode("utf-8", "surrogateescape"))
            part = target.with_name(f".{key.hexdigest()[:32]}.part")
            self._file = IncomingFile.open(part, 0o666)
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

    def _check(self) -> None:
        check_target(self._target, self._replace)

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append bytes."""
        try:
            self._file.write(blocks)
        except OSError as error:
            raise self._named(error) from None

    def _named(self, error: OSError) -> OSError:
        """Let an error of the disk say which file it is about."""
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
        """Make the bytes durable: the first step of L{publish}."""
        try:
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


def check_target(target: Path, replace: bool) -> None:
    """
    Whether a download may get this path. Blocks.

    @raise TargetExists: it may not.
    """
    if target.is_dir() if replace else os.path.lexists(target):
        raise TargetExists(f"{target} is there already; nothing was written.")


def local_name(name: str) -> str:
    """
    The file name to use for a stored name: its last component.

    The grammar has refused C{..}, absolute paths and the like; the other components are dropped, so
    that no name from a server decides on a directory.
    """
    return name.rpartition("/")[2]
