"""One connection of a peer, below whatever protocol is spoken on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.depot.account import Account
from xferproto.depot.depot import Depot
from xferproto.depot.request import Request
from xferproto.model.errors import ConnectionCut, RequestError, Timeout
from xferproto.net.tls import error_text
from xferproto.server.connections import Connections
from xferproto.server.traffic.closing import Closing
from xferproto.server.traffic.connection_limit import RefusedConnection
from xferproto.server.traffic.flow import Flow, Hold
from xferproto.server.traffic.hangup import Presence, Sign
from xferproto.server.traffic.inbox import Inbox
from xferproto.server.traffic.sending import make_sender
from xferproto.server.traffic.stall import Fault, StallTimer, Wait, unsent
from xferproto.server.traffic.transport import prepare_transport
from xferproto.transfer.sender import Sender

R = TypeVar("R")

log = Logger("xfer")

LONGEST_PAUSE = 1.0
"""Seconds between two looks at a peer that reads nothing, at most."""


class Session(Protocol):
    """
    What is spoken on a channel.

    @ivar account: what the peer may do.
    """

    account: Account

    async def serve(self) -> None:
        """Answer requests, one after the other, until L{Channel.stopping}."""

    def refuse(self, error: RequestError) -> None:
        """Answer with an error; then the connection is closed."""


@implementer(IHalfCloseableProtocol)
class Channel(protocol.Protocol):
    """
    Hold, pace, judge and close one connection, below a session that waits for what comes.

    @param connections: counts it, and what all share.
    @param depot: waits for what runs when the server stops.
    @param make_session: makes what is spoken.
    @ivar number: counts the connections; the log's lines begin with it.
    @ivar clock: times them.
    @ivar inbox: gives what comes.
    @ivar stopping: whether the server stops.
    """

    transport: Any

    def __init__(
        self,
        connections: Connections,
        depot: Depot,
        make_session: Callable[[Channel], Session],
    ) -> None:
        self.number = connections.number()
        self.clock = connections.clock
        self.stopping = False
        self._flow = flow = Flow(self._hold, self._let_come)
        self._closing = Closing(self.clock, flow.open)
        self.inbox = Inbox(self.clock, flow, self._closing.disconnect)
        self._connections = connections
        self._depot = depot
        self._stall = StallTimer(connections.limits, self.clock.seconds())
        self._presence = Presence()
        self._up, self._down = connections.bandwidth.of_connection(self._freed)
        self._sender: Sender | None = None
        self._waits = Request()
        self._received = self._written = 0
        self._lost = False
        self._session = make_session(self)

    # Events of the transport

    def connectionMade(self) -> None:
        below = prepare_transport(self.transport)
        self._flow.regulate(below, None if self._up is None else self._up.block)
        self._flow.expect(0)
        self._closing.transport = self._presence.transport = self.transport
        self.transport.registerProducer(self, True)
        self._connections.opened(self)
        if not self._closing.begun:
            self._depot.start(self._serve())

    async def _serve(self) -> None:
        session = self._session
        try:
            await session.serve()
        except ConnectionCut:
            return
        except Exception:
            failures = self._connections.failures
            error = failures.error_of(Failure(), self.number)
            failures.refused(self.number, error)
            session.refuse(error)
        self._closing.close()

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if not self._closing.begun:
            self.inbox.received(data)
        if self._up is not None and self._up.spend(len(data)):
            self._flow.set(Hold.BANDWIDTH, True)

    def readConnectionLost(self) -> None:
        self._closing.input_ended = True
        if self._closing.begun:
            self._closing.disconnect()
        else:
            self.inbox.ended()

    def writeConnectionLost(self) -> None:
        self._closing.half_closed()

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.held and not self._closing.begun:
            log.warn("#{number} cut off by its peer", number=self.number)
        self._lost = True
        self._flow.end()
        self._closing.end()
        for limit in (self._up, self._down):
            if limit is not None:
                limit.stop()
        if self._sender is not None:
            self._sender.stopProducing()
        self._waits.abandon()
        self.inbox.lose()
        if (text := error_text(reason)) is not None:
            log.info("#{number} TLS failed: {text}", number=self.number, text=text)
        self._connections.closed(self)

    async def wait(self, waiting: Deferred[R]) -> R:
        """
        Wait for something that can be cancelled; the wait ends with the connection.

        @raise ConnectionCut: the connection is lost.
        """
        return await self._waits.wait(waiting)

    # Reading

    def _hold(self) -> None:
        self.transport.pauseProducing()

    def _let_come(self) -> None:
        if not self._closing.input_ended and not self._lost:
            self.transport.resumeProducing()

    def _freed(self) -> None:
        """The bandwidth lets more bytes go."""
        held = [limit for limit in (self._up, self._down) if limit is not None and limit.held]
        self._flow.set(Hold.BANDWIDTH, bool(held))

    # Writing

    def write(self, data: bytes) -> None:
        """Send some bytes that are in memory."""
        self._written += len(data)
        self.transport.write(data)
        if self._down is not None and self._down.spend(len(data)):
            self._flow.set(Hold.BANDWIDTH, True)

    @property
    def largest(self) -> int | None:
        """The most bytes of a block that L{send} reads, where the bandwidth is limited."""
        return None if self._down is None else self._down.block

    async def send(self, read: Callable[[], Deferred[bytes]]) -> None:
        """
        Send all that C{read} gives, as fast as the peer takes it. Where that fails, the connection
        is cut off: neither padding nor an error can follow part of a content.

        @raise ConnectionCut: the connection was lost, or cut off.
        """
        self._sender = make_sender(self.transport, read, self._down, self._flow, self._lost)
        try:
            await self._sender.run()
        except ConnectionCut:
            raise
        except Exception:
            error = self._connections.failures.error_of(Failure(), self.number)
            log.error("#{number} cut off: {text}", number=self.number, text=error.text)
            self._closing.cut_off()
            raise ConnectionCut(error.text) from None
        finally:
            self._written += self._sender.written
            self._sender = None

    async def pause(self, seconds: float) -> None:
        """
        Send nothing for a while, that begins when the system has all that was sent before.

        @raise ConnectionCut: the connection was lost.
        """
        while True:
            behind = unsent(self.transport)
            await self.wait(deferLater(self.clock, seconds))
            if self._down is not None:
                await self.wait(self._down.when_free())
            if not behind:
                return
            if unsent(self.transport):
                seconds = min(LONGEST_PAUSE, 2 * seconds)

    # The producer that the transport knows: what the peer doesn't read holds everything back

    def pauseProducing(self) -> None:
        self._flow.set(Hold.OUTPUT, True)
        if self._sender is not None:
            self._sender.pauseProducing()

    def resumeProducing(self) -> None:
        self._flow.set(Hold.OUTPUT, False)
        if self._sender is not None:
            self._sender.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: the transport is gone, and L{connectionLost} follows."""

    # What is asked of every connection

    @property
    def held(self) -> bool:
        """Whether a request is worked on, and nothing is read."""
        return self._flow.holds(Hold.STATE)

    def look(self, now: float, elapsed: float) -> None:
        """See whether the peer goes on, and close if it does not."""
        behind = unsent(self.transport)
        if self._closing.begun:  # which has a timer of its own
            wait = Wait.NOTHING
        elif behind or self._flow.holds(Hold.OUTPUT):
            wait = Wait.READER
        else:
            wait = Wait.NOTHING if self._flow.held else self.inbox.waits_for()
        written = self._written + (0 if self._sender is None else self._sender.written)
        fault = self._stall.look(
            now, elapsed, wait, self.inbox.messages, self._received, written - behind
        )
        if fault is None or (fault is Fault.NO_LOGIN and self._session.account.identity.rights):
            return
        if wait is Wait.READER:  # no answer could be sent, and nothing may follow part of a file
            log.warn("#{number} cut off: its peer takes too little", number=self.number)
            self._closing.cut_off()
        elif fault is Fault.STALLED:
            self.inbox.fail(Timeout("Too little came for too long; nothing was stored."))
        else:
            self.inbox.fail(Timeout("No request came for too long; connect again."))

    def hung_up(self, sign: Sign) -> None:
        """The peer has hung up, as C{sign} says, while nothing was read from it."""
        self._presence.hung_up(sign, self._sender is None)

    def stop(self) -> None:
        """The server stops: close now, or when the request that runs is answered."""
        self.stopping = True
        if self.inbox.waits_for() is not Wait.PAYLOAD and not self.held:
            self._closing.disconnect()


class ChannelFactory(protocol.ServerFactory):
    """
    Make a L{Channel} for each connection.

    @param make_session: makes what is spoken on it.
    """

    noisy = False

    def __init__(
        self,
        connections: Connections,
        depot: Depot,
        make_session: Callable[[Channel], Session],
    ) -> None:
        self._connections = connections
        self._depot = depot
        self._make_session = make_session

    def buildProtocol(self, addr: IAddress | None) -> Channel | RefusedConnection:
        refused = self._connections.refuse(addr)
        if refused is not None:
            return refused
        return Channel(self._connections, self._depot, self._make_session)
