"""The parts of the unattended client: settling, journal, moves, failures, breaker, options."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.watched import Done, found
from xferproto.client import service
from xferproto.model.errors import (
    REQUEST_ERRORS,
    CertificateError,
    ConnectionCut,
    HashMismatch,
    SourceChanged,
    TLSFailed,
    UnexpectedReply,
    UnknownRequestError,
)
from xferproto.watch import moves as moves_module
from xferproto.watch import rename as rename_module
from xferproto.watch.circuit_breaker import SLOW, CircuitBreaker
from xferproto.watch.directory import DirectoryUnusable
from xferproto.watch.failure_policy import MISMATCHES, Decision, FailureKind, decide
from xferproto.watch.journal import Journal, Row, State
from xferproto.watch.moves import End, Mover
from xferproto.watch.open_writers import GIVEN, OpenWriters, Writing, writers_of
from xferproto.watch.options import WatchSettings
from xferproto.watch.queue import LARGE, Queue, Stage
from xferproto.watch.reason_file import BEGIN, REASON, reason_text
from xferproto.watch.rename import NAME_MAX, fitted, names, rename
from xferproto.watch.sender import fingerprint_token
from xferproto.watch.settle_time import LONG_AGO, SettleTimer
from xferproto.watch.walk import SLICE, Found, Identity, Ignored, Walk, look
from xferproto.wire.codec import parse_resume

NOW = Identity(1, 2, 3, 10**18, 10**18)
"""A file that was changed at 1e9."""


class SettlingTests(SynchronousTestCase):
    """Which files have stopped changing."""

    def setUp(self) -> None:
        self.settling = SettleTimer(2.0)

    def seen(self, now: float, identity: Identity = NOW, path: str = "a") -> bool:
        return self.settling.settled(Found(path, identity), now, 1e9 + now)

    def test_settled(self) -> None:
        """A file is, when it was the same for so long."""
        self.assertFalse(self.seen(0))
        self.assertFalse(self.seen(1.9))
        self.assertTrue(self.seen(2))
        self.assertEqual(len(self.settling), 0)

    def test_changed(self) -> None:
        """Whatever about it changes, the time begins anew."""
        for field in Identity._fields:
            self.seen(0)
            other = NOW._replace(**{field: getattr(NOW, field) + 1})
            self.assertFalse(self.seen(5, other), field)
            self.assertFalse(self.seen(6, other), field)
            self.assertTrue(self.seen(7, other), field)

    def test_long_ago(self) -> None:
        """One that was not changed for long is, at the first sight; one of tomorrow is not."""
        old = NOW._replace(modified=0)
        self.assertFalse(self.seen(0, old))
        older = NOW._replace(changed=int((1e9 - LONG_AGO - 2) * 1e9))
        self.assertFalse(self.seen(0, older))
        self.assertTrue(self.seen(0, older._replace(modified=0)))
        tomorrow = NOW._replace(modified=2 * 10**18)
        self.assertFalse(self.seen(0, tomorrow))
        self.assertTrue(self.seen(2, tomorrow))

    def test_at_once(self) -> None:
        """With no time to settle, every file is, at the first sight."""
        self.assertTrue(SettleTimer(0.0).settled(Found("a", NOW), 0, 1e9))

    def test_due(self) -> None:
        """Files are to be looked at again in the order in which they were seen or changed."""
        self.assertIsNone(self.settling.next_due())
        for number, path in enumerate("abc"):
            self.seen(number, path=path)
        self.assertEqual(self.settling.next_due(), 2)
        self.assertEqual(self.settling.due(1.9, 10), [])
        self.assertEqual(self.settling.due(3.5, 10), ["a", "b"])
        self.assertEqual(self.settling.due(9, 1), ["a"])
        self.seen(3, NOW._replace(size=4), "a")
        self.assertEqual(self.settling.due(4.9, 10), ["b", "c"])
        self.settling.drop("b")
        self.settling.drop("none")
        self.assertEqual(self.settling.next_due(), 4)


class WalkTests(SynchronousTestCase):
    """Walks."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir(parents=True)
        self.device = self.root.stat().st_dev

    def walk(self, *patterns: str, start: str = "") -> Walk:
        return Walk(self.root, self.device, Ignored(patterns), start=start)

    def paths(self, walk: Walk) -> list[str]:
        paths = []
        while (more := walk.more()) is not None:
            self.assertLessEqual(len(more), SLICE)
            paths += [file.path for file in more]
        return sorted(paths)

    def test_slices(self) -> None:
        """Many files come in slices; what vanishes meanwhile is no failure."""
        for number in range(SLICE + 10):
            (self.root / f"{number}").write_bytes(b"")
        (self.root / "d").mkdir()
        walk = self.walk()
        first = walk.more()
        assert first is not None
        for path in list(self.root.iterdir()):
            path.rmdir() if path.is_dir() else path.unlink()
        while walk.more() is not None:
            pass
        self.assertLessEqual(len(first), SLICE)

    def test_closed_early(self) -> None:
        """A walk that is ended has ended."""
        (self.root / "a").write_bytes(b"")
        walk = self.walk()
        walk.close()
        self.assertIsNone(walk.more())

    def test_start(self) -> None:
        """A part of the directory; one that is gone is empty."""
        (self.root / "a/b").mkdir(parents=True)
        (self.root / "a/b/c").write_bytes(b"")
        self.assertEqual(self.paths(self.walk(start="a/b")), ["a/b/c"])
        self.assertEqual(self.paths(self.walk(start="none")), [])

    def test_other_file_system(self) -> None:
        """A directory on another file system is not entered, and told of."""
        (self.root / "a/b").mkdir(parents=True)
        walk = Walk(self.root, self.device + 1, Ignored())
        self.assertEqual(self.paths(walk), [])
        self.assertEqual(list(walk.closed), ["a"])

    def test_deep(self) -> None:
        """A directory that is deeper than a path can be long is told of, and no failure."""
        self.addCleanup(shutil.rmtree, self.root)  # by descriptors; others fail at such a path
        (self.root / "a").write_bytes(b"")
        directory = os.open(self.root, os.O_RDONLY)
        for _ in range(25):
            os.mkdir("d" * 200, dir_fd=directory)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=directory)
            os.close(directory)
            directory = below
        os.close(directory)
        walk = self.walk()
        self.assertEqual(self.paths(walk), ["a"])
        self.assertEqual(list(walk.closed.values()), ["File name too long"])

    def test_ignored(self) -> None:
        """Patterns are as in a shell, with letter case; for paths where they hold a slash."""
        ignored = Ignored(["*.LOG", "a/*.x", "[0-9]*"])
        for path in (
            "b.LOG",
            "d/b.LOG",
            "a/b.x",
            "1",
            "d/2",
            ".h",
            "d/.h",
            "x~",
            "y.part",
            "z.tmp",
        ):
            self.assertTrue(ignored(path), path)
        for path in ("b.log", "d/b.x", "aa/b.x", "b1", "part", "~x", "tmp", "sent"):
            self.assertFalse(ignored(path), path)

    def test_look(self) -> None:
        """A look sees regular files alone."""
        (self.root / "a").write_bytes(b"12345")
        (self.root / "l").symlink_to("a")
        identity = look(self.root, "a")
        assert identity is not None
        self.assertEqual(identity.size, 5)
        for path in ("l", ".", "none", "a/b", "x" * 300, "nul\0"):
            self.assertIsNone(look(self.root, path), path)


class JournalTests(SynchronousTestCase):
    """The journal's file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.path)

    def tearDown(self) -> None:
        self.journal.close()

    def again(self) -> Journal:
        self.journal.close()
        self.journal = Journal(self.path)
        return self.journal

    def row(self, state: State = State.SENT, **fields: Any) -> Row:
        return Row(NOW.fingerprint, NOW.changed, state)._replace(**fields)

    def test_kept(self) -> None:
        """What is written is there after a restart, for names of any bytes."""
        self.assertTrue(self.journal.fresh)
        marker = self.journal.marker
        names = ["a", "b/c", os.fsdecode(b"\xff\n"), "x" * 4000]
        self.journal.write([(name, self.row(id="i", reason="r")) for name in names])
        again = self.again()
        self.assertFalse(again.fresh)
        self.assertEqual(again.marker, marker)
        expected = {name: self.row(id="i", reason="r") for name in names}
        self.assertEqual(again.rows([*names, "none"]), expected)

    def test_large_numbers(self) -> None:
        """Inodes may have any 64 bits, times may be long ago."""
        identity = Identity(2**64 - 1, 2**64 - 1, 2**63 - 1, -(10**18), -(10**18))
        self.journal.write([("a", Row(identity.fingerprint, identity.changed, State.SENT))])
        row = self.journal.rows(["a"])["a"]
        self.assertTrue(row.is_about(identity))
        self.assertFalse(row.is_about(identity._replace(inode=1)))
        self.assertTrue(self.journal.was_sent(identity))
        self.assertFalse(self.journal.was_sent(NOW))

    def test_sent(self) -> None:
        """A file of which no answer is known, or a refusal, was not sent."""
        for state in State:
            self.journal.write([("a", self.row(state))])
            self.assertEqual(self.journal.was_sent(NOW), state is State.SENT)

    def test_restart(self) -> None:
        """A restart tries again what was refused, or has failed and could not be moved."""
        self.journal.write(
            [
                ("later", self.row(State.LATER, tries=5, due=1e12)),
                ("failed", self.row(State.FAILED)),
                ("begun", self.row(State.BEGUN)),
                ("sent", self.row()),
            ]
        )
        rows = self.again().rows(["later", "failed", "begun", "sent"])
        self.assertEqual(sorted(rows), ["begun", "later", "sent"])
        self.assertEqual((rows["later"].tries, rows["later"].due), (0, 0.0))

    def test_forget(self) -> None:
        """What is forgotten is not there any more, the rest can be gone through."""
        names = [f"{number:04}" for number in range(1200)]
        self.journal.write([(name, self.row()) for name in names])
        self.assertEqual(len(self.journal.rows(names)), 1200)
        self.journal.forget(names[::2])
        gone_through: list[str] = []
        number = 0
        while rows := self.journal.after(number, 100):
            gone_through += [name for _, name in rows]
            number = rows[-1][0]
        self.assertEqual(gone_through, names[1::2])

    def test_all_or_nothing(self) -> None:
        """Of rows that can't all be written none is."""
        bad = ("b", self.row()._replace(changed=2**64))
        self.assertRaises(OverflowError, self.journal.write, [("a", self.row()), bad])
        self.assertEqual(self.journal.rows(["a", "b"]), {})
        self.journal.write([("a", self.row())])

    def assert_unusable(self, path: Path, *words: str) -> None:
        line = str(self.assertRaises(DirectoryUnusable, Journal, path))
        self.assertNotIn("\n", line)
        for word in (str(path), *words):
            self.assertIn(word, line)

    def test_unusable(self) -> None:
        """What is no journal is told, and stays as it is."""
        other = self.path.with_name("other")
        other.write_bytes(b"mine" * 1000)
        self.assert_unusable(other)
        self.assertEqual(other.read_bytes(), b"mine" * 1000)
        self.assert_unusable(self.path.parent)
        self.assert_unusable(self.path / "below")
        database = self.path.with_name("database")
        connection = sqlite3.connect(database)
        connection.execute("CREATE TABLE mine (a)")
        connection.commit()
        connection.close()
        self.assert_unusable(database, "another program's")
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA application_id = 7")
        connection.close()
        self.assert_unusable(database, "another program's")

    def test_newer(self) -> None:
        """A journal of a later version is told, and stays as it is."""
        self.journal.close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        self.assert_unusable(self.path, "another version")

    def test_in_use(self) -> None:
        """A journal that another process has is told."""
        self.journal.write([("a", self.row())])
        self.assert_unusable(self.path, "locked")


class RenameTests(SynchronousTestCase):
    """Names that are not taken."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir(parents=True)

    def test_never_replaces(self) -> None:
        """A name that is taken is not given, with and without the system's help."""
        for help in (rename_module._RENAME, None):
            self.patch(rename_module, "_RENAME", help)
            (self.root / "a").write_bytes(b"a")
            (self.root / "b").write_bytes(b"b")
            self.assertRaises(FileExistsError, rename, self.root / "a", self.root / "b")
            (self.root / "l").symlink_to("nothing")
            self.assertRaises(FileExistsError, rename, self.root / "a", self.root / "l")
            self.assertEqual((self.root / "b").read_bytes(), b"b")
            (self.root / "b").unlink()
            (self.root / "l").unlink()
            rename(self.root / "a", self.root / "b")
            self.assertEqual((self.root / "b").read_bytes(), b"a")
            error = self.assertRaises(OSError, rename, self.root / "none", self.root / "c")
            self.assertEqual(error.errno, errno.ENOENT)

    def test_names(self) -> None:
        """The own one, one with the mark, numbered ones, then random ones for ever."""
        some = [name for name, _ in zip(names("a.txt", "id"), range(150), strict=False)]
        self.assertEqual(some[:4], ["a.txt", "a.txt.id", "a.txt.id.2", "a.txt.id.3"])
        self.assertEqual(len(set(some)), 150)
        self.assertEqual(next(names("a")), "a")

    def test_fitted(self) -> None:
        """Too long ones are cut, by bytes."""
        self.assertEqual(fitted("a", ".b"), "a.b")
        for name in ("é" * 127, "x" * 255, os.fsdecode(b"\xff" * 255)):
            for spare in (0, 11):
                cut = os.fsencode(fitted(name, ".12", spare))
                self.assertLessEqual(len(cut), NAME_MAX - spare)
                self.assertTrue(cut.endswith(b".12"))


class MoverTests(SynchronousTestCase):
    """What becomes of files."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        (self.root / "sub").mkdir(parents=True)
        self.path = self.root / "sub/a"
        self.path.write_bytes(b"hello")
        self.file = found(self.root, "sub/a")

    def mover(self, done: Done = Done.MOVE) -> Mover:
        return Mover(self.root, done, OpenWriters(lambda: 0.0))

    def replace_at(self, name: str) -> None:
        """Just before the file is renamed, another one takes its place."""
        usual = rename

        def replaced(source: Path, target: Path) -> None:
            if source == self.path and not target.exists():
                self.path.unlink()
                self.path.write_bytes(b"another")
            usual(source, target)

        self.patch(moves_module, "rename", replaced)

    def test_changed(self) -> None:
        """A file that is not the one that was sent is not touched."""
        self.path.write_bytes(b"jello")
        for done in Done:
            self.assertIs(self.mover(done).sent(self.file, "id").end, End.CHANGED)
            self.assertIs(self.mover(done).failed(self.file, BEGIN).end, End.CHANGED)
        self.assertEqual(self.path.read_bytes(), b"jello")

    def test_vanished(self) -> None:
        """One that is gone is gone."""
        self.path.unlink()
        for done in Done:
            self.assertIs(self.mover(done).sent(self.file, "id").end, End.VANISHED)
            self.assertIs(self.mover(done).failed(self.file, BEGIN).end, End.VANISHED)

    def test_replaced_in_between(self) -> None:
        """One that takes its place between the look and the move stays, or is put back."""
        self.replace_at("sub/a")
        for done in (Done.MOVE, Done.DELETE):
            self.path.unlink()
            self.path.write_bytes(b"hello")
            file = found(self.root, "sub/a")
            self.assertIs(self.mover(done).sent(file, "id").end, End.CHANGED)
            self.assertEqual(self.path.read_bytes(), b"another")
        self.path.unlink()
        self.path.write_bytes(b"hello")
        outcome = self.mover().failed(found(self.root, "sub/a"), BEGIN)
        self.assertIs(outcome.end, End.CHANGED)
        self.assertEqual(self.path.read_bytes(), b"another")
        files = [path for path in self.root.rglob("*") if path.is_file()]
        self.assertEqual(files, [self.path])

    def test_back(self) -> None:
        """What is moved back is noted, so that its new name is no sign that it is whole."""
        returned: set[tuple[int, int]] = set()
        mover = Mover(self.root, Done.MOVE, OpenWriters(lambda: 0.0), returned)
        moved = mover.sent(self.file, "id")
        self.assertEqual(mover.bring_back(moved.where, "sub/a"), "sub/a")
        self.assertEqual(returned, {(self.path.stat().st_dev, self.path.stat().st_ino)})

    def test_stuck(self) -> None:
        """Where it can't be moved it stays, and why is told; nothing is left of the try."""

        def refused(source: Path, target: Path) -> None:
            if source == self.path:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            rename(source, target)

        self.patch(moves_module, "rename", refused)
        for outcome in (
            self.mover().sent(self.file, "id"),
            self.mover(Done.DELETE).sent(self.file, "id"),
            self.mover().failed(self.file, BEGIN),
        ):
            self.assertIs(outcome.end, End.STUCK)
            self.assertEqual(outcome.reason, "Invalid cross-device link")
        files = [path for path in self.root.rglob("*") if path.is_file()]
        self.assertEqual(files, [self.path])

    def test_open_for_writing(self) -> None:
        """One that somebody has open for writing stays: what is written behind would be lost."""
        with self.path.open("ab") as file:
            if writers_of(self.path) is not Writing.SOMEBODY:
                self.skipTest("the system does not tell here")
            for done in (Done.MOVE, Done.DELETE):
                outcome = self.mover(done).sent(self.file, "id")
                self.assertIs(outcome.end, End.STUCK)
                self.assertIn("open for writing", outcome.reason)
            self.assertIs(self.mover(Done.LEAVE).sent(self.file, "id").end, End.LEFT)
            self.assertIs(self.mover().failed(self.file, BEGIN).end, End.MOVED)
            self.assertEqual(file.write(b"x"), 1)

    def test_directory_gone(self) -> None:
        """The directory itself is never made."""
        aside = self.root.with_name(self.root.name + "-aside")
        self.root.rename(aside)
        self.assertIs(self.mover().sent(self.file, "id").end, End.VANISHED)
        self.assertFalse(self.root.exists())

    def test_links_are_not_followed(self) -> None:
        """A link in the place of a directory below sent/ is passed by."""
        outside = self.root.with_name(self.root.name + "-outside")
        outside.mkdir()
        (self.root / "sent").mkdir()
        (self.root / "sent/sub").symlink_to(outside)
        outcome = self.mover().sent(self.file, "id")
        self.assertEqual(outcome.where, "sent/sub.2/a")
        self.assertEqual(list(outside.iterdir()), [])

    def test_recover(self) -> None:
        """What a killed process left: deleted where it was sent, else put back."""
        aside = self.root / ".xfer-watch.aside"
        mover = self.mover(Done.DELETE)
        self.assertIsNone(mover.recover(lambda identity: True))
        aside.mkdir()
        self.path.rename(aside / "file")
        self.assertIsNone(mover.recover(lambda identity: identity == look(aside, "file")))
        self.assertEqual(list(aside.iterdir()), [])
        (aside / "file").write_bytes(b"mine")
        (self.root / "recovered").write_bytes(b"other")
        self.assertEqual(mover.recover(lambda identity: False), "recovered.2")
        self.assertEqual((self.root / "recovered.2").read_bytes(), b"mine")

    def test_reason_text(self) -> None:
        """It has no line of its own for what a name may hold."""
        text = reason_text(self.root, "a\nb\x1b", "cause", "advice", 1e9)
        self.assertIn("a\\nb\\x1b\n", text)
        self.assertIn("2001-09-09T01:46:40Z", text)
        self.assertTrue(text.startswith(BEGIN))
        self.assertTrue(REASON.startswith("."))


class WritersTests(SynchronousTestCase):
    """Who has a file open."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"x")
        with self.path.open("ab"):
            if writers_of(self.path) is not Writing.SOMEBODY:
                self.skipTest("the system does not tell here")

    def test_writers(self) -> None:
        """Whoever has it open for writing counts, with a mapping too; readers do not."""
        self.assertIs(writers_of(self.path), Writing.NOBODY)
        with self.path.open("rb"):
            self.assertIs(writers_of(self.path), Writing.NOBODY)
        with self.path.open("r+b") as file:
            self.assertIs(writers_of(self.path), Writing.SOMEBODY)
            mapped = mmap.mmap(file.fileno(), 0)
        self.assertIs(writers_of(self.path), Writing.SOMEBODY)
        mapped.close()
        self.assertIs(writers_of(self.path), Writing.NOBODY)

    def test_no_file(self) -> None:
        """What can't be opened has none; a link is not followed, a pipe not waited for."""
        self.assertIs(writers_of(self.path / "none"), Writing.UNKNOWN)
        link, pipe = self.path.with_name("link"), self.path.with_name("pipe")
        link.symlink_to(self.path)
        os.mkfifo(pipe)
        with self.path.open("ab"):
            self.assertIs(writers_of(link), Writing.UNKNOWN)
        self.assertIs(writers_of(pipe), Writing.UNKNOWN)

    def test_not_for_ever(self) -> None:
        """After a while without a change it is no longer waited for."""
        identity = Identity.of(self.path.stat())
        changed = max(identity.modified, identity.changed) / 1e9
        with self.path.open("ab"):
            for seconds, writing in ((GIVEN - 1, Writing.SOMEBODY), (GIVEN + 1, Writing.UNKNOWN)):
                writers = OpenWriters(lambda seconds=seconds: changed + seconds)  # type: ignore[misc]
                self.assertIs(writers.of(self.path, identity), writing)


class VerdictTests(SynchronousTestCase):
    """What failures mean."""

    def assert_kind(self, kind: FailureKind, *errors: Exception) -> None:
        for error in errors:
            decision = decide(error)
            self.assertIs(decision.kind, kind, repr(error))
            self.assertTrue(decision.cause.isprintable(), decision.cause)
            self.assertNotIn("None", decision.cause)
            if kind is FailureKind.PERMANENT:
                self.assertTrue(decision.advice, repr(error))

    def test_symbols(self) -> None:
        """Every refusal of the protocol has its kind."""
        failed = {"bad-name", "bad-details", "bad-token", "line-too-long", "too-large", "collision"}
        mistakes = {"login-required", "denied", "insecure", "bad-command"}
        for symbol, error in REQUEST_ERRORS.items():
            self.assert_kind(
                FailureKind.PERMANENT
                if symbol in failed
                else FailureKind.MISCONFIGURED
                if symbol in mistakes
                else FailureKind.TEMPORARY,
                error(),
            )
            self.assertIn(symbol, decide(error()).cause)
        self.assert_kind(FailureKind.TEMPORARY, UnknownRequestError("brand-new", "\x1b[31m"))

    def test_depot(self) -> None:
        """Who can't reach the depot waits, as does who is not trusted."""
        self.assert_kind(
            FailureKind.UNREACHABLE,
            ConnectError(),
            ConnectError(errno.ECONNREFUSED),
            TimeoutError_(),
            DNSLookupError("x"),
            ConnectionCut("cut"),
            ConnectionLost(),
            UnexpectedReply("\x1b"),
        )
        self.assert_kind(
            FailureKind.MISCONFIGURED,
            TLSFailed("expired"),
            CertificateError("none"),
            ValueError("a..b"),
        )

    def test_files(self) -> None:
        """Files may change, vanish, be unreadable; or this machine has too little for now."""
        self.assert_kind(FailureKind.CHANGED, SourceChanged("changed"))
        self.assert_kind(FailureKind.VANISHED, FileNotFoundError(errno.ENOENT, "none", "a"))
        self.assert_kind(
            FailureKind.PERMANENT,
            PermissionError(errno.EACCES, "Permission denied", "a"),
            OSError(errno.EIO, "I/O error", "a"),
            OSError(None, "not a regular file", "a"),
        )
        self.assert_kind(
            FailureKind.TEMPORARY, OSError(errno.EMFILE, "Too many"), OSError(errno.ESTALE, "Stale")
        )

    def test_mismatches(self) -> None:
        """Hashes that differ are tried again, but not for ever."""
        error = HashMismatch("Upload", "0", "1")
        for count in range(MISMATCHES - 1):
            self.assertIs(decide(error, count).kind, FailureKind.TEMPORARY)
        self.assertIs(decide(error, MISMATCHES - 1).kind, FailureKind.PERMANENT)

    def test_unexpected(self) -> None:
        """What nobody thought of loses no file."""
        decision = decide(RuntimeError("\x1b"))
        self.assertIs(decision.kind, FailureKind.TEMPORARY)
        self.assertTrue(decision.unexpected)


class TimeoutError_(ConnectError):
    """What Twisted says to a peer that does not answer, but for its name."""


class ReachTests(SynchronousTestCase):
    """Who may ask the depot, and when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.breaker = CircuitBreaker(self.clock, "the depot", delay=lambda failed: 10.0 * failed)
        self.tried: list[int] = []

    def attempt(self, number: int, ended: Deferred[None]) -> Deferred[None]:
        async def attempt() -> None:
            async with self.breaker.attempt():
                self.tried.append(number)
                await ended

        return Deferred.fromCoroutine(attempt())

    def test_one_tries(self) -> None:
        """While it is away one tries, and the others wait for what comes of that."""
        away = Decision(FailureKind.UNREACHABLE, "refused")
        self.breaker.failed(away)
        self.breaker.failed(away)  # another one that has found it out
        ends: list[Deferred[None]] = [Deferred() for _ in range(3)]
        attempts = [self.attempt(number, end) for number, end in enumerate(ends)]
        self.clock.advance(9)
        self.assertEqual(self.tried, [])
        self.clock.advance(1)
        self.assertEqual(self.tried, [0])
        self.breaker.failed(away)
        ends[0].callback(None)
        self.clock.advance(19)
        self.assertEqual(self.tried, [0])
        self.clock.advance(1)
        self.assertEqual(self.tried, [0, 1])
        self.breaker.worked()
        self.assertEqual(self.tried, [0, 1, 2])
        for end in ends[1:]:
            end.callback(None)
        for attempt in attempts:
            self.successResultOf(attempt)
        self.assertTrue(self.breaker.up)

    def test_tried_nothing(self) -> None:
        """Who had its turn, and then nothing to ask, leaves it to the next one."""
        self.breaker.failed(Decision(FailureKind.UNREACHABLE, "refused"))
        ends: list[Deferred[None]] = [Deferred() for _ in range(2)]
        attempts = [self.attempt(number, end) for number, end in enumerate(ends)]
        self.clock.advance(10)
        ends[0].callback(None)
        self.assertEqual(self.tried, [0, 1])
        self.successResultOf(attempts[0])
        attempts[1].cancel()
        self.failureResultOf(attempts[1])
        self.breaker.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Who waits can be cancelled."""
        self.breaker.failed(Decision(FailureKind.MISCONFIGURED, "denied"))
        attempt = self.attempt(0, Deferred())
        attempt.cancel()
        self.failureResultOf(attempt)
        self.clock.advance(SLOW)
        self.assertEqual(self.tried, [])


class QueueTests(SynchronousTestCase):
    """What is held."""

    def file(self, path: str, size: int = 1) -> Found:
        return Found(path, NOW._replace(size=size))

    def test_lanes(self) -> None:
        """Files go by their sizes, and by whether the depot may have them."""
        queue = Queue()
        for path, size, doubtful in (
            ("small", 65536, False),
            ("doubtful", 1, True),
            ("single", 65537, False),
            ("large", LARGE + 1, False),
        ):
            queue.put(queue.hold(self.file(path, size), Stage.SETTLING, doubtful))
        self.assertEqual([item.path for item in queue.take_bulk()], ["small"])
        singles = [queue.take_single() for _ in range(3)]
        self.assertEqual([item and item.path for item in singles], ["doubtful", "single", None])
        large = queue.take_large()
        assert large is not None
        self.assertEqual((large.path, large.stage), ("large", Stage.SENDING))
        self.assertIsNone(queue.take_large())

    def test_stale(self) -> None:
        """What was dropped, or has changed, is not taken."""
        queue = Queue()
        for path in "abc":
            queue.put(queue.hold(self.file(path), Stage.SETTLING))
        queue.drop("a")
        queue.hold(self.file("b", 2), Stage.SETTLING)
        self.assertEqual([item.path for item in queue.take_bulk()], ["c"])
        self.assertEqual(queue.bytes, 3)
        queue.drop("none")

    def test_room(self) -> None:
        """There is room when half is free."""
        queue = Queue(held=4)
        self.successResultOf(queue.room())
        for path in "abcd":
            self.assertFalse(queue.full)
            queue.hold(self.file(path), Stage.READY)
        self.assertTrue(queue.full)
        waiting, cancelled = queue.room(), queue.room()
        cancelled.cancel()
        self.failureResultOf(cancelled)
        queue.drop("a")
        self.assertNoResult(waiting)
        queue.drop("b")
        self.successResultOf(waiting)

    def test_token(self) -> None:
        """A token is one that the protocol takes, and of its directory and its file alone."""
        token = fingerprint_token("0" * 32, NOW)
        parsed = parse_resume(f"a;1;{token}".encode())
        self.assertEqual(parsed.token, token)
        others = {
            fingerprint_token("1" * 32, NOW),
            *(
                fingerprint_token("0" * 32, NOW._replace(**{field: 7}))
                for field in ("inode", "size", "modified")
            ),
        }
        self.assertEqual(len(others - {token}), 4)
        same = NOW._replace(device=7, changed=7)
        self.assertEqual(fingerprint_token("0" * 32, same), token)


class OptionsTests(SynchronousTestCase):
    """The options of a watched directory."""

    def settings(self, *options: str) -> WatchSettings:
        parsed = service.Options()
        parsed.parseOptions(options)
        return parsed.watch_settings()

    def test_defaults(self) -> None:
        """What is used unless it is told."""
        root = Path("in").absolute()
        self.assertEqual(
            self.settings("--watch", "in"),
            WatchSettings(
                root,
                Done.MOVE,
                10.0,
                30.0,
                None,
                True,
                "",
                (),
                root / ".xfer-watch.sqlite",
                root / ".xfer-watch.json",
            ),
        )

    def test_all(self) -> None:
        """All of them."""
        options = "-w in --done leave --settle 0 --poll 2m --no-inotify --prefix a/ --state s"
        options += " --status t --ignore *.x --ignore y/*"
        self.assertEqual(
            self.settings(*options.split()),
            WatchSettings(
                Path("in").absolute(),
                Done.LEAVE,
                0.0,
                0.0,
                120.0,
                False,
                "a/",
                ("*.x", "y/*"),
                Path("s").absolute(),
                Path("t").absolute(),
            ),
        )

    def test_bad(self) -> None:
        """What can't be is told in one line."""
        cases: Sequence[tuple[str, str]] = [
            ("--watch in --done keep", "keep"),
            ("--watch in --settle soon", "soon"),
            ("--watch in --settle -1", "-1"),
            ("--watch in --poll 0", "--poll"),
            ("--watch in --prefix /", "prefix"),
            ("--watch in --prefix ../", "prefix"),
            ("--watch in --file x", "--file does not go with --watch"),
            ("--watch in --tries 2", "--tries does not go with --watch"),
            ("--watch in --delete", "--delete does not go with --watch"),
            ("--watch", "--watch"),
            ("--done move", "--done goes with --watch"),
            ("--settle 2", "--settle goes with --watch"),
            ("--settle-unclosed 2", "--settle-unclosed goes with --watch"),
            ("--watch in --settle-unclosed x", "x"),
            ("--ignore x", "--ignore goes with --watch"),
            ("--no-inotify", "--no-inotify goes with --watch"),
        ]
        for options, word in cases:
            parsed = service.Options()
            error = self.assertRaises(SystemExit, parsed.parseOptions, options.split())
            self.assertIn(word, str(error.code))
            self.assertNotIn("\n", str(error.code))
        self.assertRaises(SystemExit, service.Options().parseOptions, ["--watch", ""])
