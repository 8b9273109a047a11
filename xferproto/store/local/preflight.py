"""
Whether a storage directory is whole, looked at before anything in it is opened, made or removed.

A server that went on without a database or the object files would show fewer files than there are,
and tidy up what it does not know.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from xferproto.model.errors import StorageUnavailable
from xferproto.store.local.layout import (
    DIRECTORIES,
    INCOMING,
    MARK,
    OBJECTS,
    object_files,
    own_files,
)
from xferproto.store.local.packed import SMALL, SMALL_APPLICATION_ID
from xferproto.store.local.schema import APPLICATION_ID, BACKUP, CATALOGUE

_ROW = "SELECT 1 FROM small LIMIT 1"
_FILES = "SELECT 1 FROM content WHERE small IS NULL AND damaged IS NULL LIMIT 1"
_FILES_1 = "SELECT 1 FROM content WHERE damaged IS NULL LIMIT 1"
_SMALL = "SELECT 1 FROM content WHERE small IS NOT NULL AND damaged IS NULL LIMIT 1"
"""Whether there is a small row; whether a catalogue knows sound contents with a file, and small."""


FIRST_WAL = 256 * 1024
"""
Bytes of a journal without its catalogue that are no trace of files: the very first start writes
fewer (49,472), and a power cut in it may leave them alone.
"""


def put_aside(root: Path) -> list[Path]:
    """The catalogues that rebuilds of the past have put aside, the oldest first."""
    return sorted(root.glob(f"{Path(CATALOGUE).stem}.*.damaged"))


def check_whole(root: Path) -> None:
    """
    Whether all is there that stored files need: a new or empty storage directory is whole.

    @param root: the storage directory; it is there.
    @raise StorageUnavailable: something is missing; says what, and what to do.
    @raise OSError: the directory can't be read.
    """
    for name in DIRECTORIES:
        if os.path.lexists(root / name) and not (root / name).is_dir():
            raise StorageUnavailable(
                f"The storage directory {root} can't be used: {name} is no directory. Put the"
                " directory back, or move away what is in its place."
            )
    for name in (CATALOGUE, SMALL):
        if (problem := _problem(root / name)) is not None:
            raise _lost(root, f"{name} can't be read: {problem}")
    if not _is_there(root / CATALOGUE):
        if _is_any_content(root) or _is_any_trace(root):
            raise _lost(root, f"{CATALOGUE} is missing or empty")
        return
    if not is_used(root / CATALOGUE) and (
        _is_any_content(root, marked=False)
        or (_is_any_content(root) and any(map(_names, put_aside(root))))
    ):
        raise _lost(root, f"{CATALOGUE} knows no file, but files are stored")
    if next(_objects(root), None) is None and _asks(root / CATALOGUE, _FILES, _FILES_1):
        raise _lost(root, f"{OBJECTS} is missing or empty, with files in use")
    if not _is_there(root / SMALL) or _application(root / SMALL) == SMALL_APPLICATION_ID:
        if _asks(root / SMALL, _ROW) or not _asks(root / CATALOGUE, _SMALL):
            return
        raise _lost(root, f"{SMALL} is missing or empty, with files in use")


def is_depot(root: Path) -> bool:
    """
    Whether a directory is, or was, a depot's storage directory.

    @raise OSError: it can't be read.
    """
    if _is_any_trace(root) or all((root / name).is_dir() for name in DIRECTORIES):
        return True
    if _application(root / CATALOGUE) == APPLICATION_ID:
        return True
    return _application(root / SMALL) == SMALL_APPLICATION_ID or _is_any_content(root)


def repair(root: Path) -> str:
    """The sentence that names the command which makes a new catalogue."""
    return f'"xfer-depot rebuild {shlex.quote(str(root))}" makes a new catalogue of what is there.'


def advice(root: Path, error: Exception) -> str:
    """What to do about an error of a database: where it is damaged L{repair}, else nothing."""
    return f" {repair(root)}" if _is_damage(error) else ""


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it says more exactly which
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _lost(root: Path, what: str) -> StorageUnavailable:
    return StorageUnavailable(
        f"The storage directory {root} can't be used: {what}. Put it back, or {repair(root)}"
    )


def _is_there(path: Path) -> bool:
    """Whether a database is more than what a crash of the very first start leaves."""
    if not path.is_file():
        return os.path.lexists(path) and not path.is_symlink()  # a directory; opening it tells
    if not path.stat().st_size:
        return False
    return _asks(path, "SELECT 1 FROM sqlite_schema LIMIT 1", unknown=True)


def _is_any_trace(root: Path) -> bool:
    """Whether there are remains of a catalogue, beside itself."""
    wal = root / f"{CATALOGUE}-wal"
    if wal.is_file() and wal.stat().st_size > FIRST_WAL:
        return True
    return _names(root / BACKUP) or any(map(_names, put_aside(root)))


def _names(catalogue: Path) -> bool:
    return _asks(catalogue, "SELECT 1 FROM entry LIMIT 1")


def is_used(catalogue: Path) -> bool:
    """Whether there was ever a name in a catalogue: an owner's usage stays when the names go."""
    if _asks(catalogue, "SELECT 1 FROM entry LIMIT 1", unknown=True):
        return True
    return _asks(catalogue, "SELECT 1 FROM usage LIMIT 1")


def _objects(root: Path) -> Iterator[Path]:
    return object_files(root) if (root / OBJECTS).exists() else iter(())


def _is_any_content(root: Path, marked: bool = True) -> bool:
    """
    Whether there are stored bytes that can be read.

    @param marked: whether those count too that may have no row, as after a kill.
    """
    marks = set()
    if not marked and (root / INCOMING).is_dir():
        marks = {path.name.removesuffix(MARK) for path in own_files(root, INCOMING)}
    for path in _objects(root):
        if path.name not in marks and os.access(path, os.R_OK):
            return True
    if marked:
        return _asks(root / SMALL, _ROW)
    return _asks(
        root / SMALL,
        "SELECT 1 FROM small WHERE NOT EXISTS"
        " (SELECT 1 FROM unsure WHERE number BETWEEN first AND last) LIMIT 1",
    )


def _application(path: Path) -> int | None:
    """The application id of a database; None where the file is no database."""
    if not path.is_file() or not path.stat().st_size:
        return None
    with contextlib.suppress(sqlite3.Error), _opened(path) as connection:
        return int(connection.execute("PRAGMA application_id").fetchone()[0])
    return None


def _problem(path: Path) -> str | None:
    """Why a file is no database, or one that is damaged where it is read first."""
    if path.is_file() and path.stat().st_size:
        try:
            with _opened(path) as connection:
                connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        except sqlite3.Error as error:
            if _is_damage(error):
                return str(error)
    return None


def _asks(path: Path, *queries: str, unknown: bool = False) -> bool:
    """
    Whether a database has a row for the first of the queries that it understands.

    @param unknown: what is answered where it understands none, or can't be read.
    """
    if not path.is_file() or not path.stat().st_size:
        return False
    for query in queries:
        with contextlib.suppress(sqlite3.Error), _opened(path) as connection:
            return connection.execute(query).fetchone() is not None
    return unknown


def _opened(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))
