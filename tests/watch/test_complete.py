"""Whole files only: when a file is taken, and what becomes of bytes that are written later."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.watched import WatchCase, id_of, tree
from xferproto.watch import moves, open_writers, recheck
from xferproto.watch.journal import Journal
from xferproto.watch.open_writers import Writing
from xferproto.watch.reason_file import REASON
from xferproto.watch.recheck import LONGEST, PERIOD
from xferproto.watch.rename import rename

ROW = b"a row of it\n"


class CompleteCase(WatchCase):
    """Files of other users: the system does not say who has them open."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(open_writers, "writers_of", lambda path: Writing.UNKNOWN)
        self.configure(settle=10.0, settle_unclosed=30.0)

    def append(self, path: Path, content: bytes = ROW) -> None:
        """Open, write, close."""
        with path.open("ab") as file:
            file.write(content)

    def ids(self) -> set[str]:
        return {entry.id for entry in self.entries()}


class PollTests(CompleteCase):
    """Nothing but looking at the files says anything."""

    def test_rows(self) -> None:
        """A file that gets a row every 20 s is stored once, and whole."""
        self.configure(poll=5.0)
        self.start()
        with (self.root / "a").open("ab") as file:
            for _ in range(10):
                file.write(ROW)
                file.flush()
                self.advance(20)
        self.advance(60)
        self.assertEqual(self.ids(), {id_of(10 * ROW)})
        self.assertEqual(tree(self.root), ["sent/a"])

    def test_old(self) -> None:
        """A file whose times are old enough is taken at once."""
        path = self.write("a")
        self.reactor.advance(path.stat().st_ctime + 30 + 60 - self.reactor.seconds())
        self.start()
        self.advance(2)
        self.assertEqual(tree(self.root), ["sent/a"])

    def test_kept_in_mind(self) -> None:
        """No kill loses sight of a moved file: its row is there before the former one goes."""
        there: list[set[str]] = []
        forget = Journal.forget

        def forgotten(journal: Journal, paths: Iterable[str]) -> None:
            gone = list(paths)
            if "a" in gone:
                there.append(set(journal.rows(["a", "sent/a"])))
            forget(journal, gone)

        self.patch(Journal, "forget", forgotten)
        self.configure(poll=1.0)
        self.write("a")
        self.start()
        self.advance(100)
        self.assertEqual(tree(self.root), ["sent/a"])
        self.assertEqual(there, [{"a", "sent/a"}])

    def test_nobody(self) -> None:
        """Where the system says that nobody has it open, the shorter time is enough."""
        self.patch(open_writers, "writers_of", lambda path: Writing.NOBODY)
        self.configure(poll=1.0)
        self.start()
        self.write("a")
        self.advance(13)
        self.assertEqual(tree(self.root), ["sent/a"])


class EventTests(CompleteCase):
    """The system reports changes too."""

    inotify = True

    def test_renamed(self) -> None:
        """A file that is renamed into the directory is whole: it is taken at once."""
        outside = self.root.with_name("outside")
        self.start()
        self.advance(1)
        outside.write_bytes(b"hello")
        outside.rename(self.root / "a")
        self.write("b.part").rename(self.root / "b")
        self.advance(2)
        self.assertEqual(tree(self.root), ["sent/a", "sent/b"])

    def test_renamed_and_open(self) -> None:
        """One that is renamed while somebody is known to write it has to settle."""
        self.patch(open_writers, "writers_of", lambda path: Writing.SOMEBODY)
        self.start()
        self.write("a.part").rename(self.root / "a")
        self.advance(100)
        self.assertEqual(tree(self.root), ["a"])

    def test_closed(self) -> None:
        """One that is closed by whoever has written it is taken after the shorter time."""
        self.start()
        self.advance(1)
        self.write("a")
        self.advance(9)
        self.assertEqual(tree(self.root), ["a"])
        self.advance(5)
        self.assertEqual(tree(self.root), ["sent/a"])

    def test_closed_for_each_row(self) -> None:
        """Each closing write begins that time anew, also one that writes nothing."""
        self.start()
        for _ in range(20):
            self.append(self.root / "a")
            self.advance(6)
            self.append(self.root / "a", b"")
            self.advance(6)
        self.advance(30)
        self.assertEqual(self.ids(), {id_of(20 * ROW)})
        self.assertEqual(tree(self.root), ["sent/a"])

    def test_not_closed(self) -> None:
        """One that nobody has closed takes the longer time."""
        self.start()
        with self.write("a.part").open("ab") as file:
            os.link(self.root / "a.part", self.root / "a")
            (self.root / "a.part").unlink()
            self.advance(28)
            self.assertEqual(self.ids(), set())
            file.write(ROW)
            file.flush()
            self.advance(28)
            self.assertEqual(self.ids(), set())
        self.advance(40)
        self.assertEqual(self.ids(), {id_of(b"hello" + ROW)})


class SentTests(CompleteCase):
    """Files are looked at again after they were sent and moved."""

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def test_changed(self) -> None:
        """One that was written to in sent/ is sent again, as often as that happens."""
        content = ROW
        with (self.root / "d").open("wb") as file:
            file.write(content)
            file.flush()
            for _ in range(3):
                self.advance(120)
                self.assertEqual(tree(self.root), ["sent/d"])
                file.write(ROW)
                file.flush()
                content += ROW
        self.advance(120)
        self.assertEqual(tree(self.root), ["sent/d"])
        self.assertEqual((self.root / "sent/d").read_bytes(), content)
        self.assertIn(id_of(content), self.ids())
        self.assertEqual(set(self.names()), {"d"})
        self.assertEqual(len(self.logged('"sent/d" has changed since it was sent')), 3)

    def test_directories(self) -> None:
        """Its directory is made again where it is gone; a name that is taken gets a number."""
        for _ in range(2):
            self.write("x/y/d")
            self.advance(120)
        (first, second) = sorted(path for path in tree(self.root))
        self.assertTrue(first.startswith("sent/x/y/d") and second.startswith("sent/x/y/d"))
        (self.root / "x/y").rmdir()
        (self.root / "x").rmdir()
        for path, row in ((first, b"one"), (second, b"two")):
            self.append(self.root / path, row)
        self.advance(150)
        self.assertEqual(len(tree(self.root)), 2)
        self.assertEqual(
            self.ids(), {id_of(content) for content in (b"hello", b"helloone", b"hellotwo")}
        )

    def test_restart(self) -> None:
        """A restart does not forget it."""
        self.write("d")
        self.advance(60)
        self.assertEqual(tree(self.root), ["sent/d"])
        self.stop()
        self.append(self.root / "sent/d")
        self.start()
        self.advance(2 * PERIOD + 60)
        self.assertEqual(self.ids(), {id_of(b"hello"), id_of(b"hello" + ROW)})
        self.assertEqual(tree(self.root), ["sent/d"])

    def test_of_the_user(self) -> None:
        """What its user removes, moves or replaces in sent/ is theirs, and not sent again."""
        for name in "abc":
            self.write(name)
        self.advance(60)
        sent = self.root / "sent"
        (sent / "a").unlink()
        (sent / "b").rename(sent / "e")
        other = self.root.with_name("other")
        other.write_bytes(b"another")
        other.replace(sent / "c")
        self.advance(2 * PERIOD + 60)
        self.assertEqual(tree(self.root), ["sent/c", "sent/e"])
        self.assertEqual(self.ids(), {id_of(b"hello")})
        self.assertEqual(self.logged("has changed"), [])

    def test_not_for_long(self) -> None:
        """After an hour it is looked at no more."""
        self.write("d")
        self.advance(60)
        self.advance(LONGEST + 2 * PERIOD)
        self.append(self.root / "sent/d")
        self.advance(2 * PERIOD + 60)
        self.assertEqual(tree(self.root), ["sent/d"])
        self.assertEqual(self.ids(), {id_of(b"hello")})

    def test_by_itself(self) -> None:
        """Each is sent again, though nothing else looks at the directory for hours."""
        self.patch(recheck, "SLICE", 1)
        self.configure(poll=36000.0)
        for name in "abc":
            self.write(name)
        self.start()
        self.advance(60)
        for name in "abc":
            self.append(self.root / "sent" / name, name.encode())
        self.advance(2 * PERIOD + 60)
        self.assertEqual(self.ids(), {id_of(b"hello" + end) for end in (b"", b"a", b"b", b"c")})
        self.assertEqual(tree(self.root), ["sent/a", "sent/b", "sent/c"])

    def test_not_brought_back(self) -> None:
        """One that can't be moved back is reported, once; all else goes on."""
        self.write("d")
        self.advance(60)
        self.append(self.root / "sent/d")

        def refuse(source: Path, target: Path) -> None:
            if source == self.root / "sent/d":
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            rename(source, target)

        self.patch(moves, "rename", refuse)
        self.advance(4 * PERIOD)
        (line,) = self.logged("can't be moved back")
        self.assertIn("Operation not permitted", line)
        self.assertEqual(tree(self.root), ["sent/d"])
        self.write("e")
        self.advance(120)
        self.assertEqual(self.names(), ["d", "e"])

    def test_directory_gone(self) -> None:
        """A directory that is gone when they are looked at is waited for, and nothing forgotten."""
        self.configure(poll=36000.0, settle=1.0, settle_unclosed=5.0)
        self.write("d")
        self.start()
        self.advance(PERIOD - 10)
        self.assertEqual(tree(self.root), ["sent/d"])
        aside = self.root.with_name("aside")
        self.root.rename(aside)
        self.advance(3 * PERIOD)
        self.assertEqual(len(self.logged("Waiting until it is back")), 1)
        self.append(aside / "sent/d")
        aside.rename(self.root)
        self.advance(2 * PERIOD + 60)
        self.assertEqual(self.ids(), {id_of(b"hello"), id_of(b"hello" + ROW)})

    def test_known(self) -> None:
        """Of a file that nobody had open nothing is kept."""
        self.patch(open_writers, "writers_of", lambda path: Writing.NOBODY)
        self.write("d")
        self.advance(60)
        self.append(self.root / "sent/d")
        self.advance(2 * PERIOD + 60)
        self.assertEqual(self.ids(), {id_of(b"hello")})


class SentEventTests(CompleteCase):
    """The same, where the system reports that they were moved back."""

    inotify = True

    def test_settles(self) -> None:
        """A file that is moved back is not taken for whole: somebody may still write to it."""
        self.configure(poll=36000.0)
        self.start()
        self.write("d")
        self.advance(PERIOD - 5)
        self.assertEqual(tree(self.root), ["sent/d"])
        for _ in range(3):
            self.append(self.root / "sent/d")
            while not (self.root / "d").exists():
                self.advance(1)
            self.advance(5)
            self.assertEqual(tree(self.root), ["d"])
            self.advance(60)
            self.assertEqual(tree(self.root), ["sent/d"])
        self.assertIn(id_of(b"hello" + 3 * ROW), self.ids())


class ReasonTests(WatchCase):
    """Files that can't be stored, moved back with their reasons, again and again."""

    def test_moved_back(self) -> None:
        """There is one reason for each, whatever its name, however often it is moved back."""
        deep = "/".join(["d" * 200] * 5)
        names = [b"a\\b", b"a\nb", b"\xff", b"\\" + b"n" * 250, deep.encode() + b"/" + 30 * b"e"]
        self.start()
        for name in names:
            self.write(os.fsdecode(name))
        self.settle()
        once = tree(self.root)
        self.assertEqual(len(once), 2 * len(names))
        for _ in range(3):
            for path in sorted(self.root.joinpath("failed").rglob("*"), reverse=True):
                back = self.root / path.relative_to(self.root / "failed")
                if path.is_file():
                    back.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(back)
            self.settle()
            self.assertEqual(tree(self.root), once)
            self.assertTrue(all(path.startswith("failed/") for path in once))
        self.assertEqual(sum(path.endswith(REASON) for path in once), len(names))
