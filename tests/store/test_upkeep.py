"""What a store does beside its requests: room for a full disk, and object files without names."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path

from twisted.internet.defer import Deferred

from tests.store.contract import begin, digests_of, entry_of, listed
from tests.store.test_local_store import LocalStoreTestCase, object_path, open_store, watched_calls
from tests.store.test_partials import names_in
from tests.support.executors import GatedExecutor, SteppedExecutor
from tests.support.held import close_store
from xferproto.model.errors import StorageUnavailable
from xferproto.model.identity import EVERYTHING
from xferproto.store.local import orphans
from xferproto.store.local.objects import Objects
from xferproto.store.local.packed import SMALL, PackedContents
from xferproto.store.local.schema import CATALOGUE
from xferproto.store.local.spare_file import SPARE_FILE, SPARE_SIZE, Spare

WEEK = 7 * 86400


class UnnamedTests(LocalStoreTestCase):
    """Object files without a row and without a mark, as a power cut leaves them."""

    def litter(self, *contents: bytes) -> None:
        """Make object files that nothing names."""
        for data in contents:
            path = self.root / object_path(data)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def aside(self) -> list[str]:
        return names_in(self.root, "quarantine")

    def test_put_aside(self) -> None:
        """They are put aside; what has a name stays, and what has a mark is the start's affair."""
        store = self.open()
        self.put(store, "name", b"content")
        self.litter(b"litter", b"more")
        self.successResultOf(store.maintenance.tend())
        self.assert_holds(store, self.root, {"name": b"content"})
        names = [f"{digests_of(data).md5}.1000000000.unnamed" for data in (b"litter", b"more")]
        self.assertEqual(self.aside(), sorted(names))

    def test_small(self) -> None:
        """A file whose content is a small one by now has no name."""
        store = open_store(self.root, small=100)
        self.addCleanup(close_store, self, store)
        self.successResultOf(store.put("name", b"content", digests_of(b"content"), EVERYTHING))
        self.litter(b"content")
        self.successResultOf(store.maintenance.tend())
        self.assertEqual(len(self.aside()), 1)

    def test_removed(self) -> None:
        """A week later they are removed, by the first look after a start; no other file is."""
        for when, left in ((1e9, 1), (1e9 + WEEK, 1), (1e9 + WEEK + 1, 0)):
            store = open_store(self.root, now=lambda when=when: when)  # type: ignore[misc]
            if when == 1e9:
                self.litter(b"litter")
                for name in ("0" * 32 + ".1", "0" * 32 + ".unnamed", "notes.1.unnamed"):
                    (self.root / "quarantine" / name).touch()
            self.successResultOf(store.maintenance.tend())
            self.assertEqual(len(self.aside()), 3 + left, when)
            self.close(store)

    def test_foreign(self) -> None:
        """What is no object file is left where it is."""
        store = self.open()
        self.litter(b"litter")
        folder = (self.root / object_path(b"litter")).parent
        (folder / "README").write_text("ours")
        (folder / ("0" * 31)).touch()
        (folder / (folder.name + "0" * 30)).mkdir()
        (folder / (folder.name + "1" * 30)).symlink_to("/nowhere")
        (self.root / "objects" / "lost+found").mkdir()
        (self.root / "objects" / "zz").touch()
        before = len(list(folder.iterdir()))
        self.successResultOf(store.maintenance.tend())
        self.assertEqual(len(list(folder.iterdir())), before - 1)

    def test_foreign_folders(self) -> None:
        """What is in the place of a folder keeps nothing else from being looked at."""
        store = self.open()
        self.litter(b"litter")
        folder = (self.root / object_path(b"litter")).parent
        others = [name for name in ("00", "5a", "ff") if name != folder.name]
        (folder.parent / others[0]).symlink_to("/nowhere")
        (folder.parent / others[1]).touch()
        os.mkfifo(folder.parent / others[2])
        self.successResultOf(store.maintenance.tend())
        self.assertEqual(len(self.aside()), 1)
        self.assertEqual(names_in(self.root, "objects"), sorted([*others, folder.name]))

    def test_many(self) -> None:
        """More than a power cut leaves stay: the catalogue is older than they are."""
        self.patch(orphans, "MOST", 3)
        for count, left in ((4, 4), (3, 0)):
            self.root = Path(self.mktemp()).absolute()
            store = self.open()
            contents = [b"%d" % number for number in range(count)]
            self.litter(*contents)
            self.successResultOf(store.maintenance.tend())
            there = [data for data in contents if (self.root / object_path(data)).exists()]
            self.assertEqual(len(there), left)

    def test_stored_meanwhile(self) -> None:
        """What is being stored when it is looked at is not put aside."""
        for steps in range(12):
            self.root = Path(self.mktemp()).absolute()
            files = GatedExecutor()
            store = self.open(files=files)
            self.litter(b"other")
            upload = self.successResultOf(begin(store, "name", b"content"))
            files.open = False
            tending = store.maintenance.tend()
            for _ in range(min(steps, len(files))):
                files.step()
            committing: Deferred[object] = upload.commit(digests_of(b"content"))
            files.run_all()
            self.successResultOf(committing)
            self.successResultOf(tending)
            files.open = True
            self.assert_holds(store, self.root, {"name": b"content"})
            self.assertEqual(len(self.aside()), 1)

    def test_published_meanwhile(self) -> None:
        """What has its file, and waits for the commit of its row, is not put aside."""
        writer = GatedExecutor()
        store = self.open(writer=writer)
        upload = self.successResultOf(begin(store, "name", b"content"))
        writer.open = False
        tending = store.maintenance.tend()
        committing: Deferred[object] = upload.commit(digests_of(b"content"))
        self.assertTrue((self.root / object_path(b"content")).exists())
        writer.step()
        self.assertNoResult(tending)
        writer.run_all()
        self.successResultOf(committing)
        self.successResultOf(tending)
        writer.open = True
        self.assert_holds(store, self.root, {"name": b"content"})
        self.assertEqual(self.aside(), [])

    def test_closed(self) -> None:
        """Closing does not wait for all folders, and closes nothing under it."""
        files = SteppedExecutor()
        store = self.open(files=files)
        self.litter(*(b"%d" % number for number in range(30)))
        tending = store.maintenance.tend()
        for _ in range(5):
            files.step()
        closing = store.close()
        self.assertNoResult(closing)
        steps = 0
        while not tending.called:
            files.step()
            steps += 1
        self.assertLess(steps, 5)
        files.run_all()
        self.successResultOf(tending)
        self.successResultOf(closing)

    def test_deletion_without_mark(self) -> None:
        """A deletion of which the removal and the mark were lost leaves nothing for long."""
        store = open_store(self.root)
        entry = self.put(store, "name", b"content")
        data = (self.root / object_path(b"content")).read_bytes()
        self.successResultOf(store.delete(entry.id, None, EVERYTHING))
        self.close(store)
        (self.root / object_path(b"content")).write_bytes(data)
        store = self.open()
        self.successResultOf(store.maintenance.tend())
        self.assert_holds(store, self.root, {})


class TendTests(LocalStoreTestCase):
    """What is done now and then."""

    def test_logs(self) -> None:
        """What is stored is in the databases then, and no more in their write-ahead logs alone."""
        store = open_store(self.root, small=10)
        self.addCleanup(close_store, self, store)
        contents = (b"small", b"as a file of its own")
        for data in contents:
            self.successResultOf(store.put("name", data, digests_of(data), EVERYTHING))
        self.successResultOf(store.maintenance.tend())
        for name, table, count in ((CATALOGUE, "entry", 2), (SMALL, "small", 1)):
            copy = Path(self.mktemp())
            shutil.copyfile(self.root / name, copy)
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                self.assertEqual(found, (count,), name)

    def test_spare(self) -> None:
        """Room is kept, each time that there is none kept."""
        made: list[Path] = []
        self.patch(Spare, "make", lambda spare: made.append(self.root))
        store = self.open()
        for times in (1, 2):
            self.successResultOf(store.maintenance.tend())
            self.assertEqual(len(made), times)

    def test_objects_once(self) -> None:
        """The objects are looked through once, since nothing loses its name while it runs."""
        store = self.open()
        self.successResultOf(store.maintenance.tend())
        self.put(store, "name", b"content")
        looked: list[str] = []

        def ids_in(objects: Objects, folder: str) -> set[str]:
            looked.append(folder)
            return set()

        self.patch(Objects, "ids_in", ids_in)
        self.successResultOf(store.maintenance.tend())
        self.assertEqual(looked, [])
        self.close(store)
        self.successResultOf(self.open().maintenance.tend())
        self.assertEqual(len(looked), 1)


class SpareTests(LocalStoreTestCase):
    """The room that is kept for a full disk."""

    free = (10 * SPARE_SIZE, 1000 * SPARE_SIZE)

    def setUp(self) -> None:
        super().setUp()
        self.root.mkdir()
        self.spare = Spare(self.root, lambda path: self.free)
        self.path = self.root / SPARE_FILE

    def test_made(self) -> None:
        """It takes its bytes on the disk, and is there once; given up, it is gone."""
        self.spare.make()
        self.assertEqual(self.path.stat().st_size, SPARE_SIZE)
        self.assertEqual(self.path.stat().st_blocks * 512, SPARE_SIZE)
        inode = self.path.stat().st_ino
        self.spare.make()
        self.assertEqual(self.path.stat().st_ino, inode)
        self.spare.give_up()
        self.spare.give_up()
        self.assertFalse(self.path.exists())

    def test_no_room(self) -> None:
        """Where it would be missed it is not made."""
        self.free = (SPARE_SIZE, 1000 * SPARE_SIZE)
        self.spare.make()
        self.assertFalse(self.path.exists())

    def test_failing(self) -> None:
        """Where the disk fills up meanwhile, or does not do it, nothing is left."""

        def refuse(fd: int, offset: int, length: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "posix_fallocate", refuse)
        self.spare.make()
        self.assertFalse(self.path.exists())

    def test_small_disk(self) -> None:
        """Of a small disk it takes a small part."""
        self.free = (1 << 20, 1 << 20)
        self.spare.make()
        self.assertEqual(self.path.stat().st_size, 1 << 16)


class StartTests(LocalStoreTestCase):
    """What is kept is given up at a start that may need it."""

    def test_given_up(self) -> None:
        """So it is where the disk has hardly a byte left, or not a single file."""
        blocks, files = 100 * SPARE_SIZE // 4096, 1000
        few = SPARE_SIZE // 4096 - 1
        for free, total, left, kept in (
            (blocks, files, files, True),
            (few + 1, files, 1, True),
            (few, files, files, False),
            (blocks, files, 0, False),
            (blocks, 0, 0, True),  # a file system that counts no files
        ):
            status = os.statvfs_result((4096, 4096, blocks, free, free, total, left, left, 0, 255))
            self.root = Path(self.mktemp()).absolute()
            self.root.mkdir()
            (self.root / SPARE_FILE).touch()
            statvfs = self.patch(os, "statvfs", lambda path, status=status: status)
            Spare(self.root).give_up_if_full()
            statvfs.restore()
            self.assertEqual((self.root / SPARE_FILE).exists(), kept, status)


class FullTests(LocalStoreTestCase):
    """Deletions where there is no room, and what a start needs room for."""

    def test_mark(self) -> None:
        """A mark that finds no room takes that of the spare; without it a deletion goes on."""
        for always in (False, True):
            self.root = Path(self.mktemp()).absolute()
            store = self.open()
            entry = self.put(store, "name", b"content")
            (self.root / SPARE_FILE).touch()

            def fail(step: str, always: bool = always) -> None:
                if step == "open mark" and (always or (self.root / SPARE_FILE).exists()):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            with watched_calls(self.root, fail):
                self.successResultOf(store.delete(entry.id, None, EVERYTHING))
            self.assert_holds(store, self.root, {})
            self.assertFalse((self.root / SPARE_FILE).exists())

    def test_start(self) -> None:
        """A start goes on where what a crash has left can't be removed for lack of room."""
        store = open_store(self.root, small=100)
        self.successResultOf(store.put("name", b"content", digests_of(b"content"), EVERYTHING))
        copy = self.copy(self.root)  # with a mark
        self.close(store)
        full = sqlite3.OperationalError("full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL

        def refuse(*_: object) -> None:
            raise full

        broken = self.patch(PackedContents, "tidy_up", refuse)
        full.sqlite_errorcode = sqlite3.SQLITE_IOERR
        self.assertRaises(StorageUnavailable, self.open, copy)  # for lack of room, and else not
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        store = self.open(copy)
        broken.restore()
        self.assertEqual(self.successResultOf(listed(store)), [entry_of("name", b"content")])

    def test_upload_takes_nothing(self) -> None:
        """An upload is refused as before: the spare is not for it."""
        store = self.open()
        (self.root / SPARE_FILE).touch()

        def fail(step: str) -> None:
            if step == "open mark":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        upload = self.successResultOf(begin(store, "name", b"content"))
        with watched_calls(self.root, fail):
            self.failureResultOf(upload.commit(digests_of(b"content")))
        self.assertTrue((self.root / SPARE_FILE).exists())
