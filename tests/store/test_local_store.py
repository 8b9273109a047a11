"""The store on a local disk: the contract of all stores, crashes, full disks, damaged files."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import md5
from itertools import permutations
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.store.contract import (
    StoreContract,
    begin,
    digests_of,
    entries_of,
    entry_of,
    listed,
    put,
    stored_bytes,
)
from tests.support.collision import FIRST, SECOND
from tests.support.depot import NO_SMALL, few_at_once
from tests.support.executors import GatedExecutor, InlineExecutor, SteppedExecutor
from tests.support.file_modes import obey_in
from tests.support.held import close_store, held_by_store
from xferproto.model.entry import Entry
from xferproto.model.errors import Collision, Corrupt, NoSpace, StorageUnavailable
from xferproto.model.identity import EVERYTHING
from xferproto.store.local import catalogue_database, catalogue_names, schema
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.store.local.store import LocalStore
from xferproto.threads.executor import Executor, ThreadExecutor

P = ParamSpec("P")
R = TypeVar("R")


def open_store(
    root: Path,
    files: Executor | None = None,
    writer: Executor | None = None,
    now: Callable[[], float] = lambda: 1e9,
    small: int = NO_SMALL,
) -> LocalStore:
    """
    A store in this directory that does inline whatever is given no executor.

    @param small: the most bytes of a small content; what is asked of these is in test_small.
    """
    inline = InlineExecutor()
    return LocalStore(
        root,
        inline if files is None else files,
        inline if writer is None else writer,
        reader=inline,
        now=now,
        small=small,
    )


def files_in(root: Path) -> list[str]:
    """Everything but directories below C{objects/} and C{incoming/}: relative paths, sorted."""
    return sorted(
        str(path.relative_to(root))
        for folder in ("objects", "incoming")
        for path in (root / folder).rglob("*")
        if not path.is_dir()
    )


def object_path(data: bytes) -> str:
    """Where a content lies, below the storage directory."""
    id = md5(data).hexdigest()
    return f"objects/{id[:2]}/{id}"


class InlineContractTests(StoreContract, TestCase):
    """
    The contract, where everything is done at once.

    @cvar small: the most bytes of a small content.
    """

    small = SMALL_SIZE

    def setUp(self) -> None:
        few_at_once(self)

    async def make_store(self) -> LocalStore:
        return open_store(Path(self.mktemp()), now=lambda: self.time, small=self.small)


class WalkingContractTests(InlineContractTests):
    """The same, where the names of a content are found among those of all."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(catalogue_names, "ENTRIES_ON_PAGE", 0)


class InlineFilesContractTests(InlineContractTests):
    """The same, where every content has an object file."""

    small = NO_SMALL


class ThreadsContractTests(StoreContract, TestCase):
    """
    The contract, with real threads.

    @cvar small: the most bytes of a small content.
    """

    small = SMALL_SIZE

    def setUp(self) -> None:
        few_at_once(self)

    def make_executor(self, threads: int) -> ThreadExecutor:
        pool = ThreadPool(threads, threads)
        pool.start()
        self.addCleanup(pool.stop)
        real: Any = reactor
        return ThreadExecutor(real, pool)

    async def make_store(self) -> LocalStore:
        files, writer, reader, scans = (self.make_executor(threads) for threads in (4, 1, 1, 1))
        return LocalStore(
            Path(self.mktemp()),
            files,
            writer,
            reader,
            lambda: self.time,
            small=self.small,
            scans=scans,
        )


class ThreadsFilesContractTests(ThreadsContractTests):
    """The same, where every content has an object file."""

    small = NO_SMALL


class LocalStoreTestCase(SynchronousTestCase):
    """
    Tests of stores in one directory.

    @ivar root: the storage directory; not made yet.
    """

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()

    def open(
        self,
        root: Path | None = None,
        files: Executor | None = None,
        writer: Executor | None = None,
    ) -> LocalStore:
        """A store that the clean-up closes."""
        store = open_store(root or self.root, files, writer)
        self.addCleanup(close_store, self, store, files, writer)
        return store

    def close(self, store: LocalStore) -> None:
        """Close a store that L{open_store} gave."""
        self.assertEqual(held_by_store(store), {})
        self.successResultOf(store.close())

    def put(self, store: LocalStore, name: str, data: bytes) -> Entry:
        """Store a content under a name."""
        entry: Entry = self.successResultOf(put(store, name, data))
        return entry

    def copy(self, root: Path) -> Path:
        """A copy of a storage directory as it is now: what a crash would leave."""
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(root, copy)
        return copy

    def assert_holds(self, store: LocalStore, root: Path, contents: dict[str, bytes]) -> None:
        """The store has these contents by name, and not a file more."""
        entries = [entry_of(name, contents[name]) for name in sorted(contents)]
        self.assertEqual(self.successResultOf(listed(store)), entries)
        for data in contents.values():
            self.assertEqual(self.successResultOf(stored_bytes(store, entry_of("", data).id)), data)
        self.assertEqual(files_in(root), sorted({object_path(data) for data in contents.values()}))


class PersistenceTests(LocalStoreTestCase):
    """What a store finds when it is opened."""

    def test_reopened(self) -> None:
        """A store that is closed and opened again has all that was stored, and its times."""
        contents = {"a": b"content", "b": b"content", "c": b"", "d/e;f": b"other"}
        store = open_store(self.root)
        for name, data in contents.items():
            self.put(store, name, data)
        id = entry_of("", b"content").id
        status = self.successResultOf(store.status(id, EVERYTHING))
        self.close(store)
        store = self.open()
        self.assert_holds(store, self.root, contents)
        self.assertEqual(self.successResultOf(store.status(id, EVERYTHING)), status)

    def test_unfinished_upload(self) -> None:
        """What an upload had written when the store was closed is gone when it is opened again."""
        store = open_store(self.root)
        upload = self.successResultOf(begin(store, "name", b"content"))
        self.successResultOf(store.close())
        self.assert_holds(self.open(), self.root, {})
        self.successResultOf(upload.abort())

    def test_collision_after_reopening(self) -> None:
        """A content that collides with one stored before the last start is refused."""
        store = open_store(self.root)
        self.put(store, "first", FIRST)
        self.close(store)
        store = self.open()
        upload = self.successResultOf(begin(store, "second", SECOND))
        self.failureResultOf(upload.commit(digests_of(SECOND)), Collision)
        self.assert_holds(store, self.root, {"first": FIRST})

    def test_one_object(self) -> None:
        """One content under many names is one file, and a refused or aborted upload is none."""
        store = self.open()
        for name in ("a", "b", "c"):
            self.put(store, name, b"content")
        aborted = self.successResultOf(begin(store, "aborted", b"other"))
        self.successResultOf(aborted.abort())
        self.assert_holds(store, self.root, dict.fromkeys("abc", b"content"))

    def test_modes(self) -> None:
        """Nobody but the owner may read or enter what a store makes."""
        self.put(self.open(), "name", b"content")
        other = self.open(self.root.with_name("other"))
        upload = self.successResultOf(begin(other, "name", b"content"))
        for root in (self.root, self.root.with_name("other")):
            for path in (root, *root.rglob("*")):
                mode = stat.S_IMODE(path.stat().st_mode)
                self.assertEqual(oct(mode), oct(0o700 if path.is_dir() else 0o600), path)
        self.successResultOf(upload.abort())

    def test_directory_kept(self) -> None:
        """A directory that is there already keeps its permissions."""
        self.root.mkdir()
        self.root.chmod(0o750)
        self.open()
        self.assertEqual(stat.S_IMODE(self.root.stat().st_mode), 0o750)


class UnavailableTests(LocalStoreTestCase):
    """Directories that can't be a store's."""

    def assert_unavailable(self, root: Path, *words: str) -> None:
        """Opening this directory fails with one line that names it and has these words."""
        error = self.assertRaises(StorageUnavailable, open_store, root)
        text = str(error)
        for word in (str(root), *words):
            self.assertIn(word, text)
        self.assertEqual(len(text.splitlines()), 1)
        self.assertTrue(text.endswith("."), text)

    def test_in_use(self) -> None:
        """A directory is one store's at a time; closing it lets the next one in."""
        store = open_store(self.root)
        self.assert_unavailable(self.root, "in use")
        self.put(store, "name", b"content")
        self.close(store)
        self.assert_holds(self.open(), self.root, {"name": b"content"})

    def test_file(self) -> None:
        """A file can't be a storage directory, and stays what it is."""
        self.root.write_bytes(b"a file")
        self.assert_unavailable(self.root)
        self.assertEqual(self.root.read_bytes(), b"a file")

    def test_below_file(self) -> None:
        """A storage directory can't be made below a file."""
        self.root.write_bytes(b"a file")
        self.assert_unavailable(self.root / "storage")

    def test_directory_not_writable(self) -> None:
        """A directory that can't be written to is told."""
        obey_in(self)
        self.root.mkdir(mode=0o500)
        self.assert_unavailable(self.root, "Permission denied")
        self.assert_unavailable(self.root / "storage", "Permission denied")

    def test_folder_is_file(self) -> None:
        """A file in the place of a directory of the store is told; without it all is well."""
        self.root.mkdir()
        (self.root / "objects").write_bytes(b"")
        self.assert_unavailable(self.root)
        (self.root / "objects").unlink()
        self.open()

    def test_catalogue_is_directory(self) -> None:
        """A directory in the place of the catalogue is told."""
        (self.root / "catalogue.sqlite").mkdir(parents=True)
        self.assert_unavailable(self.root)

    def test_corrupt_catalogue(self) -> None:
        """A catalogue that is no SQLite file is told and left alone."""
        self.close(open_store(self.root))
        path = self.root / "catalogue.sqlite"
        path.write_bytes(b"This is not a database. " * 1000)
        before = path.read_bytes()
        self.assert_unavailable(self.root)
        self.assertEqual(path.read_bytes(), before)
        path.unlink()
        self.open()  # the lock was let go of

    def test_damaged_pages(self) -> None:
        """A catalogue whose pages are damaged is told, where the start has to look into them."""
        store = open_store(self.root)
        self.put(store, "name", b"content")
        self.close(store)
        path = self.root / "catalogue.sqlite"
        page_size = 4096
        first = path.read_bytes()[:page_size]
        path.write_bytes(first + b"\xff" * (path.stat().st_size - page_size))
        mark = self.root / "incoming" / (entry_of("", b"content").id + ".commit")
        mark.touch()
        self.assert_unavailable(self.root)
        self.assertTrue((self.root / object_path(b"content")).exists())

    def test_newer_catalogue(self) -> None:
        """A catalogue that a newer version wrote is told and left alone."""
        self.close(open_store(self.root))
        with sqlite3.connect(self.root / "catalogue.sqlite") as connection:
            connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
        connection.close()
        self.assert_unavailable(self.root, f"version {schema.SCHEMA_VERSION}")

    def assert_left_alone(self, *statements: str) -> None:
        """A database of another application that has run these is told, and not changed."""
        self.root.mkdir()
        path = self.root / "catalogue.sqlite"
        with sqlite3.connect(path) as connection:
            for statement in ("CREATE TABLE theirs (x)", *statements):
                connection.execute(statement)
        connection.close()
        before = path.read_bytes()
        self.assert_unavailable(self.root)
        self.assertTrue(path.read_bytes() == before, "it was changed")

    def test_other_application(self) -> None:
        """An SQLite file that says to be another application's is told and left alone."""
        self.assert_left_alone("PRAGMA application_id = 1", "PRAGMA user_version = 1")

    def test_other_application_unversioned(self) -> None:
        """An SQLite file of another application that counts no versions is left alone too."""
        self.assert_left_alone("PRAGMA application_id = 1")

    def test_other_application_unmarked(self) -> None:
        """An SQLite file with tables and no mark at all is left alone too."""
        self.assert_left_alone()

    def test_empty_catalogue(self) -> None:
        """A catalogue of no bytes is what a crash of the very first start leaves: it is used."""
        self.root.mkdir()
        (self.root / "catalogue.sqlite").touch()
        store = self.open()
        self.put(store, "name", b"content")
        self.assert_holds(store, self.root, {"name": b"content"})


SYSTEM_CALLS = ("mkdir", "open", "writev", "fsync", "rename", "unlink")
"""The functions of C{os} by which a store changes its files."""


def described(root: Path, name: str, target: str | int) -> str:
    """
    A system call of a store, in words that are the same every time.

    An object is in a C{folder}, which is in C{objects}; C{incoming} is a file in that directory.
    """
    if isinstance(target, int):
        found = os.fstat(target)
        for path, what in (
            (root, "root"),
            (root / "incoming", "uploads"),
            (root / "objects", "objects"),
        ):
            if os.path.samestat(found, path.stat()):
                return f"{name} {what}"
        return f"{name} " + ("folder" if stat.S_ISDIR(found.st_mode) else "file")
    path = Path(target).relative_to(root)
    if path.suffix == ".commit":
        return f"{name} mark"
    what = path.parts[0] if path.parts else "root"
    return f"{name} " + ("folder" if what == "objects" else what)


@contextmanager
def watched_calls(root: Path, watcher: Callable[[str], None]) -> Iterator[None]:
    """
    Tell of each of L{SYSTEM_CALLS} before it is made, but for the opening of directories.

    @param root: the storage directory; calls on paths elsewhere are not told.
    @param watcher: told the call as L{described}, but not what it calls itself. What it raises is
        raised instead of making the call.
    """
    watching = False

    def watched(name: str, real: Callable[P, R]) -> Callable[P, R]:
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal watching
            target: Any = args[0]
            told = isinstance(target, int) or (
                Path(target).is_relative_to(root) and not (name == "open" and Path(target).is_dir())
            )
            if told and not watching:
                watching = True
                try:
                    watcher(described(root, name, target))
                finally:
                    watching = False
            return real(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for name in SYSTEM_CALLS:
            patches.enter_context(patch.object(os, name, watched(name, getattr(os, name))))
        yield


STEPS = (
    "open incoming",
    "writev file",
    "fsync file",
    "open mark",
    "mkdir folder",
    "fsync objects",
    "rename incoming",
    "fsync folder",
)
"""What an upload does to the disk before the catalogue is told."""

ORDER = (
    ("writev file", "fsync file"),
    ("fsync file", "rename incoming"),
    ("open mark", "rename incoming"),
    ("mkdir folder", "fsync objects"),
    ("fsync objects", "commit"),
    ("rename incoming", "fsync folder"),
    ("fsync folder", "commit"),
    ("commit", "unlink mark"),
)
"""What must come before what; C{commit} is the catalogue's."""


class RecordedExecutor:
    """
    Does all work at once, and tells before it does.

    @param about_to_run: called before each piece of work.
    """

    def __init__(self, about_to_run: Callable[[], None]) -> None:
        self._about_to_run = about_to_run

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        self._about_to_run()
        return InlineExecutor().run(work, *args, **kwargs)

    def report(self, callback: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        callback(*args, **kwargs)


class CrashTests(LocalStoreTestCase):
    """
    Crashes between any two steps of an upload.

    What a crash leaves is a copy of the directory, made before the next step is taken.
    """

    def crashes(self, name: str, data: bytes) -> list[tuple[str, Path]]:
        """Upload beside a stored file: each step, and the directory as a crash before leaves it."""
        left: list[tuple[str, Path]] = []

        def crash(step: str) -> None:
            left.append((step, self.copy(self.root)))

        writer = RecordedExecutor(lambda: crash("commit"))
        store = self.open(writer=writer)
        self.put(store, "stored", b"stored before")
        left.clear()
        with watched_calls(self.root, crash):
            self.put(store, name, data)
        return left

    def test_order(self) -> None:
        """Bytes, mark, name and directories are safe before the row is, and the mark goes last."""
        steps = [step for step, _ in self.crashes("name", b"content")]
        for before, after in ORDER:
            self.assertLess(steps.index(before), steps.index(after), f"{before}, {after}: {steps}")

    def test_crash(self) -> None:
        """After a crash before any step all that was acknowledged is listed, and no litter lies."""
        contents = {"stored": b"stored before"}
        committed = False
        for step, root in self.crashes("name", b"content"):
            if committed:  # and perhaps acknowledged
                contents["name"] = b"content"
            store = open_store(root)
            try:
                self.assert_holds(store, root, contents)
            except AssertionError as error:
                self.fail(f"after a crash before {step}: {error}")
            finally:
                self.close(store)
            committed = committed or step == "commit"
        self.assertTrue(committed)

    def test_upload_after_crash(self) -> None:
        """After a crash before any step the same file can be sent again, and is there then."""
        for _, root in self.crashes("name", b"content"):
            store = open_store(root)
            self.put(store, "name", b"content")
            self.assert_holds(store, root, {"stored": b"stored before", "name": b"content"})
            self.close(store)

    def test_crash_of_second_name(self) -> None:
        """A crash while a stored content gets a second name leaves it under the first, or both."""
        contents = {"stored": b"stored before"}
        committed = False
        for step, root in self.crashes("name", b"stored before"):
            if committed:
                contents["name"] = b"stored before"
            store = open_store(root)
            self.assert_holds(store, root, contents)
            self.close(store)
            committed = committed or step == "commit"

    def test_crash_while_tidying_up(self) -> None:
        """A start that crashes while it tidies up leaves the rest to the next one."""
        left = dict(self.crashes("name", b"content"))
        for step in ("fsync file", "rename incoming", "commit", "unlink mark"):
            contents = {"stored": b"stored before"}
            if step == "unlink mark":
                contents["name"] = b"content"
            root, copies = left[step], list[Path]()

            def crash(step: str, root: Path = root, copies: list[Path] = copies) -> None:
                if step.startswith("unlink"):
                    copies.append(self.copy(root))

            with watched_calls(root, crash):
                self.close(open_store(root))
            self.assertTrue(copies, step)
            for copy in copies:
                store = open_store(copy)
                self.assert_holds(store, copy, contents)
                self.close(store)

    def test_nothing_acknowledged_early(self) -> None:
        """A commit is not acknowledged while the directory or the row is not on the disk."""
        files, writer = SteppedExecutor(), SteppedExecutor()
        store = self.open(files=files, writer=writer)
        creating = store.create("name", 7, EVERYTHING)
        files.run_all()
        upload = self.successResultOf(creating)
        upload.write([b"content"])
        commit = upload.commit(digests_of(b"content"))
        self.assertNoResult(commit)
        self.assertEqual(len(writer), 0)
        files.run_all()
        self.assertNoResult(commit)
        self.assertEqual(self.successResultOf(listed(store)), [])
        writer.run_all()
        files.run_all()
        entry = self.successResultOf(commit)
        self.assertEqual(self.successResultOf(listed(store)), [entry])
        self.assertEqual(files_in(self.root), [object_path(b"content")])


class DamageTests(LocalStoreTestCase):
    """Object files that are not as they were written."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.open()
        self.entry = self.put(self.store, "name", b"content")
        self.object = self.root / object_path(b"content")

    def test_missing(self) -> None:
        """An object whose file is gone is Corrupt when it is opened, and stays listed."""
        self.object.unlink()
        self.failureResultOf(self.store.open(self.entry.id, EVERYTHING), Corrupt)
        self.assertEqual(self.successResultOf(listed(self.store)), [self.entry])

    def test_other_length(self) -> None:
        """An object whose file is shorter or longer is Corrupt when it is opened."""
        for data in (b"", b"conten", b"content."):
            self.object.write_bytes(data)
            error = self.failureResultOf(self.store.open(self.entry.id, EVERYTHING), Corrupt).value
            self.assertIn(str(len(data)), str(error))
            self.assertNotIn(str(self.root), str(error))

    def test_cut_while_open(self) -> None:
        """A file that is cut off while it is read is Corrupt, not a short read."""
        content = self.successResultOf(self.store.open(self.entry.id, EVERYTHING))
        self.addCleanup(content.close)
        os.truncate(self.object, 3)
        self.assertEqual(self.successResultOf(content.read(0, 3)), b"con")
        self.failureResultOf(content.read(0, 7), Corrupt)
        self.failureResultOf(content.read(5, 2), Corrupt)

    def test_put_back(self) -> None:
        """Sending a file again, under any name, puts back bytes that are gone or cut off."""
        for name, damage in (("name", self.object.unlink), ("other", self.truncate)):
            damage()
            self.put(self.store, name, b"content")
            self.assertEqual(
                self.successResultOf(stored_bytes(self.store, self.entry.id)), b"content"
            )
        self.assert_holds(self.store, self.root, dict.fromkeys(("name", "other"), b"content"))

    def truncate(self) -> None:
        """Cut the object's file off."""
        os.truncate(self.object, 3)

    def test_no_descriptors_left(self) -> None:
        """A refused open leaves no file descriptor open."""
        self.object.write_bytes(b"")
        before = os.dup(0)
        os.close(before)
        for _ in range(3):
            self.failureResultOf(self.store.open(self.entry.id, EVERYTHING), Corrupt)
        after = os.dup(0)
        os.close(after)
        self.assertEqual(after, before)


class FailingDiskTests(LocalStoreTestCase):
    """A disk that is full, or broken."""

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def start(self) -> None:
        """Begin with a new directory that has one file."""
        self.root = Path(self.mktemp()).absolute()
        self.store = self.open()
        self.put(self.store, "stored", b"stored before")

    def upload(self, failing: str, number: int) -> Deferred[Entry]:
        """Upload C{name} while this step of L{STEPS} fails with this error number."""

        def fail(step: str) -> None:
            if step == failing:
                raise OSError(number, os.strerror(number))

        async def upload() -> Entry:
            # As the receiver does: what can't be written is aborted.
            upload = await self.store.create("name", 7, EVERYTHING)
            try:
                upload.write([b"content"])
            except Exception:
                await upload.abort()
                raise
            return await upload.commit(digests_of(b"content"))

        with watched_calls(self.root, fail):
            return Deferred.fromCoroutine(upload())

    def assert_full(self, step: str) -> None:
        """A disk that is full at this step is told as NoSpace, and nothing of the file is left."""
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self.start()
            error = self.failureResultOf(self.upload(step, number)).value
            self.assertIs(type(error), NoSpace, errno.errorcode[number])
            self.assert_holds(self.store, self.root, {"stored": b"stored before"})
        self.put(self.store, "name", b"content")
        contents = {"stored": b"stored before", "name": b"content"}
        self.assert_holds(self.store, self.root, contents)

    def test_full_at_create(self) -> None:
        """A disk with no room for a new file is NoSpace."""
        self.assert_full("open incoming")

    def test_full_at_write(self) -> None:
        """A disk with no room for the bytes is NoSpace, and the aborted upload leaves nothing."""
        self.assert_full("writev file")

    def test_full_at_sync(self) -> None:
        """A disk that finds out only when the file is synced is NoSpace, and nothing is left."""
        self.assert_full("fsync file")

    def test_full_at_mark(self) -> None:
        """A disk with no room for the mark is NoSpace, and nothing is left."""
        self.assert_full("open mark")

    def test_full_at_folder(self) -> None:
        """A disk with no room for a folder, or its name, is NoSpace, and no file is left."""
        self.assert_full("mkdir folder")
        self.assert_full("fsync objects")

    def test_full_at_rename(self) -> None:
        """A disk with no room for the new name is NoSpace, and nothing is left."""
        self.assert_full("rename incoming")

    def test_full_at_folder_sync(self) -> None:
        """A disk that finds out when the folder is synced is NoSpace, and nothing is left."""
        self.assert_full("fsync folder")

    def test_broken(self) -> None:
        """Any other error of the disk passes unchanged; nothing is listed then or later."""
        for step in STEPS:
            self.start()
            error = self.failureResultOf(self.upload(step, errno.EIO), OSError).value
            self.assertEqual(error.errno, errno.EIO, step)
            self.assertEqual(len(self.successResultOf(listed(self.store))), 1, step)
            copy = self.copy(self.root)
            store = open_store(copy)
            self.assert_holds(store, copy, {"stored": b"stored before"})
            self.close(store)

    def test_sent_again(self) -> None:
        """What the disk refused at any step is stored when it is sent again, without a restart."""
        for step in STEPS:
            self.start()
            self.failureResultOf(self.upload(step, errno.EIO), OSError)
            self.put(self.store, "name", b"content")
            contents = {"stored": b"stored before", "name": b"content"}
            self.assert_holds(self.store, self.root, contents)

    def test_put(self) -> None:
        """So it is with what is put at once: what fails leaves nothing, and is stored later."""
        for step in STEPS:
            self.start()

            def fail(called: str, failing: str = step) -> None:
                if called == failing:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            for fails in (True, False):
                with watched_calls(self.root, fail if fails else lambda called: None):
                    stored = self.store.put("name", b"content", digests_of(b"content"), EVERYTHING)
                if fails:
                    self.failureResultOf(stored, NoSpace)
                    self.assert_holds(self.store, self.root, {"stored": b"stored before"})
                    self.assertEqual(held_by_store(self.store), {})
            self.successResultOf(stored)

    def test_folder_synced_again(self) -> None:
        """A folder whose name could not be synced is synced by the next upload that needs it."""
        self.failureResultOf(self.upload("fsync objects", errno.EIO), OSError)
        self.failureResultOf(self.upload("fsync objects", errno.EIO), OSError)


class FullCatalogueTests(LocalStoreTestCase):
    """A disk that has no room for the catalogue's next page."""

    def setUp(self) -> None:
        super().setUp()
        self.connections: list[sqlite3.Connection] = []
        connect = schema.open_database

        def connected(path: Path) -> sqlite3.Connection:
            self.connections.append(connect(path))
            return self.connections[-1]

        self.patch(catalogue_database, "open_database", connected)

    def limit(self, pages: int) -> None:
        """Let the catalogue grow by so many pages, and no further."""
        for connection in self.connections:
            count = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {count + pages}")

    def test_full(self) -> None:
        """An entry that the catalogue has no room for is NoSpace, and nothing of it is left."""
        store = self.open()
        self.put(store, "stored", b"stored before")
        self.limit(0)
        contents = {"stored": b"stored before"}
        for number in range(200):
            name, data = f"{number:03}" + "n" * 1000, str(number).encode()
            upload = self.successResultOf(begin(store, name, data))
            failures: list[BaseException] = []
            commit = upload.commit(digests_of(data))
            commit.addErrback(lambda failure, seen=failures: seen.append(failure.value))
            if failures:
                self.assertEqual([type(error) for error in failures], [NoSpace])
                break
            contents[name] = data
        else:
            self.fail("the catalogue was never full")
        self.assert_holds(store, self.root, contents)
        self.limit(100)
        self.put(store, "new", b"new")
        self.assert_holds(store, self.root, {**contents, "new": b"new"})


class CountedExecutor(SteppedExecutor):
    """
    A stepped executor.

    @ivar runs: how many pieces of work it was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        self.runs += 1
        return super().run(work, *args, **kwargs)


class SharedCommitTests(SynchronousTestCase):
    """Entries that are added while a commit is on its way share the next one."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.begun: list[str] = []
        connect = schema.open_database

        def connected(path: Path) -> sqlite3.Connection:
            connection = connect(path)
            connection.set_trace_callback(self.trace)
            return connection

        self.patch(catalogue_database, "open_database", connected)
        self.writer = CountedExecutor()
        self.catalogue = Catalogue(self.path, self.writer, InlineExecutor())
        self.addCleanup(lambda: Deferred.fromCoroutine(self.catalogue.close()))
        self.begun.clear()

    def trace(self, statement: str) -> None:
        if statement.startswith("BEGIN"):
            self.begun.append(statement)

    def add(self, name: str, data: bytes) -> Deferred[Entry]:
        entry = entry_of(name, data)
        adding = self.catalogue.contents.add(entry, digests_of(data), 1e9, None, "")
        return adding.addCallback(lambda _: entry)

    def names(self) -> list[str]:
        """All names, in order."""
        entries = self.catalogue.entries
        page = self.successResultOf(entries.page("", None, entries.paging.begin(), None, False))
        return [entry.name for entry in entries_of(page.text)]

    def test_shared(self) -> None:
        """Of twenty entries at once the first is committed alone, all others together."""
        names = [f"{number:02}" for number in range(20)]
        added = [self.add(name, name.encode()) for name in names]
        self.writer.step()
        self.assertEqual(self.names(), names[:1])
        self.successResultOf(added[0])
        for later in added[1:]:
            self.assertNoResult(later)
        self.writer.run_all()
        self.assertEqual(
            [self.successResultOf(later) for later in added[1:]],
            [entry_of(name, name.encode()) for name in names[1:]],
        )
        self.assertEqual(self.names(), names)
        self.assertEqual(len(self.begun), 2)
        self.assertEqual(self.writer.runs, 2)

    def test_refused_among_others(self) -> None:
        """A collision is refused alone: what shares its commit is stored, before it and behind."""
        self.add("first", FIRST)
        self.writer.run_all()
        before, refused = self.add("a", b"a"), self.add("second", SECOND)
        behind, again = self.add("b", b"b"), self.add("first", FIRST)
        self.writer.run_all()
        self.failureResultOf(refused, Collision)
        for added in (before, behind, again):
            self.successResultOf(added)
        self.assertEqual(self.names(), ["a", "b", "first"])

    def test_collision_in_one_commit(self) -> None:
        """Two contents with one MD5 in one commit: the first is stored, the second refused."""
        self.add("before", b"")
        first, second = self.add("first", FIRST), self.add("second", SECOND)
        self.writer.run_all()
        self.successResultOf(first)
        self.failureResultOf(second, Collision)
        self.assertEqual(self.names(), ["before", "first"])

    def test_close(self) -> None:
        """Closing commits what waits first."""
        added = [self.add(name, b"") for name in ("a", "b", "c")]
        closed = Deferred.fromCoroutine(self.catalogue.close())
        self.assertNoResult(closed)
        self.writer.run_all()
        self.successResultOf(closed)
        for later in added:
            self.successResultOf(later)


class CloseTests(LocalStoreTestCase):
    """Closing a store while it has work to do."""

    def test_queries(self) -> None:
        """A catalogue is not closed under a query: on threads, SQLite would crash."""
        reader = SteppedExecutor()
        opened = Catalogue(Path(self.mktemp()), InlineExecutor(), reader)
        entries = opened.entries
        page = entries.page("", None, entries.paging.begin(), None, False)
        closed = Deferred.fromCoroutine(opened.close())
        self.assertNoResult(closed)
        reader.run_all()
        self.assertEqual(self.successResultOf(page).text, b"")
        self.successResultOf(closed)

    def test_each_moment(self) -> None:
        """Closing at any step of a commit finishes it, and lets the next store in only then."""
        for steps in range(3):
            root = Path(self.mktemp()).absolute()
            work = SteppedExecutor()
            store = open_store(root, files=work, writer=work)
            creating = store.create("name", 7, EVERYTHING)
            work.run_all()
            upload = self.successResultOf(creating)
            upload.write([b"content"])
            commit = upload.commit(digests_of(b"content"))
            for _ in range(steps):
                work.step()
            closed = store.close()
            self.assertRaises(StorageUnavailable, open_store, root)
            work.run_all()
            self.assertEqual(self.successResultOf(commit), entry_of("name", b"content"))
            self.successResultOf(closed)
            reopened = self.open(root)
            self.assert_holds(reopened, root, {"name": b"content"})

    def test_small(self) -> None:
        """Small contents that are on their way in are stored first, those on their way out read."""
        for order in permutations(range(3)):
            writer, reader, scans = GatedExecutor(), GatedExecutor(), SteppedExecutor()
            root = Path(self.mktemp()).absolute()
            store = LocalStore(root, InlineExecutor(), writer, reader, lambda: 1e9, scans=scans)
            entries = [entry_of(name, name.encode()) for name in "abcdef"]
            for entry in entries[:3]:
                self.successResultOf(self.put_at_once(store, entry.name))
            writer.open = reader.open = False
            putting = [self.put_at_once(store, entry.name) for entry in entries[3:]]
            getting = [store.get(entry.id, EVERYTHING) for entry in entries[:3]]
            closed = store.close()
            executors = (writer, reader, scans)
            while not closed.called:
                next(executors[place] for place in order if len(executors[place])).step()
            self.assertEqual([self.successResultOf(one) for one in putting], entries[3:])
            read = [(entry, entry.name.encode()) for entry in entries[:3]]
            self.assertEqual([self.successResultOf(one) for one in getting], read)
            self.successResultOf(closed)
            reopened = open_store(root, small=SMALL_SIZE)
            self.assertEqual(self.successResultOf(listed(reopened)), entries)
            self.close(reopened)

    def put_at_once(self, store: LocalStore, name: str) -> Deferred[Entry]:
        """Put a content that is its name."""
        data = name.encode()
        return store.put(name, data, digests_of(data), EVERYTHING)
