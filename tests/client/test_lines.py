"""The lines of a long answer on the client's side, however they are cut."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot, Transport
from tests.support.executors import InlineExecutor
from xferproto.client.factory import XferClientFactory
from xferproto.client.lines import Lines
from xferproto.model.errors import UnexpectedReply, XferError
from xferproto.store.local import page_length
from xferproto.wire.codec import MAX_LINE


class LinesTests(SynchronousTestCase):
    """Cut anywhere, the lines are the same."""

    ANSWER = b"one\ntwo\r\n\nDONES\nDONE\n"

    def setUp(self) -> None:
        self.seen: list[bytes] = []
        self.failures: list[XferError] = []
        self.lines = Lines(self.take, self.failures.append)

    def take(self, line: bytes) -> None:
        if line == b"bad":
            raise UnexpectedReply("bad")
        self.seen.append(line)

    def test_whole(self) -> None:
        """All in one piece."""
        self.lines.write(self.ANSWER)
        self.assertEqual(self.seen, [b"one", b"two", b"", b"DONES"])
        self.assertEqual((self.lines.remaining, self.lines.rest), (0, b""))

    def test_two_pieces(self) -> None:
        """In two pieces, cut at each place; it does not end before its end."""
        for cut in range(1, len(self.ANSWER)):
            self.setUp()
            self.lines.write(self.ANSWER[:cut])
            self.assertGreater(self.lines.remaining, 0)
            self.lines.write(self.ANSWER[cut:])
            self.assertEqual(self.seen, [b"one", b"two", b"", b"DONES"], cut)
            self.assertEqual(self.lines.remaining, 0)

    def test_surplus(self) -> None:
        """What comes behind the end is left."""
        self.lines.write(b"a\nDONE\nb\nc")
        self.assertEqual((self.seen, self.lines.rest), ([b"a"], b"b\nc"))

    def test_bad(self) -> None:
        """What is wrong is told, and what comes behind it in the same piece is not looked at."""
        self.lines.write(b"a\nbad\nb\n")
        self.assertEqual(self.seen, [b"a"])
        self.assertEqual(len(self.failures), 1)

    def test_too_long(self) -> None:
        """A line that does not end is told, and not kept growing."""
        self.lines.write(b"x" * MAX_LINE)
        self.assertEqual(self.failures, [])
        self.lines.write(b"x")
        self.assertEqual(len(self.failures), 1)


class ListingTests(SynchronousTestCase):
    """Over a real server."""

    def test_same_as_typed(self) -> None:
        """A client sees what one who types sees, over several pages."""

        self.patch(page_length, "PAGE", 100)
        depot = Depot(self)
        typed = depot.connect()
        typed.send(b"".join(b"UPLOAD %04d;1\nx" % number for number in range(300)))
        text = typed.send(b"LIST_FILES\n")
        client = XferClientFactory(InlineExecutor()).buildProtocol(None)
        transport = Transport()
        transport.protocol = client
        client.makeConnection(transport)
        listing = client.list_files()
        self.assertEqual(transport.value(), b"LIST_FILES\n")
        for start in range(0, len(text), 1007):
            self.assertNoResult(listing)
            client.dataReceived(text[start : start + 1007])
        names = [entry.name for entry in self.successResultOf(listing)]
        self.assertEqual(names, [f"{number:04}" for number in range(300)])
