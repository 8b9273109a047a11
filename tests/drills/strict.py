"""
A disk that keeps what was synced, and of the rest whatever it likes.

It is made from the calls of a traced process. Bytes of a file are safe when that file was synced
behind them, a name when the directory that holds it was. Anything else may be there after a power
cut or not, each write and each name for itself; a rename is there in both directories, or in none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.drills.trace import Call

SECTOR = 512
"""Bytes that a disk writes all or not at all."""


@dataclass(eq=False)
class Inode:
    """A file, or a directory."""

    directory: bool = False


@dataclass(eq=False)
class Change:
    """
    One change of the disk.

    @ivar ended: the line of the trace on which it was made.
    @ivar safe: the line from which on it survives, or None.
    @ivar file: the file that is written to, with offset and data; data of None cuts it off there.
    @ivar names: the names that are set in directories: to a file or directory, or to nothing.
    """

    ended: int
    safe: int | None = None
    file: Inode | None = None
    offset: int = 0
    data: bytes | None = None
    names: list[tuple[Inode, bytes, Inode | None]] = field(default_factory=list)

    def is_of(self, inode: Inode) -> bool:
        """Whether a sync of this file or directory makes it safe."""
        return self.file is inode or any(directory is inode for directory, _, _ in self.names)


class StrictDisk:
    """
    All changes below one directory.

    @param root: the directory, which was there, and empty, before.
    @ivar changes: in order.
    @ivar told: for each port of a client how many bytes it was sent: by lines of the trace.
    @ivar length: the number of the last line, and one.
    """

    def __init__(self, root: Path, calls: Iterable[Call]) -> None:
        self._top = bytes(root)
        self.root = Inode(directory=True)
        self.changes: list[Change] = []
        self.told: dict[int, list[tuple[int, int]]] = {}
        self.length = 0
        self._paths: dict[bytes, Inode] = {self._top: self.root}
        self._open: dict[int, Inode] = {}
        self._at: dict[int, int] = {}
        for call in calls:
            self.length = call.ended + 1
            self._take(call)

    def _take(self, call: Call) -> None:
        name = call.name.removesuffix("at2").removesuffix("at").removesuffix("64")
        if name == "sendto" or (name in ("write", "writev") and call.peer() is not None):
            port = call.peer()
            if port is not None:
                sent = self.told.setdefault(port, [(0, 0)])
                sent.append((call.ended, sent[-1][1] + call.result))
        elif name in ("open", "creat"):
            self._opened(call)
        elif name in ("rename", "link", "unlink", "mkdir"):
            self._named(name, call)
        elif (inode := self._open.get(call.fd())) is not None:
            self._used(name, call, inode)

    def _opened(self, call: Call) -> None:
        path = call.texts()[-1]
        self._open.pop(call.result, None)
        inode = self._paths.get(path)
        if inode is None:
            if "O_CREAT" not in call.arguments or not path.startswith(self._top + b"/"):
                return
            inode = Inode()
            self._name(call, path, inode)
        elif "O_TRUNC" in call.arguments:
            self.changes.append(Change(call.ended, file=inode))
        self._open[call.result], self._at[call.result] = inode, 0

    def _name(self, call: Call, path: bytes, inode: Inode | None, old: bytes | None = None) -> None:
        names = []
        for each, target in ((old, None), (path, inode)):
            if each is not None:
                parent, _, name = each.rpartition(b"/")
                names.append((self._paths[parent], name, target))
                if target is None:
                    self._paths.pop(each)
                else:
                    self._paths[each] = target
        self.changes.append(Change(call.ended, names=names))

    def _named(self, name: str, call: Call) -> None:
        paths = [text for text in call.texts() if text.startswith(self._top + b"/")]
        if not paths:
            return
        if name == "mkdir":
            self._name(call, paths[-1], Inode(directory=True))
        elif name == "unlink":
            self._name(call, paths[-1], None)
        else:
            old = paths[0]
            if name == "link" and old not in self._paths:
                return
            inode = self._paths[old]
            if name == "link":
                self._name(call, paths[1], inode)
            elif self._paths.get(paths[1]) is not inode:
                self._name(call, paths[1], inode, old)

    def _used(self, name: str, call: Call, inode: Inode) -> None:
        fd = call.fd()
        if name == "close":
            del self._open[fd]
        elif name == "lseek":
            self._at[fd] = call.result
        elif name in ("write", "writev", "pwrite", "pwritev"):
            data = b"".join(call.texts())[: call.result]
            offset = call.last() if name.startswith("p") else self._at[fd]
            self.changes.append(Change(call.ended, file=inode, offset=offset, data=data))
            if not name.startswith("p"):
                self._at[fd] += call.result
        elif name == "ftruncate":
            self.changes.append(Change(call.ended, file=inode, offset=call.last()))
        elif name in ("fsync", "fdatasync"):
            for change in self.changes:
                if change.safe is None and change.ended < call.begun and change.is_of(inode):
                    change.safe = call.ended

    def left(self, cut: int, rng: Random) -> list[Change]:
        """
        What a power cut may leave.

        @param cut: the line of the trace before which it comes.
        """
        before = [change for change in self.changes if change.ended < cut]
        likely = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        in_order = rng.random() < 0.3  # as a journal does it
        until = rng.randint(0, cut) if in_order else cut
        left = []
        for change in before:
            if change.safe is not None and change.safe < cut:
                left.append(change)
            elif change.ended < until and (in_order or rng.random() < likely):
                left.append(_torn(change, rng))
        return left

    def write(self, changes: Iterable[Change], target: Path) -> None:
        """Make a directory that is as these changes leave it."""
        contents: dict[Inode, bytearray] = {}
        names: dict[Inode, dict[bytes, Inode]] = {}
        for change in changes:
            for directory, name, inode in change.names:
                below = names.setdefault(directory, {})
                if inode is None:
                    below.pop(name, None)
                else:
                    below[name] = inode
            if change.file is not None:
                content = contents.setdefault(change.file, bytearray())
                if change.data is None:
                    del content[change.offset :]
                content.extend(bytes(max(0, change.offset - len(content))))
                if change.data is not None:
                    content[change.offset : change.offset + len(change.data)] = change.data
        waiting = [(self.root, target)]
        while waiting:
            directory, path = waiting.pop()
            path.mkdir(exist_ok=True)
            for name, inode in names.get(directory, {}).items():
                below_path = path / name.decode()
                if inode.directory:
                    waiting.append((inode, below_path))
                elif not re.search(rb"-shm$", name):  # mapped memory, which nobody relies on
                    below_path.write_bytes(contents.get(inode, b""))


def _torn(change: Change, rng: Random) -> Change:
    """A write, or its first sectors."""
    if change.data is None or rng.random() > 0.1:
        return change
    data = change.data[: SECTOR * rng.randint(0, len(change.data) // SECTOR)]
    return Change(change.ended, file=change.file, offset=change.offset, data=data)
