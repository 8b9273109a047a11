"""The watched directory: who has it, whether it is there, and what it looks like when it is not."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot
from tests.support.file_modes import obey_in
from tests.support.watched import Done, WatchCase, tree
from xferproto.watch import directory as module
from xferproto.watch.directory import (
    FAILED,
    LOCK,
    SENT,
    DirectoryGone,
    DirectoryUnusable,
    WatchedDirectory,
)

MARKER = "0123456789abcdef" * 2


class MountCase(SynchronousTestCase):
    """Cases with file systems of their own."""

    root: Path

    def mount(self, options: str = "rw", path: Path | None = None) -> Path:
        """A small file system of its own."""
        path = path or self.root / "mounted"
        path.mkdir(exist_ok=True)
        if os.geteuid() or shutil.which("mount") is None:
            self.skipTest("only root can mount")
        if not self.did("mount", "-t", "tmpfs", "-o", f"{options},size=1m", "tmpfs", path):
            self.skipTest("nothing can be mounted here")
        self.addCleanup(self.did, "umount", "-l", path)
        return path

    def did(self, *command: str | Path) -> bool:
        """Run a command: whether that went well."""
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class OpenTests(MountCase):
    """Whether a directory can be watched."""

    def setUp(self) -> None:
        self.patch(module, "LOCK_PAUSE", 0)
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir(parents=True)

    def directory(self, path: Path | None = None, written: bool = True) -> WatchedDirectory:
        made = (SENT, FAILED) if written else ()
        directory = WatchedDirectory(path or self.root, made, written)
        self.addCleanup(directory.close)
        return directory

    def assert_unusable(self, directory: WatchedDirectory, *words: str) -> None:
        """It can't be opened; one line says why."""
        line = str(self.assertRaises(DirectoryUnusable, directory.open))
        self.assertNotIn("\n", line)
        self.assertNotIn("None", line)
        for word in words:
            self.assertIn(word, line)

    def test_opened(self) -> None:
        """What is needed in it is made."""
        self.directory().open()
        self.assertTrue((self.root / SENT).is_dir())
        self.assertTrue((self.root / FAILED).is_dir())
        self.assertEqual((self.root / LOCK).read_bytes(), b"")

    def test_missing(self) -> None:
        """A directory that is not there is not made."""
        path = self.root / "none"
        self.assert_unusable(self.directory(path), f"{path} does not exist.")
        self.assertFalse(path.exists())

    def test_no_directory(self) -> None:
        """A file is none."""
        path = self.root / "file"
        path.write_bytes(b"")
        self.assert_unusable(self.directory(path), f"{path} is not a directory.")
        self.assert_unusable(self.directory(path / "below"), "Not a directory")

    def test_in_use(self) -> None:
        """It is one process's at a time, until that has ended."""
        first = self.directory()
        first.open()
        for written in (True, False):
            if written:
                self.assert_unusable(self.directory(), "Another process watches")
        first.close()
        self.directory().open()

    def test_not_writable(self) -> None:
        """Where files are to be moved it has to be writable."""
        obey_in(self)
        self.root.chmod(0o500)
        self.addCleanup(self.root.chmod, 0o700)
        self.assert_unusable(self.directory(), "can't be written to: Permission denied")
        reading = self.directory(written=False)
        reading.open()
        self.assertEqual(reading.lock, self.root)
        self.assert_unusable(self.directory(written=False), "Another process watches")

    def test_read_only(self) -> None:
        """A file system that is read-only says so, and can be watched where nothing is moved."""
        mounted = self.mount("ro")
        self.assert_unusable(self.directory(mounted), "Read-only file system")
        reading = self.directory(mounted, written=False)
        reading.open()
        reading.check()
        self.assertEqual(reading.lock, mounted)
        self.assert_unusable(self.directory(mounted, written=False), "Another process watches")

    def test_places_taken(self) -> None:
        """What is in the place of sent/ or failed/ and is no directory is told; links are none."""
        (self.root / SENT).write_bytes(b"mine")
        self.assert_unusable(self.directory(), str(self.root / SENT), "move it away")
        (self.root / SENT).unlink()
        (self.root / FAILED).symlink_to("/tmp")
        self.assert_unusable(self.directory(), str(self.root / FAILED), "move it away")

    def test_other_file_system(self) -> None:
        """Nothing can be moved to a sent/ that is on another file system."""
        self.mount(path=self.root / SENT)
        self.assert_unusable(self.directory(), str(self.root / SENT), "another file system")

    def test_lock_is_a_link(self) -> None:
        """A link in the place of the lock file is not followed."""
        (self.root / LOCK).symlink_to(self.root / "elsewhere")
        self.assert_unusable(self.directory(), "can't be written to")
        self.assertFalse((self.root / "elsewhere").exists())

    def test_marker(self) -> None:
        """The word in the lock file is kept; what is no word is none."""
        directory = self.directory()
        directory.open()
        self.assertIsNone(directory.marker)
        directory.mark(MARKER)
        directory.close()
        again = self.directory()
        again.open()
        self.assertEqual(again.marker, MARKER)
        again.close()
        (self.root / LOCK).write_bytes(b"what?\n")
        last = self.directory()
        last.open()
        self.assertIsNone(last.marker)

    def test_gone(self) -> None:
        """A directory that was moved away, or whose lock file was removed, is gone."""
        directory = self.directory()
        directory.open()
        directory.check()
        aside = self.root.with_name("aside")
        self.root.rename(aside)
        self.assertIn("is gone", str(self.assertRaises(DirectoryGone, directory.check)))
        self.root.mkdir()
        self.assertIn("another", str(self.assertRaises(DirectoryGone, directory.check)))
        self.root.rmdir()
        aside.rename(self.root)
        directory.check()
        (self.root / LOCK).unlink()
        self.assertIn(LOCK, str(self.assertRaises(DirectoryGone, directory.check)))
        (self.root / LOCK).write_bytes(b"")
        self.assertIn("lock", str(self.assertRaises(DirectoryGone, directory.check)))

    def test_back(self) -> None:
        """It is back when it is there again, or a new one on the same file system."""
        directory = self.directory()
        directory.open()
        aside = self.root.with_name("aside")
        self.root.rename(aside)
        self.assertFalse(directory.is_back())
        self.root.write_bytes(b"")
        self.assertFalse(directory.is_back())
        self.root.unlink()
        self.root.mkdir()
        self.assertTrue(directory.is_back())

    def test_unmounted(self) -> None:
        """A mount point without what was mounted there is not it; mounted again, it is back."""
        mounted = self.mount()
        directory = self.directory(mounted)
        directory.open()
        directory.mark(MARKER)
        elsewhere = self.root / "elsewhere"
        elsewhere.mkdir()
        self.assertTrue(self.did("mount", "--bind", mounted, elsewhere))
        self.addCleanup(self.did, "umount", "-l", elsewhere)
        self.assertTrue(self.did("umount", "-l", mounted))
        self.assertRaises(DirectoryGone, directory.check)
        self.assertFalse(directory.is_back())
        (mounted / LOCK).write_bytes(b"")
        self.assertFalse(directory.is_back())
        (mounted / LOCK).unlink()
        self.assertTrue(self.did("mount", "--bind", elsewhere, mounted))
        self.assertTrue(directory.is_back())
        directory.check()


class GoneTests(WatchCase):
    """A service whose directory goes away."""

    def gone(self) -> Path:
        """Take it away: where it is now."""
        aside = self.root.with_name(self.root.name + "-aside")
        self.root.rename(aside)
        return aside

    def levels(self, word: str) -> list[LogLevel]:
        return [
            event["log_level"]
            for event in self.events
            if word in str(event.get("log_format")) + str(event.get("error"))
        ]

    def test_gone_and_back(self) -> None:
        """It is told once, waited for, never made, and all goes on when it is back."""
        for inotify in (False, True):
            self.configure(inotify=inotify)
            self.start()
            self.write("a")
            self.settle()
            aside = self.gone()
            self.advance(500)
            self.assertFalse(self.root.exists())
            (aside / "b").write_bytes(b"b")
            self.assertEqual(len(self.logged("Waiting until it is back")), 1)
            aside.rename(self.root)
            self.settle()
            self.assertIn("b", self.names())
            self.write("c")
            self.advance(100)
            self.assertIn("c", self.names())
            self.assertIn("sent/c", tree(self.root))
            self.stop()
            self.events.clear()
        self.assertEqual(self.levels("should not have happened"), [])

    def test_stopped_meanwhile(self) -> None:
        """It can be stopped while the directory is gone."""
        status = self.root.parent / "status"
        self.configure(status=status)
        self.start()
        self.settle()
        aside = self.gone()
        self.advance(100)
        self.assertEqual(self.status()["state"], "directory gone")
        self.stop()
        self.assertFalse(self.root.exists())
        self.assertEqual(self.status()["state"], "stopped")
        aside.rename(self.root)

    def test_while_sending(self) -> None:
        """What was under way goes on; nothing is taken for vanished."""
        self.endpoint.hold = True
        self.start()
        self.write("a")
        self.write("b", bytes(100_000))
        self.settle()
        aside = self.gone()
        self.endpoint.hold = False
        for go_on in self.endpoint.waiting:
            go_on()
        self.advance(100)
        self.assertEqual(self.logged("vanished"), [])
        aside.rename(self.root)
        self.advance(100)
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(self.received(), {"a": 6, "b": 100_001})

    def test_before_the_move(self) -> None:
        """A file that is sent when the directory goes is moved when it is back."""
        for done in Done:
            self.configure(done=done)
            self.start()
            self.write(f"{done}", f"{done}".encode())
            while all(wire.closed for wire in self.endpoint.wires):
                self.reactor.advance(1)
            self.disk.open = False
            self.flush()
            aside = self.gone()
            self.disk.open = True
            self.disk.run_all()
            self.advance(100)
            aside.rename(self.root)
            self.advance(100)
            self.stop()
        self.assertEqual(self.names(), sorted(str(done) for done in Done))
        self.assertEqual(self.received(), {str(done): len(str(done)) + 1 for done in Done})

    def test_new_one(self) -> None:
        """A directory that is made anew in its place is watched like a new one."""
        self.start()
        self.settle()
        shutil.rmtree(self.root)
        self.advance(100)
        self.root.mkdir()
        self.settle()
        self.write("a")
        self.advance(100)
        self.assertEqual(self.names(), ["a"])

    def test_emptied(self) -> None:
        """Who removes all that is in it, the lock file and the journal too, has an empty one."""
        self.start()
        self.settle()
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.write("a")
        self.advance(200)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(tree(self.root), ["sent/a"])

    def test_taken_meanwhile(self) -> None:
        """Where another process has taken it when it is back, that is told once, and waited for."""
        self.patch(module, "LOCK_PAUSE", 0)
        self.start()
        self.settle()
        aside = self.gone()
        self.advance(100)
        aside.rename(self.root)
        other = WatchedDirectory(self.root, (), True)
        other.open()
        self.advance(100)
        self.assertEqual(len(self.logged("Another process watches")), 1)
        other.close()
        self.write("a")
        self.advance(100)
        self.assertEqual(self.names(), ["a"])

    def test_second_instance(self) -> None:
        """A second service for the directory does not start."""
        self.patch(module, "LOCK_PAUSE", 0)
        first = self.start()
        self.services.clear()
        error = self.assertRaises(DirectoryUnusable, self.start)
        self.services.append(first)
        self.assertIn("Another process watches", str(error))
        self.write("a")
        self.settle()
        self.assertEqual(self.names(), ["a"])


class SubdirectoryTests(WatchCase):
    """Directories that can't be entered."""

    def test_closed(self) -> None:
        """One that may not be read is told of once; what is beside it is sent."""

        usual = os.scandir

        def refused(path: Any) -> Any:
            if str(path).endswith("/closed"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return usual(path)

        self.write("closed/a")
        self.write("b/c")
        self.patch(os, "scandir", refused)
        self.start()
        self.advance(100)
        self.assertEqual(self.names(), ["b/c"])
        self.assertEqual(len(self.logged('can\'t enter "closed": Permission denied')), 1)
        self.assertEqual(self.status()["closed"], {"closed": "Permission denied"})


class ReadOnlyTests(WatchCase, MountCase):
    """A directory that can't be written to, whose files are left."""

    def setUp(self) -> None:
        super().setUp()
        self.use_depot(Depot(self, max_file_size=10))
        outside = self.root
        self.root = self.mount()
        self.write("a")
        self.write("large", bytes(100))
        self.assertTrue(self.did("mount", "-o", "remount,ro", self.root))
        self.configure(
            directory=self.root,
            done=Done.LEAVE,
            state=outside / "state",
            status=outside / "status",
        )

    def test_read_only(self) -> None:
        """What can be stored is, once; what can't stays, and is told of once."""
        self.start()
        self.advance(100)
        self.assertEqual(self.names(), ["a"])
        line = 'failed "large": too-large: This server takes files of at most 10 bytes; send a '
        (told,) = self.logged('failed "large"')
        self.assertIn(line, told)
        self.assertIn("it can't be moved away: Read-only file system", told)
        self.assertEqual(self.status()["failed"]["files"], 1)
        self.start()
        self.advance(100)
        self.assertEqual(self.received(), {"a": 6})

    def test_not_mounted(self) -> None:
        """An empty mount point, of which one can't tell that it is one, makes nothing forgotten."""
        self.start()
        self.settle()
        self.stop()
        aside = self.root.with_name("aside")
        aside.mkdir()
        self.assertTrue(self.did("mount", "--bind", self.root, aside))
        self.addCleanup(self.did, "umount", "-l", aside)
        self.assertTrue(self.did("umount", "-l", self.root))
        self.assertTrue(self.did("mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", self.root))
        self.start()
        self.settle()
        self.stop()
        self.assertTrue(self.did("umount", "-l", self.root))
        self.assertTrue(self.did("mount", "--bind", aside, self.root))
        self.start()
        self.settle()
        self.assertEqual(self.received(), {"a": 6})
