"""Directories that are made: each one's name is on the disk before anything in it counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import make_store
from tests.support.file_modes import obey_in
from xferproto.console.transfers.destinations import Destinations
from xferproto.files.directories import make_directories, unusable
from xferproto.model.identity import EVERYTHING
from xferproto.watch.directory import WatchedDirectory
from xferproto.watch.rename import make_directories as make_below


@contextmanager
def unsynced_directories() -> Iterator[set[str]]:
    """The directories that were made, without those whose parent was synced behind that."""
    left: set[str] = set()
    mkdir, fsync = os.mkdir, os.fsync

    def made(path: str | Path, mode: int = 0o777, **keywords: int) -> None:
        mkdir(path, mode, **keywords)
        left.add(os.path.realpath(path))

    def synced(fd: int) -> None:
        fsync(fd)
        directory = os.path.realpath(f"/proc/self/fd/{fd}")
        left.difference_update([path for path in left if str(Path(path).parent) == directory])

    with patch.object(os, "mkdir", made), patch.object(os, "fsync", synced):
        yield left


def reason_of(path: Path) -> str | None:
    """Why a directory can't be made, as messages say it; None if it is there."""
    try:
        make_directories(path)
    except OSError as error:
        return unusable(path, error)
    return None


class DurableTests(SynchronousTestCase):
    """Who makes directories syncs the ones that hold them."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir()

    def test_storage(self) -> None:
        """The first start of a store, and what it makes for an object."""
        with unsynced_directories() as left:
            store = make_store(self, self.root / "a" / "b" / "storage", small=-1)
            self.assertEqual(left, set())
            upload = self.successResultOf(store.create("name", 1, EVERYTHING))
            self.successResultOf(upload.abort())

    def test_made(self) -> None:
        """Those above one that are not there either; what is there is left alone."""
        with unsynced_directories() as left:
            make_directories(self.root / "a" / "b" / "c", 0o700)
            self.assertEqual(left, set())
        self.assertEqual((self.root / "a/b/c").stat().st_mode & 0o777, 0o700)
        make_directories(self.root / "a" / "b")
        make_directories(self.root)

    def test_not_made(self) -> None:
        """Where a file is in the way, that is told."""
        (self.root / "file").touch()
        for path in (self.root / "file", self.root / "file" / "below"):
            self.assertRaises(OSError, make_directories, path)
        (self.root / "link").symlink_to(self.root / "nowhere")
        self.assertRaises(FileExistsError, make_directories, self.root / "link")

    def test_refused(self) -> None:
        """A file system that makes no directories ends the attempt at once, however deep."""
        for path in ("/proc/xfer-none", "/proc/xfer-none/a/b", "/proc/1/xfer-none"):
            self.assertRaises(OSError, make_directories, Path(path))

    def test_deep(self) -> None:
        """A path of more components than the interpreter recurses, up to PATH_MAX."""
        before = Path.cwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.root)
        path = Path(*["a"] * 2000)
        make_directories(path)
        self.assertTrue(path.is_dir())
        self.addCleanup(os.removedirs, path)  # which takes no recursion either
        self.assertRaises(OSError, make_directories, Path(*["b"] * 3000))

    def test_reasons(self) -> None:
        """A message says what is in the way, of whatever kind, at the end of the path or above."""
        (self.root / "file").touch()
        (self.root / "link").symlink_to("/nowhere/mnt")
        (self.root / "loop").symlink_to("loop")
        link = f"{self.root}/link is a link to /nowhere/mnt, which does not exist; is it mounted?"
        for path, reason in (
            (self.root / "file", f"{self.root}/file is a file, not a directory."),
            (self.root / "file" / "below", f"{self.root}/file is a file, not a directory."),
            (self.root / "link", link),
            (self.root / "link" / "below", link),
            (Path("/proc/xfer-none"), "no directory can be made in /proc."),
            (Path("/proc/xfer-none/below"), "no directory can be made in /proc."),
            (Path("/"), None),
        ):
            with self.subTest(str(path)):
                self.assertEqual(reason_of(path), reason)
        self.assertIn("loop", str(reason_of(self.root / "loop")))

    def test_unwritable(self) -> None:
        """Where the user may not write, the reason is the system's."""
        obey_in(self)
        self.root.chmod(0o500)
        self.addCleanup(self.root.chmod, 0o700)
        self.assertEqual(reason_of(self.root / "new" / "below"), "Permission denied.")

    def test_watched(self) -> None:
        """What the unattended client makes in a watched directory."""
        watched = WatchedDirectory(self.root, ("sent", "failed"), written=True)
        with unsynced_directories() as left:
            watched.open()
            self.addCleanup(watched.close)
            make_below(self.root, "sent/a/b")
            self.assertEqual(left, set())
        self.assertTrue((self.root / "sent/a/b").is_dir())

    def test_fetched(self) -> None:
        """What is made for fetched files."""
        places = Destinations(str(self.root / "new"))
        with unsynced_directories() as left:
            for name in ("file", "a/file", "a/b/file", "a/c/file", "d/file"):
                self.assertIs(places.make(name), None)
            self.assertNotEqual(left, set())
            places.sync()
            self.assertEqual(left, set())
