"""
The catalogue: which contents a store has, under which names. SQLite, in WAL mode.

Only a row here makes a file listed. Writers share commits: what gathers while one commit is on its
way to the disk goes into the next one together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.entry import Digests, Entry, Status
from xferproto.errors import Collision, NoSpace, NoSuchFile, StorageUnavailable
from xferproto.executor import Executor
from xferproto.lane import Lane

R = TypeVar("R")

APPLICATION_ID = 0x78666572
"""'xfer' in ASCII; marks the file as a catalogue (SQLite's PRAGMA application_id)."""

SCHEMA_VERSION = 1
"""Counts the changes of L{SCHEMA} (PRAGMA user_version)."""

SCHEMA = """
CREATE TABLE content (
    id       TEXT PRIMARY KEY,  -- MD5, 32 lower-case hex digits
    sha256   TEXT NOT NULL,     -- 64 lower-case hex digits
    size     INTEGER NOT NULL,  -- bytes
    stored   REAL NOT NULL,     -- seconds since the epoch
    verified REAL NOT NULL      -- seconds since the epoch
) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
    name   TEXT NOT NULL,
    id     TEXT NOT NULL REFERENCES content (id),
    size   INTEGER NOT NULL,    -- of the content; here too, so that a listing reads one table
    stored REAL NOT NULL,       -- seconds since the epoch
    PRIMARY KEY (name, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_of_content ON entry (id, stored, name);
"""

PAGE = 1000
"""Entries on a page of a listing."""


@dataclass(slots=True)
class _Write(Generic[R]):
    """A change that waits for a commit, and who waits for it."""

    change: Callable[[sqlite3.Connection], R]
    committed: Deferred[R] = field(default_factory=Deferred)
    outcome: R | Failure | None = None


class Catalogue:
    """
    The table of contents of one store.

    @param path: the SQLite file; made when it is not there.
    @param writer: runs the commits, one at a time.
    @param reader: runs the queries.
    @raise StorageUnavailable: the file can't be made or read, or is no catalogue of this version.
    """

    def __init__(self, path: Path, writer: Executor, reader: Executor) -> None:
        self._reader = reader
        try:
            path.touch(mode=0o600)
            self._writing = _connect(path)
            self._prepare()
            self._reading = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"The catalogue {path} can't be opened: {error}.") from error
        self._lane: Lane[_Write[Any]] = Lane(writer, self._commit, _answer, _refuse)

    def _prepare(self) -> None:
        if self._writing.execute("PRAGMA schema_version").fetchone()[0] == 0:
            self._writing.executescript(
                f"BEGIN IMMEDIATE;{SCHEMA}"
                f"PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {SCHEMA_VERSION};COMMIT"
            )
        found = tuple(
            self._writing.execute(f"PRAGMA {pragma}").fetchone()[0]
            for pragma in ("application_id", "user_version")
        )
        if found != (APPLICATION_ID, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(
                f"it is no catalogue of version {SCHEMA_VERSION}, the one that this xfer reads"
            )

    def has(self, id: str) -> bool:
        """Whether there is a content with this id. Blocks: for the start, before anything runs."""
        return self._sha256(id) is not None

    def sha256(self, id: str) -> Deferred[str | None]:
        """The SHA-256 of the content with this id, or None where there is none."""
        return self._reader.run(self._sha256, id)

    def add(self, entry: Entry, digests: Digests, now: float) -> Deferred[Entry]:
        """
        Record a content, and a name of it; fires when both are durable.

        @raise Collision: another content has the id.
        """
        write = _Write(lambda connection: _add(connection, entry, digests, now))
        self._lane.put(write)
        return write.committed

    def page(self, prefix: str, after: Entry | None) -> Deferred[list[Entry]]:
        """At most L{PAGE} entries with this prefix, in name order, from behind C{after} on."""
        return self._reader.run(self._page, prefix, after)

    def status(self, id: str) -> Deferred[Status]:
        """
        All that is known of one content.

        @raise NoSuchFile: there is none with that id.
        """
        return self._reader.run(self._status, id)

    def oldest(self, id: str) -> Deferred[Entry]:
        """
        A content under the oldest of its names.

        @raise NoSuchFile: there is none with that id.
        """
        return self._reader.run(self._oldest, id)

    async def close(self) -> None:
        """Finish the commits that wait, then close the file."""
        await self._lane.when_idle()
        self._reading.close()
        self._writing.close()

    def _commit(self, batch: list[_Write[Any]]) -> None:
        connection = self._writing
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                connection.execute("SAVEPOINT change")
                try:
                    write.outcome = write.change(connection)
                except Exception:
                    write.outcome = Failure()
                    connection.execute("ROLLBACK TO change")
                connection.execute("RELEASE change")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.rollback()
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise NoSpace() from error
            raise

    def _sha256(self, id: str) -> str | None:
        row = self._reading.execute("SELECT sha256 FROM content WHERE id = ?", (id,)).fetchone()
        return row and str(row[0])

    def _page(self, prefix: str, after: Entry | None) -> list[Entry]:
        name, id = (after.name, after.id) if after else (prefix, "")
        end = _behind(prefix)
        rows = self._reading.execute(
            "SELECT id, name, size FROM entry WHERE (name, id) > (?, ?)"
            + (" AND name < ?" if end else "")
            + " ORDER BY name, id LIMIT ?",
            (name, id, *((end,) if end else ()), PAGE),
        )
        return [Entry(*row) for row in rows]

    def _status(self, id: str) -> Status:
        # One statement, so that both tables are read at one moment.
        rows = self._reading.execute(
            "SELECT e.id, e.name, e.size, c.sha256, c.stored, c.verified"
            " FROM content c JOIN entry e USING (id) WHERE id = ? ORDER BY e.name",
            (id,),
        ).fetchall()
        if not rows:
            raise NoSuchFile()
        return Status(tuple(Entry(*row[:3]) for row in rows), *rows[0][3:])

    def _oldest(self, id: str) -> Entry:
        row = self._reading.execute(
            "SELECT id, name, size FROM entry WHERE id = ? ORDER BY stored, name LIMIT 1", (id,)
        ).fetchone()
        if row is None:
            raise NoSuchFile()
        return Entry(*row)


def _connect(path: Path) -> sqlite3.Connection:
    # The executors never use a connection on two threads at once.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _add(connection: sqlite3.Connection, entry: Entry, digests: Digests, now: float) -> Entry:
    connection.execute(
        "INSERT INTO content VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (digests.md5, digests.sha256, entry.size, now, now),
    )
    known = connection.execute("SELECT sha256 FROM content WHERE id = ?", (entry.id,)).fetchone()
    if known[0] != digests.sha256:
        raise Collision()
    connection.execute(
        "INSERT INTO entry VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (entry.name, entry.id, entry.size, now),
    )
    return entry


def _answer(batch: list[_Write[Any]]) -> None:
    for write in batch:
        write.committed.callback(write.outcome)


def _refuse(failure: Failure, batch: list[_Write[Any]]) -> None:
    for write in batch:
        write.committed.errback(failure)


def _behind(prefix: str) -> str | None:
    """The least text that is greater, in code point order, than all that begin with C{prefix}."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # surrogates are no characters
        following = 0xE000
    return stem[:-1] + chr(following)
