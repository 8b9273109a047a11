"""The local files to send, and their names in the depot."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from xferproto.model.errors import RequestError
from xferproto.model.names import check_name


@dataclass(frozen=True, slots=True)
class LocalFile:
    """
    A file to be sent.

    @ivar path: its path.
    @ivar name: its name in the depot.
    @ivar size: its size in bytes, when it was found.
    """

    path: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A file that can't be sent.

    @ivar path: its path.
    @ivar error: the reason: C{OSError} or a L{RequestError}.
    """

    path: str
    error: Exception


@dataclass(frozen=True, slots=True)
class LeftOut:
    """
    An entry that is not sent, by rule.

    @ivar path: its path.
    @ivar kind: what it is: C{symbolic link}, C{empty directory}, C{special file} or
        C{excluded path}.
    """

    path: str
    kind: str


Found = LocalFile | Refused | LeftOut

LINK = "symbolic link"
EMPTY = "empty directory"
SPECIAL = "special file"
EXCLUDED = "excluded path"


def first_name(path: str) -> str:
    """
    Return the first component of the names of the files at a path: the path's last component.

    C{.} and C{..} have none: the names of the files in them begin below.
    """
    last = os.path.basename(path.rstrip("/"))
    return "" if last in (".", "..") else last


def matches(relative: str, patterns: Sequence[str]) -> bool:
    """
    Whether a path matches any of some patterns, with C{*}, C{?} and C{[…]} as in the shell.

    @param relative: a path below a directory.
    @param patterns: one with a slash is for the path; one without for its last component.
    """
    last = relative.rpartition("/")[2]
    return any(
        fnmatchcase(relative if "/" in pattern else last, pattern.removeprefix("/"))
        for pattern in patterns
    )


def found_at(
    path: str,
    first: str,
    follow: bool = False,
    excluded: Callable[[str], bool] = lambda relative: False,
) -> Iterator[Found]:
    """
    Find the files at a path, in the order of their names. Blocks.

    @param path: a file, or a directory with everything in it; a link is followed here.
    @param first: the first component of the names; empty for none.
    @param follow: whether to follow links within a directory.
    @param excluded: whether a path below a directory is left out, with everything in it.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            above = ((status.st_dev, status.st_ino),)
            yield from _below(path, first, "", follow, excluded, above)
            return
    except (OSError, ValueError) as error:
        yield Refused(path, error)
        return
    if not stat.S_ISREG(status.st_mode):
        yield Refused(path, OSError(None, "not a regular file; pipe it into xfer put -", path))
        return
    yield _named(path, first, status.st_size)


def _below(
    directory: str,
    first: str,
    inside: str,
    follow: bool,
    excluded: Callable[[str], bool],
    above: tuple[tuple[int, int], ...],
) -> Iterator[Found]:
    try:
        with os.scandir(directory) as scanned:
            entries = sorted(scanned, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield Refused(directory, error)
        return
    if not entries:
        yield LeftOut(directory, EMPTY)
    for entry in entries:
        name = f"{first}/{entry.name}" if first else entry.name
        relative = inside + entry.name
        if excluded(relative):
            yield LeftOut(entry.path, EXCLUDED)
            continue
        try:
            if entry.is_symlink() and not follow:
                yield LeftOut(entry.path, LINK)
                continue
            status = entry.stat()
        except OSError as error:  # it is gone, or is a link to nothing or to itself
            yield Refused(entry.path, error)
            continue
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode):
            yield _named(entry.path, name, status.st_size)
        elif not stat.S_ISDIR(status.st_mode):
            yield LeftOut(entry.path, SPECIAL)
        elif identity in above:
            yield LeftOut(entry.path, LINK)  # to a directory above it
        elif isinstance(named := _named(entry.path, name, 0), Refused):
            yield named  # for everything in it
        else:
            yield from _below(
                entry.path, name, f"{relative}/", follow, excluded, (*above, identity)
            )


def _named(path: str, name: str, size: int) -> LocalFile | Refused:
    try:
        check_name(name)
    except RequestError as error:
        return Refused(path, error)
    return LocalFile(path, name, size)
