"""
A new catalogue from what is on the disk, for the day on which the old one is lost or damaged.

Ids, sizes and both hashes come from the contents themselves, the objects and the small ones: every
byte is hashed. Names and times come from what can still be read of the old catalogue, then from its
last copy. A content whose name nobody knows any more is listed as C{recovered/ID}.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xferproto.escape import quoted
from xferproto.store.objects import Objects
from xferproto.store.schema import BACKUP, CATALOGUE, Content, Partial, open_database
from xferproto.store.small import SMALL, SmallObjects

RECOVERED_OWNER = "?"
"""Who owns it: nobody, so that only who sees all files sees it. No user can have this name."""

RECOVERED = "recovered/"
"""What the name of a content begins with that nobody knows the name of."""

_BATCH = 256
"""Rows that are written with one commit."""

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass
class Rebuilt:
    """
    What came of it.

    @ivar contents: how many are listed now.
    @ivar entries: under how many names.
    @ivar nameless: how many of them as C{recovered/ID}.
    @ivar missing: how many contents the old catalogue knew whose bytes are not there.
    @ivar quarantined: how many objects and rows did not hash to their ids, and were put aside.
    @ivar damaged: whether the database of small contents was, and rows of it may be missing.
    """

    contents: int = 0
    entries: int = 0
    nameless: int = 0
    missing: int = 0
    quarantined: int = 0
    damaged: bool = False


class _Rebuild:
    """
    One run.

    @param root: the storage directory.
    @param say: told about what can't be listed.
    """

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self._root = root
        self._say = say
        self._objects = Objects(root)
        self._names, self._partials = _known(root)
        self._listed: set[str] = set()
        self._found: set[str] = set()
        self._result = Rebuilt()

    def run(self) -> Rebuilt:
        aside = _put_aside(self._root, CATALOGUE)
        if aside is not None:
            self._say(f"the old catalogue is kept as {aside.name}")
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(
                contextlib.closing(open_database(self._root / CATALOGUE))
            )
            small = self._small()
            if small is not None:
                opened.enter_context(contextlib.closing(small))
            connection.execute("BEGIN IMMEDIATE")
            self._list_objects(connection)
            needless = [] if small is None else self._list_small(connection, small)
            for id in self._names.keys() - self._found:
                names = ", ".join(quoted(name) for name, _ in self._names[id])
                self._say(f"the bytes of {id} are not there; it was {names}")
                self._result.missing += 1
            connection.executemany(
                "INSERT OR IGNORE INTO partial VALUES (?, ?, ?, ?, ?, NULL)",
                [(one.token, one.name, one.size, one.started, one.idle) for one in self._partials],
            )
            connection.execute("COMMIT")
            if small is not None:
                small.remove(needless)
                small.confirm_all()
        for id in list(self._objects.marked()):
            self._objects.confirm(id)
        return self._result

    def _list_objects(self, connection: sqlite3.Connection) -> None:
        for id in list(self._objects.ids()):
            self._found.add(id)
            path = self._objects.path(id)
            size, md5, sha256 = _hashed(path)
            if md5 == id:
                self._list(connection, Content(id, sha256, size, False, None), path.stat().st_mtime)
            else:
                self._objects.quarantine(id, time.time())
                self._tell_damaged(id)

    def _list_small(
        self, connection: sqlite3.Connection, small: SmallObjects
    ) -> list[tuple[int, str]]:
        """List the small contents that have no file: the rows that are not needed any more."""
        needless = []
        for number, id, content in small.all():
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if md5 == id and id not in self._listed:
                sha256 = hashlib.sha256(content).hexdigest()
                row = Content(id, sha256, len(content), False, number)
                self._list(connection, row, time.time())
                continue
            needless.append((number, id))
            if md5 != id:
                # An id that is damaged itself must not become the name of a file.
                name = id if _ID.fullmatch(id) else md5
                self._objects.quarantine_bytes(name, time.time(), content)
                self._tell_damaged(quoted(id) if name == md5 else id)
            self._found.add(id)
        return needless

    def _list(self, connection: sqlite3.Connection, content: Content, stored: float) -> None:
        id = content.id
        self._found.add(id)
        self._listed.add(id)
        known = self._names.get(id) or {(RECOVERED + id, RECOVERED_OWNER): stored}
        connection.execute(
            "INSERT INTO content VALUES (?, ?, ?, ?, ?, NULL, ?)",
            (id, content.sha256, content.size, min(known.values()), time.time(), content.small),
        )
        connection.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?, 1, ?)",
            [(name, id, content.size, when, owner) for (name, owner), when in known.items()],
        )
        self._result.contents += 1
        self._result.entries += len(known)
        self._result.nameless += id not in self._names

    def _tell_damaged(self, id: str) -> None:
        self._say(f"{id} is damaged, and was put into quarantine")
        self._result.quarantined += 1

    def _small(self) -> SmallObjects | None:
        """The small contents; of a damaged database what can be read, in a new one."""
        if not (self._root / SMALL).exists():
            return None
        small = None
        try:
            small = SmallObjects(self._root)
            problem = small.problem()
        except sqlite3.Error as error:
            problem = str(error)
        if problem is None:
            return small
        if small is not None:
            small.close()
        aside = _put_aside(self._root, SMALL)
        assert aside is not None
        self._say(f"{SMALL} is damaged, and is kept as {aside.name}: {problem}")
        self._result.damaged = True
        small = SmallObjects(self._root)
        for rows in _salvaged(aside):
            small.add(rows)
        return small


def rebuild(root: Path, say: Callable[[str], None]) -> Rebuilt:
    """
    Put a new catalogue in the place of the old one, which is kept beside it. Blocks.

    Not while a server uses the directory: hold its lock.

    @param root: the storage directory.
    @param say: told about each content that can't be listed.
    @raise OSError: an object can't be read, or the directory not be written.
    """
    return _Rebuild(root, say).run()


def _salvaged(path: Path) -> Iterator[list[tuple[str, bytes]]]:
    """What can be read of a damaged database of small contents: rows from both ends, in batches."""
    last = 0
    for order in ("ASC", "DESC"):
        batch: list[tuple[str, bytes]] = []
        query = f"SELECT number, id, bytes FROM small WHERE number > {last} ORDER BY number {order}"
        for number, id, content in _rows(path, query):
            if order == "ASC":
                last = number
            if isinstance(id, str) and isinstance(content, bytes):
                batch.append((id, content))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch


_Names = dict[tuple[str, str], float]
"""Names with their owners, and when they were stored."""


def _known(root: Path) -> tuple[dict[str, _Names], list[Partial]]:
    """The names that the old catalogue and its copy tell, by id, with their times; the partials."""
    names: dict[str, _Names] = {}
    for path in (root / CATALOGUE, root / BACKUP):
        found: dict[str, _Names] = {}
        for owner in ("owner", "''"):  # which versions before 3 do not have
            query = f"SELECT id, name, stored, {owner} FROM entry NOT INDEXED"
            for id, name, stored, whose in _rows(path, query):
                found.setdefault(str(id), {})[str(name), str(whose)] = float(stored)
            if found:
                break
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


def _put_aside(root: Path, name: str) -> Path | None:
    """Rename a database, with its journal, so that nothing of it is lost."""
    old = root / name
    aside = root / f"{old.stem}.{time.strftime('%Y%m%dT%H%M%S')}.damaged"
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
