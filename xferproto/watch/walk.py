"""Walk through the watched directory, and find its files, a slice at a time."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import NamedTuple

from xferproto.watch.directory import FAILED, SENT

USUAL = ("*.part", "*.tmp", "*~")
"""Names of unfinished files; like those that begin with a dot, they are never sent."""

SLICE = 500
"""Entries that are read in one handoff to a thread: a few milliseconds."""


class Identity(NamedTuple):
    """
    The values that change when a file is another one, or has changed.

    @ivar device: the file system.
    @ivar inode: the file.
    @ivar size: in bytes.
    @ivar modified: its mtime, in ns since the epoch; programs can set it.
    @ivar changed: its ctime, in ns since the epoch; programs can't set it.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Make it from the C{stat} of a file."""
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def same_bytes(self, other: Identity) -> bool:
        """Whether this is the same file with the same bytes, as far as its values say."""
        return self[:4] == other[:4]

    @property
    def fingerprint(self) -> str:
        """The values for the journal: without the device, whose number may change at a restart."""
        return f"{self.inode} {self.size} {self.modified}"


class Found(NamedTuple):
    """
    A regular file below the watched directory.

    @ivar path: relative to it.
    """

    path: str
    identity: Identity


class Ignored:
    """
    Recognise entries that are not sent: hidden ones, L{USUAL} names, and further patterns.

    @param patterns: as in a shell, for the name alone; those with a C{/} for the relative path.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        names = [pattern for pattern in (*USUAL, *patterns) if "/" not in pattern]
        paths = [pattern for pattern in patterns if "/" in pattern]
        self._names = re.compile("|".join(map(fnmatch.translate, names)))
        self._paths = re.compile("|".join(map(fnmatch.translate, paths))) if paths else None

    def __call__(self, path: str) -> bool:
        """Whether an entry, and everything below it, is not sent."""
        name = path.rpartition("/")[2]
        if name.startswith(".") or self._names.match(name):
            return True
        return self._paths is not None and self._paths.match(path) is not None


class Walk:
    """
    Walk once through the directory, or a part of it. All methods block.

    A file that is there all the time is found once; one that is added meanwhile may be found.

    @param root: the directory.
    @param device: its file system; others are not entered.
    @param ignored: recognises entries that are skipped.
    @param entered: called with the relative path of each directory before it is read.
    @param start: where to begin, relative to the root.
    @ivar files: how many files it has found.
    @ivar others: how many links and special files were skipped.
    @ivar first_other: the first of them.
    @ivar closed: directories that can't be entered, and why; at most L{SLICE} of them.
    """

    def __init__(
        self,
        root: Path,
        device: int,
        ignored: Ignored,
        entered: Callable[[str], object] = lambda path: None,
        start: str = "",
    ) -> None:
        self.files = 0
        self.others = 0
        self.first_other: str | None = None
        self.closed: dict[str, str] = {}
        self._root = os.fspath(root)
        self._device = device
        self._ignored = ignored
        self._entered = entered
        self._steps = self._walk(start)

    def more(self) -> list[Found] | None:
        """Return the files among the next entries; None at the end."""
        found: list[Found] = []
        for _ in range(SLICE):
            try:
                step = next(self._steps)
            except StopIteration:
                return found or None
            if step is not None:
                found.append(step)
        return found

    def close(self) -> None:
        """End the walk."""
        self._steps.close()

    def _walk(self, start: str) -> Generator[Found | None, None, None]:
        directories = [start]
        while directories:
            directory = directories.pop()
            self._entered(directory)
            try:
                with os.scandir(f"{self._root}/{directory}") as entries:
                    for entry in entries:
                        path = f"{directory}/{entry.name}" if directory else entry.name
                        yield self._looked_at(path, entry, directories)
            except FileNotFoundError:
                if not directory:
                    raise
            except OSError as error:
                if not directory:
                    raise
                self._close(directory, error.strerror or "unreadable")

    def _looked_at(
        self, path: str, entry: os.DirEntry[str], directories: list[str]
    ) -> Found | None:
        if self._ignored(path):
            return None
        try:
            if entry.is_dir(follow_symlinks=False):
                if path not in (SENT, FAILED):
                    if entry.stat(follow_symlinks=False).st_dev == self._device:
                        directories.append(path)
                    else:
                        self._close(path, "another file system; watch it by itself")
                return None
            if entry.is_file(follow_symlinks=False):
                self.files += 1
                return Found(path, Identity.of(entry.stat(follow_symlinks=False)))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._close(path, error.strerror or "unreadable")
            return None
        self.others += 1
        self.first_other = self.first_other or path
        return None

    def _close(self, path: str, reason: str) -> None:
        if len(self.closed) < SLICE:
            self.closed[path] = reason


def look(root: Path, path: str) -> Identity | None:
    """Return the identity of a regular file; None if there is none. Blocks."""
    try:
        status = os.lstat(f"{root}/{path}")
    except (OSError, ValueError):
        return None
    return Identity.of(status) if stat.S_ISREG(status.st_mode) else None
