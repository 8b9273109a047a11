"""Small contents on a local disk: rows, crashes between two commits, catalogues of before."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import begin, digests_of, entry_of, listed, stored_bytes
from tests.support.collision import COLLISION_ID, FIRST, SECOND
from tests.support.depot import make_store, overwrite, small_marks, small_rows
from tests.support.executors import GatedExecutor
from tests.support.held import close_store
from xferproto.files.staged_file import StagedFile
from xferproto.model.entry import Entry
from xferproto.model.errors import Collision, Corrupt, NoSpace, StorageLost, StorageUnavailable
from xferproto.model.identity import EVERYTHING
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.packed import SMALL, PackedContents, insert
from xferproto.store.local.schema import CATALOGUE
from xferproto.store.local.space import Space
from xferproto.store.local.store import LocalStore
from xferproto.threads.executor import Executor

VERSION_1 = """
CREATE TABLE content (
    id       TEXT PRIMARY KEY,
    sha256   TEXT NOT NULL,
    size     INTEGER NOT NULL,
    stored   REAL NOT NULL,
    verified REAL NOT NULL,
    damaged  REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX content_by_sha256 ON content (sha256);
CREATE INDEX content_by_verified ON content (verified) WHERE damaged IS NULL;
CREATE TABLE entry (
    name   TEXT NOT NULL,
    id     TEXT NOT NULL REFERENCES content (id),
    size   INTEGER NOT NULL,
    stored REAL NOT NULL,
    listed INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (name, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_of_content ON entry (id, stored, name);
CREATE TABLE partial (
    token   TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    size    INTEGER NOT NULL,
    started REAL NOT NULL,
    idle    REAL NOT NULL,
    id      TEXT
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x78666572;
PRAGMA user_version = 1;
"""
"""What made a catalogue before there were small contents."""

FAILING = "CREATE TEMP TRIGGER t BEFORE {} ON {} BEGIN SELECT raise(FAIL, 'x'); END"
"""Lets changes of a table fail."""


def rows_of(*contents: bytes) -> list[tuple[str, bytes]]:
    """Contents as L{PackedContents.add} takes them."""
    return [(digests_of(data).md5, data) for data in contents]


class InsertTests(SynchronousTestCase):
    """Rows, many with a statement."""

    def test_counts(self) -> None:
        """However many there are, all are inserted, in order."""
        for count in (0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000):
            with contextlib.closing(sqlite3.connect(":memory:")) as connection:
                connection.execute("CREATE TABLE t (a, b)")
                rows = [(number, str(number)) for number in range(count)]
                insert(connection, "t (a, b)", rows)
                found = connection.execute("SELECT a, b FROM t ORDER BY rowid").fetchall()
                self.assertEqual(found, rows)

    def test_few_statements(self) -> None:
        """A thousand rows take few statements, of few kinds: these stay prepared."""
        statements: list[str] = []
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.set_trace_callback(statements.append)
            insert(connection, "t", [(number,) for number in range(1000)])
        inserts = [statement for statement in statements if statement.startswith("INSERT")]
        self.assertLess(len(inserts), 10)

    def test_behind(self) -> None:
        """What stands behind the values counts for each row."""
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (a PRIMARY KEY)")
            for _ in range(2):
                rows = [(number % 300,) for number in range(600)]
                insert(connection, "t", rows, "ON CONFLICT DO NOTHING")
            self.assertEqual(connection.execute("SELECT count(*) FROM t").fetchone(), (300,))


class SmallObjectsTests(SynchronousTestCase):
    """The database of small contents."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()
        self.small = self.open()

    def open(self) -> PackedContents:
        small = PackedContents(self.root)
        self.addCleanup(small.close)
        return small

    def reopen(self) -> None:
        self.small.close()
        self.small = self.open()

    def numbers(self) -> list[int]:
        return [number for number, _ in small_rows(self.root)]

    def test_numbers(self) -> None:
        """Rows are numbered from 1 on, in order, and go on behind the last one when reopened."""
        self.assertEqual(self.small.next, 1)
        self.small.add(rows_of(b"a", b"b"))
        self.assertEqual(self.small.next, 3)
        self.small.add(rows_of(*[b"%d" % number for number in range(1000)]))
        self.assertEqual(self.numbers(), [*range(1, 1003)])
        self.reopen()
        self.assertEqual(self.small.next, 1003)
        self.small.add([])
        self.small.add(rows_of(b"c"))
        self.assertEqual(small_rows(self.root)[-1], (1003, digests_of(b"c").md5))

    def test_number_not_used_again(self) -> None:
        """A number that was given is not given again, though its row is gone."""
        self.small.add(rows_of(b"a"))
        self.small.remove([(1, digests_of(b"a").md5)])
        self.small.add(rows_of(b"b"))
        self.assertEqual(self.numbers(), [2])

    def test_read(self) -> None:
        """Bytes come by number; a row that is not there, or has another id, has none."""
        (a, _), (b, _) = rows_of(b"a", b"")
        self.small.add(rows_of(b"a", b""))
        self.assertEqual(self.small.read({1: a, 2: b, 3: b}), {1: b"a", 2: b""})
        self.assertEqual(self.small.read({1: b, 2: a}), {})
        self.assertEqual(self.small.read({}), {})

    def test_all(self) -> None:
        """Every row, with its id and bytes."""
        self.small.add(rows_of(b"a", b"", b"b\0c"))
        rows = [(at, *row) for at, row in enumerate(rows_of(b"a", b"", b"b\0c"), 1)]
        self.assertEqual(sorted(self.small.all()), rows)

    def test_remove(self) -> None:
        """Rows are removed by number and id, with their mark; others stay."""
        (a, _), (b, _), (c, _) = rows_of(b"a", b"b", b"c")
        self.small.add(rows_of(b"a", b"b", b"c"))
        self.small.confirm(1)
        self.small.mark(1)
        self.small.mark(2)
        self.small.remove([(1, a), (2, c), (9, c)])
        self.assertEqual(small_rows(self.root), [(2, b), (3, c)])
        self.small.remove([(3, c), (2, b)])
        self.assertEqual((small_rows(self.root), small_marks(self.root)), ([], []))

    def test_remove_first_of_many(self) -> None:
        """A mark of several rows stays when the first of them is removed."""
        (a, _), (b, _) = rows_of(b"a", b"b")
        self.small.add(rows_of(b"a", b"b"))
        self.small.remove([(1, a)])
        self.assertEqual((small_rows(self.root), small_marks(self.root)), ([(2, b)], [(1, 2)]))

    def test_marks(self) -> None:
        """What is added is marked, and what it replaces; confirmed marks go with a later change."""
        self.small.add(rows_of(b"a", b"b"))
        self.assertEqual(small_marks(self.root), [(1, 2)])
        self.small.confirm(1)
        self.small.add(rows_of(b"b", b"c"), [2])
        self.assertEqual(small_marks(self.root), [(2, 2), (3, 4)])
        self.small.confirm(3)
        self.small.mark(3)
        self.assertEqual(small_marks(self.root), [(2, 2), (3, 3)])
        self.small.mark(3)
        self.small.confirm(3)
        self.reopen()
        self.assertEqual(small_marks(self.root), [(2, 2), (3, 3)])

    def test_tidy_up(self) -> None:
        """Of the marked rows those go that are not known by their number; unmarked ones stay."""
        contents = (b"kept", b"unknown", b"known", b"elsewhere")
        self.small.add(rows_of(b"unmarked"))
        self.small.confirm(1)
        self.small.add(rows_of(*contents))
        ids = {name: digests_of(name).md5 for name in contents}
        known = {ids[b"kept"]: 2, ids[b"known"]: 4, ids[b"elsewhere"]: 99}
        self.reopen()
        self.small.tidy_up(known.get)
        self.assertEqual(self.numbers(), [1, 2, 4])
        self.assertEqual(small_marks(self.root), [])
        self.small.tidy_up(lambda id: self.fail("nothing is marked"))

    def test_tidy_up_some(self) -> None:
        """Marks that others have set stay, where only some are looked at."""
        self.small.add(rows_of(b"a", b"b"))
        self.small.mark(2)
        self.small.tidy_up(lambda id: None, [1])
        self.assertEqual(self.numbers(), [])
        self.assertEqual(small_marks(self.root), [(2, 2)])

    def test_failing_change(self) -> None:
        """A change that fails changes nothing; marks that it was to take away go with the next."""
        self.small.add(rows_of(b"a"))
        self.small.confirm(1)
        self.small.mark(1)
        self.small.confirm(1)
        connection = self.small._writing
        connection.execute(
            "CREATE TRIGGER t BEFORE INSERT ON small BEGIN SELECT raise(FAIL, 'x'); END"
        )
        self.assertRaises(sqlite3.Error, self.small.add, rows_of(b"b", b"c"))
        self.assertEqual((self.numbers(), self.small.next), ([1], 2))
        self.assertEqual(small_marks(self.root), [(1, 1)])
        connection.execute("DROP TRIGGER t")
        self.small.add(rows_of(b"b"))
        self.assertEqual((self.numbers(), small_marks(self.root)), ([1, 2], [(2, 2)]))

    def test_failing_remove(self) -> None:
        """Rows that could not be removed go with the next change."""
        self.small.add(rows_of(b"a"))
        connection = self.small._writing
        connection.execute(
            "CREATE TRIGGER t BEFORE DELETE ON small BEGIN SELECT raise(FAIL, 'x'); END"
        )
        self.assertRaises(sqlite3.Error, self.small.remove, [(1, digests_of(b"a").md5)])
        self.assertEqual(self.numbers(), [1])
        connection.execute("DROP TRIGGER t")
        self.small.add(rows_of(b"b"))
        self.assertEqual(self.numbers(), [2])


class SmallStoreCase(SynchronousTestCase):
    """
    Tests of stores in one directory that keep small contents.

    @ivar root: the storage directory.
    """

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()

    def open(self, root: Path | None = None, database: Executor | None = None) -> LocalStore:
        return make_store(self, root or self.root, database=database)

    def put(self, store: LocalStore, name: str, data: bytes) -> Entry:
        entry: Entry = self.successResultOf(store.put(name, data, digests_of(data), EVERYTHING))
        return entry

    def commit(self, store: LocalStore, name: str, data: bytes) -> Entry:
        """Store a content as an upload, whatever its size."""
        upload = self.successResultOf(begin(store, name, data))
        entry: Entry = self.successResultOf(upload.commit(digests_of(data)))
        return entry

    def copy(self) -> Path:
        """A copy of the storage directory as it is now: what a crash would leave."""
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(self.root, copy)
        return copy

    def objects(self, root: Path | None = None) -> list[str]:
        """The ids of all object files."""
        return [path.name for path in ((root or self.root) / "objects").glob("*/*")]

    def assert_holds(
        self,
        store: LocalStore,
        root: Path,
        contents: dict[str, bytes],
        files: tuple[bytes, ...] = (),
    ) -> None:
        """
        The store has these contents by name, a row or a file for each, and not one more.

        @param files: the contents that have files.
        """
        entries = [entry_of(name, contents[name]) for name in sorted(contents)]
        self.assertEqual(self.successResultOf(listed(store)), entries)
        for data in contents.values():
            self.assertEqual(self.successResultOf(stored_bytes(store, digests_of(data).md5)), data)
        rows = {digests_of(data).md5 for data in contents.values() if data not in files}
        self.assertEqual(sorted(id for _, id in small_rows(root)), sorted(rows))
        self.assertEqual(sorted(self.objects(root)), sorted(digests_of(one).md5 for one in files))
        self.assertEqual([*(root / "incoming").iterdir()], [])


class CrashTests(SmallStoreCase):
    """
    Crashes between any two commits.

    What a crash leaves is a copy of the directory, made when one of the two databases is about to
    be changed.
    """

    def crashes(self, work: Callable[[LocalStore], object]) -> list[Path]:
        """The directory as a crash leaves it before each change that C{work} makes, and after."""
        store = self.open()
        copies: list[Path] = []

        def watch(statement: str) -> None:
            if statement.startswith(("BEGIN", "COMMIT")):
                copies.append(self.copy())

        connections = (store._small._writing, store._catalogue.database.writing)
        for connection in connections:
            connection.set_trace_callback(watch)
        work(store)
        for connection in connections:
            connection.set_trace_callback(None)
        copies.append(self.copy())
        return copies

    def assert_moments(
        self,
        copies: list[Path],
        before: dict[str, bytes],
        after: dict[str, bytes],
        files: tuple[bytes, ...] = (),
        files_after: tuple[bytes, ...] | None = None,
    ) -> None:
        """After each crash there is what was before, then, from one on, what is there after it."""
        done = []
        for copy in copies:
            store = make_store(self, copy)
            names = [entry.name for entry in self.successResultOf(listed(store))]
            id = files_after is not None and self.objects(copy) == self._ids(files_after)
            done.append(names == sorted(after) if files_after is None else bool(id))
            contents = after if names == sorted(after) else before
            now = files_after if done[-1] and files_after is not None else files
            self.assert_holds(store, copy, contents, now)
            self.assertEqual(small_marks(copy), [])
            self.successResultOf(store.close())
        self.assertEqual((done[0], done[-1]), (False, True))
        self.assertEqual(done, sorted(done))
        self.assertGreaterEqual(len(copies), 5)

    def _ids(self, contents: tuple[bytes, ...]) -> list[str]:
        return [digests_of(data).md5 for data in contents]

    def test_put(self) -> None:
        """A new content is there whole, or not at all, and leaves no row."""
        self.put(self.open_and_close(), "stored", b"stored before")
        copies = self.crashes(lambda store: self.put(store, "name", b"content"))
        before = {"stored": b"stored before"}
        self.assert_moments(copies, before, {**before, "name": b"content"})

    def open_and_close(self) -> LocalStore:
        """A store that is closed when the next one is opened."""
        store = self.open()
        real_open = self.open

        def open_after(root: Path | None = None, database: Executor | None = None) -> LocalStore:
            self.successResultOf(store.close())
            return real_open(root, database)

        self.open = open_after  # type: ignore[method-assign]
        return store

    def test_put_anew(self) -> None:
        """A content that is put again, under a new name, has one row, the old or the new."""
        self.put(self.open_and_close(), "stored", b"content")
        copies = self.crashes(lambda store: self.put(store, "name", b"content"))
        before = {"stored": b"content"}
        self.assert_moments(copies, before, {**before, "name": b"content"})

    def test_delete(self) -> None:
        """One that is deleted is gone whole, or there whole."""
        store = self.open_and_close()
        self.put(store, "kept", b"kept")
        self.put(store, "name", b"content")
        id = digests_of(b"content").md5
        copies = self.crashes(
            lambda store: self.successResultOf(store.delete(id, None, EVERYTHING))
        )
        self.assert_moments(copies, {"kept": b"kept", "name": b"content"}, {"kept": b"kept"})

    def test_becomes_file(self) -> None:
        """One that is stored again as an upload has a row, then a file, and never both."""
        store = self.open_and_close()
        self.put(store, "name", b"content")
        copies = self.crashes(lambda store: self.commit(store, "name", b"content"))
        contents = {"name": b"content"}
        self.assert_moments(copies, contents, contents, (), (b"content",))

    def assert_no_litter(self, copies: list[Path]) -> None:
        """After each crash, what is listed has a row or a file, and nothing else is there."""
        known = {"kept": b"kept", "row": b"content", "name": b"content"}
        for copy in copies:
            store = make_store(self, copy)
            names = [entry.name for entry in self.successResultOf(listed(store))]
            files = (b"content",) if self.objects(copy) else ()
            self.assert_holds(store, copy, {name: known[name] for name in names}, files)
            self.assertEqual(small_marks(copy), [])
            self.successResultOf(store.close())
        self.assertGreaterEqual(len(copies), 7)

    def test_becomes_file_while_it_is_put(self) -> None:
        """One that is stored as an upload while it is put has a file in the end, and no row."""
        self.put(self.open_and_close(), "kept", b"kept")

        def both(store: LocalStore) -> None:
            publish = store.objects.publish

            def put_first(incoming: StagedFile, id: str) -> None:
                self.put(store, "row", b"content")
                self.put(store, "kept", b"kept")  # the mark of the row before goes with it
                publish(incoming, id)

            self.patch(store.objects, "publish", put_first)
            self.commit(store, "name", b"content")

        self.assert_no_litter(self.crashes(both))

    def test_deleted_while_it_is_put(self) -> None:
        """One that is put anew while it is deleted leaves no row, be it the old or the new one."""
        store = self.open_and_close()
        self.put(store, "kept", b"kept")
        self.put(store, "name", b"content")

        def both(store: LocalStore) -> None:
            delete = store._catalogue.contents.delete

            def put_first(*arguments: Any) -> Any:
                self.put(store, "row", b"content")
                self.put(store, "kept", b"kept")
                return delete(*arguments)

            self.patch(store._catalogue.contents, "delete", put_first)
            self.successResultOf(store.delete(digests_of(b"content").md5, None, EVERYTHING))

        self.assert_no_litter(self.crashes(both))

    def test_quarantined(self) -> None:
        """One that is found to be damaged is listed no more, from some moment on, and no row."""
        store = self.open_and_close()
        self.put(store, "name", b"content")
        overwrite(self.root, digests_of(b"content").md5, b"context")

        def check(store: LocalStore) -> None:
            content = self.successResultOf(store.open(digests_of(b"content").md5, EVERYTHING))
            found = digests_of(b"context")
            checked = store.maintenance.checked(digests_of(b"content").md5, found, content)
            self.assertIs(self.successResultOf(checked), False)

        for copy in self.crashes(check):
            store = make_store(self, copy)
            if not self.successResultOf(listed(store)):
                self.put(store, "other", b"content")
                self.assert_holds(store, copy, dict.fromkeys(("name", "other"), b"content"))
            self.successResultOf(store.close())

    def test_after_first_commit(self) -> None:
        """Rows whose second commit fails are tidied up at once, without a restart."""
        database = GatedExecutor()
        store = self.open(database=database)
        self.put(store, "kept", b"kept")
        connection = store._catalogue.database.writing
        connection.execute(
            "CREATE TEMP TRIGGER t BEFORE INSERT ON entry BEGIN SELECT raise(FAIL, 'x'); END"
        )
        for name in ("a", "b"):
            put = store.put(name, name.encode(), digests_of(name.encode()), EVERYTHING)
            self.failureResultOf(put, sqlite3.Error)
        again = store.put("kept", b"kept", digests_of(b"kept"), EVERYTHING)
        self.failureResultOf(again, sqlite3.Error)
        self.assertEqual(len(small_rows(self.root)), 1)  # the kept one
        copy = self.copy()
        connection.execute("DROP TRIGGER t")
        self.put(store, "c", b"c")
        self.assert_holds(store, self.root, {"kept": b"kept", "c": b"c"})
        self.assert_holds(make_store(self, copy), copy, {"kept": b"kept"})

    def test_marks_of_others(self) -> None:
        """What a put tidies up does not take away the mark of a removal that is under way."""
        database = GatedExecutor()
        store = self.open(database=database)
        self.put(store, "name", b"content")
        connection = store._catalogue.database.writing
        connection.execute(
            "CREATE TEMP TRIGGER t BEFORE INSERT ON entry BEGIN SELECT raise(FAIL, 'x'); END"
        )
        self.failureResultOf(store.put("a", b"a", digests_of(b"a"), EVERYTHING), sqlite3.Error)
        connection.execute("DROP TRIGGER t")
        database.open = False
        deleting = store.delete(digests_of(b"content").md5, None, EVERYTHING)
        while (1, 1) not in small_marks(self.root):
            database.step()
        putting = store.put("b", b"b", digests_of(b"b"), EVERYTHING)
        while (2, 2) in small_marks(self.root):
            database.step()
        copies = [self.copy()]
        while not deleting.called:
            database.step()
            copies.append(self.copy())
        database.run_all()
        self.successResultOf(putting)
        for copy in copies:
            again = make_store(self, copy)
            entries = self.successResultOf(listed(again))
            self.assertEqual(
                sorted(id for _, id in small_rows(copy)), sorted(entry.id for entry in entries)
            )

    def test_old_rows_stay_when_not_removed(self) -> None:
        """A row that can't be removed when it is replaced does not fail the put, and goes later."""
        store = self.open()
        self.put(store, "name", b"content")
        connection = store._small._writing
        connection.execute(
            "CREATE TEMP TRIGGER t BEFORE DELETE ON small BEGIN SELECT raise(FAIL, 'x'); END"
        )
        self.put(store, "name", b"content")
        self.assertEqual(len(small_rows(self.root)), 2)
        copy = self.copy()
        connection.execute("DROP TRIGGER t")
        self.put(store, "other", b"other")
        self.assert_holds(store, self.root, {"name": b"content", "other": b"other"})
        self.assert_holds(make_store(self, copy), copy, {"name": b"content"})


class PlaceTests(SmallStoreCase):
    """Where bytes lie, and that they are written anew."""

    def test_row(self) -> None:
        """A small content has a row and no file, one for all its names."""
        store = self.open()
        for name in ("a", "b", "a"):
            self.put(store, name, b"content")
        self.assert_holds(store, self.root, dict.fromkeys("ab", b"content"))

    def test_written_anew(self) -> None:
        """Bytes that changed behind the store's back are right again when they are put again."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        for wrong in (b"context", b"", None):
            overwrite(self.root, entry.id, wrong)
            self.put(store, "name", b"content")
            self.assert_holds(store, self.root, {"name": b"content"})

    def test_becomes_file(self) -> None:
        """One that is uploaded gets a file, its row goes; put again, the file is written anew."""
        store = self.open()
        self.put(store, "name", b"content")
        entry = self.commit(store, "other", b"content")
        contents = dict.fromkeys(("name", "other"), b"content")
        self.assert_holds(store, self.root, contents, (b"content",))
        overwrite(self.root, entry.id, b"context")
        self.put(store, "name", b"content")
        self.assert_holds(store, self.root, contents, (b"content",))

    def test_many(self) -> None:
        """Old and new, twice the same, a collision, one that has a file: all in one commit."""
        database = GatedExecutor()
        store = self.open(database=database)
        self.put(store, "old", b"old")
        self.commit(store, "file", b"file")
        self.put(store, "first", FIRST)
        database.open = False
        puts = [
            store.put(name, data, digests_of(data), EVERYTHING)
            for name, data in (
                ("alone", b"alone"),
                ("new", b"new"),
                ("old", b"old"),
                ("new again", b"new"),
                ("old again", b"old"),
                ("second", SECOND),
                ("file again", b"file"),
                ("first", FIRST),
            )
        ]
        outcomes: list[tuple[bool, object]] = []
        DeferredList(puts, consumeErrors=True).addCallback(outcomes.extend)
        database.run_all()
        good = [succeeded for succeeded, _ in outcomes]
        self.assertEqual(good, [True] * 5 + [False] + [True] * 2)
        refused = outcomes[5][1]
        assert isinstance(refused, Failure)
        self.assertIs(refused.type, Collision)
        contents = {
            "alone": b"alone",
            "new": b"new",
            "new again": b"new",
            "old": b"old",
            "old again": b"old",
            "file": b"file",
            "file again": b"file",
            "first": FIRST,
        }
        database.open = True
        self.assert_holds(store, self.root, contents, (b"file",))
        self.assertEqual(self.successResultOf(stored_bytes(store, COLLISION_ID)), FIRST)

    def test_reopened_without(self) -> None:
        """A store that keeps no small contents any more still has those of before."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        self.successResultOf(store.close())
        store = make_store(self, self.root, small=-1)
        self.assert_holds(store, self.root, {"name": b"content"})
        got = self.successResultOf(store.get(entry.id, EVERYTHING))
        self.assertEqual(got, (entry, b"content"))
        self.put(store, "name", b"content")
        self.assert_holds(store, self.root, {"name": b"content"}, (b"content",))
        self.successResultOf(store.delete(entry.id, None, EVERYTHING))
        self.assert_holds(store, self.root, {})

    def test_modes(self) -> None:
        """Nobody but the owner may read the database, its journal or what is put aside."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        content = self.successResultOf(store.open(entry.id, EVERYTHING))
        self.successResultOf(store.maintenance.checked(entry.id, None, content))
        paths = [*self.root.glob("small.sqlite*"), *(self.root / "quarantine").iterdir()]
        self.assertGreaterEqual(len(paths), 3)
        for path in paths:
            self.assertEqual(oct(path.stat().st_mode & 0o777), oct(0o600), path)


class LostTests(SmallStoreCase):
    """A database of small contents that is of another time, or no database."""

    def lose(self) -> None:
        """Put one of another time in its place, that has a row."""
        for path in self.root.glob(f"{SMALL}*"):
            path.unlink()
        with contextlib.closing(PackedContents(self.root)) as small:
            small.add([(digests_of(b"another").md5, b"another")])

    def test_lost(self) -> None:
        """Contents whose rows are gone are corrupt, never others' bytes, and can be healed."""
        store = self.open()
        old, other = self.put(store, "old", b"11111"), self.put(store, "other", b"22222")
        self.successResultOf(store.close())
        self.lose()
        store = self.open()
        new = self.put(store, "new", b"33333")  # has the number that the other one had
        for entry in (old, other):
            self.failureResultOf(store.get(entry.id, EVERYTHING), Corrupt)
            self.failureResultOf(store.open(entry.id, EVERYTHING), Corrupt)
        self.assertEqual(self.successResultOf(stored_bytes(store, new.id)), b"33333")
        self.assertIs(self.successResultOf(store.maintenance.missed(old.id)), False)
        self.put(store, "old", b"11111")
        self.successResultOf(store.delete(other.id, None, EVERYTHING))
        self.assert_holds(store, self.root, {"old": b"11111", "new": b"33333"})

    def test_deleted_when_lost(self) -> None:
        """Deleting a content whose row is gone leaves the row that has its number now."""
        store = self.open()
        old = self.put(store, "old", b"11111")
        self.successResultOf(store.close())
        self.lose()
        store = self.open()
        self.put(store, "new", b"33333")
        self.successResultOf(store.delete(old.id, None, EVERYTHING))
        self.assert_holds(store, self.root, {"new": b"33333"})
        self.successResultOf(store.close())
        self.assert_holds(self.open(), self.root, {"new": b"33333"})

    def test_put_again_when_lost(self) -> None:
        """A content whose row is gone is written anew, though it comes to have its old number."""
        for number in range(3):
            store = self.open()
            contents = {f"{each}": b"%d" % each for each in range(3)}
            for name, data in contents.items():
                self.put(store, name, data)
            self.successResultOf(store.close())
            self.lose()
            store = self.open()
            self.put(store, "again", b"%d" % number)
            id = digests_of(b"%d" % number).md5
            self.assertEqual(self.successResultOf(stored_bytes(store, id)), b"%d" % number)
            for name, data in contents.items():
                self.put(store, name, data)
            self.successResultOf(store.delete(id, "again", EVERYTHING))
            self.assert_holds(store, self.root, contents)
            self.successResultOf(store.close())

    def test_no_database(self) -> None:
        """A file that is none of ours is told at the start, and left alone."""
        self.successResultOf(self.open().close())
        self.lose()
        path = self.root / SMALL
        path.write_bytes(b"This is not a database. " * 1000)
        before = path.read_bytes()
        self.assertIn(str(self.root), str(self.assertRaises(StorageUnavailable, self.open)))
        self.assertEqual(path.read_bytes(), before)
        path.unlink()
        self.open()

    def test_newer(self) -> None:
        """So is one that a newer version wrote."""
        self.successResultOf(self.open().close())
        with contextlib.closing(sqlite3.connect(self.root / SMALL)) as connection:
            connection.execute("PRAGMA user_version = 2")
        self.assertIn("version 1", str(self.assertRaises(StorageUnavailable, self.open)))

    def test_storage_moved(self) -> None:
        """Without the storage directory nothing is put or deleted; what is stored can be had."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        away = self.root.rename(self.root.with_name("away"))
        self.failureResultOf(
            store.put("other", b"other", digests_of(b"other"), EVERYTHING), StorageLost
        )
        self.failureResultOf(store.delete(entry.id, None, EVERYTHING), StorageLost)
        self.assertEqual(self.successResultOf(stored_bytes(store, entry.id)), b"content")
        self.assertFalse(self.root.exists())
        away.rename(self.root)
        self.put(store, "other", b"other")
        self.assert_holds(store, self.root, {"name": b"content", "other": b"other"})


class SpaceTests(SmallStoreCase):
    """Disks without room."""

    def test_no_room(self) -> None:
        """Where the file system has no room to spare, a small content is NoSpace."""
        free = 10**9
        inline = GatedExecutor()
        space = Space(self.root, lambda path: (free, 2**40))
        store = LocalStore(self.root, inline, inline, inline, lambda: 1e9, space)
        self.addCleanup(close_store, self, store)
        entry = self.put(store, "name", b"content")
        free = 1000
        self.failureResultOf(store.put("a", b"a", digests_of(b"a"), EVERYTHING), NoSpace)
        self.failureResultOf(
            store.put("name", b"content", digests_of(b"content"), EVERYTHING), NoSpace
        )
        self.assert_holds(store, self.root, {"name": b"content"})
        self.successResultOf(store.delete(entry.id, None, EVERYTHING))
        free = 10**9
        self.put(store, "a", b"a")
        self.assert_holds(store, self.root, {"a": b"a"})

    def test_no_room_for_file(self) -> None:
        """One that has a file, and is put where no new one can be made, stays as it is."""
        store = self.open()
        self.commit(store, "name", b"content")

        def refuse(*_: object) -> None:
            raise NoSpace()

        broken = self.patch(store.objects, "new", refuse)
        self.failureResultOf(
            store.put("other", b"content", digests_of(b"content"), EVERYTHING), NoSpace
        )
        broken.restore()
        self.assert_holds(store, self.root, {"name": b"content"}, (b"content",))

    def test_no_room_to_become_file(self) -> None:
        """One that can't become a file keeps its row, and leaves no file."""
        store = self.open()
        self.put(store, "name", b"content")

        def refuse(*_: object) -> None:
            raise NoSpace()

        for what in ("add", "_leave"):
            where = store._catalogue.contents
            upload = self.successResultOf(begin(store, "other", b"content"))
            broken = self.patch(where, what, refuse)
            self.failureResultOf(upload.commit(digests_of(b"content")), NoSpace)
            broken.restore()
            self.assert_holds(store, self.root, {"name": b"content"})


class MigrationTests(SmallStoreCase):
    """A storage directory from before there were small contents."""

    def setUp(self) -> None:
        super().setUp()
        store = make_store(self, self.root, small=-1)
        self.old = self.commit(store, "old", b"old")
        self.damaged = self.commit(store, "damaged", b"damaged")
        content = self.successResultOf(store.open(self.damaged.id, EVERYTHING))
        self.successResultOf(store.maintenance.checked(self.damaged.id, None, content))
        self.successResultOf(store.close())
        with contextlib.closing(sqlite3.connect(self.root / CATALOGUE)) as connection:
            columns = "id, sha256, size, stored, verified, damaged"
            contents = connection.execute(f"SELECT {columns} FROM content").fetchall()
            columns = "name, id, size, stored, listed"
            entries = connection.execute(f"SELECT {columns} FROM entry").fetchall()
        for path in (*self.root.glob(f"{CATALOGUE}*"), *self.root.glob(f"{SMALL}*")):
            path.unlink()
        with contextlib.closing(sqlite3.connect(self.root / CATALOGUE)) as connection:
            connection.executescript(VERSION_1)
            connection.executemany("INSERT INTO content VALUES (?, ?, ?, ?, ?, ?)", contents)
            connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", entries)
            connection.execute("INSERT INTO partial VALUES ('t', 'n', 9, 1e9, 5.0, NULL)")
            connection.commit()

    def schema(self, root: Path) -> list[object]:
        """What a catalogue is made of, its comments aside, and its version."""
        with contextlib.closing(sqlite3.connect(root / CATALOGUE)) as connection:
            found: list[object] = [
                connection.execute(
                    f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')"
                ).fetchall()
                for table in ("content", "entry", "partial")
            ]
            found.append(connection.execute("PRAGMA user_version").fetchone())
            found.append(
                connection.execute(
                    "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' ORDER BY name"
                ).fetchall()
            )
        return found

    def test_opened(self) -> None:
        """All that was stored is there; new small contents get rows, old ones keep their files."""
        store = self.open()
        self.assert_holds(store, self.root, {"old": b"old"}, (b"old",))
        self.failureResultOf(store.open(self.damaged.id, EVERYTHING), Corrupt)
        (partial,) = self.successResultOf(store.maintenance.partials())
        self.assertEqual((partial.token, partial.idle), ("t", 5.0))
        self.put(store, "new", b"new")
        self.put(store, "old again", b"old")
        self.put(store, "damaged", b"damaged")
        contents = {"old": b"old", "old again": b"old", "new": b"new", "damaged": b"damaged"}
        self.assert_holds(store, self.root, contents, (b"old", b"damaged"))

    def test_same_schema(self) -> None:
        """It has the tables that a new one has."""
        self.successResultOf(self.open().close())
        other = Path(self.mktemp()).absolute()
        self.successResultOf(self.open(other).close())
        self.assertEqual(self.schema(self.root), self.schema(other))

    def test_once(self) -> None:
        """It is migrated once; opened again, nothing is left to do."""
        for _ in range(2):
            store = self.open()
            self.assert_holds(store, self.root, {"old": b"old"}, (b"old",))
            self.successResultOf(store.close())

    def test_crash(self) -> None:
        """A migration that is cut off has changed nothing, and is made by the next start."""
        with contextlib.closing(sqlite3.connect(self.root / CATALOGUE)) as connection:
            connection.executescript("BEGIN; ALTER TABLE content ADD COLUMN small INTEGER;")
            copy = self.copy()
            connection.rollback()
        store = self.open(copy)
        self.assert_holds(store, copy, {"old": b"old"}, (b"old",))

    def test_unknown_version(self) -> None:
        """A version that nothing leads from is told, and left alone."""
        with contextlib.closing(sqlite3.connect(self.root / CATALOGUE)) as connection:
            connection.execute("PRAGMA user_version = 99")
        inline = GatedExecutor()
        path = self.root / CATALOGUE
        self.assertRaises(StorageUnavailable, Catalogue, path, inline, inline)
