"""Hosts with several addresses, or none, for a reactor beside the program's own."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.client.test_retry import InlinePool
from xferproto.client.blocking.host import HEAD_START, TIMEOUT, HostEndpoint


class Reactor(MemoryReactorClock):
    """A reactor that connects to nothing, with a pool without threads."""

    def getThreadPool(self) -> Any:
        return InlinePool()

    def callFromThread(self, call: Any, *args: Any, **kwargs: Any) -> None:
        call(*args, **kwargs)


class HostTests(SynchronousTestCase):
    """A host."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.asked: list[tuple[str, int]] = []
        self.endpoint = HostEndpoint(self.reactor, "depot.example", 9000)

    def found(self, *addresses: str) -> None:
        """These are the host's addresses."""

        def look_up(host: str, port: int, type: int) -> list[Any]:
            self.asked.append((host, port))
            return [
                (socket.AF_INET6, type, 6, "", (address, port, 0, 2 * address.startswith("fe80")))
                if ":" in address
                else (socket.AF_INET, type, 6, "", (address, port))
                for address in addresses
            ]

        self.patch(socket, "getaddrinfo", look_up)

    def tried(self) -> list[str]:
        """The addresses that were tried so far."""
        for _, port, _, timeout, _ in self.reactor.tcpClients:
            self.assertEqual((port, timeout), (9000, TIMEOUT))
        return [client[0] for client in self.reactor.tcpClients]

    def take(self, number: int) -> None:
        """An address takes the connection."""
        protocol: Any = self.reactor.tcpClients[number][2].buildProtocol(None)
        protocol.makeConnection(StringTransport())

    def refuse(self, number: int) -> None:
        """An address refuses it."""
        connector: Any = self.reactor.connectors[number]
        factory: Any = self.reactor.tcpClients[number][2]
        factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError(str(number))))

    def turn(self) -> None:
        """It is the next address's turn."""
        self.reactor.advance(HEAD_START)

    def test_first(self) -> None:
        """The first address is tried at once, and where it takes it no other is."""
        self.found("192.0.2.1", "2001:db8::1")
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.advance(0)
        self.assertEqual(self.tried(), ["192.0.2.1"])
        self.take(0)
        self.assertIsInstance(self.successResultOf(connecting), Protocol)
        self.turn()
        self.assertEqual(self.tried(), ["192.0.2.1"])
        self.assertEqual(self.asked, [("depot.example", 9000)])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_second(self) -> None:
        """One that says nothing does not hold up the next one, which ends its attempt."""
        self.found("2001:db8::1", "fe80::1", "192.0.2.1")
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.advance(0)
        self.turn()
        self.turn()
        self.assertEqual(self.tried(), ["2001:db8::1", "fe80::1%2", "192.0.2.1"])
        self.take(2)
        self.successResultOf(connecting)
        stopped = [connector.stoppedConnecting for connector in self.reactor.connectors]
        self.assertEqual(stopped, [True, True, False])

    def test_refused(self) -> None:
        """Where all refuse, the first failure is told."""
        self.found("192.0.2.1", "192.0.2.2")
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.advance(0)
        self.refuse(0)
        self.assertNoResult(connecting)
        self.turn()
        self.refuse(1)
        error = self.failureResultOf(connecting, ConnectionRefusedError).value
        self.assertEqual(error.osError, "0")

    def test_unknown(self) -> None:
        """A host that nobody knows is told as such."""

        def look_up(*args: object, **kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        self.patch(socket, "getaddrinfo", look_up)
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        error = self.failureResultOf(connecting, DNSLookupError).value
        self.assertIn("depot.example: Name or service not known", str(error))

    def test_no_address(self) -> None:
        """So is one without an address of a kind that can be reached."""
        self.found()
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.failureResultOf(connecting, DNSLookupError)

    def test_no_name(self) -> None:
        """What can be no name is refused."""
        for host in ("a..b", "x" * 64):
            endpoint = HostEndpoint(self.reactor, host, 9000)
            self.failureResultOf(endpoint.connect(Factory.forProtocol(Protocol)), ValueError)

    def test_cancel(self) -> None:
        """Cancelling ends every attempt."""
        self.found("192.0.2.1", "192.0.2.2", "192.0.2.3")
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.advance(0)
        self.turn()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError, Exception)
        stopped = [connector.stoppedConnecting for connector in self.reactor.connectors]
        self.assertEqual(stopped, [True, True])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
