"""The unattended client as what it is run as: a process of C{twistd}, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import (
    PATIENCE,
    Daemon,
    Outcome,
    Process,
    Server,
    connected,
    new_directory,
    read_line,
    run,
)
from tests.support.watched import id_of, tree, uploads
from xferproto.watch.directory import LOCK
from xferproto.watch.reason_file import REASON
from xferproto.watch.status import describe, read_status

MIB = 1024 * 1024


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what no pipe tells, with a generous deadline."""
    never = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it never came about")
        never.wait(0.02)


class Depot:
    """A server that is killed and started again, always at one UNIX socket; its log is kept."""

    def __init__(self, case: SynchronousTestCase, directory: Path, *options: str) -> None:
        self.endpoint = f"unix:{directory / 'socket'}"
        self.log: list[str] = []
        self._case = case
        self._directory = directory
        self._options = options
        self.start()

    def start(self) -> None:
        """Start it, again; returns when it listens."""
        endpoints = ("tcp:0:interface=127.0.0.1", self.endpoint)
        self.server = Server(
            self._case,
            self._directory,
            *(word for endpoint in endpoints for word in ("--endpoint", endpoint)),
            *self._options,
        )
        self.server.wait_for("socket")  # it listens there too
        stdout = self.server._stdout
        self._reader = threading.Thread(target=lambda: self.log.extend(stdout), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """Kill it, as C{kill -9} does; returns when it is gone, and its log is read."""
        self.server.signal(signal.SIGKILL)
        self._reader.join()
        self.server._process.wait()

    def uploads(self) -> Counter[str]:
        """How often bytes came for a file that was stored then, by its name."""
        return Counter(name for name, _ in uploads(self.log))

    def contents(self) -> dict[str, bytes]:
        """All that it has, fetched; one content a name."""
        connection = connected(self._case, self.server.port)
        connection.sendall(b"LIST_FILES\n")
        entries = []
        while (line := read_line(connection)) != b"DONE\n":
            if b";" in line:
                id, _, rest = line.decode().strip().partition(";")
                entries.append((id, rest.rpartition(";")[0], int(rest.rpartition(";")[2])))
        contents: dict[str, bytes] = {}
        for id, name, size in entries:
            connection.sendall(f"DOWNLOAD {id}\n".encode())
            read_line(connection)
            content = b""
            while len(content) < size:
                content += connection.recv(size - len(content))
            self._case.assertEqual(id_of(content), id)
            self._case.assertNotIn(name, contents)
            contents[name] = content
        return contents


class Watcher(Process):
    """A C{twistd -n xfer-client --watch}."""

    def __init__(
        self,
        case: SynchronousTestCase,
        root: Path,
        endpoint: str,
        *options: str | Path,
        fresh: bool = False,
    ) -> None:
        directory = new_directory(case)
        super().__init__(
            case,
            directory,
            *("--pidfile=", "xfer-client", "--watch", root, "--endpoint", endpoint, *options),
            fresh=fresh,
        )

    def lines(self) -> Iterator[str]:
        """The lines of its log from now on, until it ends."""
        for line in self._stdout:
            self.out.append(line.rstrip("\n"))
            yield self.out[-1]

    def kill(self) -> None:
        """Kill it, as C{kill -9} does; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait()


class Case(SynchronousTestCase):
    """What the cases below share."""

    def setUp(self) -> None:
        self.directory = new_directory(self)
        self.root = self.directory / "in"
        self.root.mkdir()

    def assert_one_line(self, outcome: Outcome, *words: str) -> None:
        """It failed with one line on standard error that has these words, and status 1."""
        self.assertEqual(len(outcome.err), 1, outcome.err)
        for word in words:
            self.assertIn(word, outcome.err[0])
        self.assertEqual(outcome.status, 1)
        self.assertNotIn("Traceback", "\n".join(outcome.out + outcome.err))


class StartTests(Case):
    """How it starts, or does not, and stops."""

    def watch(self, *options: str | Path) -> Outcome:
        return run(self.directory, "-n", "--pidfile=", "xfer-client", *options)

    def test_unusable(self) -> None:
        """What can't be watched is one line, and nothing is made."""
        missing = self.directory / "none"
        self.assert_one_line(self.watch("--watch", missing), f"{missing} does not exist")
        self.assertFalse(missing.exists())
        file = self.directory / "file"
        file.write_bytes(b"")
        self.assert_one_line(self.watch("--watch", file), f"{file} is not a directory")
        state = self.directory / "none" / "state"
        outcome = self.watch("--watch", self.root, "--state", state)
        self.assert_one_line(outcome, str(state))
        self.assert_one_line(self.watch("--watch", self.root, "--done", "keep"), "keep")
        self.assert_one_line(self.watch("--watch", self.root, "--file", file), "--file")

    def test_in_use(self) -> None:
        """A second one for the same directory is one line; the first one goes on."""
        depot = Depot(self, self.directory)
        watcher = Watcher(self, self.root, depot.endpoint, "--settle", "0")
        watcher.wait_for("watching")
        outcome = self.watch("--watch", self.root)
        self.assert_one_line(outcome, "Another process watches")
        (self.root / "a").write_bytes(b"hello")
        watcher.wait_for('moved to "sent/a"')

    def test_terminated(self) -> None:
        """SIGTERM ends it, in the middle of a large file too; what came of that is kept."""
        depot = Depot(self, self.directory, "--rate", "4M")
        with (self.root / "large").open("wb") as large:
            large.truncate(200 * MIB)
        watcher = Watcher(self, self.root, depot.endpoint, "--settle", "0")
        watcher.wait_for('sending "large"')
        watcher.signal(signal.SIGTERM)
        outcome = watcher.wait()
        self.assertEqual((outcome.status, outcome.err), (-signal.SIGTERM, []))
        self.assertTrue(any("stopped: 0 sent, 0 failed, 1 waiting" in line for line in outcome.out))
        self.assertEqual(read_status(self.root, 0).fields["state"], "stopped")
        self.assertEqual(tree(self.root), ["large"])

    def test_daemon(self) -> None:
        """In the background it has a pid file and a log of its own, and its starter is told."""
        depot = Depot(self, self.directory)
        place = new_directory(self)
        arguments = ("xfer-client", "--watch", self.root, "--endpoint", depot.endpoint)
        (self.root / "a").write_bytes(b"hello")
        os.utime(self.root / "a", (0, 0))
        daemon = Daemon(self, place, "xfer-client.pid", *arguments, "--settle", "0")
        self.assertEqual(daemon.started, Outcome(0, [], []))
        again = run(place, "--pidfile=other.pid", "--logfile=other.log", *arguments)
        self.assertGreater(again.status, 0)
        self.assertIn("Another process watches", "\n".join(again.err))
        wait_until((self.root / "sent" / "a").exists)
        self.assertTrue(read_status(self.root, 0).alive)
        daemon.stop()
        self.assertFalse(read_status(self.root, 0).alive)
        log = (place / "xfer-client.log").read_text()
        self.assertIn('sent "a" size=5', log)
        self.assertNotIn("Traceback", log)

    def test_help(self) -> None:
        """The options are told."""
        outcome = self.watch("--help")
        text = "\n".join(outcome.out)
        for option in ("watch", "done", "settle", "poll", "no-inotify", "prefix", "ignore"):
            self.assertIn(f"--{option}", text)


class KillTests(Case):
    """Processes that are killed at moments that a seed chooses, while files are written."""

    def setUp(self) -> None:
        super().setUp()
        self.random = Random(6)
        self.contents: dict[str, bytes] = {}
        self.half: list[tuple[Path, bytes]] = []

    def write_some(self) -> None:
        """Write a file in one of the ways that files are written; or finish one."""
        number = len(self.contents)
        name = f"{'d/' * self.random.randrange(3)}{number:04}"
        large = self.random.random() < 0.05
        size = self.random.randrange(MIB, 4 * MIB) if large else self.random.randrange(30_000)
        content = number.to_bytes(4, "big") + self.random.randbytes(size)
        self.contents[name] = content
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        way = self.random.randrange(3)
        if way == 0:
            path.write_bytes(content)
        elif way == 1:
            part = path.with_name(path.name + ".part")
            part.write_bytes(content)
            part.rename(path)
        else:
            part = path.with_name(path.name + ".part")
            part.write_bytes(content[:100])
            self.half.append((path, content))
        if self.half and self.random.random() < 0.3:
            self.finish_half()

    def finish_half(self) -> None:
        """Finish what was begun under another name."""
        path, content = self.half.pop()
        part = path.with_name(path.name + ".part")
        with part.open("ab") as file:
            file.write(content[100:])
        part.rename(path)

    def backlog(self) -> int:
        """How many files are whole and not moved yet: so many lines are still to come."""
        half = {path for path, _ in self.half}
        return sum(
            self.root / name not in half and not (self.root / "sent" / name).exists()
            for name in self.contents
        )

    def moment(self, most: int) -> int:
        """After how many more moves something is to happen; so many are to come in any case."""
        while not (backlog := self.backlog()):
            self.write_some()
        return self.random.randint(1, min(most, backlog))

    def watcher(self, depot: Depot) -> Watcher:
        return Watcher(self, self.root, depot.endpoint, "--settle", "1", "--poll", "2")

    def finish(self, watcher: Watcher) -> None:
        """Write the rest, and wait until all is moved."""
        while self.half:
            self.finish_half()
        if all((self.root / "sent" / name).exists() for name in self.contents):
            return
        for line in watcher.lines():
            if "; moved to " in line and all(
                (self.root / "sent" / name).exists() for name in self.contents
            ):
                return
        self.fail(f"it ended: {watcher.out[-10:]}")

    def check(self, depot: Depot) -> None:
        """Everything is stored exactly, and moved, once; nothing was sent twice."""
        self.assertEqual(tree(self.root), sorted(f"sent/{name}" for name in self.contents))
        for name, content in self.contents.items():
            self.assertEqual((self.root / "sent" / name).read_bytes(), content)
        stored = depot.contents()
        self.assertEqual(sorted(stored), sorted(self.contents))
        self.assertEqual(stored, self.contents)
        depot.kill()
        twice = {name: count for name, count in depot.uploads().items() if count > 1}
        self.assertEqual(twice, {})
        self.assertEqual([line for line in depot.log if "Traceback" in line], [])

    def test_depot(self) -> None:
        """The server is killed and started again, five times."""
        depot = Depot(self, self.directory)
        watcher = self.watcher(depot)
        for _ in range(60):
            self.write_some()
        for _ in range(5):
            left = self.moment(40)
            for line in watcher.lines():
                if self.random.random() < 0.5:
                    self.write_some()
                left -= "; moved to " in line
                if left <= 0:
                    break
            depot.kill()
            for _ in range(20):
                self.write_some()
            watcher.wait_for("can't reach")
            depot.start()
            watcher.wait_for("is back after")
        self.finish(watcher)
        watcher.signal(signal.SIGTERM)
        self.assertEqual(watcher.wait().err, [])
        self.assertNotIn("Traceback", "\n".join(watcher.out))
        self.check(depot)

    def test_watcher(self) -> None:
        """The client is killed and started again, ten times."""
        depot = Depot(self, self.directory)
        for _ in range(10):
            watcher = self.watcher(depot)
            watcher.wait_for("watching")
            for _ in range(20):
                self.write_some()
            left = self.moment(25)
            for line in watcher.lines():
                left -= "; moved to " in line
                if left <= 0:
                    break
            watcher.kill()
            self.assertNotIn("Traceback", "\n".join(watcher.out))
        watcher = self.watcher(depot)
        self.finish(watcher)
        status = read_status(self.root, 0)
        self.assertTrue(status.alive)
        watcher.kill()
        status = read_status(self.root, 0)
        self.assertFalse(status.alive)
        self.assertIn("NOT WATCHED", describe(status)[0])
        self.check(depot)


class LoadTests(Case):
    """Much, and what is hostile."""

    def test_many(self) -> None:
        """10,000 small files at once go many to a round trip, in little memory."""
        depot = Depot(self, self.directory)
        names = [f"{number % 10}/{number}" for number in range(10_000)]
        for number in range(10):
            (self.root / f"{number}").mkdir()
        for name in names:
            (self.root / name).write_bytes(name.encode())
        watcher = Watcher(self, self.root, depot.endpoint, "--settle", "1", fresh=True)
        left = len(names)
        for line in watcher.lines():
            left -= "; moved to " in line
            if not left:
                break
        self.assertLess(watcher.peak(), 120 * MIB)
        watcher.signal(signal.SIGTERM)
        self.assertEqual(watcher.wait().err, [])
        self.assertEqual(tree(self.root), sorted(f"sent/{name}" for name in names))
        depot.kill()
        self.assertEqual(depot.uploads(), Counter(names))

    def test_hostile(self) -> None:
        """What can't be sent does not keep back what can, nor ends it."""
        depot = Depot(self, self.directory, "--max-file-size", "1G")
        with (self.root / "huge").open("wb") as huge:
            huge.truncate(2**40)
        os.mkfifo(self.root / "fifo")
        (self.root / "loop").symlink_to(self.root / "loop")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.root / "unix"))
        bad = ["a\x1b[31mb", "a\\b", os.fsdecode(b"\xff\xfe"), "\u2028"]
        for name in bad:
            (self.root / name).write_bytes(b"bad")
        (self.root / "sub").mkdir()
        (self.root / "sub" / "good").write_bytes(b"good")
        watcher = Watcher(self, self.root, depot.endpoint, "--settle", "0")
        left = len(bad) + 2
        for line in watcher.lines():
            left -= "; moved to " in line
            if not left:
                break
        watcher.signal(signal.SIGTERM)
        outcome = watcher.wait()
        self.assertEqual((outcome.status, outcome.err), (-signal.SIGTERM, []))
        failed = sorted([*bad, "huge", *(f"{name}{REASON}" for name in [*bad, "huge"])])
        self.assertEqual(tree(self.root / "failed"), failed)
        for line in outcome.out:
            self.assertTrue(line.isprintable(), line)
        self.assertTrue((self.root / "fifo").is_fifo())
        self.assertTrue((self.root / LOCK).exists())
