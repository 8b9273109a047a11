"""Servers that never come to an end: what a client keeps in memory, and how long it waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from tests.client.test_protocol import Case, Script
from tests.support.executors import InlineExecutor
from xferproto.client import lines
from xferproto.client.factory import XferClientFactory
from xferproto.client.patience import LONGEST_WAIT, MIN_RATE
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.queries import MOST_COMMANDS, MOST_FIELDS
from xferproto.model.errors import AnswerTooLong, ConnectionCut, UnexpectedReply

HELLO = "5d41402abc4b2a76b9719d911017c592"
KEPT = 100_000


def entries(count: int) -> Iterator[bytes]:
    """Lines of a listing, in order, without an end in sight."""
    for number in range(count):
        yield f"{HELLO};{number:012}{('/' + 'x' * 200) * 5};5\n".encode()


class MemoryTests(Case):
    """What is kept of an answer is bounded."""

    def setUp(self) -> None:
        self.patch(lines, "KEPT", KEPT)
        self.script = Script()

    def assert_ends(self, request: Deferred[Any], *error: type[Exception]) -> None:
        """It has failed, and what is on its way is not read any more."""
        self.failureResultOf(request, *error)
        self.assert_cut(self.script)

    def says_until_cut(self, chunks: Iterator[bytes]) -> int:
        """Let the server go on until the client has enough: after how many bytes."""
        said = 0
        for chunk in chunks:
            self.script.says(chunk)
            said += len(chunk)
            if self.script.transport.aborted:
                self.script.lose()
                break
        return said

    def test_listing(self) -> None:
        """A listing that is kept ends with an error that says what to do."""
        for damaged in (False, True):
            self.script = Script()
            client = self.script.client
            request = client.list_damaged() if damaged else client.list_files()
            self.assertLess(self.says_until_cut(entries(1000)), 2 * KEPT)
            self.assert_ends(request, AnswerTooLong)

    def test_each(self) -> None:
        """One that is taken entry by entry may be of any length."""
        count = 0

        def told(entry: object) -> None:
            nonlocal count
            count += 1

        request = self.script.client.each_file("", told)
        self.says_until_cut(entries(1000))
        self.script.says(b"DONE\n")
        self.successResultOf(request)
        self.assertEqual(count, 1000)

    def test_stat(self) -> None:
        """The names of a content, and what else is said of it."""
        request = self.script.client.stat(HELLO)
        self.assertLess(self.says_until_cut(entries(1000)), 2 * KEPT)
        self.assert_ends(request, AnswerTooLong)
        self.script = Script()
        request = self.script.client.stat(HELLO)
        said = self.says_until_cut(b"key-%d x\n" % number for number in range(2 * MOST_FIELDS))
        self.assertLess(said, 20 * MOST_FIELDS)
        self.assert_ends(request, UnexpectedReply)

    def test_same_field(self) -> None:
        """A field that comes again and again is no end of them either."""
        request = self.script.client.stat(HELLO)
        self.says_until_cut(b"key x\n" for _ in range(2 * MOST_FIELDS))
        self.assert_ends(request, UnexpectedReply)

    def test_help(self) -> None:
        """The lines of HELP."""
        request = self.script.client.help()
        self.says_until_cut(b"HELP: this\n" for _ in range(2 * MOST_COMMANDS))
        self.assert_ends(request, UnexpectedReply)

    def test_line(self) -> None:
        """A line without an end."""
        for ask in (
            lambda client: client.list_files(),
            lambda client: client.stat(HELLO),
            lambda client: client.download(HELLO, "none"),
            lambda client: client.verify(HELLO),
        ):
            self.script = Script()
            request = ask(self.script.client)
            said = self.says_until_cut(b"x" * 100 for _ in range(1000))
            self.assertLess(said, 6000)
            self.assert_ends(request, UnexpectedReply)


class TimeTests(SynchronousTestCase):
    """What counts as progress."""

    def setUp(self) -> None:
        self.clock = Clock()
        factory = XferClientFactory(InlineExecutor(), patience=60.0, clock=self.clock)
        self.client: XferClientProtocol = factory.buildProtocol(None)
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.client
        self.client.makeConnection(self.transport)

    def hears(self, data: bytes, every: float, most: float) -> float:
        """Let this come again and again: after how many seconds the client has enough."""
        began = self.clock.seconds()
        while self.client.usable and self.clock.seconds() - began < most:
            self.client.dataReceived(data)
            self.clock.advance(every)
        return self.clock.seconds() - began

    def test_wait(self) -> None:
        """WAIT lines that tell of no progress are waited for, but not without end."""
        request = self.client.verify(HELLO)
        self.client.dataReceived(b"WAIT 0 hashing\n")
        seconds = self.hears(b"WAIT 7 hashing\n", 5, 10 * LONGEST_WAIT)
        self.assertGreater(seconds, LONGEST_WAIT - 10)
        self.assertLess(seconds, LONGEST_WAIT + 120)
        self.failureResultOf(request, ConnectionCut)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wait_with_progress(self) -> None:
        """As long as the percentage grows they are waited for, and no longer."""
        request = self.client.verify(HELLO)
        for percent in range(101):
            before = self.clock.seconds()
            self.hears(b"WAIT %d hashing\n" % percent, 5, LONGEST_WAIT - 60)
            self.assertTrue(self.client.usable)
            self.assertLess(self.clock.seconds() - before, LONGEST_WAIT)
        self.assertNoResult(request)
        self.hears(b"WAIT 50 hashing\n", 5, 10 * LONGEST_WAIT)
        self.failureResultOf(request, ConnectionCut)

    def test_next_request(self) -> None:
        """Each request has that time for itself."""
        for _ in range(3):
            request = self.client.verify(HELLO)
            self.hears(b"WAIT 100 hashing\n", 5, LONGEST_WAIT - 60)
            self.client.dataReceived(HELLO.encode() + b"\n")
            self.successResultOf(request)

    def test_drip(self) -> None:
        """A byte now and then is no progress: of a line, a listing, or a payload."""
        for begin in (b"", f"{HELLO};a;5\n".encode()):
            self.setUp()
            request = self.client.list_files()
            self.client.dataReceived(begin)
            self.assertLess(self.hears(b"x", 20, 1000), 100)
            self.failureResultOf(request, ConnectionCut)
        self.setUp()
        reading = self.client.read(HELLO, 10**9)
        self.client.dataReceived(f"{HELLO};a;100000000\n".encode())
        self.assertLess(self.hears(b"x", 20, 1000), 100)
        self.failureResultOf(reading, ConnectionCut)

    def test_slow(self) -> None:
        """A payload that is slow, but not too slow, may take as long as it takes."""
        request = self.client.read(HELLO, 10**9)
        self.client.dataReceived(f"{HELLO};a;100000000\n".encode())
        self.assertGreaterEqual(self.hears(b"x" * (MIN_RATE * 30), 29, 10_000), 10_000)
        self.assertNoResult(request)
        self.client.connectionLost()
        self.failureResultOf(request, ConnectionCut)
