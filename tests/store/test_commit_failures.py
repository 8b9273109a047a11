"""Commits to a store's databases that fail at each step, for each reason: all goes back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.store.contract import begin, digests_of, entry_of, go_on, listed, stored_bytes
from tests.store.test_local_store import files_in, object_path
from tests.store.test_partials import PartialTestCase, names_in
from tests.support.depot import few_at_once, make_store, small_marks, small_rows
from xferproto.model.entry import Entry
from xferproto.model.errors import NoSpace
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IPartial
from xferproto.store.local.catalogue_changes import add_content
from xferproto.store.local.group_commit import CommitInDoubt, settle
from xferproto.store.local.packed import SMALL
from xferproto.store.local.schema import CATALOGUE, open_database
from xferproto.store.local.spare_file import SPARE_FILE
from xferproto.store.local.store import LocalStore

CODES = {
    "busy": sqlite3.SQLITE_BUSY,
    "full": sqlite3.SQLITE_FULL,
    "broken": sqlite3.SQLITE_IOERR | 4 << 8,  # SQLITE_IOERR_FSYNC
}


class FailingConnection(sqlite3.Connection):
    """
    A connection whose statements fail when they are to.

    @cvar database: the name of the file of whose connections they fail.
    @cvar statement: how those begin that fail.
    @cvar code: what SQLite says then.
    @cvar left: how many of them fail.
    @cvar failed: how many have.
    """

    database: ClassVar = ""
    statement: ClassVar = ""
    code: ClassVar = 0
    left: ClassVar = 0
    failed: ClassVar = 0

    def __init__(self, path: Any, *arguments: Any, **keywords: Any) -> None:
        super().__init__(path, *arguments, **keywords)
        self._name = Path(path).name

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        kind = FailingConnection
        if kind.left and self._name == kind.database and statement.startswith(kind.statement):
            kind.left -= 1
            kind.failed += 1
            error = sqlite3.OperationalError("it fails")
            error.sqlite_errorcode = kind.code
            raise error
        return super().execute(statement, *arguments)

    @classmethod
    def fail(cls, database: str, statement: str, code: int, times: int = 1) -> None:
        """From now on these statements fail, so many of them."""
        cls.database, cls.statement, cls.code, cls.left = database, statement, code, times
        cls.failed = 0


CATALOGUE_FAILURES = [
    (statement, code) for statement in ("BEGIN", "COMMIT") for code in CODES.values()
] + [("INSERT INTO entry", code) for code in CODES.values()]


class CommitFailureCase(PartialTestCase):
    """What the cases below share."""

    small = -1

    def setUp(self) -> None:
        super().setUp()
        self.patch(sqlite3, "connect", partial(sqlite3.connect, factory=FailingConnection))
        self.addCleanup(FailingConnection.fail, "", "", 0, 0)

    def start(self) -> LocalStore:
        """A store in a new directory that has one file."""
        self.root = Path(self.mktemp()).absolute()
        store = make_store(self, self.root, small=self.small)
        self.put(store, "stored", b"stored before")
        return store

    def assert_fails(self, commit: Deferred[Any], *kinds: type[Exception]) -> Failure:
        """It has failed, and because of what was to fail."""
        failure: Failure = self.failureResultOf(commit)
        self.assertTrue(failure.check(sqlite3.Error, NoSpace, CommitInDoubt), failure)
        if kinds:
            self.assertTrue(failure.check(*kinds), failure)
        self.assertGreater(FailingConnection.failed, 0)
        FailingConnection.left = 0
        return failure

    def assert_as_before(self, store: LocalStore, root: Path, *files: bytes) -> None:
        """What is listed is what was stored before, and there are no files but of these."""
        entries = [entry_of("stored", b"stored before")]
        self.assertEqual(self.successResultOf(listed(store)), entries)
        self.assertEqual(files_in(root), sorted(object_path(data) for data in files))
        bytes_of = self.successResultOf(stored_bytes(store, entries[0].id))
        self.assertEqual(bytes_of, b"stored before")


class FileTests(CommitFailureCase):
    """Contents that have files, and the catalogue's commit."""

    def upload(self, store: LocalStore, name: str, data: bytes) -> Deferred[Entry]:
        upload = self.successResultOf(begin(store, name, data))
        committing: Deferred[Entry] = upload.commit(digests_of(data))
        return committing

    def test_upload(self) -> None:
        """No file is left, now or after a crash; sent again, it is stored."""
        for statement, code in CATALOGUE_FAILURES:
            store = self.start()
            upload = self.successResultOf(begin(store, "name", b"content"))
            FailingConnection.fail(CATALOGUE, statement, code)
            self.assert_fails(upload.commit(digests_of(b"content")))
            self.assert_as_before(store, self.root, b"stored before")
            copy = self.copy(self.root)
            self.assert_as_before(self.open(copy), copy, b"stored before")
            self.put(store, "name", b"content")
            contents = {"stored": b"stored before", "name": b"content"}
            self.assert_holds(store, self.root, contents)

    def test_full(self) -> None:
        """Where the disk is full nothing is in doubt, however often it says so."""
        for statement in ("BEGIN", "COMMIT", "INSERT INTO entry"):
            store = self.start()
            upload = self.successResultOf(begin(store, "name", b"content"))
            FailingConnection.fail(CATALOGUE, statement, CODES["full"], 100)
            self.assert_fails(upload.commit(digests_of(b"content")), NoSpace)
            self.assert_as_before(store, self.root, b"stored before")

    def test_upload_of_stored(self) -> None:
        """A content that is stored already stays, under the names that it had."""
        for statement, code in CATALOGUE_FAILURES:
            for times in (1, 100):
                store = self.start()
                upload = self.successResultOf(begin(store, "name", b"stored before"))
                FailingConnection.fail(CATALOGUE, statement, code, times)
                self.assert_fails(upload.commit(digests_of(b"stored before")))
                copy = self.copy(self.root)
                self.assert_as_before(self.open(copy), copy, b"stored before")

    def assert_goes_on(self, data: bytes, *files: bytes) -> None:
        """After each failure of its commit, an upload under a token is held, and ends well."""
        for statement, code in CATALOGUE_FAILURES:
            for times in (1, 100):
                store = self.start()
                partial = self.resume(store, len(data))
                partial.write([data])
                FailingConnection.fail(CATALOGUE, statement, code, times)
                self.assert_fails(partial.commit(digests_of(data)))
                copy = self.copy(self.root)
                crashed = self.open(copy)
                self.assert_as_before(crashed, copy, *files)
                for each, root in ((store, self.root), (crashed, copy)):
                    self.assert_holds_partial(each, data, len(data))
                    self.successResultOf(go_on(self.resume(each, len(data)), data))
                    contents = {"stored": b"stored before", "name": data}
                    self.assert_holds(each, root, contents)
                    self.assertEqual([*(root / "partial").iterdir()], [])

    def test_token(self) -> None:
        """What came under a token is held again, now and after a crash."""
        self.assert_goes_on(b"content", b"stored before")

    def test_token_of_stored(self) -> None:
        """The same where the content is stored already, under another name."""
        self.assert_goes_on(b"stored before", b"stored before")

    def in_doubt(self) -> LocalStore:
        """A store with an upload under a token whose commit may be on the disk, or not."""
        store = self.start()
        partial = self.resume(store)
        partial.write([b"content"])
        FailingConnection.fail(CATALOGUE, "COMMIT", CODES["broken"], 100)
        self.assert_fails(partial.commit(digests_of(b"content")), CommitInDoubt)
        return store

    def test_in_doubt(self) -> None:
        """A commit that was on the disk after all has its bytes after a crash."""
        self.in_doubt()
        copy = self.copy(self.root)
        with contextlib.closing(open_database(copy / CATALOGUE)) as connection:
            digests = digests_of(b"content")
            entry = entry_of("name", b"content")
            add_content(connection, entry, digests, 1e9, "token", "", lambda number: None)
        store = self.open(copy)
        contents = {"stored": b"stored before", "name": b"content"}
        self.assert_holds(store, copy, contents)
        self.assertEqual([*(copy / "partial").iterdir()], [])

    def test_in_doubt_restarted(self) -> None:
        """What is held and may be a content too is not changed by who goes on otherwise."""
        changes: list[tuple[int, Callable[[IPartial], object]]] = [
            (7, lambda partial: self.successResultOf(partial.restart())),
            (9, lambda partial: partial.write([b"xx"])),
            (3, lambda partial: None),
        ]
        for size, change in changes:
            store = self.in_doubt()
            partial = self.resume(store, size)
            change(partial)
            self.assertEqual((self.root / object_path(b"content")).read_bytes(), b"content")
            self.successResultOf(partial.abort())
            self.successResultOf(store.close())

    def test_snapshot(self) -> None:
        """A part that has another name, as in a snapshot made of links, is gone on with."""
        store = self.start()
        self.hold(store, b"cont")
        (path,) = (self.root / "partial").iterdir()
        os.link(path, self.root.with_name("snapshot"))
        self.assert_holds_partial(store, b"cont")

    def test_committed_after_all(self) -> None:
        """Where the row is there though the commit has failed, the bytes stay."""
        store = self.start()
        upload = self.successResultOf(begin(store, "name", b"content"))
        execute = FailingConnection.execute

        def commit_and_fail(
            connection: FailingConnection, statement: str, *arguments: Any
        ) -> sqlite3.Cursor:
            cursor = execute(connection, statement, *arguments)
            if statement == "COMMIT":
                self.patch(FailingConnection, "execute", execute)
                FailingConnection.failed += 1
                raise sqlite3.OperationalError("it fails")
            return cursor

        self.patch(FailingConnection, "execute", commit_and_fail)
        self.assert_fails(upload.commit(digests_of(b"content")))
        contents = {"stored": b"stored before", "name": b"content"}
        self.assert_holds(store, self.root, contents)

    def test_tidying_up(self) -> None:
        """A mark that can't be removed once the row is there does not fail the upload."""
        store = self.start()
        upload = self.successResultOf(begin(store, "name", b"content"))

        def refuse(id: str) -> None:
            raise OSError(5, "it fails")

        broken = self.patch(store.objects, "confirm", refuse)
        self.successResultOf(upload.commit(digests_of(b"content")))
        broken.restore()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        copy = self.copy(self.root)
        contents = {"stored": b"stored before", "name": b"content"}
        self.assert_holds(self.open(copy), copy, contents)

    def test_deletion(self) -> None:
        """A deletion that fails leaves all as it was, now and after a crash."""
        id = entry_of("", b"stored before").id
        for statement, code in CATALOGUE_FAILURES:
            for times in (2, 100):  # where the disk is full, it is tried twice
                store = self.start()
                statement = statement.replace("INSERT INTO", "DELETE FROM")
                FailingConnection.fail(CATALOGUE, statement, code, times)
                failure = self.assert_fails(store.delete(id, None, EVERYTHING))
                marked = names_in(self.root, "incoming")
                self.assertEqual(bool(marked), isinstance(failure.value, CommitInDoubt), code)
                copy = self.copy(self.root)
                self.assert_as_before(self.open(copy), copy, b"stored before")
                self.successResultOf(store.delete(id, None, EVERYTHING))
                self.assert_holds(store, self.root, {})

    def test_deletion_takes_the_spare(self) -> None:
        """A deletion that finds no room gets what is kept for it, however many names there are."""
        few_at_once(self)
        for names in (1, 4):
            store = self.start()
            for number in range(1, names):
                self.put(store, f"{number}", b"stored before")
            (self.root / SPARE_FILE).touch()
            FailingConnection.fail(CATALOGUE, "COMMIT", CODES["full"])
            self.successResultOf(store.delete(entry_of("", b"stored before").id, None, EVERYTHING))
            self.assertEqual(FailingConnection.failed, 1)
            self.assertFalse((self.root / SPARE_FILE).exists())
            self.assert_holds(store, self.root, {})

    def test_deletion_of_one_name(self) -> None:
        """A content that keeps a name keeps no mark."""
        store = self.start()
        entry = self.put(store, "name", b"stored before")
        self.successResultOf(store.delete(entry.id, "name", EVERYTHING))
        self.assert_holds(store, self.root, {"stored": b"stored before"})

    def test_not_taken_back(self) -> None:
        """A file that can't be taken back does not hide the cause, and goes with the next start."""
        store = self.start()
        upload = self.successResultOf(begin(store, "name", b"content"))

        def refuse(id: str, path: Path) -> None:
            raise OSError(5, "it fails")

        broken = self.patch(store.objects, "take_back", refuse)
        FailingConnection.fail(CATALOGUE, "COMMIT", CODES["full"], 2)
        self.assert_fails(upload.commit(digests_of(b"content")), NoSpace)
        broken.restore()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        copy = self.copy(self.root)
        self.assert_as_before(self.open(copy), copy, b"stored before")

    def test_deletion_in_doubt(self) -> None:
        """A deletion that was on the disk after all leaves no file after a crash."""
        store = self.start()
        FailingConnection.fail(CATALOGUE, "COMMIT", CODES["broken"], 100)
        self.assert_fails(
            store.delete(entry_of("", b"stored before").id, None, EVERYTHING), CommitInDoubt
        )
        copy = self.copy(self.root)
        with contextlib.closing(open_database(copy / CATALOGUE)) as connection:
            connection.execute("DELETE FROM entry")
            connection.execute("DELETE FROM content")
        self.assert_holds(self.open(copy), copy, {})

    def test_deleted_after_all(self) -> None:
        """Where the names are gone, bytes that can't be removed do not fail the deletion."""
        store = self.start()

        def refuse(id: str) -> None:
            raise OSError(5, "it fails")

        broken = self.patch(store.objects, "remove", refuse)
        self.successResultOf(store.delete(entry_of("", b"stored before").id, None, EVERYTHING))
        broken.restore()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.successResultOf(listed(store)), [])
        copy = self.copy(self.root)
        self.assert_holds(self.open(copy), copy, {})


class SmallTests(CommitFailureCase):
    """Small contents, and the commits to both databases."""

    small = 1000

    def test_put(self) -> None:
        """No row is left where one commit fails, nor after a crash; put again, it is stored."""
        failures = [(CATALOGUE, *failure) for failure in CATALOGUE_FAILURES]
        failures += [
            (SMALL, statement, code)
            for statement in ("BEGIN", "COMMIT", "INSERT INTO small")
            for code in CODES.values()
        ]
        for failure in failures:
            for name, data in (("name", b"content"), ("again", b"stored before")):
                store = self.start()
                FailingConnection.fail(*failure)
                self.assert_fails(store.put(name, data, digests_of(data), EVERYTHING))
                self.assert_as_before(store, self.root)
                rows = [id for _, id in small_rows(self.root)]
                self.assertEqual(rows, [entry_of("", b"stored before").id], failure)
                copy = self.copy(self.root)
                self.assert_as_before(make_store(self, copy), copy)
                self.put(store, name, data)
                names = [entry.name for entry in self.successResultOf(listed(store))]
                self.assertEqual(sorted(names), sorted(["stored", name]))
                self.assertEqual(len(small_rows(self.root)), len({data, b"stored before"}))

    def test_tidied_up_later(self) -> None:
        """What could not be tidied up when a commit failed goes with the next one."""
        for data in (b"content", b"stored before"):  # a new row, and one in place of another
            store = self.start()
            FailingConnection.fail(CATALOGUE, "COMMIT", CODES["broken"], 100)
            self.assert_fails(store.put("name", data, digests_of(data), EVERYTHING), CommitInDoubt)
            self.put(store, "other", b"another")
            ids = [id for _, id in small_rows(self.root)]
            self.assertEqual(
                sorted(ids),
                sorted(entry_of("", each).id for each in (b"stored before", b"another")),
            )
            bytes_of = self.successResultOf(stored_bytes(store, entry_of("", b"stored before").id))
            self.assertEqual(bytes_of, b"stored before")

    def test_marks(self) -> None:
        """Marks do not gather: those of a commit go with the next one."""
        store = self.start()
        for number in range(5):
            self.put(store, "name", b"%d" % number)
            self.assertEqual(len(small_marks(self.root)), 1)

    def test_put_in_doubt(self) -> None:
        """A commit that was on the disk after all has its bytes after a crash."""
        store = self.start()
        FailingConnection.fail(CATALOGUE, "COMMIT", CODES["broken"], 100)
        self.assert_fails(
            store.put("name", b"content", digests_of(b"content"), EVERYTHING), CommitInDoubt
        )
        ((_, _), (number, id)) = small_rows(self.root)
        copy = self.copy(self.root)
        with contextlib.closing(open_database(copy / CATALOGUE)) as connection:
            row = (id, digests_of(b"content").sha256, 7, 1e9, 1e9, number)
            connection.execute("INSERT INTO content VALUES (?, ?, ?, ?, ?, NULL, ?)", row)
            connection.execute("INSERT INTO entry VALUES ('name', ?, 7, 1e9, 1, '')", (id,))
        self.assertEqual(self.successResultOf(stored_bytes(self.open(copy), id)), b"content")

    def test_becomes_file(self) -> None:
        """One that is stored as an upload has its row, and no file, where the commit fails."""
        for statement, code in CATALOGUE_FAILURES:
            store = self.start()
            upload = self.successResultOf(begin(store, "name", b"stored before"))
            FailingConnection.fail(CATALOGUE, statement, code)
            self.assert_fails(upload.commit(digests_of(b"stored before")))
            self.assert_as_before(store, self.root)
            copy = self.copy(self.root)
            self.assert_as_before(make_store(self, copy), copy)

    def test_becomes_file_in_doubt(self) -> None:
        """The same where a crash may yet bring the row: its bytes are there in either case."""
        store = self.start()
        upload = self.successResultOf(begin(store, "name", b"stored before"))
        FailingConnection.fail(CATALOGUE, "COMMIT", CODES["broken"], 100)
        self.assert_fails(upload.commit(digests_of(b"stored before")), CommitInDoubt)
        for committed in (False, True):
            copy = self.copy(self.root)
            if committed:
                with contextlib.closing(open_database(copy / CATALOGUE)) as connection:
                    connection.execute("UPDATE content SET small = NULL")
            self.assert_as_before(
                make_store(self, copy), copy, *((b"stored before",) if committed else ())
            )
            self.assertEqual(len(small_rows(copy)), not committed)


class SettleTests(CommitFailureCase):
    """What a failed commit has left in the write-ahead log."""

    def test_written_over(self) -> None:
        """What was written and not synced is not there after a crash, once that is settled."""
        self.root.mkdir()
        with contextlib.closing(open_database(self.root / CATALOGUE)) as connection:
            wal = self.root / f"{CATALOGUE}-wal"
            size = wal.stat().st_size
            connection.execute("BEGIN")
            connection.execute("INSERT INTO usage VALUES ('x', 1, 1)")
            connection.execute("ROLLBACK")
            settle(connection)
            self.assertEqual(wal.stat().st_size, size + 24 + 4096)
            self.assertEqual(connection.execute("SELECT * FROM usage").fetchall(), [])
