"""What becomes of files here when the disk does not play along."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tests.support.depot import Depot
from tests.support.watched import Done, WatchCase, age, tree
from xferproto.store.interface import FLAT_COST
from xferproto.watch import moves, queue
from xferproto.watch.directory import ASIDE
from xferproto.watch.disposition import AGAIN
from xferproto.watch.journal import Journal, Row, State
from xferproto.watch.moves import Mover, Outcome
from xferproto.watch.rename import rename
from xferproto.watch.walk import Found


class StuckTests(WatchCase):
    """Files that can't be moved away."""

    def refuse(self) -> None:
        """From now on no file can be moved."""

        def refused(source: Path, target: Path) -> None:
            if source.parent == self.root:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            rename(source, target)

        self.refusing = self.patch(moves, "rename", refused)

    def test_once(self) -> None:
        """That is told once, and neither sends nor refuses them again; a restart tries it again."""
        self.refuse()
        for name in ("good", "a\\b"):
            age(self.write(name))
        self.start()
        self.advance(500)
        self.assertEqual(len(self.logged("can't be moved away")), 2)
        self.assertEqual(tree(self.root), ["a\\b", "good"])
        self.assertEqual(self.received(), {"good": 6})
        counts = {name: self.status()[name]["files"] for name in ("sent", "failed")}
        self.assertEqual(counts, {"sent": 1, "failed": 1})
        self.refusing.restore()
        self.start()
        self.advance(100)
        self.assertIn("sent/good", tree(self.root))
        self.assertIn("failed/a\\b", tree(self.root))
        self.assertEqual(self.received(), {"good": 6})
        self.assertEqual(self.status()["sent"]["files"], 0)  # it was counted before

    def test_in_the_way(self) -> None:
        """Where a file lies at the place over which others are deleted, they are not touched."""
        self.configure(done=Done.DELETE)
        age(self.write("good"))
        self.start()
        (self.root / ASIDE).mkdir(exist_ok=True)
        (self.root / ASIDE / "file").write_bytes(b"somebody's")
        self.advance(100)
        (line,) = self.logged("can't be moved away")
        self.assertIn("is in the way", line)
        self.assertEqual((self.root / ASIDE / "file").read_bytes(), b"somebody's")
        self.assertTrue((self.root / "good").exists())


class SlowTests(WatchCase):
    """A depot that takes its time."""

    def test_sent_once(self) -> None:
        """What is being sent is not sent beside that, however often it is seen."""
        self.patch(queue, "LARGE", 200_000)
        self.configure(poll=1.0, done=Done.LEAVE)
        for name, size in (("large", 2_000_000), ("small", 5)):
            age(self.write(name, bytes(size)))
        self.start()
        wire = self.connected()
        self.cut_wires.append(wire)  # nothing more arrives over it
        self.advance(30)
        self.cut_wires.remove(wire)
        self.advance(30)
        self.assertEqual(self.received(), {"large": 2_000_001, "small": 6})
        self.assertEqual(len(self.logged('sent "large"')), 1)
        self.assertEqual(self.status()["sent"]["files"], 2)

    def test_replaced_after_a_refusal(self) -> None:
        """What takes the place of a file that was refused for now does not wait for its time."""
        self.use_depot(Depot(self, quota=2 * FLAT_COST))
        age(self.write("name", bytes(5000)))
        self.start()
        self.advance(1000)
        self.assertEqual(self.names(), [])
        age(self.write("name"))
        self.advance(10)
        self.assertEqual(self.names(), ["name"])


class RoomTests(WatchCase):
    """Files that are held, where there is room for one."""

    def test_vanished(self) -> None:
        """One that vanishes before it has settled leaves its room to others."""
        self.patch(queue.Queue.__init__, "__defaults__", (lambda: None, 1))
        path = self.write("a")
        self.start()
        self.advance(1)
        self.assertEqual(self.status()["waiting"]["settling"], 1)
        path.unlink()
        age(self.write("b"))
        self.advance(100)
        self.assertEqual(tree(self.root), ["sent/b"])


class JournalTests(WatchCase):
    """A journal that can't be written when files were sent."""

    def test_once_more(self) -> None:
        """Files stay where they are until it can be, and are moved then; they are sent once."""
        self.configure(poll=36000.0)
        write, full = Journal.write, True

        def written(journal: Journal, rows: Iterable[tuple[str, Row]]) -> None:
            rows = list(rows)
            if full and any(row.state is State.SENT for _, row in rows):
                raise sqlite3.OperationalError("database or disk is full")
            write(journal, rows)

        self.patch(Journal, "write", written)
        for name in ("a", "b"):
            age(self.write(name))
        self.start()
        self.advance(10 * AGAIN)
        self.assertEqual(tree(self.root), ["a", "b"])
        self.assertIn("disk is full", self.status()["trouble"])
        full = False
        self.advance(2 * AGAIN)
        self.assertEqual(tree(self.root), ["sent/a", "sent/b"])
        self.assertIsNone(self.status()["trouble"])
        self.assertEqual(self.received(), {"a": 6, "b": 6})


class ChangedTests(WatchCase):
    """A file that is another one when it is about to be moved."""

    def test_carried_again(self) -> None:
        """It is carried again at once, though nothing looks at the directory for hours."""
        self.configure(poll=36000.0)
        sent = Mover.sent
        moved: list[str] = []

        def changed(mover: Mover, file: Found, id: str) -> Outcome:
            if not moved:
                age(self.write("name", b"another"))
            moved.append(file.path)
            return sent(mover, file, id)

        self.patch(Mover, "sent", changed)
        age(self.write("name"))
        self.start()
        self.advance(100)
        self.assertEqual(tree(self.root), ["sent/name"])
        self.assertEqual(self.received(), {"name": 6 + 8})


class GoneTests(WatchCase):
    """A directory that goes away just when a file is about to be moved."""

    def test_not_vanished(self) -> None:
        """The file is not taken for vanished; it is moved when the directory is back."""
        self.configure(poll=36000.0)
        aside = self.root.with_name("aside")
        sent = Mover.sent

        def gone(mover: Mover, file: Found, id: str) -> Outcome:
            if not aside.exists() and not moved:
                self.root.rename(aside)
                moved.append(file.path)
            return sent(mover, file, id)

        moved: list[str] = []
        self.patch(Mover, "sent", gone)
        age(self.write("name"))
        self.start()
        self.advance(100)
        self.assertEqual(moved, ["name"])
        self.assertEqual(self.logged("not here any more"), [])
        self.assertEqual(len(self.logged("Waiting until it is back")), 1)
        aside.rename(self.root)
        self.advance(100)
        self.assertEqual(tree(self.root), ["sent/name"])
        self.assertEqual(self.received(), {"name": 6})

    def test_settling(self) -> None:
        """Files that are to be looked at just then are not taken for vanished either."""
        self.configure(poll=36000.0)
        aside = self.root.with_name("aside")
        self.write("name")
        self.start()
        self.advance(1)
        self.assertEqual(self.status()["waiting"]["settling"], 1)
        self.root.rename(aside)
        self.advance(100)
        self.assertEqual(len(self.logged("Waiting until it is back")), 1)
        aside.rename(self.root)
        self.advance(100)
        self.assertEqual(tree(self.root), ["sent/name"])
