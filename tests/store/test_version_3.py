"""Storage directories from before names and tokens were counted: version 3 of the catalogue."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import digests_of, listed
from tests.support.depot import make_store
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.interface import FLAT_COST
from xferproto.store.local.schema import CATALOGUE, SCHEMA_VERSION

VERSION_3 = """
CREATE TABLE content (
    id       TEXT PRIMARY KEY,
    sha256   TEXT NOT NULL,
    size     INTEGER NOT NULL,
    stored   REAL NOT NULL,
    verified REAL NOT NULL,
    damaged  REAL,
    small    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX content_by_sha256 ON content (sha256);
CREATE INDEX content_by_verified ON content (verified) WHERE damaged IS NULL;
CREATE TABLE entry (
    name   TEXT NOT NULL,
    id     TEXT NOT NULL REFERENCES content (id),
    size   INTEGER NOT NULL,
    stored REAL NOT NULL,
    listed INTEGER NOT NULL DEFAULT 1,
    owner  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (name, id, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_of_content ON entry (id, stored, name);
CREATE INDEX entry_of_owner ON entry (owner, name, id) WHERE owner <> '';
CREATE TABLE usage (
    owner TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
    INSERT INTO usage VALUES (NEW.owner, NEW.size)
        ON CONFLICT DO UPDATE SET bytes = bytes + NEW.size;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
    UPDATE usage SET bytes = bytes - OLD.size WHERE owner = OLD.owner;
END;
CREATE TABLE partial (
    token   TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    size    INTEGER NOT NULL,
    started REAL NOT NULL,
    idle    REAL NOT NULL,
    id      TEXT
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x78666572;
PRAGMA user_version = 3;
"""
"""What made a catalogue then."""


class MigrationTests(SynchronousTestCase):
    """A directory with two names of a user's, one of a stranger's, and tokens of both."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        store = make_store(self, self.root, small=-1)
        digests = digests_of(b"content")
        self.successResultOf(store.put("x", b"content", digests, EVERYTHING))
        self.successResultOf(store.close())
        for path in self.root.glob(f"{CATALOGUE}*"):
            path.unlink()
        self.md5 = digests.md5
        with contextlib.closing(sqlite3.connect(self.root / CATALOGUE)) as connection:
            connection.executescript(VERSION_3)
            connection.execute(
                "INSERT INTO content VALUES (?, ?, 7, 1e9, 1e9, NULL, NULL)",
                (self.md5, digests.sha256),
            )
            connection.executemany(
                "INSERT INTO entry VALUES (?, ?, 7, 1e9, 1, ?)",
                [("a", self.md5, "kim"), ("b", self.md5, "kim"), ("c", self.md5, "")],
            )
            connection.executemany(
                "INSERT INTO partial VALUES (?, 'n', 1000, 1e9, 5.0, ?)",
                [("kim/t", None), ("kim/u", self.md5), ("t", None)],
            )
            connection.commit()

    def schema(self, root: Path) -> list[object]:
        """What a catalogue is made of: the columns of its tables, its indexes and triggers."""
        with contextlib.closing(sqlite3.connect(root / CATALOGUE)) as connection:
            kinds = connection.execute(
                "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name"
            ).fetchall()
            columns = [
                connection.execute("SELECT * FROM pragma_table_info(?)", (name,)).fetchall()
                for kind, name, _ in kinds
                if kind == "table"
            ]
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        self.assertEqual(version, SCHEMA_VERSION)
        return [kinds, columns]

    def test_counted(self) -> None:
        """All that was there is there, and counted; once, however often it is opened."""
        for _ in range(2):
            store = make_store(self, self.root, small=-1)
            entries = self.successResultOf(Deferred.fromCoroutine(listed(store)))
            self.assertEqual([entry.name for entry in entries], ["a", "b", "c"])
            usage = [self.successResultOf(store.usage(owner)) for owner in ("kim", "", None)]
            kim, stranger = 14 + 4 * FLAT_COST, 7 + 2 * FLAT_COST
            self.assertEqual(usage, [kim, stranger, kim + stranger])
            self.assertEqual(len(self.successResultOf(store.maintenance.partials())), 2)
            self.successResultOf(store.close())
        store = make_store(self, self.root, small=-1)
        self.successResultOf(store.delete(self.md5, "a", View("kim", all=False)))
        self.assertEqual(self.successResultOf(store.usage("kim")), 7 + 3 * FLAT_COST)

    def test_same_schema(self) -> None:
        """It has the tables that a new one has."""
        self.successResultOf(make_store(self, self.root).close())
        new = Path(self.mktemp()).absolute()
        self.successResultOf(make_store(self, new).close())
        self.assertEqual(self.schema(self.root), self.schema(new))
