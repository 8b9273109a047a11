"""The PROXY protocol, without a network: its headers, and the connection behind them."""

from __future__ import annotations

import contextlib
import socket
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import MemoryDepot, Transport
from xferproto.server.proxy_protocol import HEADER_TIMEOUT, Header, ProxiedFactory, parse_header

LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 9000\r\n"
NOTHING = b"No files available at the moment\nDONE\n"


def binary(command: int, family: int, rest: bytes) -> bytes:
    """A header of the second form."""
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", command, family, len(rest)) + rest


BINARY = binary(
    0x21,
    0x11,
    socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4, 5),
)
BINARY_6 = binary(
    0x21,
    0x21,
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 4, 5)
    + b"\x04\x00\x01\x00",  # more of it, which is skipped
)


class HeaderTests(SynchronousTestCase):
    """L{parse_header}."""

    def peer(self, data: bytes) -> tuple[str, int]:
        """What a header says, however it is cut, and whatever follows it."""
        for length in range(1, len(data)):
            self.assertIsNone(parse_header(data[:length]), data[:length])
        header = parse_header(data + b"LIST_FILES\n")
        assert header is not None and header.peer is not None
        self.assertEqual(header.length, len(data))
        return header.peer.host, header.peer.port  # type: ignore[attr-defined]

    def test_lines(self) -> None:
        """The first form, for both families."""
        self.assertEqual(self.peer(LINE), ("192.0.2.7", 40000))
        line = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 9000\r\n"
        self.assertEqual(self.peer(line), ("2001:db8::7", 40000))

    def test_binary(self) -> None:
        """The second form, for both families, and with more behind the addresses."""
        self.assertEqual(self.peer(BINARY), ("192.0.2.7", 4))
        self.assertEqual(self.peer(BINARY_6), ("2001:db8::7", 4))

    def test_without_an_address(self) -> None:
        """The proxy's own checks, and families without ports, say nothing of a peer."""
        for data in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
            binary(0x20, 0x00, b""),
            binary(0x20, 0x11, BINARY[16:]),
            binary(0x21, 0x31, bytes(216)),
        ):
            self.assertEqual(parse_header(data), Header(len(data)))

    def test_damaged(self) -> None:
        """Anything else is refused."""
        for data in (
            b"LIST_FILES\n",
            b"PROXX",
            b"PROXY " + b"x" * 200,
            b"PROXY \r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 65536\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 9000\r\n",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            b"PROXY TCP4 \xff 198.51.100.1 1 2\r\n",
            b"PROXY TCP9 192.0.2.7 198.51.100.1 1 2\r\n",
            binary(0x11, 0x11, BINARY[16:]),
            binary(0x21, 0x11, b"short"),
        ):
            self.assertRaises(ValueError, parse_header, data)

    @settings(deadline=None, derandomize=True)
    @given(
        st.one_of(
            st.binary(max_size=120),
            st.binary(max_size=60).map(lambda rest: b"PROXY TCP4 " + rest + b"\r\n"),
            st.builds(binary, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60)),
        )
    )
    def test_anything(self, data: bytes) -> None:
        """Whatever comes is a header, the beginning of one, or refused."""
        with contextlib.suppress(ValueError):
            header = parse_header(data)
            self.assertTrue(header is None or header.length <= len(data))


class ConnectionTests(SynchronousTestCase):
    """A depot behind a proxy."""

    def setUp(self) -> None:
        self.depot = MemoryDepot(self)
        self.clock = Clock()
        proxied = ProxiedFactory(self.depot.factory, self.clock).buildProtocol(None)
        self.transport = Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 5))
        self.transport.protocol = self.proxied = proxied

    def feed(self, *chunks: bytes) -> tuple[bytes, list[str]]:
        """Connect and let these arrive: what is answered, and what is logged."""
        with capturedLogs() as events:
            self.proxied.makeConnection(self.transport)
            for chunk in chunks:
                self.proxied.dataReceived(chunk)
        written: bytes = self.transport.value()
        return written, [formatEvent(event) for event in events]

    def test_peer(self) -> None:
        """The log has the peer of the proxy, and the request behind the header is answered."""
        for header in (LINE, BINARY):
            self.setUp()
            answer, logged = self.feed(header + b"LIST_FILES\n")
            self.assertEqual(answer, NOTHING)
            self.assertIn("connected from 192.0.2.7 ", logged[0])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_byte_by_byte(self) -> None:
        """However it is cut into packets."""
        data = BINARY_6 + b"LIST_FILES\n"
        answer, logged = self.feed(*(data[at : at + 1] for at in range(len(data))))
        self.assertEqual(answer, NOTHING)
        self.assertIn("connected from 2001:db8::7 ", logged[0])

    def test_own_check(self) -> None:
        """Where the header says nothing, the peer is the proxy."""
        _, logged = self.feed(b"PROXY UNKNOWN\r\n")
        self.assertIn("connected from 127.0.0.1 ", logged[0])

    def test_refused(self) -> None:
        """Who sends no header is cut off, logged, and never reaches the depot."""
        answer, logged = self.feed(b"LIST_FILES\n", b"LIST_FILES\n")
        self.assertEqual(answer, b"")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(len(logged), 1, logged)
        self.assertIn("no PROXY header", logged[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent(self) -> None:
        """Who sends nothing is cut off after some time."""
        self.feed()
        self.clock.advance(HEADER_TIMEOUT)
        self.assertTrue(self.transport.aborted)

    def test_checked_and_gone(self) -> None:
        """A proxy that only looks whether somebody listens leaves no trace."""
        with capturedLogs() as events:
            self.feed()
            self.transport.loseConnection()
        self.assertEqual(list(events), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_half_closed(self) -> None:
        """A peer that sends no more is still answered, and then closed."""
        self.feed(LINE + b"LIST_FILES")
        self.proxied.readConnectionLost()
        self.assertEqual(self.transport.value(), NOTHING)
        self.assertFalse(self.transport.connected)

    def test_quit(self) -> None:
        """The server closes its half first, as it does without a proxy."""
        self.feed(LINE + b"QUIT\n")
        self.assertTrue(self.transport.half_closed)
        self.assertTrue(self.transport.connected)
        self.depot.clock.advance(5)
        self.assertFalse(self.transport.connected)
