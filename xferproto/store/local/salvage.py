"""Read what is readable of damaged databases, of copies and of those set aside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xferproto.store.local.layout import is_id
from xferproto.store.local.objects import partial_path
from xferproto.store.local.preflight import is_used, put_aside
from xferproto.store.local.schema import BACKUP, CATALOGUE, Partial

RECOVERED_OWNER = "?"
"""The owner of a content without a known name: no user can have this name."""

RECOVERED = "recovered/"
"""The prefix of the name of such a content; its id follows."""

Names = dict[tuple[str, str], float]
"""Names with their owners, and when they were stored, in seconds since the epoch."""

_BATCH = 256
"""Rows that are written with one commit."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    Hold the row of a content in a catalogue. Times are in seconds since the epoch.

    @ivar sha256: its SHA-256.
    @ivar size: its size in bytes.
    @ivar stored: when it was stored.
    @ivar verified: when its bytes were last verified.
    @ivar damaged: when its bytes were found damaged, or None.
    """

    sha256: str
    size: int
    stored: float
    verified: float
    damaged: float | None


@dataclass
class Known:
    """
    Hold what the catalogues know.

    @ivar names: the names of each content, by its id.
    @ivar records: the row of each content, by its id.
    @ivar nameless: the ids of the contents that an earlier rebuild has named.
    @ivar expected: the ids of the contents that should be stored.
    @ivar partials: the unfinished uploads whose files exist.
    """

    names: dict[str, Names] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    nameless: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    partials: list[Partial] = field(default_factory=list)


def known(root: Path) -> Known:
    """
    Read the catalogue of a storage directory, its copy, and those set aside. The newest one that
    knows a content counts, unless it has only the name that an earlier rebuild gave.
    """
    result = Known()
    recovered: dict[str, Names] = {}
    partials: dict[str, Partial] = {}
    complete = False
    for path in _catalogues(root):
        found, whole = _entries(path)
        for id, names in found.items():
            if names.keys() == {(RECOVERED + id, RECOVERED_OWNER)}:
                recovered.setdefault(id, names)
            else:
                result.names.setdefault(id, names)
        if not complete:
            result.expected |= found.keys()
            complete = whole and is_used(path)
        columns = "id, sha256, size, stored, verified, damaged"
        for id, *rest in rows(path, f"SELECT {columns} FROM content"):
            result.records.setdefault(id, Record(*rest))
        columns = "token, name, size, started, idle"
        for row in rows(path, f"SELECT {columns} FROM partial WHERE id IS NULL"):
            partials.setdefault(row[0], Partial(*row))
    result.nameless = recovered.keys() - result.names.keys()
    result.names |= {id: recovered[id] for id in result.nameless}
    result.partials = [
        partial for token, partial in partials.items() if partial_path(root, token).is_file()
    ]
    return result


def small_rows(path: Path) -> Iterator[list[tuple[str, bytes]]]:
    """Yield batches of the readable rows of a damaged database of small contents."""
    last = 0
    for order in ("ASC", "DESC"):
        batch: list[tuple[str, bytes]] = []
        query = f"SELECT number, id, bytes FROM small WHERE number > {last} ORDER BY number {order}"
        for number, id, content in rows(path, query):
            if order == "ASC":
                last = number
            if isinstance(id, str) and isinstance(content, bytes):
                batch.append((id, content))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch


def rows(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that can be read."""
    with contextlib.suppress(sqlite3.Error):
        yield from _rows(path, query)


def _rows(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    """
    Yield the rows of a database.

    @raise sqlite3.Error: the database can't be read to its end.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        yield from connection.execute(query)


def _catalogues(root: Path) -> list[Path]:
    """Return the catalogue, then its copies and those set aside, the latest first."""
    others = [path for path in (*put_aside(root), root / BACKUP) if path.is_file()]
    return [root / CATALOGUE, *sorted(others, key=_changed, reverse=True)]


def _changed(path: Path) -> float:
    """Return when a database was last changed, in seconds since the epoch."""
    log = path.with_name(f"{path.name}-wal")
    times = [path.stat().st_mtime]
    if log.is_file() and log.stat().st_size:
        times.append(log.stat().st_mtime)
    return max(times)


def _entries(path: Path) -> tuple[dict[str, Names], bool]:
    """Read the names in a catalogue; return whether all of it could be read."""
    found: dict[str, Names] = {}

    def read(query: str) -> bool:
        try:
            for id, name, stored, owner in _rows(path, query):
                if isinstance(name, str) and isinstance(owner, str) and is_id(str(id)):
                    found.setdefault(id, {})[name, owner] = float(stored)
        except (sqlite3.Error, TypeError, ValueError):
            return False
        return True

    for owner in ("owner", "''"):  # versions before 3 have no owner
        select = f"SELECT id, name, stored, {owner} FROM entry"
        if read(select):
            return found, True
        # From both ends of the table and of its index: what one lacks may be in the other.
        for order in ("ASC", "DESC"):
            read(f"{select} ORDER BY name {order}, id {order}")
            read(f"{select} INDEXED BY entry_of_content ORDER BY id {order}, stored {order}")
        if found:
            break
    return found, False
