"""
What lies in a storage directory: what is the depot's, by its name and kind, and what is not.

The depot leaves alone what is not its own: the C{lost+found} of a file system, the C{.snapshot} of
a file server, copies that an editor makes, whatever an operator puts there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

OBJECTS = "objects"
INCOMING = "incoming"
PARTIAL = "partial"
QUARANTINE = "quarantine"
DIRECTORIES = (INCOMING, OBJECTS, PARTIAL, QUARANTINE)
"""The directories that are in each storage directory."""

MARK = ".commit"
"""What the name of a mark ends with, after the id of the object that may lack its row."""

UNNAMED = ".unnamed"
"""What the name of an object ends with that was put aside since nothing named it."""

ID_LENGTH = 32
"""Characters of an id."""

_ID = re.compile("[0-9a-f]{32}")
_FOLDER = re.compile("[0-9a-f]{2}")

_FILES = {
    INCOMING: re.compile(rf"[0-9a-f]{{32}}({re.escape(MARK)})?"),
    PARTIAL: re.compile("[0-9a-f]{64}"),
    QUARANTINE: re.compile(rf"[0-9a-f]{{32}}\.[0-9]+({re.escape(UNNAMED)})?"),
}
"""The names of the files in the directories that have no folders."""

_TOP = re.compile(
    r"lock|spare|README\.md"
    r"|(catalogue|small)\.(sqlite|rebuild\.part|[0-9T]+\.damaged)(-wal|-shm|-journal)?"
    r"|catalogue\.backup\.(sqlite|part)(-wal|-shm|-journal)?"
)
"""The names of the files at the top."""

Passed = Callable[[Path], object]
"""Called with each path that is not the depot's."""


def is_id(text: str) -> bool:
    """Whether a text has the form of an id, as the name of an object file has it."""
    return _ID.fullmatch(text) is not None


def object_files(root: Path, passed: Passed = lambda path: None) -> Iterator[Path]:
    """
    The object files of a storage directory, in no order.

    @param passed: called with what else lies there, and with folders that can't be read.
    @raise OSError: C{objects/} itself can't be read.
    """
    with os.scandir(root / OBJECTS) as entries:
        folders = list(entries)
    for folder in folders:
        if not (_FOLDER.fullmatch(folder.name) and _is(folder.is_dir)):
            passed(Path(folder.path))
            continue
        try:
            with os.scandir(folder.path) as entries:
                files = list(entries)
        except OSError:
            passed(Path(folder.path))
            continue
        for entry in files:
            if is_id(entry.name) and entry.name[:2] == folder.name and _is(entry.is_file):
                yield Path(entry.path)
            else:
                passed(Path(entry.path))


def own_files(root: Path, directory: str, passed: Passed = lambda path: None) -> Iterator[Path]:
    """
    The depot's files in C{INCOMING}, C{PARTIAL} or C{QUARANTINE}, in no order.

    @param passed: called with what else lies there.
    @raise OSError: it can't be read.
    """
    with os.scandir(root / directory) as entries:
        found = list(entries)
    for entry in found:
        ours = _FILES[directory].fullmatch(entry.name)
        if ours and _is(partial(entry.is_file, follow_symlinks=False)):
            yield Path(entry.path)
        else:
            passed(Path(entry.path))


def foreign(root: Path) -> list[Path]:
    """
    Everything in a storage directory that is not the depot's, relative to it and sorted. Blocks.

    @raise OSError: it can't be read.
    """
    found: list[Path] = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name not in DIRECTORIES and not _TOP.fullmatch(entry.name):
                found.append(Path(entry.path))
    for _ in object_files(root, found.append):
        pass
    for directory in _FILES:
        for _ in own_files(root, directory, found.append):
            pass
    return sorted(path.relative_to(root) for path in found)


def _is(what: Callable[[], bool]) -> bool:
    """Whether a directory's entry is of a kind; not where that can't be known."""
    try:
        return what()
    except OSError:
        return False
