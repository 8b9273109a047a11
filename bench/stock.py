"""A storage directory with very many files in it, made without uploading them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

from xferproto.store.local.packed import SMALL, PackedContents
from xferproto.store.local.schema import CATALOGUE, open_database


@dataclass(frozen=True, slots=True)
class Stock:
    """
    A storage directory, as a server that was stopped leaves it.

    @ivar entries: how many there are.
    @ivar listing: the MD5 of the answer to C{LIST_FILES}.
    @ivar id: one of the ids, for commands that need one.
    """

    storage: Path
    entries: int
    listing: str
    id: str

    def copy_to(self, storage: Path) -> None:
        """Make another one, to be used."""
        shutil.copytree(self.storage, storage, dirs_exist_ok=True)


def make_stock(storage: Path, entries: int) -> Stock:
    """Fill a new storage directory with small files."""
    storage.mkdir()
    listing = md5()
    rows = []
    for number in range(1, entries + 1):
        data = b"%08d" % number
        id, name = md5(data).hexdigest(), f"folder-{number // 1000:04}/file-{number:08}.bin"
        listing.update(f"{id};{name};{len(data)}\n".encode())
        rows.append((number, id, sha256(data).hexdigest(), name, data, len(data)))
    listing.update(b"DONE\n")
    _fill(storage, rows)
    return Stock(storage, entries, listing.hexdigest(), rows[entries // 2][1])


def _fill(storage: Path, rows: list[tuple[int, str, str, str, bytes, int]]) -> None:
    """
    Insert what the store would have inserted.

    @param rows: the number, id, SHA-256, name, bytes and size of each.
    """
    now = time.time()  # so that nothing is due to be hashed again
    PackedContents(storage).close()  # makes the tables
    with contextlib.closing(sqlite3.connect(storage / SMALL)) as small, small:
        small.executemany(
            "INSERT INTO small (number, id, bytes) VALUES (?, ?, ?)",
            ((number, id, data) for number, id, _, _, data, _ in rows),
        )
    open_database(storage / CATALOGUE).close()
    with contextlib.closing(sqlite3.connect(storage / CATALOGUE)) as catalogue, catalogue:
        catalogue.execute("PRAGMA cache_size = -400000")  # KiB
        catalogue.executemany(
            "INSERT INTO content (id, sha256, size, stored, verified, small)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ((id, digest, size, now, now, number) for number, id, digest, _, _, size in rows),
        )
        catalogue.executemany(
            "INSERT INTO entry (name, id, size, stored) VALUES (?, ?, ?, ?)",
            ((name, id, size, now) for _, id, _, name, _, size in rows),
        )
