"""
A new catalogue from what is on the disk, for the day on which the old one is lost or damaged.

Ids, sizes and both hashes come from the objects themselves: every byte is hashed. Names and times
come from what can still be read of the old catalogue, then from its last copy. A content whose name
nobody knows any more is listed as C{recovered/ID}.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xferproto.escape import quoted
from xferproto.store.objects import Objects
from xferproto.store.schema import BACKUP, CATALOGUE, Partial, open_database

RECOVERED = "recovered/"
"""What the name of a content begins with that nobody knows the name of."""


@dataclass
class Rebuilt:
    """
    What came of it.

    @ivar contents: how many are listed now.
    @ivar entries: under how many names.
    @ivar nameless: how many of them as C{recovered/ID}.
    @ivar missing: how many contents the old catalogue knew whose bytes are not there.
    @ivar quarantined: how many objects did not hash to their ids, and were put aside.
    """

    contents: int = 0
    entries: int = 0
    nameless: int = 0
    missing: int = 0
    quarantined: int = 0


def rebuild(root: Path, say: Callable[[str], None]) -> Rebuilt:
    """
    Put a new catalogue in the place of the old one, which is kept beside it. Blocks.

    Not while a server uses the directory: hold its lock.

    @param root: the storage directory.
    @param say: told about each object that can't be listed.
    @raise OSError: an object can't be read, or the directory not be written.
    """
    objects = Objects(root)
    names, partials = _known(root)
    aside = _put_aside(root)
    if aside is not None:
        say(f"the old catalogue is kept as {aside.name}")
    connection = open_database(root / CATALOGUE)
    result = Rebuilt()
    found: set[str] = set()
    try:
        connection.execute("BEGIN IMMEDIATE")
        for id in list(objects.ids()):
            found.add(id)
            size, md5, sha256 = _hashed(objects.path(id))
            if md5 != id:
                objects.quarantine(id, time.time())
                say(f"{id} is damaged, and was put into quarantine")
                result.quarantined += 1
                continue
            stored = objects.path(id).stat().st_mtime
            known = names.get(id) or {RECOVERED + id: stored}
            connection.execute(
                "INSERT INTO content VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                (id, sha256, size, min(known.values()), time.time()),
            )
            connection.executemany(
                "INSERT INTO entry VALUES (?, ?, ?, ?, 1)",
                [(name, id, size, when) for name, when in known.items()],
            )
            result.contents += 1
            result.entries += len(known)
            result.nameless += id not in names
        for id in names.keys() - found:
            say(f"the bytes of {id} are not there; it was {', '.join(map(quoted, names[id]))}")
            result.missing += 1
        connection.executemany(
            "INSERT OR IGNORE INTO partial VALUES (?, ?, ?, ?, ?, NULL)",
            [(one.token, one.name, one.size, one.started, one.idle) for one in partials],
        )
        connection.execute("COMMIT")
    finally:
        connection.close()
    for id in list(objects.marked()):
        objects.confirm(id)
    return result


def _known(root: Path) -> tuple[dict[str, dict[str, float]], list[Partial]]:
    """The names that the old catalogue and its copy tell, by id, with their times; the partials."""
    names: dict[str, dict[str, float]] = {}
    for path in (root / CATALOGUE, root / BACKUP):
        found: dict[str, dict[str, float]] = {}
        for id, name, stored in _rows(path, "SELECT id, name, stored FROM entry NOT INDEXED"):
            found.setdefault(str(id), {})[str(name)] = float(stored)
        for id, known in found.items():
            names.setdefault(id, known)  # what the newer one tells of a content is the truth
    columns = "token, name, size, started, idle"
    rows = _rows(root / CATALOGUE, f"SELECT {columns} FROM partial WHERE id IS NULL")
    return names, [Partial(*row) for row in rows]


def _rows(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    """As many rows as can be read."""
    if not path.exists():
        return
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(connection):
            yield from connection.execute(query)


def _put_aside(root: Path) -> Path | None:
    """Rename the old catalogue, with its journal, so that nothing of it is lost."""
    old = root / CATALOGUE
    aside = root / f"catalogue.{time.strftime('%Y%m%dT%H%M%S')}.damaged"
    if not old.exists():
        return None
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            old.with_name(old.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _hashed(path: Path) -> tuple[int, str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := file.read(1024 * 1024):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return size, md5.hexdigest(), sha256.hexdigest()
