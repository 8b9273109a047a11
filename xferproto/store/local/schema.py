"""Define the tables of the catalogue and their migrations, and open its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

APPLICATION_ID = 0x78666572
"""'xfer' in ASCII; marks the file as a catalogue (SQLite's PRAGMA application_id)."""

CATALOGUE = "catalogue.sqlite"
BACKUP = "catalogue.backup.sqlite"
"""The names of the catalogue and of its copy in the storage directory."""

CHECKPOINT = 4000
"""
Pages in a write-ahead log, of 4 KiB each, that go into the database together: a page that many
commits change is written there once.
"""

SCHEMA_VERSION = 4
"""Counts the changes of L{SCHEMA} (PRAGMA user_version)."""

_ENTRY = """
CREATE TABLE entry (
    name   TEXT NOT NULL,
    id     TEXT NOT NULL REFERENCES content (id),
    size   INTEGER NOT NULL,    -- of the content; here too, so that a listing reads one table
    stored REAL NOT NULL,       -- seconds since the epoch
    listed INTEGER NOT NULL DEFAULT 1,  -- 0 while the content is damaged
    owner  TEXT NOT NULL DEFAULT '',    -- the user who stored it, or '' for a stranger
    PRIMARY KEY (name, id, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_of_content ON entry (id, stored, name);
CREATE INDEX entry_of_owner ON entry (owner, name, id) WHERE owner <> '';
CREATE TABLE usage (
    owner TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL      -- of all entries of the owner together
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
    INSERT INTO usage VALUES (NEW.owner, NEW.size)
        ON CONFLICT DO UPDATE SET bytes = bytes + NEW.size;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
    UPDATE usage SET bytes = bytes - OLD.size WHERE owner = OLD.owner;
END;
"""

_COUNTS = """
ALTER TABLE usage ADD COLUMN names INTEGER NOT NULL DEFAULT 0;  -- of the owner, as entries
DROP TRIGGER entry_added;
DROP TRIGGER entry_removed;
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
    INSERT INTO usage VALUES (NEW.owner, NEW.size, 1)
        ON CONFLICT DO UPDATE SET bytes = bytes + NEW.size, names = names + 1;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
    UPDATE usage SET bytes = bytes - OLD.size, names = names - 1 WHERE owner = OLD.owner;
END;
CREATE INDEX partial_of_owner ON partial (substr(token, 1, instr(token, '/')), id);
"""
"""What came with version 4: the names of an owner are counted, and their tokens found."""

SCHEMA = f"""
CREATE TABLE content (
    id       TEXT PRIMARY KEY,  -- MD5, 32 lower-case hex digits
    sha256   TEXT NOT NULL,     -- 64 lower-case hex digits
    size     INTEGER NOT NULL,  -- bytes
    stored   REAL NOT NULL,     -- seconds since the epoch
    verified REAL NOT NULL,     -- seconds since the epoch
    damaged  REAL,              -- when its bytes were found wrong, seconds since the epoch, or NULL
    small    INTEGER            -- its row among the small contents, or NULL: it has a file
) STRICT, WITHOUT ROWID;
CREATE INDEX content_by_sha256 ON content (sha256);
CREATE INDEX content_by_verified ON content (verified) WHERE damaged IS NULL;
{_ENTRY}
CREATE TABLE partial (
    token   TEXT PRIMARY KEY,   -- what the client calls the upload
    name    TEXT NOT NULL,
    size    INTEGER NOT NULL,   -- declared, in bytes
    started REAL NOT NULL,      -- seconds since the epoch
    idle    REAL NOT NULL,      -- seconds of the server's running since it was last used
    id      TEXT                -- the content it became, or NULL while bytes are missing
) STRICT, WITHOUT ROWID;
{_COUNTS}
"""


MIGRATIONS = {
    1: "ALTER TABLE content ADD COLUMN small INTEGER;",
    2: f"""
ALTER TABLE entry RENAME TO entry_of_version_2;
DROP INDEX entry_of_content;
{_ENTRY}
INSERT INTO entry SELECT name, id, size, stored, listed, '' FROM entry_of_version_2;
DROP TABLE entry_of_version_2;
""",
    3: f"""
{_COUNTS}
INSERT OR REPLACE INTO usage SELECT owner, sum(size), count(*) FROM entry GROUP BY owner;
""",
}
"""How a catalogue of a version becomes one of the next."""


@dataclass(frozen=True, slots=True)
class Content:
    """
    A content as the catalogue knows it.

    @ivar id: its MD5.
    @ivar sha256: its SHA-256.
    @ivar size: its length in bytes.
    @ivar damaged: whether the stored bytes were found to be wrong.
    @ivar small: its row in L{xferproto.store.local.packed.PackedContents}; None where it
        has an object file.
    """

    id: str
    sha256: str
    size: int
    damaged: bool
    small: int | None


@dataclass(frozen=True, slots=True)
class Partial:
    """
    An upload under a token.

    @ivar token: what the client calls it.
    @ivar name: the name it will have.
    @ivar size: the declared size in bytes.
    @ivar started: when it was begun, seconds since the epoch.
    @ivar idle: seconds of the server's running since it was last used.
    @ivar id: the content it became, or None while bytes are missing.
    """

    token: str
    name: str
    size: int
    started: float
    idle: float = 0.0
    id: str | None = None


def open_database(path: Path) -> sqlite3.Connection:
    """
    Open a catalogue, making it when it is not there.

    The connection may go from thread to thread, but must never be used on two at once.

    @raise OSError: the file can't be made.
    @raise sqlite3.Error: it can't be read, or is no catalogue of this version.
    """
    return open_durable(path, APPLICATION_ID, SCHEMA, SCHEMA_VERSION, MIGRATIONS)


def open_durable(
    path: Path,
    application_id: int,
    schema: str,
    version: int,
    migrations: Mapping[int, str] = MappingProxyType({}),
) -> sqlite3.Connection:
    """
    Open a database whose commits survive a power cut, making it when it is not there.

    @param path: the file.
    @param application_id: marks it as one of this kind.
    @param schema: makes its tables.
    @param version: of C{schema}.
    @param migrations: what turns an older version into the one after it.
    @raise OSError: the file can't be made.
    @raise sqlite3.Error: it can't be read, or is none of this kind and version.
    """
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        found = _version(connection, application_id)  # before anything is changed in it
        if found is not None and found != version and found not in migrations:
            raise sqlite3.DatabaseError(
                f"it is none of version {version}, the one that this xfer reads"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        connection.execute("PRAGMA temp_store = MEMORY")  # what undoes a statement, among others
        while found != version:
            changes = schema if found is None else migrations[found]
            found = version if found is None else found + 1
            connection.executescript(
                f"BEGIN IMMEDIATE;{changes}"
                f"PRAGMA application_id = {application_id};"
                f"PRAGMA user_version = {found};COMMIT"
            )
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _is_new(connection: sqlite3.Connection) -> bool:
    pragmas = ("schema_version", "application_id", "user_version")
    return not any(_pragma(connection, name) for name in pragmas)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _version(connection: sqlite3.Connection, application_id: int) -> int | None:
    """The version of a database of this kind; None where it is new, -1 where it is of another."""
    if _is_new(connection):
        return None
    if _pragma(connection, "application_id") != application_id:
        return -1
    return _pragma(connection, "user_version")
