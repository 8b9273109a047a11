"""The status of an unattended client: the file, and what people read of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot
from tests.support.watched import WatchCase, id_of
from xferproto.watch.directory import STATUS
from xferproto.watch.status import NoStatus, describe, read_status

FIELDS = {
    *("format", "directory", "state", "pid", "started", "written", "trouble", "depot", "lock"),
    *("inotify", "waiting", "sending", "passed_over", "closed", "sent", "failed"),
}
"""All fields; docs/unattended.md describes each."""


class FileTests(WatchCase):
    """What the file says."""

    def test_fields(self) -> None:
        """All that is documented is there, from the beginning."""
        self.start()
        self.advance(1)
        status = self.status()
        self.assertEqual(set(status), FIELDS)
        self.assertEqual(status["directory"], str(self.root))
        self.assertEqual(status["pid"], os.getpid())
        self.assertEqual(status["state"], "running")
        self.assertEqual(status["depot"]["name"], "the depot")
        self.assertIsNone(status["depot"]["up"])
        self.assertIsNone(status["sent"]["last"])
        self.assertIsNone(status["failed"]["last"])
        document = Path(__file__).parents[2] / "docs" / "unattended.md"
        text = document.read_text()
        for field in FIELDS:
            self.assertTrue(f"| `{field}`" in text, field)

    def test_counts(self) -> None:
        """What was sent, what has failed, what waits."""
        self.use_depot(Depot(self, max_file_size=10))
        self.start()
        self.write("a")
        self.write("b", b"too large for it")
        self.settle()
        self.write("c", b"xyz")
        self.advance(6)
        status = self.status()
        self.assertEqual((status["sent"]["files"], status["sent"]["bytes"]), (1, 5))
        last = status["sent"]["last"]
        self.assertEqual((last["name"], last["id"], last["size"]), ("a", id_of(b"hello"), 5))
        self.assertEqual(status["failed"]["files"], 1)
        failed = status["failed"]["last"]
        self.assertIn("too-large", failed["reason"])
        self.assertEqual((failed["name"], failed["size"]), ("b", len(b"too large for it")))
        self.assertEqual(status["waiting"], {"files": 1, "bytes": 3, "settling": 1, "refused": 0})

    def test_sending(self) -> None:
        """What is being sent, and how far it is."""
        self.write("a", bytes(3 * 1024 * 1024))
        self.start()
        wire = self.connected()
        for _ in range(3):
            wire.to_server(wire.up()[: 1024 * 1024])
            wire.to_client(wire.down())
        for _ in range(2):
            self.reactor.advance(1)
        (sending,) = self.status()["sending"]
        self.assertEqual((sending["name"], sending["size"]), ("a", 3 * 1024 * 1024))
        self.assertGreater(sending["sent"], 0)
        self.cut(wire)

    def test_seldom(self) -> None:
        """It is written on change alone, and not more often than every second."""
        self.start()
        self.settle()
        before = self.status()["written"]
        self.advance(1000)
        self.assertEqual(self.status()["written"], before)
        written: list[str] = []
        for number in range(20):
            self.write(f"{number}")
            self.reactor.advance(0.2)
            self.flush()
            written.append(self.status()["written"])
        self.assertLess(len(set(written)), 7)

    def test_elsewhere(self) -> None:
        """It may be elsewhere; where it can't be written, that is told once, and all goes on."""
        place = self.root.with_name("status")
        self.configure(status=place / "file")
        self.start()
        self.write("a")
        self.settle()
        self.write("b")
        self.settle()
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(len(self.logged("can't be written: No such file")), 1)
        place.mkdir()
        self.write("c")
        self.settle()
        self.assertEqual(self.status()["sent"]["files"], 3)
        self.assertFalse((self.root / STATUS).exists())


class DescribeTests(WatchCase):
    """What people read."""

    def lines(self, path: Path | None = None) -> list[str]:
        status = read_status(path or self.root, self.reactor.seconds())
        lines = describe(status)
        for line in lines:
            self.assertTrue(line.isprintable(), line)
        return lines

    def test_running(self) -> None:
        """All is well."""
        self.start()
        self.write("a\u202eb")
        self.settle()
        self.advance(100)
        lines = self.lines()
        self.assertTrue(lines[0].startswith(f"{self.root}: watched since 2001-"), lines[0])
        self.assertIn("scanned from time to time", lines[0])
        self.assertEqual(lines[1], "depot: the depot, reachable")
        self.assertEqual(lines[2], "waiting: nothing")
        self.assertIn('sent: 1 file, 5 bytes, the last "a\\u202eb" 2001-', lines[3])
        self.assertIn("(1 min ago)", lines[3])
        self.assertEqual(len(lines), 4)
        self.assertEqual(self.lines(self.root / STATUS), lines)

    def test_trouble(self) -> None:
        """What is not well is told: depot, failures, links, waiting files."""
        self.use_depot(Depot(self, max_file_size=10))
        self.start()
        self.write("large", b"too large for it")
        (self.root / "link").symlink_to("x")
        self.settle()
        self.endpoint.wires[0]._client.transport.abortConnection()
        self.flush()
        self.endpoint.failures = [ConnectionRefusedError() for _ in range(1000)]
        for number in range(3):
            self.write(f"{number}")
        self.advance(100)
        text = "\n".join(self.lines())
        self.assertIn("depot: the depot, UNREACHABLE since 2001-", text)
        self.assertIn("refused", text)
        self.assertIn("waiting: 3 files, 15 bytes", text)
        self.assertIn('failed: 1 file, the last "large" 2001-', text)
        self.assertIn("too-large: ", text)
        self.assertIn("passed over: 1 symbolic links", text)

    def test_stopped(self) -> None:
        """After a stop, and after a death."""
        self.start()
        self.settle()
        fields = self.status()
        self.stop()
        self.assertIn("not watched; stopped 2001-", self.lines()[0])
        self.assertEqual(self.lines()[1], "depot: the depot, not asked")
        stopped = self.status()
        for up, words in ((True, "was reachable then"), (False, "was unreachable since 2001-")):
            stopped["depot"] |= {"up": up, "reason": "lost"}
            (self.root / STATUS).write_text(json.dumps(stopped))
            self.assertIn(f"depot: the depot, {words}", self.lines()[1])
        (self.root / STATUS).write_text(json.dumps(fields))
        self.assertIn("NOT WATCHED: the process was killed", self.lines()[0])
        Path(fields["lock"]).unlink()
        self.assertIn("NOT WATCHED", self.lines()[0])

    def test_gone(self) -> None:
        """While the directory is gone."""
        status = self.root.with_name("status")
        self.configure(status=status)
        self.start()
        self.settle()
        aside = self.root.with_name("aside")
        self.root.rename(aside)
        self.advance(100)
        self.assertIn("THE DIRECTORY IS GONE", self.lines(status)[0])
        aside.rename(self.root)

    def test_looking_is_harmless(self) -> None:
        """Who looks does not keep the service from starting, nor takes the lock from it."""
        self.start()
        self.settle()
        for _ in range(3):
            self.assertTrue(read_status(self.root, 0).alive)
        self.start()
        self.assertTrue(read_status(self.root, 0).alive)


class NoStatusTests(SynchronousTestCase):
    """Files that are none."""

    def assert_none(self, path: Path, *words: str) -> None:
        line = str(self.assertRaises(NoStatus, read_status, path, 0.0))
        self.assertNotIn("\n", line)
        for word in words:
            self.assertIn(word, line)

    def test_none(self) -> None:
        """What is missing, no JSON, or of another kind is told in one line."""
        root = Path(self.mktemp())
        root.mkdir(parents=True)
        self.assert_none(root, "no xfer-client has watched this directory yet")
        self.assert_none(root / "none", "does not exist")
        path = root / STATUS
        contents: list[Any] = [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"format": 1}']
        for content in contents:
            path.write_bytes(content)
            self.assert_none(root, "is not a status file")
        path.write_bytes(b'{"format": 2, "lock": "x"}')
        self.assert_none(root, "another version")
        path.unlink()
        path.mkdir()
        self.assert_none(root)
