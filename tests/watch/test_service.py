"""The unattended client as a whole: what becomes of the files in a watched directory."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import Any

from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError

from tests.support.depot import Depot
from tests.support.file_modes import obey_in
from tests.support.visitors import PASSWORD, user
from tests.support.watched import Done, WatchCase, id_of, tree
from xferproto.model.errors import TLSFailed
from xferproto.model.identity import Right
from xferproto.server.limits import Limits
from xferproto.store.interface import FLAT_COST
from xferproto.watch import queue
from xferproto.watch.directory import DirectoryUnusable
from xferproto.watch.journal import Journal
from xferproto.watch.open_writers import Writing, writers_of
from xferproto.watch.reason_file import BEGIN, REASON

LARGE = bytes(range(256)) * 1000
"""Larger than what goes with others."""


class MoveTests(WatchCase):
    """Files that are moved to C{sent/}."""

    def test_one(self) -> None:
        """A file is stored under its name, and moved; one line says so."""
        self.start()
        self.write("a.txt")
        self.settle()
        self.assertEqual([(e.id, e.name) for e in self.entries()], [(id_of(b"hello"), "a.txt")])
        self.assertEqual(tree(self.root), ["sent/a.txt"])
        (line,) = self.logged("a.txt")
        self.assertIn(f'sent "a.txt" size=5 id={id_of(b"hello")} bytes=5 seconds=', line)
        self.assertIn('; moved to "sent/a.txt"', line)

    def test_before(self) -> None:
        """What was there before is sent too; files of all sizes, in directories of any depth."""
        contents = {"a": b"", "b/c": LARGE, "b/d/e/f": b"hello", "b/d/e/g": LARGE[:65536]}
        for name, content in contents.items():
            self.write(name, content)
        self.start()
        self.settle()
        self.assertEqual(
            {(entry.name, entry.id) for entry in self.entries()},
            {(name, id_of(content)) for name, content in contents.items()},
        )
        self.assertEqual(tree(self.root), sorted(f"sent/{name}" for name in contents))
        for name, content in contents.items():
            self.assertEqual((self.root / "sent" / name).read_bytes(), content)

    def test_settles(self) -> None:
        """A file is not taken while it grows."""
        self.configure(settle=5.0)
        self.start()
        path = self.write("a", b"")
        for _ in range(10):
            with path.open("ab") as file:
                file.write(b"x")
            self.advance(4)
        self.assertEqual(self.names(), [])
        self.assertEqual(self.status()["waiting"]["settling"], 1)
        self.advance(15)
        self.assertEqual([(entry.name, entry.size) for entry in self.entries()], [("a", 10)])

    def test_replaced_while_settling(self) -> None:
        """A file of the same size and time in its place is another one."""
        self.configure(settle=5.0)
        self.start()
        path = self.write("a", b"12345")
        times = path.stat()
        for _ in range(5):
            self.advance(4)
            other = self.root / ".new"
            other.write_bytes(b"54321")
            os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
            other.rename(path)
        self.assertEqual(self.names(), [])
        self.advance(15)
        self.assertEqual([entry.id for entry in self.entries()], [id_of(b"54321")])

    def test_prefix(self) -> None:
        """What goes before the names goes before them as it is."""
        self.configure(prefix="cam 1/x-")
        self.start()
        self.write("a/b")
        self.settle()
        self.assertEqual(self.names(), ["cam 1/x-a/b"])
        self.assertEqual(tree(self.root), ["sent/a/b"])

    def test_ignored(self) -> None:
        """Hidden and unfinished files stay, so do those of the patterns; in directories too."""
        self.configure(ignored=("*.log", "raw/*.bin", "cache"))
        stay = (".a", "b.part", "c.tmp", "d~", "e.log", "x/.y", "raw/f.bin", "cache/a", ".h/a")
        go = ("raw/f.txt", "f.bin", "x/part", "sent.part.txt")
        for name in (*stay, *go):
            self.write(name)
        self.start()
        self.settle()
        self.assertEqual(set(self.names()), set(go))
        for name in stay:
            self.assertTrue((self.root / name).exists(), name)

    def test_never_watched(self) -> None:
        """What is in sent/ and failed/ is not sent; further down these are names like others."""
        for name in ("sent/a", "failed/b", "x/sent/c", "x/failed", "sent/d/e"):
            self.write(name)
        self.start()
        self.settle()
        self.assertEqual(self.names(), ["x/failed", "x/sent/c"])
        self.assertEqual(
            tree(self.root), ["failed/b", "sent/a", "sent/d/e", "sent/x/failed", "sent/x/sent/c"]
        )

    def test_same_names(self) -> None:
        """A name that is taken in sent/ gets the id, then a number; nothing is overwritten."""
        self.start()
        id = id_of(b"two")
        for content in (b"one", b"two", b"two", b"two"):
            self.write("a", content)
            self.settle()
        self.write(f"a.{id}", b"five")
        self.settle()
        self.assertEqual(
            {name: (self.root / "sent" / name).read_bytes() for name in tree(self.root / "sent")},
            {
                "a": b"one",
                f"a.{id}": b"two",
                f"a.{id}.2": b"two",
                f"a.{id}.3": b"two",
                f"a.{id}.{id_of(b'five')}": b"five",
            },
        )

    def test_file_and_directory(self) -> None:
        """A directory whose name a file has in sent/ gets another one there, and the other way."""
        self.start()
        self.write("a", b"one")
        self.settle()
        self.write("a/b", b"two")
        self.settle()
        shutil.rmtree(self.root / "a")
        self.write("c/d", b"three")
        self.settle()
        shutil.rmtree(self.root / "c")
        self.write("c", b"four")
        self.settle()
        self.assertEqual(set(self.names()), {"a", "a/b", "c/d", "c"})
        sent = ["sent/a", "sent/a.2/b", f"sent/c.{id_of(b'four')}", "sent/c/d"]
        self.assertEqual(tree(self.root), sent)

    def test_links_and_others(self) -> None:
        """Links and special files stay, are not followed, and are told of once."""
        outside = self.root.parent / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        (self.root / "link").symlink_to(outside / "secret")
        (self.root / "directory").symlink_to(outside)
        (self.root / "loop").symlink_to(self.root)
        (self.root / "dangling").symlink_to(self.root / "nothing")
        os.mkfifo(self.root / "fifo")
        self.write("a")
        self.start()
        self.advance(100)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(len(self.logged("passed over: 5")), 1)
        self.assertEqual(self.status()["passed_over"], 5)
        self.assertTrue((self.root / "fifo").is_fifo())
        self.assertTrue((self.root / "loop").is_symlink())

    def test_stopped(self) -> None:
        """What waits at the end is there at the next start; nothing is sent twice."""
        self.start()
        self.write("a")
        self.settle()
        self.write("b")
        self.stop()
        self.assertEqual(self.status()["state"], "stopped")
        self.assertEqual(len(self.logged("stopped: 1 sent, 0 failed, 0 waiting")), 1)
        self.start()
        self.settle()
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(self.received(), {"a": 6, "b": 6})
        self.assertEqual(tree(self.root), ["sent/a", "sent/b"])

    def test_empty_directories(self) -> None:
        """Directories stay where they are."""
        self.start()
        self.write("a/b/c")
        self.settle()
        self.assertTrue((self.root / "a/b").is_dir())
        self.assertFalse((self.root / "sent/a/b/c").is_dir())

    def test_more_than_held(self) -> None:
        """Of files in any number only so many are held; the others have their turn."""
        self.patch(queue, "HELD", 20)
        self.patch(queue.Queue.__init__, "__defaults__", (lambda: None, 20))
        names = {f"{number % 7}/{number}" for number in range(300)}
        for name in names:
            self.write(name, name.encode())
        service = self.start()
        session = service._session
        assert session is not None
        held = 0
        for _ in range(500):
            held = max(held, len(session.context.queue.items))
            self.advance(1)
        self.assertLessEqual(held, 20)
        self.assertEqual(set(self.names()), names)
        self.assertEqual(self.received(), {name: len(name) + 1 for name in names})
        self.assertEqual(len(tree(self.root)), 300)


class DoneTests(WatchCase):
    """Files that are deleted, or left."""

    def test_delete(self) -> None:
        """A file that is stored is gone, and nothing else."""
        self.configure(done=Done.DELETE)
        self.start()
        self.write("x/a")
        self.write("sent", b"a file of this name")
        self.settle()
        self.assertEqual(self.names(), ["sent", "x/a"])
        self.assertEqual(tree(self.root), [])
        self.assertEqual(len(self.logged("; deleted here")), 2)

    def test_leave(self) -> None:
        """A file stays, and is not sent again, by the next start neither."""
        self.configure(done=Done.LEAVE)
        self.start()
        self.write("a", LARGE)
        self.write("b")
        for _ in range(3):
            self.advance(100)
            self.start()
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(self.received(), {"a": len(LARGE) + 1, "b": 6})
        self.assertEqual(tree(self.root), ["a", "b"])
        self.assertEqual(self.status()["waiting"]["files"], 0)

    def test_leave_changed(self) -> None:
        """A file that is changed is sent again, also where size and time are the same."""
        self.configure(done=Done.LEAVE)
        self.start()
        for name in ("small", "large"):
            path = self.write(name, b"1" * (100 if name == "small" else 100_000))
            self.advance(100)
            times = path.stat()
            path.write_bytes(b"2" * times.st_size)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            self.advance(200)
        self.assertEqual(self.names(), ["large", "large", "small", "small"])

    def test_leave_touched(self) -> None:
        """Where only the mode was changed no byte is sent again, though it is asked for."""
        self.configure(done=Done.LEAVE)
        self.start()
        for name in ("small", "large"):
            path = self.write(name, b"1" * (100 if name == "small" else 100_000))
            self.advance(100)
            path.chmod(0o600)
            self.advance(200)
        self.assertEqual(self.names(), ["large", "small"])
        lines = self.logged("; left here")
        self.assertEqual(
            [line.split(" ")[4] for line in lines],
            ["bytes=100", "bytes=0", "bytes=100000", "bytes=0"],
        )

    def test_leave_renamed(self) -> None:
        """A file that has another name is known by it too; its bytes are not sent again."""
        self.configure(done=Done.LEAVE)
        self.start()
        path = self.write("a", LARGE)
        self.settle()
        path.rename(self.root / "b")
        self.advance(100)
        self.assertEqual(self.names(), ["a", "b"])
        self.assertIn(" bytes=0 ", self.logged('sent "b"')[0])

    def test_leave_deleted(self) -> None:
        """The journal forgets what is gone."""
        self.configure(done=Done.LEAVE)
        self.start()
        path = self.write("a")
        self.write("b")
        self.settle()
        path.unlink()
        self.start()
        self.settle()
        self.stop()
        journal = Journal(self.settings.state)
        self.addCleanup(journal.close)
        self.assertEqual(list(journal.rows(["a", "b"])), ["b"])

    def test_leave_elsewhere(self) -> None:
        """With the journal elsewhere, an empty directory in its place is not taken for it."""
        state = self.root.parent / "journal"
        self.configure(done=Done.LEAVE, state=state)
        self.start()
        self.write("a")
        self.settle()
        self.stop()
        aside = self.root.with_name("mounted")
        self.root.rename(aside)
        self.root.mkdir()
        error = self.assertRaises(DirectoryUnusable, self.start)
        self.assertIn(str(state), str(error))
        self.services.clear()
        shutil.rmtree(self.root)
        aside.rename(self.root)
        self.start()
        self.settle()
        self.assertEqual(self.received(), {"a": 6})


class FailedTests(WatchCase):
    """Files that can't be stored."""

    def reason(self, name: str) -> str:
        text = (self.root / "failed" / f"{name}{REASON}").read_text()
        self.assertTrue(text.startswith(BEGIN))
        self.assertTrue(all(line.isprintable() for line in text.split("\n")), text)
        return text

    def test_refused(self) -> None:
        """A file that is too large is moved to failed/, with a reason; others are not held up."""
        self.use_depot(Depot(self, max_file_size=10))
        self.start()
        for name in ("x/large", "larger"):
            self.write(name, b"12345678901" if name == "larger" else LARGE)
        self.write("small")
        self.settle()
        self.assertEqual(self.names(), ["small"])
        failed = ["failed/larger", f"failed/larger{REASON}"]
        failed += ["failed/x/large", f"failed/x/large{REASON}"]
        self.assertEqual(tree(self.root), [*failed, "sent/small"])
        text = self.reason("x/large")
        self.assertIn(f"file:   {self.root}/x/large\n", text)
        self.assertIn("time:   2001-", text)
        self.assertIn("cause:  too-large: This server takes files of at most 10 bytes", text)
        self.assertIn("advice: Ask ", text)
        self.assertEqual(len(self.logged('failed "x/large": too-large: ')), 1)
        status = self.status()["failed"]
        self.assertEqual(status["files"], 2)
        self.assertIn("too-large", status["last"]["reason"])

    def test_names(self) -> None:
        """Names that the protocol can't carry fail without being asked, depot or no depot."""
        self.endpoint.failures = [ConnectionRefusedError()] * 100
        deep = "/".join(["d" * 200] * 6)
        names = [b"a\xffb", b"a\nb", b"a\\b", b"\xe2\x80\xa8", b"x/\x1b[31m", deep.encode() + b"/e"]
        self.start()
        for name in names:
            self.write(os.fsdecode(name))
        self.settle()
        for name in names:
            path = os.fsdecode(name)
            self.assertEqual((self.root / "failed" / path).read_bytes(), b"hello")
            self.assertIn("cause:  bad-name: A name ", self.reason(path))
        self.assertEqual(self.endpoint.attempts, 0)

    def test_long_name(self) -> None:
        """Where there is no room for what the reason's name ends with, the file's is cut."""
        self.use_depot(Depot(self, max_file_size=3))
        self.start()
        for end in ("1", "2"):
            self.write("n" * 254 + end)
            self.settle()
        first, second = "n" * 244, "n" * 242 + ".2"
        self.assertEqual(len(list((self.root / "failed").iterdir())), 4)
        self.assertIn("n1\n", self.reason(first))
        self.assertIn("n2\n", self.reason(second))

    def test_moved_back(self) -> None:
        """A file that is moved back is tried again; a reason that comes along is thrown away."""
        self.use_depot(Depot(self, max_file_size=3))
        self.start()
        self.write("a")
        self.settle()
        failed = self.root / "failed"
        (failed / "a").rename(self.root / "a")
        self.settle()
        self.assertEqual(tree(self.root), ["failed/a", f"failed/a{REASON}"])
        self.use_depot(Depot(self))
        self.start()
        for name in ("a", f"a{REASON}"):
            (failed / name).rename(self.root / name)
        self.settle()
        self.assertEqual(tree(self.root), ["sent/a"])
        self.assertEqual(self.names(), ["a"])

    def test_reasons_of_others(self) -> None:
        """A file that is called as a reason would be is a file, and is not overwritten by one."""
        self.use_depot(Depot(self, max_file_size=3))
        self.start()
        self.write(f"a{REASON}", b"what one thinks")
        self.settle()
        self.write("a")
        self.settle()
        failed = {f"a{REASON}", f"a{REASON}{REASON}", "a.2", f"a.2{REASON}"}
        self.assertEqual(set(tree(self.root / "failed")), failed)
        self.assertEqual((self.root / "failed" / f"a{REASON}").read_bytes(), b"what one thinks")

    def test_same_names(self) -> None:
        """A name that is taken in failed/ gets a number."""
        self.use_depot(Depot(self, max_file_size=3))
        self.start()
        for _ in range(3):
            self.write("a")
            self.settle()
        names = ["a", "a.2", "a.3"]
        self.assertEqual(
            tree(self.root / "failed"), sorted([*names, *(f"{name}{REASON}" for name in names)])
        )

    def test_unreadable(self) -> None:
        """A file that may not be read fails, with what to do."""
        obey_in(self)
        self.start()
        self.write("a").chmod(0)
        self.settle()
        self.assertIn("Permission denied", self.reason("a"))

    def test_leave(self) -> None:
        """Those that can't be stored are moved even where others are left."""
        self.use_depot(Depot(self, max_file_size=3))
        self.configure(done=Done.LEAVE)
        self.start()
        self.write("a")
        self.write("b", b"")
        self.settle()
        self.assertEqual(tree(self.root), ["b", "failed/a", f"failed/a{REASON}"])

    def test_failed_is_a_file(self) -> None:
        """Where they can't be moved, they stay, and are not tried again before a restart."""
        self.use_depot(Depot(self, max_file_size=6))
        self.configure(done=Done.LEAVE)
        self.start()
        self.write("failed", b"mine")
        self.settle()
        (self.root / "failed").chmod(0o400)
        self.write("a", LARGE)
        # what make_directories does for files in the way
        self.settle()
        self.assertEqual((self.root / "failed").read_bytes(), b"mine")
        self.assertEqual(tree(self.root), ["failed", "failed.2/a", f"failed.2/a{REASON}"])


class AwayTests(WatchCase):
    """Depots that are not there, or do not want."""

    def test_away(self) -> None:
        """An outage is told once, and its end; then everything is sent, once."""
        self.endpoint.failures = [ConnectionRefusedError() for _ in range(1000)]
        self.start()
        for name in ("a", "b", "c/d"):
            self.write(name, name.encode())
        self.write("e", LARGE)
        self.advance(3600)
        self.assertEqual(self.names(), [])
        (line,) = self.logged("can't reach the depot")
        self.assertIn("refused", line)
        self.assertLess(self.endpoint.attempts, 90)
        status = self.status()
        self.assertFalse(status["depot"]["up"])
        self.assertIn("refused", status["depot"]["reason"])
        self.assertEqual(status["waiting"]["files"], 4)
        self.assertEqual(status["waiting"]["bytes"], 5 + len(LARGE))
        self.write("f")
        self.endpoint.failures.clear()
        self.advance(100)
        self.assertEqual(set(self.names()), {"a", "b", "c/d", "e", "f"})
        self.assertEqual(sum(self.received().values()), 5 + 5 + len(LARGE) + 5)
        (line,) = self.logged("the depot is back after")
        self.assertRegex(line, "after (59 min|1 h [01] min)")  # the last wait ends at random
        self.assertTrue(self.status()["depot"]["up"])

    def test_unknown_host(self) -> None:
        """A name that nobody knows is an outage like others, of two tries told once."""
        self.endpoint.failures = [DNSLookupError("x"), ConnectionRefusedError()]
        self.start()
        self.write("a")
        self.advance(100)
        self.assertEqual(len(self.logged("can't reach the depot")), 1)
        self.assertIn("unknown host", self.logged("can't reach")[0])
        self.assertEqual(self.names(), ["a"])

    def test_mistake(self) -> None:
        """What the operator has to mend is told in full; no file is to blame."""
        self.use_depot(Depot(self, users=[user("alice")]))
        self.start()
        self.write("a")
        self.write("b", LARGE)
        self.advance(400)
        self.assertEqual(tree(self.root), ["a", "b"])
        (line,) = self.logged("nothing is sent until this is fixed: ")
        self.assertIn("login-required", line)
        self.assertLess(self.endpoint.attempts, 5)
        self.use_depot(Depot(self))
        self.start()
        self.settle()
        self.assertEqual(self.names(), ["a", "b"])

    def test_users(self) -> None:
        """It logs in; the right to write is enough. A wrong password is the operator's mistake."""
        self.use_depot(Depot(self, users=[user("alice", [Right.WRITE], all=False)]))
        self.start(credentials=("alice", "wrong"))
        self.write("a")
        self.write("b", LARGE)
        self.advance(100)
        self.assertIn("denied", self.logged("nothing is sent until")[0])
        self.assertEqual(tree(self.root), ["a", "b"])
        self.start(credentials=("alice", PASSWORD))
        self.settle()
        self.assertEqual(tree(self.root), ["sent/a", "sent/b"])
        self.assertEqual(self.received(), {"a": 6, "b": len(LARGE) + 1})

    def test_untrusted(self) -> None:
        """So is a certificate that is not trusted."""
        self.endpoint.failures = [TLSFailed("The certificate has expired."), TLSFailed("Again.")]
        self.start()
        self.write("a")
        self.advance(100)
        (line,) = self.logged("nothing is sent until")
        self.assertIn("has expired", line)
        self.advance(600)
        self.assertEqual(self.names(), ["a"])

    def test_cut(self) -> None:
        """A connection that is lost in the middle: the file goes on where it was."""
        content = bytes(4 * 1024 * 1024)
        self.write("a", content)
        self.start()
        wire = self.connected()
        for _ in range(3):
            wire.to_server(wire.up()[: 2 * 1024 * 1024])
            wire.to_client(wire.down())
        self.cut(wire)
        self.advance(100)
        self.assertEqual([entry.id for entry in self.entries()], [id_of(content)])
        (line,) = self.logged('sent "a"')
        fields = dict(field.split("=") for field in line.split(";")[0].split(" ") if "=" in field)
        self.assertLess(int(fields["bytes"]), len(content) - 1024 * 1024)

    def test_cut_and_grown(self) -> None:
        """A file that has changed since it came in part leaves nothing of what it was."""
        self.write("a", bytes(4 * 1024 * 1024))
        self.start()
        wire = self.connected()
        for _ in range(3):
            wire.to_server(wire.up()[: 2 * 1024 * 1024])
            wire.to_client(wire.down())
        self.cut(wire)
        (partial,) = self.successResultOf(self.depot.store.maintenance.partials())
        self.assertGreater(partial.held, 0)
        with (self.root / "a").open("ab") as opened:
            opened.write(b"more")
        self.endpoint.failures = [ConnectError() for _ in range(30)]
        self.advance(3000)
        self.assertEqual(self.endpoint.failures, [])
        (entry,) = self.entries()
        self.assertEqual(entry.size, 4 * 1024 * 1024 + 4)
        self.assertEqual(self.successResultOf(self.depot.store.maintenance.partials()), [])

    def test_answers_lost(self) -> None:
        """Small files whose answers were lost are asked for, and not sent again."""
        self.start()
        names = {f"{number:02}" for number in range(50)}
        for name in names:
            self.write(name, name.encode() * 100)
        wire = self.connected()
        for answered in (True, False):  # the first file goes alone, the others together
            wire.to_server(wire.up())
            if answered:
                wire.to_client(wire.down())
        self.cut(wire)
        self.advance(100)
        self.assertEqual(set(self.names()), names)
        self.assertEqual(len(self.logged(" bytes=200 ")), 1)
        self.assertEqual(len(self.logged(" bytes=0 ")), 49)

    def test_later(self) -> None:
        """What is refused for now is tried again later; others go by, and nothing is told twice."""
        self.use_depot(Depot(self, quota=1000 + FLAT_COST))
        self.start()
        names = [f"{number:02}" for number in range(60)]
        for name in names:
            self.write(name, name.encode() * 501)
        self.write("large", LARGE)
        self.write("small", b"x" * 900)
        self.advance(3000)
        self.assertEqual(self.names(), ["small"])
        self.assertEqual(len(self.logged("quota-exceeded")), 61)
        self.assertEqual(self.logged("can't reach"), [])
        status = self.status()
        self.assertEqual(status["waiting"]["files"], 61)
        self.assertEqual(status["waiting"]["refused"], 61)
        self.assertTrue(status["depot"]["up"])
        self.assertEqual(len(tree(self.root)), 62)
        self.depot.factory.connections.limits = Limits()
        self.use_depot(Depot(self))
        self.start()  # which tries all again at once
        self.settle()
        self.assertEqual(set(self.names()), {*names, "large"})
        self.assertEqual(len(tree(self.root / "sent")), 62)

    def test_later_by_itself(self) -> None:
        """It is tried again without a restart too."""
        self.use_depot(Depot(self, quota=10 + FLAT_COST))
        self.start()
        self.write("a", b"12345678")
        self.settle()
        self.write("b", b"12345")
        self.settle()
        session = self.depot.connect()
        session.send(f"DELETE {id_of(b'12345678')}\n".encode())
        self.advance(200)
        self.assertEqual(self.names(), ["b"])


class SendingTests(WatchCase):
    """What may happen on the way."""

    def test_large_aside(self) -> None:
        """A large file has a connection of its own: others do not wait for it."""
        self.patch(queue, "LARGE", 200_000)
        self.write("large", LARGE)
        self.start()
        first = self.connected()
        self.cut_wires.append(first)  # nothing more arrives over it
        self.write("small")
        self.write("single", LARGE[:100_000])
        self.settle()
        self.assertEqual(self.names(), ["single", "small"])
        self.assertEqual([item["name"] for item in self.status()["sending"]], ["large"])
        self.cut_wires.remove(first)
        self.settle()
        self.assertEqual(self.names(), ["large", "single", "small"])
        self.assertEqual(len(self.logged('sending "large" size=256000')), 1)

    def test_changed_on_the_way(self) -> None:
        """A file that changes while it is sent has to settle again; then it is sent as it is."""
        for name, size in (("single", 3_000_000), ("small", 100)):
            path = self.write(name, bytes(size))
            self.start()
            wire = self.connected()
            path.write_bytes(b"1" * size)
            self.assertEqual(wire.closed, False)
            self.advance(100)
            self.assertIn(id_of(b"1" * size), [entry.id for entry in self.entries()])
            self.assertEqual((self.root / "sent" / name).read_bytes(), b"1" * size)
            self.assertFalse(path.exists())
            self.assertTrue(self.logged("chang"))
            self.use_depot(Depot(self))

    def test_replaced_before_the_move(self) -> None:
        """A new file under the name of one that was sent just now is a file of its own."""
        self.start()
        path = self.write("a", b"first")
        self.connected()
        self.disk.open = False
        self.flush()
        other = self.root / ".new"
        other.write_bytes(b"other")
        other.rename(path)
        self.disk.open = True
        self.disk.run_all()
        self.advance(100)
        self.assertEqual({entry.id for entry in self.entries()}, {id_of(b"first"), id_of(b"other")})
        self.assertEqual((self.root / "sent/a").read_bytes(), b"other")
        self.assertEqual(len(self.logged("it has changed since, and is sent again")), 1)

    def test_open_for_writing(self) -> None:
        """A file that somebody is not yet done with is not taken."""
        probe = self.root.with_name("probe")
        with probe.open("wb"):
            if writers_of(probe) is not Writing.SOMEBODY:
                self.skipTest("the system does not tell here")
        self.start()
        with self.write("a").open("ab") as file:
            self.advance(60)
            self.assertEqual(self.names(), [])
            self.assertEqual(self.status()["waiting"]["settling"], 1)
            file.write(b" and more")
        self.settle()
        self.assertEqual(self.entries()[0].size, 14)
        self.assertEqual(tree(self.root), ["sent/a"])

    def test_vanished(self) -> None:
        """A file that is taken away while it waits is forgotten, with a line."""
        self.endpoint.failures = [ConnectionRefusedError() for _ in range(5)]
        self.start()
        paths = [self.write("small"), self.write("single", LARGE)]
        self.settle()
        for path in paths:
            path.unlink()
        self.advance(200)
        self.assertEqual(self.names(), [])
        self.assertEqual(len(self.logged("vanished before it was sent")), 2)
        self.assertEqual(self.status()["waiting"]["files"], 0)
        self.assertEqual(tree(self.root), [])

    def test_mismatch(self) -> None:
        """Bytes that are changed on the way are sent again; where that does not end, it fails."""
        self.start()
        for name, bent in (("once", 1), ("ever", 100)):
            self.write(name, LARGE)
            known = len(self.endpoint.wires)
            for _ in range(60):
                self.reactor.advance(1)
                for wire in self.endpoint.wires:
                    up = wire.up()
                    if b"RESUME" not in up and len(up) > 1000 and bent:
                        up = up[:500] + bytes([up[500] ^ 1]) + up[501:]
                        bent -= 1
                    if not wire.closed and up:
                        wire.to_server(up)
                    if not wire.closed and (down := wire.down()):
                        wire.to_client(down)
            self.assertGreaterEqual(len(self.endpoint.wires), known)
        self.assertIn("once", tree(self.root / "sent"))
        self.assertEqual(tree(self.root / "failed"), ["ever", f"ever{REASON}"])
        text = (self.root / "failed" / f"ever{REASON}").read_text()
        self.assertIn("The hashes differed 5 times", text)
        self.cut_wires += self.endpoint.wires

    def full_disk(self, done: Done) -> None:
        usual, full = Journal.write, True

        def write(journal: Journal, rows: Any) -> None:
            if full:
                raise sqlite3.OperationalError("database or disk is full")
            usual(journal, rows)

        self.patch(Journal, "write", write)
        for name in ("small", "other"):
            self.write(f"{done.value}/{name}")
        self.write(f"{done.value}/single", LARGE)
        self.advance(100)
        self.assertEqual(len(self.logged("disk is full")), 1)
        self.assertIn("disk is full", self.status()["trouble"])
        full = False
        self.advance(100)
        self.assertIsNone(self.status()["trouble"])
        self.assertEqual(len(self.logged("no longer: ")), 1)

    def test_journal_can_not_be_written(self) -> None:
        """A full disk here is told once, nothing is sent twice or forgotten, and all goes on."""
        for done in (Done.MOVE, Done.LEAVE):
            self.configure(done=done)
            self.start()
            self.settle()
            self.full_disk(done)
            self.stop()
            self.assertEqual(set(self.received().values()), {6, len(LARGE) + 1})
            self.events.clear()
        files = ("other", "single", "small")
        names = [f"{done}/{name}" for done in ("leave", "move") for name in files]
        self.assertEqual(self.names(), names)

    def test_disk_that_fails(self) -> None:
        """What nobody thought of is told in full, and then it begins again."""
        usual, broken = Journal.rows, True

        def rows(journal: Journal, paths: Any) -> Any:
            if broken:
                raise RuntimeError("what nobody thought of")
            return usual(journal, paths)

        self.start()
        self.settle()
        self.patch(Journal, "rows", rows)
        self.write("a")
        self.settle()
        broken = False
        self.advance(100)
        self.assertEqual(self.names(), ["a"])
        self.assertTrue(self.flushLoggedErrors(RuntimeError))
