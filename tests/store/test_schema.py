"""The databases of a store: how they are opened, and brought from one version to the next."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from xferproto.store.local.packed import SMALL, PackedContents
from xferproto.store.local.schema import CHECKPOINT, open_database, open_durable

KIND = 7
"""An application id."""


class OpenTests(SynchronousTestCase):
    """Databases whose commits survive a power cut."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def begin(self) -> None:
        """A database of version 1 with one row."""
        with contextlib.closing(open_durable(self.path, KIND, "CREATE TABLE t (a);", 1)) as one:
            one.execute("INSERT INTO t VALUES ('old')")

    def is_open(self) -> bool:
        """Whether this process has the file open."""
        descriptors = Path("/proc/self/fd")
        if not descriptors.is_dir():
            return False
        with contextlib.suppress(OSError):
            return any(one.samefile(self.path) for one in descriptors.iterdir() if one.exists())
        return False

    def test_settings(self) -> None:
        """Each commit is synced, rows belong together, and nothing goes to a file elsewhere."""
        connect = sqlite3.connect
        opened: list[sqlite3.Connection] = []

        def noted(path: Path, **keywords: object) -> sqlite3.Connection:
            opened.append(connect(path, **keywords))  # type: ignore[call-overload]
            return opened[-1]

        self.patch(sqlite3, "connect", noted)
        with contextlib.closing(open_database(self.path)):
            self.path.with_name("small").mkdir(exist_ok=True)
            with contextlib.closing(PackedContents(self.path.with_name("small"), SMALL)):
                self.assertEqual(len(opened), 3)
                for connection in opened:
                    for pragma, value in (
                        ("journal_mode", "wal"),
                        ("synchronous", 2),
                        ("foreign_keys", 1),
                        ("temp_store", 2),
                        ("wal_autocheckpoint", CHECKPOINT),
                    ):
                        found = connection.execute(f"PRAGMA {pragma}").fetchone()
                        self.assertEqual(found, (value,), pragma)

    def test_migrated(self) -> None:
        """Each step is made, in order."""
        self.begin()
        steps = {1: "ALTER TABLE t ADD COLUMN b;", 2: "UPDATE t SET b = a || ' and new';"}
        with contextlib.closing(open_durable(self.path, KIND, "", 3, steps)) as connection:
            rows = connection.execute("SELECT * FROM t").fetchall()
            self.assertEqual(rows, [("old", "old and new")])
            self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (3,))

    def test_failing_migration(self) -> None:
        """A step that fails changes nothing; those before it are kept, and the file is closed."""
        self.begin()
        steps = {1: "ALTER TABLE t ADD COLUMN b;", 2: "DELETE FROM t; INSERT INTO none VALUES (1);"}
        for _ in range(2):
            self.assertRaises(sqlite3.Error, open_durable, self.path, KIND, "", 3, steps)
            self.assertFalse(self.is_open())
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                self.assertEqual(connection.execute("SELECT * FROM t").fetchall(), [("old", None)])
                self.assertEqual(connection.execute("PRAGMA user_version").fetchone(), (2,))

    def test_refused(self) -> None:
        """What is of another kind or version is left as it is, and closed."""
        self.begin()
        before = self.path.read_bytes()
        for kind, version in ((KIND + 1, 1), (KIND, 2)):
            self.assertRaises(sqlite3.Error, open_durable, self.path, kind, "", version)
            self.assertFalse(self.is_open())
            self.assertEqual(self.path.read_bytes(), before)
