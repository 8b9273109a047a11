"""Files that have another size than the system says, as those of /proc have: never half sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.client.test_protocol import LARGE, Case, Pair, Script, entry_of
from tests.support.depot import Session
from xferproto.client.source import ONE_LINE
from xferproto.model.entry import Entry
from xferproto.model.errors import SourceChanged
from xferproto.wire import codec

Send = Callable[[Path], Exception | None]
"""Sends a file: what that fails with."""


class SizeCase(Case):
    """A depot, and each way to send a file there."""

    def setUp(self) -> None:
        self.pair = Pair(self)

    def sent(self, request: Deferred[Any]) -> Exception | None:
        failures: list[Any] = []
        request.addCallbacks(lambda _: None, failures.append)
        self.pair.flush()
        self.assertTrue(request.called)
        return failures[0].value if failures else None

    def alone(self, path: Path) -> Exception | None:
        return self.sent(self.pair.client.upload(path, "name"))

    def resumed(self, path: Path) -> Exception | None:
        return self.sent(self.pair.client.resume(path, "name"))

    def with_others(self, path: Path) -> Exception | None:
        outcomes: list[Entry | Exception] = []
        request = self.pair.client.upload_many(
            [(path, "name")], lambda name, outcome: outcomes.append(outcome)
        )
        error = self.sent(request)
        (outcome,) = outcomes
        return outcome if isinstance(outcome, Exception) else error

    def each(self) -> Iterator[Send]:
        for send in (self.alone, self.resumed, self.with_others):
            self.pair = Pair(self)
            yield send

    def assert_refused(self, send: Send, path: Path, says: int) -> None:
        """It can't be sent, for what the system says of its size; nothing is stored."""
        error = send(path)
        assert isinstance(error, OSError), (send, error)
        self.assertIn(f"its real size is unknown (the system reports {says})", str(error))
        self.assertEqual(str(error.filename), str(path))
        self.assertIn(b"No files available", self.stored())

    def stored(self) -> bytes:
        """What the depot lists."""
        return Session(self.pair.depot.factory).send(b"LIST_FILES\n")


class SizeTests(SizeCase):
    """The system's word against what is read."""

    def says(self, size: int) -> None:
        """From now on every open file has this size, if one asks the system."""
        fstat = os.fstat

        def lie(fd: int) -> os.stat_result:
            status = list(fstat(fd))
            status[stat.ST_SIZE] = size
            return os.stat_result(status)

        self.patch(os, "fstat", lie)

    def test_proc(self) -> None:
        """Files of /proc say that they are empty, and are not."""
        path = Path("/proc/self/status")
        if not path.exists():
            self.skipTest("there is no /proc")
        for send in self.each():
            self.assert_refused(send, path, 0)
            self.assertNotIn(b"UPLOAD", b"".join(self.pair.sent()))

    def test_sys(self) -> None:
        """Files of /sys say that they are as large as a page, and are smaller."""
        path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        if not path.exists():
            self.skipTest("there is no such file")
        for send in self.each():
            self.assert_refused(send, path, path.stat().st_size)

    def test_more(self) -> None:
        """There is more to be read, be the file small or large."""
        for content, said in (
            (b"x", 0),
            (b"hello", 4),
            (bytes(ONE_LINE + 1), ONE_LINE),
            (LARGE, 0),
            (LARGE, 5),
            (LARGE, len(LARGE) - 1),
        ):
            path = self.file(content)
            self.says(said)
            for send in self.each():
                self.assert_refused(send, path, said)

    def test_less(self) -> None:
        """There is less to be read."""
        for content, said in (
            (b"", 1),
            (b"hello", 6),
            (bytes(ONE_LINE), ONE_LINE + 1),
            (LARGE, len(LARGE) + 1),
        ):
            path = self.file(content)
            self.says(said)
            for send in self.each():
                self.assert_refused(send, path, said)

    def test_all_of_it_known(self) -> None:
        """That the depot has all the bytes that the system tells of is no success either."""
        path = self.file(LARGE)
        said = len(LARGE) - 1
        self.says(said)
        script = Script()
        request = script.client.resume(path, "name", "token")
        script.says(f"{said};{md5(LARGE[:said]).hexdigest()}\n".encode(), codec.READY + b"\n")
        self.failureResultOf(request, OSError)
        self.assert_cut(script)

    def test_written_to(self) -> None:
        """A file that grows, or is emptied, while it is read has changed."""
        pread = os.pread

        def grow(path: Path) -> None:
            with path.open("ab") as opened:
                opened.write(b"more")

        def empty(path: Path) -> None:
            os.truncate(path, 0)

        def reader(path: Path, change: Callable[[Path], None]) -> Callable[..., bytes]:
            def read(fd: int, length: int, position: int) -> bytes:
                self.patch(os, "pread", pread)
                change(path)
                return pread(fd, length, position)

            return read

        for content, change in ((b"", grow), (b"a", grow), (b"a", empty), (LARGE, grow)):
            for send in self.each():
                path = self.file(content)
                self.patch(os, "pread", reader(path, change))
                self.assertIsInstance(send(path), SourceChanged)
                self.assertIn(b"No files available", self.stored())

    def test_right(self) -> None:
        """What is as large as the system says is stored."""
        for content in (b"", b"x", bytes(ONE_LINE), bytes(ONE_LINE + 1), LARGE):
            path = self.file(content)
            for send in self.each():
                self.assertIsNone(send(path))
                entry = entry_of(content, "name")
                self.assertIn(f"{entry.id};name;{entry.size}\n".encode(), self.stored())
