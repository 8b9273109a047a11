"""The two directions of a connection through the proxy, and its two ends."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet import tcp
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.drills.fault import Way

if TYPE_CHECKING:
    from tests.drills.proxy import Link

SEGMENT = 3
"""Bytes in each piece of what is split."""


@implementer(IPushProducer)
class Lane:
    """
    One direction of a connection.

    @ivar pending: what has come and is held back.
    @ivar splitting: how many more bytes are to go in tiny segments.
    @ivar lateness: seconds by which bytes come late.
    """

    def __init__(self, link: Link, way: Way, source: Side, sink: Side) -> None:
        self.pending: deque[bytes] = deque()
        self.splitting = 0
        self.lateness = 0.0
        self._link = link
        self._way = way
        self._source = source
        self._sink = sink
        self._passed = 0
        self._held = 0
        self._full = False
        self._ended = False

    def came(self, data: bytes) -> None:
        """Bytes have come from the source."""
        if self.lateness:
            self._link.later(self.lateness, lambda: self._queue(data))
        else:
            self._queue(data)

    def _queue(self, data: bytes) -> None:
        self.pending.append(data)
        self._pump()

    def ended(self) -> None:
        """The source sends no more."""
        if self.lateness:
            self._link.later(self.lateness, self._queue_end)
        else:
            self._queue_end()

    def _queue_end(self) -> None:
        self._ended = True
        self._pump()

    def _pump(self) -> None:
        while self.pending and not self._held:
            self.feed(self.pending.popleft())
        if self._ended and not self.pending and not self._held and not self._link.silent:
            self._sink.end()

    def feed(self, data: bytes) -> None:
        """Pass bytes on, up to where the fault strikes."""
        link = self._link
        if link.silent or not data:
            return
        fault = link.fault
        if fault is not None and fault.way is self._way and fault.at < self._passed + len(data):
            cut = fault.at - self._passed
            self._pass(data[:cut])
            link.strike(self, fault, data[cut:])
        elif self.splitting:
            self.splitting = max(0, self.splitting - SEGMENT)
            self._pass(data[:SEGMENT])
            if len(data) > SEGMENT:
                self.pending.appendleft(data[SEGMENT:])
            self.hold()  # so that each piece is a segment of its own
            link.later(0, self.release)
        else:
            self._pass(data)

    def _pass(self, data: bytes) -> None:
        self._passed += len(data)
        if data:
            self._sink.write(data)

    def hold(self) -> None:
        """Let nothing pass until L{release}."""
        self._held += 1
        self._regulate()

    def release(self) -> None:
        """Go on."""
        self._held -= 1
        self._pump()
        self._regulate()

    def _regulate(self) -> None:
        self._source.flow(not self._held and not self._full)

    # As the producer of what the sink sends

    def pauseProducing(self) -> None:
        self._full = True
        self._regulate()

    def resumeProducing(self) -> None:
        self._full = False
        self._regulate()

    def stopProducing(self) -> None:
        """The sink is gone; its L{Side.connectionLost} follows."""


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """The proxy's end of a connection to the client, or to the server."""

    transport: tcp.Connection
    source: Lane
    sink: Lane

    def __init__(self, link: Link) -> None:
        self.link = link
        self.lost = False
        self._there = False
        self._flowing = True
        self._halves = {"read", "write"}

    def connectionMade(self) -> None:
        self._there = True
        self.transport.setTcpNoDelay(True)
        if self is self.link.client:
            self.link.accepted()
        elif self.link.client.lost:
            self.abort()
        else:
            self.link.connected()

    def dataReceived(self, data: bytes) -> None:
        self.source.came(data)

    def readConnectionLost(self) -> None:
        self._half_lost("read")
        self.source.ended()

    def writeConnectionLost(self) -> None:
        self._half_lost("write")

    def _half_lost(self, half: str) -> None:
        self._halves.discard(half)
        if not self._halves:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None
        self.link.lost(self, reason)

    def write(self, data: bytes) -> None:
        if not self.lost:
            self.transport.write(data)

    def flow(self, on: bool) -> None:
        """Read, or don't."""
        if self._there and not self.lost and on is not self._flowing and "read" in self._halves:
            self._flowing = on
            if on:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def end(self) -> None:
        """Nothing more is to be sent this way."""
        if not self.lost and "write" in self._halves:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        if self._there and not self.lost:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        if self._there and not self.lost:
            self.transport.abortConnection()
