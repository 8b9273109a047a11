"""A storage directory with very many files in it, made without uploading them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

from xferproto.store.schema import CATALOGUE, open_database


@dataclass(frozen=True, slots=True)
class Stock:
    """
    A storage directory.

    @ivar entries: how many there are.
    @ivar listing: the MD5 of the answer to C{LIST_FILES}.
    @ivar id: one of the ids, for commands that need one.
    """

    storage: Path
    entries: int
    listing: str
    id: str


def content_of(number: int) -> bytes:
    """What the file with this number holds."""
    return b"%08d" % number


def name_of(number: int) -> str:
    """Its name; names come in the order of the numbers."""
    return f"folder-{number // 1000:04}/file-{number:08}.bin"


def make_stock(storage: Path, entries: int) -> Stock:
    """Fill a new storage directory with small files."""
    storage.mkdir()
    listing = md5()
    rows = []
    now = time.time()  # so that nothing is due to be hashed again
    for number in range(entries):
        data = content_of(number)
        id, name = md5(data).hexdigest(), name_of(number)
        listing.update(f"{id};{name};{len(data)}\n".encode())
        rows.append((id, sha256(data).hexdigest(), name, data))
    listing.update(b"DONE\n")
    with contextlib.closing(open_database(storage / CATALOGUE)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA cache_size = -400000")
        tables = _tables(database)
        database.execute("BEGIN")
        by_id = sorted(rows)
        for table in tables:
            _fill(database, table, tables[table], by_id if "id" == tables[table][0] else rows, now)
        database.execute("COMMIT")
    return Stock(storage, entries, listing.hexdigest(), rows[entries // 2][0])


Row = tuple[str, str, str, bytes]


def _tables(database: sqlite3.Connection) -> Mapping[str, list[str]]:
    """The tables that know contents by their ids, referred to before those that refer to them."""
    names = [
        name
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if name != "partial"
    ]
    return {
        name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")] for name in names
    }


def _fill(
    database: sqlite3.Connection, table: str, columns: list[str], rows: Iterable[Row], now: float
) -> None:
    """
    Insert a row for each file, whatever columns the table has.

    A column that is not known here gets the table's default.
    """

    def values() -> Iterator[dict[str, object]]:
        for id, digest, name, data in rows:
            yield {
                "id": id,
                "sha256": digest,
                "name": name,
                "size": len(data),
                "stored": now,
                "verified": now,
                "listed": 1,
                "bytes": data,
                "data": data,
            }

    known = [column for column in columns if column in next(values())]
    if "id" not in known:
        return
    marks = ", ".join(f":{column}" for column in known)
    database.executemany(f"INSERT INTO {table} ({', '.join(known)}) VALUES ({marks})", values())
