"""A storage directory that is not whole: what is missing is told, and nothing is started over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import fail
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot, make_store, overwrite
from tests.support.executors import InlineExecutor
from tests.support.processes import Server, new_directory, run
from xferproto.admin.main import main
from xferproto.depot.depot import NO_LIMITS
from xferproto.model.entry import Entry
from xferproto.model.errors import StorageUnavailable
from xferproto.server.limits import DEFAULTS
from xferproto.server.service import UPKEEP_INTERVAL, DepotService
from xferproto.store.local.packed import SMALL, SMALL_SIZE
from xferproto.store.local.preflight import FIRST_WAL
from xferproto.store.local.schema import BACKUP, CATALOGUE, open_database
from xferproto.store.local.store import LocalStore
from xferproto.threads.executor import Executor
from xferproto.twistd import ExitStatus

SMALL_CONTENT = b"hello"
LARGE_CONTENT = bytes(SMALL_SIZE + 1)

GARBAGE = b"This is not a database. " * 1000


def put(case: SynchronousTestCase, store: LocalStore, name: str, content: bytes) -> None:
    session = Depot.over(case, store).connect()
    session.send(b"UPLOAD %s;%d\n" % (name.encode(), len(content)), content)


def entries(case: SynchronousTestCase, store: LocalStore) -> list[str]:
    """What is listed: names, sorted."""
    lines = Depot.over(case, store).connect().send(b"LIST_FILES\n").decode().splitlines()[:-1]
    return (
        []
        if lines == ["No files available at the moment"]
        else [line.split(";")[1] for line in lines]
    )


def tree(root: Path) -> dict[str, bytes | None]:
    """Everything in a directory but what SQLite makes when it looks into a file."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if not path.name.endswith("-shm") and (not path.name.endswith("-wal") or path.read_bytes())
    }


def remove(root: Path, *names: str) -> bool:
    for name in names:
        for path in root.glob(name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return True


def empty(root: Path, name: str) -> bool:
    remove(root, f"{name}*")
    if "." in name:
        (root / name).touch()
    else:
        (root / name).mkdir()
    return True


class LostCase(SynchronousTestCase):
    """
    Tests of storage directories that something has happened to.

    @ivar root: a storage directory with a small and a large file, used by nobody.
    """

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        store = make_store(self, self.root)
        put(self, store, "large", LARGE_CONTENT)
        put(self, store, "small", SMALL_CONTENT)
        self.successResultOf(store.close())

    def copy(self) -> Path:
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(self.root, copy, symlinks=True)
        return copy

    def names(self, root: Path) -> list[str]:
        """What a store that starts in this directory lists."""
        store = make_store(self, root)
        names = entries(self, store)
        self.successResultOf(store.close())
        return names

    def assert_refused(self, root: Path, *words: str) -> None:
        """No store starts there; that is told in a line with these words, and changes nothing."""
        (root / "lock").touch()
        before = tree(root)
        text = str(self.assertRaises(StorageUnavailable, make_store, self, root))
        for word in (str(root), *words):
            self.assertIn(word, text)
        self.assertEqual(len(text.splitlines()), 1)
        self.assertTrue(tree(root) == before, "it was changed")

    def rebuild(self, root: Path) -> int:
        with contextlib.redirect_stdout(None):
            return main(["rebuild", str(root)])


class MissingTests(LostCase):
    """Each part that a depot can lose."""

    def assert_told(self, change: Callable[[Path], object], *words: str) -> None:
        """After this change nothing starts, until the command that is named was run."""
        root = self.copy()
        change(root)
        self.assert_refused(root, f"xfer-depot rebuild {root}", *words)
        self.assert_refused(root, *words)
        self.rebuild(root)
        self.names(root)

    def test_catalogue(self) -> None:
        """Without its catalogue, or with an empty one, a depot is not shown empty."""
        for change in (
            lambda root: remove(root, "catalogue*"),
            lambda root: empty(root, CATALOGUE),
            lambda root: (remove(root, "catalogue*"), remove(root, f"{SMALL}*")),
            lambda root: (remove(root, "catalogue*"), remove(root, "objects")),
            lambda root: (empty(root, CATALOGUE), (root / f"{CATALOGUE}-wal").write_bytes(b"x")),
            lambda root: (
                remove(root, "*"),
                (root / f"{CATALOGUE}-wal").write_bytes(bytes(FIRST_WAL + 1)),
            ),
            lambda root: (root / CATALOGUE).write_bytes(GARBAGE),
        ):
            self.assert_told(change, CATALOGUE)

    def test_first_start(self) -> None:
        """What a power cut in the very first start leaves is no lost catalogue: it starts."""
        make_store(self, self.root)
        wal = (self.root / f"{CATALOGUE}-wal").read_bytes()
        self.assertLess(len(wal), FIRST_WAL / 2)
        for catalogue in (None, b""):
            root = self.root.with_name(f"first-{catalogue is None}")
            for name in ("objects", "incoming", "partial", "quarantine"):
                (root / name).mkdir(parents=True)
            (root / f"{CATALOGUE}-wal").write_bytes(wal)
            if catalogue is not None:
                (root / CATALOGUE).write_bytes(catalogue)
            self.successResultOf(make_store(self, root).close())

    def test_made_anew(self) -> None:
        """Nor with a new one, as earlier versions made it, or with a stopped rebuild's."""

        def make(root: Path) -> None:
            remove(root, "catalogue*")
            open_database(root / CATALOGUE).close()

        self.assert_told(make, f"{CATALOGUE} knows no file")

    def test_copy_only(self) -> None:
        """A copy of the catalogue tells that there were files, though nothing else is left."""
        store = make_store(self, self.root)
        self.assertGreater(self.successResultOf(store.maintenance.backup()), 0)
        self.successResultOf(store.close())
        for path in self.root.iterdir():
            if path.name != BACKUP:
                remove(self.root, path.name)
        self.assert_told(lambda root: None, CATALOGUE)

    def test_small(self) -> None:
        """Without the database of small contents that the catalogue knows, none is made."""
        for change in (
            lambda root: remove(root, f"{SMALL}*"),
            lambda root: empty(root, SMALL),
            lambda root: (root / SMALL).write_bytes(GARBAGE),
            lambda root: (remove(root, f"{SMALL}*"), (root / f"{SMALL}-wal").write_bytes(b"x")),
        ):
            self.assert_told(change, SMALL)

    def test_small_made_anew(self) -> None:
        """Nor is one used that has no row: that was made when the other was lost."""

        def make(root: Path) -> None:
            other = Path(self.mktemp())
            self.successResultOf(make_store(self, other).close())
            remove(root, f"{SMALL}*")
            shutil.copy(other / SMALL, root / SMALL)

        self.assert_told(make, SMALL)

    def test_objects(self) -> None:
        """Without the object files that the catalogue knows, their directory is not made."""
        for change in (lambda root: remove(root, "objects"), lambda root: empty(root, "objects")):
            self.assert_told(change, "objects is missing or empty")

    def test_objects_not_mounted(self) -> None:
        """A file, or a link to nowhere, in the place of a directory is told, and stays."""
        for name in ("objects", "incoming", "partial", "quarantine"):
            remove(self.root, name)
            (self.root / name).symlink_to("/nowhere")
            self.assert_refused(self.root, f"{name} is no directory")
            (self.root / name).unlink()
            (self.root / name).write_bytes(b"mine")
            self.assert_refused(self.root, f"{name} is no directory")
            (self.root / name).unlink()
            if name == "objects":
                shutil.copytree(self.copy() / "incoming", self.root / name)
                break

    def test_of_another_kind(self) -> None:
        """A database of another program in the place of one of these is told, and left alone."""
        for name in (CATALOGUE, SMALL):
            root = self.copy()
            remove(root, f"{name}*")
            with contextlib.closing(sqlite3.connect(root / name)) as connection:
                connection.execute("CREATE TABLE theirs (x)")
                connection.commit()
            self.assert_refused(root, "version")

    def test_put_back(self) -> None:
        """What was missing and is put back is used as before."""
        for name in (CATALOGUE, SMALL, "objects"):
            away = Path(self.mktemp())
            (self.root / name).rename(away)
            self.assert_refused(self.root, name)
            away.rename(self.root / name)
            self.assertEqual(self.names(self.root), ["large", "small"])

    def test_whole_depot(self) -> None:
        """The command says it in one line, with status 1, and leaves no pid file."""
        directory = new_directory(self)
        root = directory / "storage"
        shutil.copytree(self.root, root)
        remove(root, f"{CATALOGUE}*")
        outcome = run(directory, "-n", "xfer", "--port", "0", "--storage", root)
        self.assertEqual(outcome.status, 1)
        (line,) = outcome.err
        self.assertTrue(line.startswith("xfer: "))
        self.assertIn(f"{CATALOGUE} is missing", line)
        self.assertEqual([path.name for path in directory.iterdir()], ["storage"])


class WholeTests(LostCase):
    """What looks as if something were missing, and is not."""

    def test_new(self) -> None:
        """A directory that is not there, is empty, or holds foreign files only, is taken."""
        for make in (
            lambda root: None,
            lambda root: root.mkdir(),
            lambda root: (root.mkdir(), (root / "lost+found").mkdir()),
            lambda root: (root.mkdir(), (root / "notes.txt").write_text("mine")),
            lambda root: (root.mkdir(), (root / CATALOGUE).touch(), (root / SMALL).touch()),
            lambda root: [(root / name).mkdir(parents=True) for name in ("objects", "incoming")],
        ):
            root = Path(self.mktemp()).absolute()
            make(root)
            self.assertEqual(self.names(root), [])
            self.assertEqual(self.names(root), [])

    def test_last_file_deleted(self) -> None:
        """A depot whose last file was deleted starts, also when a crash brought its bytes back."""
        store = make_store(self, self.root)
        (large,) = (self.root / "objects").glob("*/*")
        for name, content in (("large", LARGE_CONTENT), ("small", SMALL_CONTENT)):
            session = Depot.over(self, store).connect()
            id = session.send(b"UPLOAD %s;%d\n" % (name.encode(), len(content)), content)
            session.send(b"DELETE " + id)
        self.assertEqual(entries(self, store), [])
        self.successResultOf(store.maintenance.backup())
        self.successResultOf(store.close())
        self.assertEqual(self.names(self.root), [])
        large.write_bytes(LARGE_CONTENT)
        self.assertEqual(self.names(self.root), [])
        remove(self.root, "objects", f"{SMALL}*")
        self.assertEqual(self.names(self.root), [])

    def test_first_upload_killed(self) -> None:
        """The very first files may have come without their rows when the server is killed."""
        for kept in ("objects/*/*", f"{SMALL}*"):
            root = self.copy()
            remove(root, f"{CATALOGUE}*", *{"objects/*/*", f"{SMALL}*"} - {kept})
            open_database(root / CATALOGUE).close()
            for path in root.glob("objects/*/*"):
                (root / "incoming" / f"{path.name}.commit").touch()
            self.assertEqual(self.names(root), [])

    def test_damaged(self) -> None:
        """Where everything of one kind is known to be damaged, none of it is missing."""
        store = make_store(self, self.root)
        session = Depot.over(self, store).connect()
        for content in (LARGE_CONTENT, SMALL_CONTENT):
            id = session.send(b"UPLOAD x;%d\n" % len(content), content).decode().strip()
            overwrite(self.root, id, b"other")
            session.send(f"VERIFY {id}\n".encode())
        self.successResultOf(store.close())
        self.assertEqual(list(self.root.glob("objects/*/*")), [])
        self.assertEqual(self.names(self.root), [])


class InlineService(DepotService):
    """A service without threads."""

    def _executor(self, pool: str) -> Executor:  # type: ignore[override]
        return InlineExecutor()


class BackupTests(SynchronousTestCase):
    """When the catalogue is copied."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.reactor = MemoryReactorClock()
        self.service = InlineService(
            self.reactor, self.root, [], NO_LIMITS, 3600.0, 0, ExitStatus(), DEFAULTS
        )
        self.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.service.running:
            self.successResultOf(self.service.stopService())

    def put(self, name: str) -> None:
        store = self.service._depot.store
        assert isinstance(store, LocalStore)
        put(self, store, name, name.encode())

    def copied(self) -> list[Entry] | None:
        """The names in the copy; None where there is none."""
        if not (self.root / BACKUP).exists():
            return None
        with contextlib.closing(sqlite3.connect(self.root / BACKUP)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM entry ORDER BY name")]

    def test_first(self) -> None:
        """The first copy is made within a minute after the first file, and again when more came."""
        self.addCleanup(os.umask, os.umask(0))
        self.reactor.advance(UPKEEP_INTERVAL)
        self.assertIsNone(self.copied())
        self.put("a")
        self.reactor.advance(UPKEEP_INTERVAL)
        self.assertEqual(self.copied(), ["a"])
        before = (self.root / BACKUP).stat()
        self.assertEqual(before.st_mode & 0o777, 0o600)
        self.reactor.advance(UPKEEP_INTERVAL)
        self.assertTrue(os.path.samestat((self.root / BACKUP).stat(), before))

    def test_full(self) -> None:
        """Upkeep that fails keeps no other from being done, and is one line of the log."""
        store = self.service._depot.store
        self.patch(
            store.maintenance, "age_partials", lambda *_: fail(sqlite3.OperationalError("full"))
        )
        self.put("a")
        with capturedLogs() as events:
            self.reactor.advance(UPKEEP_INTERVAL)
        self.assertEqual(self.copied(), ["a"])
        lines = [event for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(
            [formatEvent(one) for one in lines], ["removing old partials failed: full"]
        )
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stop(self) -> None:
        """A server that stops leaves a copy of what it has."""
        self.put("a")
        self.put("b")
        self.stop()
        self.assertEqual(self.copied(), ["a", "b"])

    def test_stop_without(self) -> None:
        """One that can't make it stops all the same, and says so."""
        self.put("a")
        (self.root / BACKUP).mkdir()
        self.stop()
        self.successResultOf(make_store(self, self.root).close())
        self.assertEqual(list(self.root.glob("*.part")), [])

    def test_damaged(self) -> None:
        """Damage of a catalogue does not get into its copy."""
        self.put("a")
        self.reactor.advance(UPKEEP_INTERVAL)
        store = self.service._depot.store
        assert isinstance(store, LocalStore)
        session = Depot.over(self, store).connect()
        for name in (b"%03d" % number * 60 for number in range(200)):
            session.send(b"UPLOAD %s;%d\n" % (name, len(name)), name)
        store._catalogue.database.writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path = self.root / CATALOGUE
        data = bytearray(path.read_bytes())
        place = data.rindex(b"077" * 60)
        data[place - 100 : place] = b"\xff" * 100
        path.write_bytes(data)
        self.stop()
        self.assertEqual(self.copied(), ["a"])

    def test_process(self) -> None:
        """A catalogue that is lost after a stop costs no name and no owner."""
        server = Server(self, new_directory(self))
        with server.connect(self) as connection:
            connection.sendall(b"UPLOAD name;5\nhelloQUIT\n")
            self.assertEqual(len(connection.makefile("rb").read()), 33)
        server.signal(signal.SIGTERM)
        server.wait()
        (server.storage / CATALOGUE).unlink()
        with contextlib.redirect_stdout(None):
            self.assertEqual(main(["rebuild", str(server.storage)]), 0)
        store = make_store(self, server.storage)
        self.assertEqual(entries(self, store), ["name"])


class LockTests(LostCase):
    """One server at a time, whatever becomes of the lock file."""

    def lock_as_before(self) -> int:
        """What earlier versions did: only the file is locked."""
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        self.addCleanup(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd

    def test_removed(self) -> None:
        """A second server stays out after the lock file was removed, and the command too."""
        store = make_store(self, self.root)
        for _ in range(2):
            (self.root / "lock").unlink()
            self.assertIn(
                "in use", str(self.assertRaises(StorageUnavailable, make_store, self, self.root))
            )
            with contextlib.redirect_stderr(None):
                self.assertEqual(self.rebuild(self.root), 1)
            self.successResultOf(store.maintenance.check())
        self.successResultOf(store.close())
        self.assertEqual(self.names(self.root), ["large", "small"])

    def test_earlier_version(self) -> None:
        """A server of an earlier version, which has the lock file alone, keeps a new one out."""
        fd = self.lock_as_before()
        self.assertIn(
            "in use", str(self.assertRaises(StorageUnavailable, make_store, self, self.root))
        )
        fcntl.flock(fd, fcntl.LOCK_UN)
        self.names(self.root)

    def test_earlier_version_kept_out(self) -> None:
        """It is kept out by a new one, too, once that has looked whether the file is there."""
        store = make_store(self, self.root)
        self.assertRaises(BlockingIOError, self.lock_as_before)
        (self.root / "lock").unlink()
        self.successResultOf(store.maintenance.check())
        self.assertRaises(BlockingIOError, self.lock_as_before)
        self.successResultOf(store.close())
        self.lock_as_before()
