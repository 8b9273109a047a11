"""The journal: a database of files that are under way, were sent, or will be tried again."""

from __future__ import annotations

import enum
import os
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from xferproto.watch.directory import SENT, DirectoryUnusable
from xferproto.watch.walk import Found, Identity

APPLICATION_ID = 0x78666577
"""'xfew' in ASCII; marks the file as a journal (SQLite's PRAGMA application_id)."""

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE directory (
    marker TEXT NOT NULL        -- distinguishes the watched directory, 32 hex digits
) STRICT;
CREATE TABLE file (
    number      INTEGER PRIMARY KEY,
    path        BLOB NOT NULL UNIQUE,   -- relative to the watched directory
    fingerprint TEXT NOT NULL,  -- inode, size and time of change of the file
    changed     INTEGER NOT NULL,       -- its ctime, in ns since the epoch
    state       INTEGER NOT NULL,       -- one of State
    id          TEXT,           -- the id that it was stored under, if any
    tries       INTEGER NOT NULL,       -- how often it was refused for now
    due         REAL NOT NULL,  -- when it is tried again, if it was refused
    reason      TEXT            -- why it was refused, or could not be moved
) STRICT;
"""

_VARIABLES = 500
"""Paths in one query; SQLite had a limit of 999."""


class State(enum.IntEnum):
    """
    The state of a file.

    @cvar BEGUN: the depot may have it: sending has begun, and no answer is known.
    @cvar SENT: the depot has it, verified.
    @cvar LATER: the depot has refused it for now.
    @cvar FAILED: it can't be stored, and could not be moved away.
    """

    BEGUN = 1
    SENT = 2
    LATER = 3
    FAILED = 4


class Row(NamedTuple):
    """A file's row; see L{SCHEMA}."""

    fingerprint: str
    changed: int
    state: State
    id: str | None = None
    tries: int = 0
    due: float = 0.0
    reason: str | None = None

    def is_about(self, identity: Identity) -> bool:
        """Whether the row describes the file as it is now."""
        return self.fingerprint == identity.fingerprint


class Journal:
    """
    Keep the states of files in an SQLite database.

    All methods block, and are called on one thread at a time.

    @param path: the database.
    @ivar marker: the mark of the watched directory.
    @ivar fresh: whether the database was made just now.
    @raise DirectoryUnusable: it can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=1
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            raise self._unusable(error) from None
        except BaseException:
            self._connection.close()
            raise

    def _unusable(self, error: sqlite3.Error) -> DirectoryUnusable:
        return DirectoryUnusable(f"The journal {self._path} can't be used: {error}.")

    def _open(self) -> None:
        execute = self._connection.execute
        # Nobody else reads it. An exclusive lock lets WAL do without shared memory, which network
        # file systems do not have.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        (application,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        self.fresh = (application, version) == (0, 0)
        if self.fresh:
            if execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise DirectoryUnusable(f"{self._path} is another program's database.")
            marker = secrets.token_hex(16)
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA}"
                f"INSERT INTO directory VALUES ('{marker}');"
                f"PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif application != APPLICATION_ID:
            raise DirectoryUnusable(f"{self._path} is another program's database.")
        elif version != SCHEMA_VERSION:
            raise DirectoryUnusable(f"The journal {self._path} is of another version of xfer.")
        (self.marker,) = execute("SELECT marker FROM directory").fetchone()
        # The administrator may have fixed the cause before the restart.
        with self._transaction():
            execute("DELETE FROM file WHERE state = ?", (State.FAILED,))
            execute("UPDATE file SET due = 0, tries = 0 WHERE state = ?", (State.LATER,))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)

    def remembers_sent(self) -> bool:
        """Whether it has a row of any file that was sent."""
        found = self._connection.execute(
            "SELECT 1 FROM file WHERE state = ? LIMIT 1", (State.SENT,)
        ).fetchone()
        return found is not None

    def rows(self, paths: Sequence[str]) -> dict[str, Row]:
        """Return the rows of these paths."""
        known = {}
        for start in range(0, len(paths), _VARIABLES):
            part = [os.fsencode(path) for path in paths[start : start + _VARIABLES]]
            marks = ",".join("?" * len(part))
            for path, *fields in self._connection.execute(
                "SELECT path, fingerprint, changed, state, id, tries, due, reason FROM file "
                f"WHERE path IN ({marks})",
                part,
            ):
                fields[2] = State(fields[2])
                known[os.fsdecode(path)] = Row(*fields)
        return known

    def write(self, rows: Iterable[tuple[str, Row]]) -> None:
        """Write rows; all of them, or none."""
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO file (path, fingerprint, changed, state, id, tries, due, reason) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
                "fingerprint = excluded.fingerprint, changed = excluded.changed, "
                "state = excluded.state, id = excluded.id, tries = excluded.tries, "
                "due = excluded.due, reason = excluded.reason",
                [(os.fsencode(path), *row) for path, row in rows],
            )

    def forget(self, paths: Iterable[str]) -> None:
        """Remove the rows of these paths."""
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM file WHERE path = ?", [(os.fsencode(path),) for path in paths]
            )

    def was_sent(self, identity: Identity) -> bool:
        """Whether a file with this fingerprint was sent, under any path."""
        found = self._connection.execute(
            "SELECT 1 FROM file WHERE state = ? AND fingerprint = ?",
            (State.SENT, identity.fingerprint),
        ).fetchone()
        return found is not None

    def moved(self, after: str, most: int) -> list[tuple[str, Row]]:
        """
        Return the next rows of files that were moved to L{SENT}, in the order of their paths there,
        after a given path. The row's C{reason} is the former path of the file, its C{due} the time
        of the move in seconds since the epoch.
        """
        begin, end = os.fsencode(f"{SENT}/"), os.fsencode(f"{SENT}0")
        found = self._connection.execute(
            "SELECT path, fingerprint, changed, state, id, tries, due, reason FROM file "
            "WHERE path > ? AND path < ? AND state = ? ORDER BY path LIMIT ?",
            (max(begin, os.fsencode(after)), end, State.SENT, most),
        )
        return [
            (os.fsdecode(path), Row(fingerprint, changed, State(state), *rest))
            for path, fingerprint, changed, state, *rest in found
        ]

    def after(self, number: int, most: int) -> list[tuple[int, str]]:
        """Return numbers and paths of the next rows after a number, in order."""
        found = self._connection.execute(
            "SELECT number, path FROM file WHERE number > ? ORDER BY number LIMIT ?",
            (number, most),
        )
        return [(number, os.fsdecode(path)) for number, path in found]

    def close(self) -> None:
        self._connection.close()


class _Transaction:
    """A context whose statements are all committed, or none of them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:  # also if the disk is too full to commit
                self._connection.execute("ROLLBACK")


def begun(file: Found) -> tuple[str, Row]:
    """Return the row of a file that is about to be sent."""
    return file.path, Row(file.identity.fingerprint, file.identity.changed, State.BEGUN)
