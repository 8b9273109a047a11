"""C{xfer-depot rebuild} that is stopped, runs again, or meets what is not the depot's."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import digests_of
from tests.support.depot import Depot, make_store, overwrite
from xferproto.admin.main import main
from xferproto.model.errors import StorageUnavailable
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.local.packed import SMALL, SMALL_SIZE
from xferproto.store.local.schema import BACKUP, CATALOGUE, open_database
from xferproto.store.local.store import LocalStore

ANN = View("ann", all=False)

SMALL_CONTENT = b"hello"
LARGE_CONTENT = bytes(SMALL_SIZE + 1)

CALLS = ("fsync", "link", "posix_fadvise", "rename", "replace", "unlink")
"""Functions of C{os} at which a rebuild is stopped: reading, writing and moving go through them."""

Row = tuple[str, str, str, float]
"""Name, owner, id and time of an entry."""


def id_of(content: bytes) -> str:
    return md5(content).hexdigest()


class RebuildCase(SynchronousTestCase):
    """
    Tests of rebuilds.

    @ivar root: a storage directory with files of two owners, large and small, and a partial.
    """

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.store = make_store(self, self.root)
        for name, content, view in (
            ("ann's large", LARGE_CONTENT, ANN),
            ("ann's small", SMALL_CONTENT, ANN),
            ("small", SMALL_CONTENT, View()),
        ):
            self.put(self.store, name, content, view)
        session = Depot.over(self, self.store).connect()
        session.send(b"RESUME part;5;token\n", b"0\n", b"par")
        self.killed = self.copy()  # with its write-ahead logs
        session.lose()
        self.successResultOf(self.store.close())
        self.rows = self.entries(self.root)
        self.assertEqual(len(self.rows), 3)

    def put(self, store: LocalStore, name: str, content: bytes, view: View) -> None:
        self.successResultOf(store.put(name, content, digests_of(content), view))

    def copy(self, root: Path | None = None) -> Path:
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(root or self.root, copy, symlinks=True)
        return copy

    def entries(self, root: Path) -> list[Row]:
        """What a catalogue lists, with owners and times, that of a server that has started."""
        self.successResultOf(make_store(self, root).close())
        with contextlib.closing(sqlite3.connect(root / CATALOGUE)) as connection:
            return connection.execute(
                "SELECT name, owner, id, stored FROM entry WHERE listed ORDER BY name, owner"
            ).fetchall()

    def rebuild(self, root: Path) -> tuple[int, str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = main(["rebuild", str(root)])
        return status, out.getvalue()

    def assert_restored(self, root: Path) -> None:
        """All names are there, with their owners, and all bytes; and the partial goes on."""
        self.assertEqual(self.entries(root), self.rows)
        store = make_store(self, root)
        session = Depot.over(self, store).connect()
        for content in (SMALL_CONTENT, LARGE_CONTENT):
            answer = session.send(f"VERIFY {id_of(content)}\n".encode())
            self.assertEqual(answer, f"{id_of(content)}\n".encode())
        answer = session.send(b"RESUME part;5;token\n")
        self.assertEqual(answer, f"3;{id_of(b'par')}\n".encode())
        session.lose()
        self.successResultOf(store.close())

    def put_aside(self, root: Path, when: str = "20200101T000000") -> None:
        """What an earlier version did first: the catalogue is renamed, with what is beside it."""
        for suffix in ("", "-wal", "-shm"):
            path = root / f"{CATALOGUE}{suffix}"
            if path.exists():
                path.rename(root / f"catalogue.{when}.damaged{suffix}")


class StoppedTests(RebuildCase):
    """A run that ends midway."""

    def stop_after(self, calls: int, root: Path) -> tuple[bool, int, str]:
        """
        Stop it when so many system calls were made: whether that came, its status and output.
        """
        left = calls

        def stopping(call: Callable[..., Any]) -> Callable[..., Any]:
            def stop(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left == -1:
                    raise KeyboardInterrupt
                return call(*args, **kwargs)

            return stop

        with contextlib.ExitStack() as patched:
            for name in CALLS:
                patch = self.patch(os, name, stopping(getattr(os, name)))
                patched.callback(patch.restore)
            status, out = self.rebuild(root)
        if left < 0:
            self.assertEqual(status, 130, out)
        return left < 0, status, out

    def assert_nothing_lost(self, original: Path, status: int = 0) -> None:
        """Wherever it is stopped, a server has all names, or does not start; a second run has."""
        calls = refused = 0
        while True:
            root = self.copy(original)
            stopped, ended, out = self.stop_after(calls, root)
            try:
                found = self.entries(self.copy(root))
            except StorageUnavailable as error:
                self.assertIn("rebuild", str(error))
                refused += 1
            else:
                self.assertEqual(found, self.rows, f"after {calls} calls")
            if not stopped:
                self.assertEqual(ended, status, out)
                break
            ended, out = self.rebuild(root)
            self.assertIn(ended, (0, status), out)
            self.assertIn("2 contents under 3 names, 0 of them", out)
            self.assert_restored(root)
            self.assertEqual(list(root.glob("*.part*")), [])
            calls += 1
        self.assertGreater(calls, 10)
        self.assertLess(refused, calls)

    def test_each_moment(self) -> None:
        """Where the server had stopped."""
        self.assert_nothing_lost(self.root)

    def test_each_moment_after_kill(self) -> None:
        """Where it was killed: the latest names are in the write-ahead log."""
        self.assert_nothing_lost(self.killed)

    def test_damaged_small(self) -> None:
        """Where the database of small contents has to be made anew, too."""
        path = self.root / SMALL
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE other (x)")
            connection.execute("INSERT INTO other VALUES (zeroblob(20000))")
            connection.commit()
        data = path.read_bytes()
        path.write_bytes(data[:-4096] + b"\xff" * 4096)
        self.assert_nothing_lost(self.root, 1)

    def test_earlier_version(self) -> None:
        """What a stopped run of an earlier version left is refused, and taken up by the next."""
        for original in (self.root, self.killed):
            root = self.copy(original)
            self.put_aside(root)
            open_database(root / CATALOGUE).close()
            self.assertRaises(StorageUnavailable, make_store, self, root)
            status, out = self.rebuild(root)
            self.assertEqual(status, 0, out)
            self.assert_restored(root)

    def test_earlier_version_twice(self) -> None:
        """Names that a second run of an earlier version has lost come back, too."""
        self.put_aside(self.root)
        status, out = self.rebuild(self.copy_without("catalogue.*.damaged"))
        self.assertIn("2 of them recovered", out)
        status, out = self.rebuild(self.recovered)
        self.assertEqual(status, 0, out)
        self.assertIn("2 contents under 2 names, 2 of them recovered", out)
        shutil.copy(next(self.root.glob("catalogue.*.damaged")), self.recovered)
        status, out = self.rebuild(self.recovered)
        self.assertIn("2 contents under 3 names, 0 of them recovered", out)
        self.assertEqual(self.entries(self.recovered), self.rows)

    def copy_without(self, pattern: str) -> Path:
        self.recovered = self.copy()
        for path in self.recovered.glob(pattern):
            path.unlink()
        return self.recovered


class NamesTests(RebuildCase):
    """Where the names come from."""

    def test_owners(self) -> None:
        """Owners stay: from the catalogue, and from its copy when that is all there is."""
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)
        self.assert_restored(self.root)
        store = make_store(self, self.root)
        self.successResultOf(store.maintenance.backup())
        self.successResultOf(store.close())
        for path in self.root.glob("catalogue.*"):
            if path.name != BACKUP:
                path.unlink()
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)
        self.assert_restored(self.root)

    def test_deleted(self) -> None:
        """A file that was deleted since the last copy is not missed, and does not come back."""
        store = make_store(self, self.root)
        self.successResultOf(store.maintenance.backup())
        self.successResultOf(store.delete(id_of(LARGE_CONTENT), None, EVERYTHING))
        self.successResultOf(store.close())
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)
        self.assertEqual([row[0] for row in self.entries(self.root)], ["ann's small", "small"])

    def test_damaged_page(self) -> None:
        """Of a damaged catalogue, what its table lacks is in the index, and the other way round."""
        store = make_store(self, self.root)
        names = [f"{number:04}" + "x" * 100 for number in range(300)]
        for name in names:
            self.put(store, name, name.encode(), ANN)
        self.successResultOf(store.close())
        rows = self.entries(self.root)
        for tree in ("entry", "entry_of_content"):
            root = self.copy()
            path = root / CATALOGUE
            data = bytearray(path.read_bytes())
            with contextlib.closing(sqlite3.connect(path)) as connection:
                (page,) = connection.execute(
                    "SELECT rootpage FROM sqlite_schema WHERE name = ?", (tree,)
                ).fetchone()
            data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
            path.write_bytes(data)
            status, out = self.rebuild(root)
            self.assertEqual(status, 0, out)
            self.assertEqual(self.entries(root), rows)

    def test_missing_stay_known(self) -> None:
        """What is not there is told each time, until it is stored again; its names stay."""
        overwrite(self.root, id_of(LARGE_CONTENT), None)
        overwrite(self.root, id_of(SMALL_CONTENT), b"jello")
        for _ in range(2):
            status, out = self.rebuild(self.root)
            self.assertEqual(status, 1)
            self.assertIn(f"the bytes of {id_of(LARGE_CONTENT)} are missing", out)
            self.assertEqual(self.entries(self.root), [])
        store = make_store(self, self.root)
        for content in (LARGE_CONTENT, SMALL_CONTENT):
            session = Depot.over(self, store).connect()
            session.send(b"UPLOAD again;%d\n" % len(content), content)
        self.successResultOf(store.close())
        again = [row[:3] for row in self.entries(self.root) if row[0] != "again"]
        self.assertEqual(again, [row[:3] for row in self.rows])
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)


class ForeignTests(RebuildCase):
    """What is not the depot's."""

    def test_passed_over(self) -> None:
        """It is told, passed over and left alone; all files are listed."""
        large = self.root / "objects" / id_of(LARGE_CONTENT)[:2]
        other = id_of(b"other")
        (self.root / "objects" / "notes").write_text("mine")
        (self.root / "objects" / "lost+found").mkdir()
        (large / ".snapshot").mkdir()
        (large / id_of(LARGE_CONTENT).upper()).write_text("mine")
        (large / "nowhere").symlink_to("/nowhere")
        (self.root / "objects" / other[:2]).mkdir()
        (self.root / "objects" / other[:2] / other).mkdir()
        (self.root / "objects" / "AB").mkdir()
        (self.root / "objects" / "ab").symlink_to("/nowhere")
        os.mkfifo(self.root / "objects" / "pipe")
        before = {path for path in self.root.rglob("*") if path.parent != self.root}
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)
        for word in ("notes", "lost+found", ".snapshot", "nowhere", "AB", "pipe", other):
            self.assertIn(word, out)
        self.assertLessEqual(before, set(self.root.rglob("*")))
        self.assert_restored(self.root)

    def test_unreadable(self) -> None:
        """An object that can't be read is told, and read by the next run that can."""
        path = self.root / "objects" / id_of(LARGE_CONTENT)[:2] / id_of(LARGE_CONTENT)
        path.rename(self.root / "away")
        path.symlink_to("/proc/self/mem")  # reading that fails with EIO
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 1)
        self.assertIn("can't be read: Input/output error", out)
        self.assertEqual(len(self.entries(self.root)), 2)
        (self.root / "away").rename(path)
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)
        self.assert_restored(self.root)

    def test_put_aside_unnamed(self) -> None:
        """An object that a start has put aside because nothing named it is found again."""
        path = self.root / "objects" / id_of(LARGE_CONTENT)[:2] / id_of(LARGE_CONTENT)
        path.rename(self.root / "quarantine" / f"{path.name}.1000000000.unnamed")
        path.parent.rmdir()
        status, out = self.rebuild(self.root)
        self.assertEqual(status, 0, out)
        self.assert_restored(self.root)

    def test_no_depot(self) -> None:
        """A directory that is none of a depot's is refused, and nothing is made in it."""
        name = "ab" + "0" * 36

        def of_git(root: Path) -> None:
            (root / "objects" / "ab").mkdir(parents=True)
            (root / "objects" / "ab" / name).write_text("mine")

        def of_another(root: Path) -> None:
            with contextlib.closing(sqlite3.connect(root / CATALOGUE)) as connection:
                connection.execute("CREATE TABLE theirs (x)")
                connection.commit()

        for make in (
            lambda root: None,
            lambda root: (root / "notes").write_text("mine"),
            lambda root: (root / CATALOGUE).write_text("mine"),
            of_git,
            of_another,
        ):
            root = Path(self.mktemp())
            root.mkdir()
            make(root)
            before = sorted(root.rglob("*"))
            status, out = self.rebuild(root)
            self.assertEqual(status, 1)
            self.assertEqual(out.count("\n"), 1)
            self.assertIn("not a storage directory", out)
            self.assertEqual(sorted(root.rglob("*")), before)
