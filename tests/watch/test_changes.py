"""What appears is found: told by the system, or by looking from time to time; one contract."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.support.watched import WatchCase, tree
from xferproto.watch.inotify import Changes, Inotify


class PollTests(WatchCase):
    """The contract: how files may come. Found by looking at everything every five seconds."""

    poll = 5.0

    def setUp(self) -> None:
        super().setUp()
        self.configure(poll=self.poll)
        self.start()
        self.settle()
        self.outside = self.root.with_name("outside")
        self.outside.mkdir()

    def assert_sent(self, *names: str) -> None:
        """Before long, exactly these are sent and moved."""
        self.advance(20)
        self.assertEqual(self.names(), sorted(names))
        self.assertEqual(tree(self.root), sorted(f"sent/{name}" for name in names))

    def test_written(self) -> None:
        """They are written where they are."""
        self.write("a")
        self.write("b", bytes(100_000))
        self.write("empty", b"")
        self.assert_sent("a", "b", "empty")

    def test_written_slowly(self) -> None:
        """They are written, and written on for a while."""
        with (self.root / "a").open("wb") as file:
            for _ in range(10):
                file.write(b"x")
                file.flush()
                self.advance(1)
            self.assertEqual(self.names(), [])
        self.assert_sent("a")

    def test_renamed(self) -> None:
        """They are written under an ignored name, and renamed: the recommended way."""
        part = self.write("a.part")
        self.advance(20)
        self.assertEqual(self.names(), [])
        part.rename(self.root / "a")
        self.assert_sent("a")

    def test_moved_in(self) -> None:
        """They come from outside, by themselves, and in directories."""
        (self.outside / "a").write_bytes(b"a")
        (self.outside / "a").rename(self.root / "a")
        (self.outside / "b/c/d").mkdir(parents=True)
        (self.outside / "b/c/d/e").write_bytes(b"e")
        (self.outside / "b").rename(self.root / "b")
        self.assert_sent("a", "b/c/d/e")

    def test_linked(self) -> None:
        """They are further names of files elsewhere."""
        (self.outside / "a").write_bytes(b"a")
        (self.root / "a").hardlink_to(self.outside / "a")
        self.assert_sent("a")
        self.assertTrue((self.outside / "a").exists())

    def test_directories(self) -> None:
        """They are in directories that were made just now."""
        for depth in range(5):
            self.write("/".join(["d"] * depth + ["file"]))
        self.write("e/f")
        self.assert_sent("file", "d/file", "d/d/file", "d/d/d/file", "d/d/d/d/file", "e/f")
        self.write("d/d/late")
        self.advance(20)
        self.assertIn("d/d/late", self.names())

    def test_directory_renamed(self) -> None:
        """The directory gets another name, and they are known by that."""
        (self.root / "a/b").mkdir(parents=True)
        self.advance(20)
        (self.root / "a").rename(self.root / "c")
        self.advance(20)
        self.write("c/b/d")
        self.write("a/b/e")
        self.assert_sent("a/b/e", "c/b/d")

    def test_directory_removed(self) -> None:
        """A directory is removed, with all that is in it, and made again."""
        for number in range(3):
            self.write(f"a/b/{number}")
            self.advance(20)
            shutil.rmtree(self.root / "a")
            self.advance(20)
        self.assertEqual(self.names(), ["a/b/0", "a/b/1", "a/b/2"])

    def test_directory_moved_away(self) -> None:
        """What comes into a directory that was moved away is not sent."""
        (self.root / "a").mkdir()
        self.advance(20)
        (self.root / "a").rename(self.outside / "a")
        (self.outside / "a/b").write_bytes(b"b")
        self.write("c")
        self.assert_sent("c")

    def test_ignored(self) -> None:
        """What is not carried is not, however it comes."""
        self.write(".hidden/a")
        self.write(".b")
        self.write("c.part/d")
        self.write("sent/e")
        self.write("failed/f")
        self.advance(20)
        self.write(".hidden/late")
        self.write("sent/late")
        self.advance(20)
        self.assertEqual(self.names(), [])

    def test_overwritten(self) -> None:
        """A file that was sent comes again."""
        for content in (b"1", b"2"):
            self.write("a", content)
            self.advance(20)
        self.assertEqual([entry.name for entry in self.entries()], ["a", "a"])

    def test_many(self) -> None:
        """They are many, in many directories."""
        names = [f"{number % 13}/{number % 5}/{number}" for number in range(500)]
        for name in names:
            self.write(name)
        self.assert_sent(*names)


class InotifyCase(WatchCase):
    """Told by the system; the whole is looked at in the beginning only."""

    inotify = True
    poll = 1e6

    def setUp(self) -> None:
        try:
            Inotify(Path("/"), lambda changes: None).close()
        except OSError as error:
            raise SkipTest(f"there is no inotify here: {error}") from None
        super().setUp()


class InotifyTests(InotifyCase, PollTests):
    """The same contract, without looking."""

    def test_at_once(self) -> None:
        """It does not wait for a look at the whole."""
        self.write("a")
        self.advance(3)
        self.assertEqual(self.names(), ["a"])

    def test_overflow(self) -> None:
        """More events than the system keeps are no loss: everything is looked at then."""
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        if most > 20_000:
            self.skipTest("the system keeps too many events")
        path = self.write("first")
        for _ in range(most // 2 + 100):  # two events each: equal ones in a row are one
            path.touch()
            os.link(path, self.root / ".link")
            (self.root / ".link").unlink()
        names = [f"{number}" for number in range(10)]
        for name in names:
            self.write(name)
        self.assert_sent("first", *names)


class LimitTests(InotifyCase):
    """Where the system does not tell of all."""

    def setUp(self) -> None:
        super().setUp()
        self.configure(poll=30.0)

    def limit(self, most: int) -> None:
        """Let no more than so many directories be watched."""
        usual = Inotify.__init__

        def limited(inotify: Any, *args: Any) -> None:
            usual(inotify, *args)
            add = inotify._add
            watched: set[bytes] = set()

            def add_some(fd: int, path: bytes, mask: Any) -> int:
                if path not in watched and len(watched) >= most:
                    ctypes.set_errno(errno.ENOSPC)
                    return -1
                watched.add(path)
                result: int = add(fd, path, mask)
                return result

            inotify._add = add_some

        self.patch(Inotify, "__init__", limited)

    def test_too_many_directories(self) -> None:
        """Those that can't be watched are looked at; it is told once, with what to do."""
        for number in range(10):
            (self.root / f"{number}").mkdir()
        self.limit(5)
        self.start()
        self.settle()
        names = [f"{number}/file" for number in range(10)]
        for name in names:
            self.write(name)
        self.advance(100)
        self.assertEqual(self.names(), names)
        (line,) = self.logged("max_user_watches")
        self.assertIn("No space left", line)

    def test_none(self) -> None:
        """Where there is no inotify at all, everything is looked at; it is told once."""

        def refuse(inotify: Any, *args: Any) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        self.patch(Inotify, "__init__", refuse)
        self.configure(poll=None)
        self.start()
        self.settle()
        self.write("a")
        self.advance(8)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(len(self.logged("does not report changes (Too many open files)")), 1)
        self.assertFalse(self.status()["inotify"])


class EventTests(SynchronousTestCase):
    """Inotify by itself."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir(parents=True)
        self.told: list[Changes] = []
        try:
            self.inotify = Inotify(self.root, self.told.append)
        except OSError as error:
            raise SkipTest(f"there is no inotify here: {error}") from None
        self.addCleanup(self.inotify.close)
        self.inotify.enter("")

    def changes(self) -> Changes:
        self.told.clear()
        self.inotify.doRead()
        (changes,) = self.told
        return changes

    def test_names(self) -> None:
        """A name may be of any bytes."""
        for name in (b"a", b"\xff\n", b"x" * 255):
            (self.root / os.fsdecode(name)).write_bytes(b"")
        self.assertEqual(
            list(self.changes().files),
            [os.fsdecode(name) for name in (b"a", b"\xff\n", b"x" * 255)],
        )

    def test_nothing(self) -> None:
        """Where nothing waits nothing is told."""
        self.inotify.doRead()
        self.assertEqual(self.told, [])

    def test_no_directory(self) -> None:
        """What is gone, a file, or a link to a directory, is not watched, and no failure."""
        (self.root / "file").write_bytes(b"")
        (self.root / "link").symlink_to(self.root)
        self.changes()
        for path in ("none", "file", "link"):
            self.inotify.enter(path)
        self.assertIsNone(self.inotify.refused)

    def test_not_seen_again(self) -> None:
        """A directory that a whole walk has not seen is watched no more."""
        (self.root / "a").mkdir()
        self.inotify.enter("a")
        self.changes()
        self.inotify.begin_round()
        self.inotify.enter("")
        self.inotify.end_round()
        (self.root / "a/b").write_bytes(b"")
        self.assertEqual(self.changes(), Changes())  # that it is watched no more

    def test_closed(self) -> None:
        """Once it is closed nothing is watched, and closing it again is nothing."""
        self.inotify.close()
        self.inotify.close()
        self.inotify.enter("")
        self.inotify.end_round()
