"""Connections above the limits: which are refused, with what error, and what that costs."""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import MemoryDepot, Session, Transport
from xferproto.server.limits import Limits
from xferproto.server.traffic.connection_limit import (
    LINGER,
    LINGERING,
    LOG_INTERVAL,
    RefusedConnection,
    ThrottledLog,
    counted_network,
    descriptors,
    room_for,
)

FULL = b"ERROR busy This server has as many connections as it takes; try again later.\n"
PEER = b"ERROR busy Your address has as many connections as it may; close one of them.\n"
NONE = b"No files available at the moment\nDONE\n"


def tcp(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 5)


class ConnectionLimitTests(SynchronousTestCase):
    """Counting, over connections."""

    def refused(self, depot: MemoryDepot, address: IAddress | None = None) -> Any:
        """The transport of a connection that is refused."""
        protocol = depot.factory.buildProtocol(address)
        assert isinstance(protocol, RefusedConnection)
        transport = Transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def test_in_all(self) -> None:
        """A connection above the limit is refused and closed; the others are served."""
        depot = MemoryDepot(self, limits=Limits(connections=2))
        inside = [depot.connect(), depot.connect()]
        transport = self.refused(depot)
        self.assertEqual(transport.value(), FULL)
        self.assertTrue(transport.half_closed)
        for session in inside:
            self.assertEqual(session.send(b"LIST_FILES\n"), NONE)
        inside[0].lose()
        self.assertEqual(depot.connect().send(b"LIST_FILES\n"), NONE)

    def test_per_peer(self) -> None:
        """An address has so many, and another one's are not its own."""
        depot = MemoryDepot(self, limits=Limits(per_peer=2))
        inside = [depot.connect(), depot.connect()]  # of 192.168.1.1
        self.assertEqual(self.refused(depot, tcp("192.168.1.1")).value(), PEER)
        self.assertNotIsInstance(depot.factory.buildProtocol(tcp("192.168.1.2")), RefusedConnection)
        inside[0].lose()
        self.assertNotIsInstance(depot.factory.buildProtocol(tcp("192.168.1.1")), RefusedConnection)

    def test_gone_soon(self) -> None:
        """Who is refused may take a moment to read why, then is cut off."""
        depot = MemoryDepot(self, limits=Limits(connections=1))
        session = depot.connect()
        transport = self.refused(depot)
        depot.clock.advance(LINGER)
        self.assertTrue(transport.aborted)
        session.lose()
        self.assertEqual(depot.clock.getDelayedCalls(), [])

    def test_reads_and_leaves(self) -> None:
        """Who leaves before that leaves nothing behind."""
        depot = MemoryDepot(self, limits=Limits(connections=1))
        session = depot.connect()
        transport = self.refused(depot)
        transport.protocol.dataReceived(b"UPLOAD a;5\nhello")
        transport.protocol.readConnectionLost()
        self.assertFalse(transport.connected)
        self.assertFalse(transport.aborted)
        self.assertEqual(depot.factory.connections.limit.lingering, 0)
        session.lose()
        self.assertEqual(depot.clock.getDelayedCalls(), [])

    def test_many_refused(self) -> None:
        """When many are refused at once, further ones are closed at once."""
        depot = MemoryDepot(self, limits=Limits(connections=1))
        depot.connect()
        transports = [self.refused(depot) for _ in range(LINGERING + 5)]
        self.assertEqual([one.connected for one in transports], [True] * LINGERING + [False] * 5)
        self.assertEqual({one.value() for one in transports}, {FULL})

    def test_upload_goes_on(self) -> None:
        """An upload that runs does not notice."""
        depot = MemoryDepot(self, limits=Limits(connections=1))
        session: Session = depot.connect()
        session.send(b"UPLOAD a;5\nhe")
        self.refused(depot)
        self.assertEqual(session.send(b"llo"), b"5d41402abc4b2a76b9719d911017c592\n")


class PeerTests(SynchronousTestCase):
    """What counts as one peer."""

    def test_addresses(self) -> None:
        """An IPv4 address, or a /64 of IPv6; never this machine itself, nor what has no address."""
        for host, peer in {
            "192.0.2.1": "192.0.2.1",
            "127.0.0.1": None,
            "127.8.9.1": None,
        }.items():
            self.assertEqual(counted_network(tcp(host)), peer)

        def six(host: str) -> str | None:
            return counted_network(IPv6Address("TCP", host, 5))

        self.assertEqual(six("2001:db8::1"), six("2001:db8::ffff:2"))
        self.assertNotEqual(six("2001:db8::1"), six("2001:db8:0:1::1"))
        self.assertEqual(six("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertIsNone(six("::1"))
        self.assertIsNone(six("::ffff:127.0.0.1"))
        self.assertIsNotNone(six("fe80::1%eth0"))
        self.assertIsNone(counted_network(UNIXAddress("/run/xfer")))
        self.assertIsNone(counted_network(None))


class DescriptorTests(SynchronousTestCase):
    """How many connections the system allows."""

    def limit(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

        def change(_: int, wanted: tuple[int, int]) -> None:
            self.now = wanted

        self.patch(resource, "getrlimit", lambda _: self.now)
        self.patch(resource, "setrlimit", change)

    def test_raised(self) -> None:
        """The limit is raised as far as it may be and is of use, never lowered."""
        self.limit(1024, 4096)
        self.assertEqual(descriptors(2000), 2000)
        self.assertEqual(descriptors(5000), 4096)
        self.assertEqual(descriptors(10), 4096)

    def test_room(self) -> None:
        """A quarter of the descriptors is left for files."""
        self.limit(1024, 1024)
        self.assertEqual(room_for(10_000), 768)
        self.assertEqual(room_for(100), 100)
        self.limit(1024, 2**20)
        self.assertEqual(room_for(10_000), 10_000)

    def test_unlimited(self) -> None:
        """Where there is no limit there are as many as are wanted."""
        self.limit(resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        self.assertEqual(room_for(10_000), 10_000)


class ThrottledLogTests(SynchronousTestCase):
    """A frequent event is logged once in a while."""

    def test_counts(self) -> None:
        """The first time at once, then how often it was."""
        counts: list[int] = []
        clock = Clock()
        throttled = ThrottledLog(clock, counts.append)
        for _ in range(3):
            throttled.happened()
        self.assertEqual(counts, [1])
        clock.advance(LOG_INTERVAL)
        throttled.happened()
        self.assertEqual(counts, [1, 3])
