"""
A TCP proxy that does to a connection what networks do: cuts, resets, stalls, half-opens, splits,
delays it, or flips a bit.

Every connection gets at most one L{Fault}, which strikes once so many bytes have gone one way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from tests.drills.fault import Fault, Kind, Way
from tests.drills.lane import Lane, Side

SPLIT_BYTES = 600
"""How many bytes are split, from where the fault strikes."""


class Proxy:
    """
    Listens on a free port of 127.0.0.1 and passes connections on.

    @param upstream: host and port of the server.
    @param plan: called for each connection; the fault that it gets, or None.
    @ivar port: where it listens, once L{start} has fired.
    @ivar struck: the faults that did strike.
    """

    def __init__(
        self,
        reactor: Any,
        upstream: Callable[[], tuple[str, int]],
        plan: Callable[[], Fault | None],
    ) -> None:
        self.reactor = reactor
        self.upstream = upstream
        self.plan = plan
        self.port = 0
        self.struck: list[Fault] = []
        self.links: set[Link] = set()
        self._listening: IListeningPort | None = None
        self._empty: list[Deferred[None]] = []

    def start(self) -> None:
        """Listen."""
        factory = Factory.forProtocol(lambda: Link(self).client)
        factory.noisy = False
        self._listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port  # type: ignore[union-attr]

    async def stop(self) -> None:
        """Listen no more, and end all connections."""
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
        for link in list(self.links):
            link.abort()
        if self.links:
            empty: Deferred[None] = Deferred()
            self._empty.append(empty)
            await empty

    def gone(self, link: Link) -> None:
        """Both sides of a connection are closed."""
        self.links.discard(link)
        if not self.links:
            for waiting in self._empty:
                waiting.callback(None)
            self._empty.clear()


class Link:
    """One connection through the proxy: a side to the client, one to the server, two lanes."""

    def __init__(self, proxy: Proxy) -> None:
        self.reactor = proxy.reactor
        self.proxy = proxy
        self.fault = proxy.plan()
        self.silent = False
        self.calls: set[IDelayedCall] = set()
        self.client, self.server = Side(self), Side(self)
        self.up = Lane(self, Way.UP, self.client, self.server)
        self.down = Lane(self, Way.DOWN, self.server, self.client)
        self.client.source, self.client.sink = self.up, self.down
        self.server.source, self.server.sink = self.down, self.up
        proxy.links.add(self)

    def accepted(self) -> None:
        """The client is there: connect to the server, and let nothing pass before."""
        self.up.hold()
        factory = _Upstream(self)
        self.reactor.connectTCP(*self.proxy.upstream(), factory)

    def connected(self) -> None:
        """Both sides are there."""
        for side, sink in ((self.client, self.down), (self.server, self.up)):
            side.transport.registerProducer(sink, True)
        self.up.release()

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do something after some time, unless the connection is gone by then."""

        def due() -> None:
            self.calls.discard(call)
            work()

        call: IDelayedCall = self.reactor.callLater(seconds, due)
        self.calls.add(call)

    def strike(self, lane: Lane, fault: Fault, rest: bytes) -> None:
        """The fault's byte is reached; C{rest} is what is behind it in the lane's chunk."""
        self.fault = None
        self.proxy.struck.append(fault)
        if fault.kind is Kind.FLIP:
            lane.feed(bytes((rest[0] ^ (1 << fault.bit),)) + rest[1:])
        elif fault.kind is Kind.SPLIT:
            lane.splitting = SPLIT_BYTES
            lane.feed(rest)
        elif fault.kind is Kind.DELAY:
            lane.lateness = fault.seconds
            lane.feed(rest)
        elif fault.kind is Kind.CUT:
            self.silent = True
            self.client.close()
            self.server.close()
        elif fault.kind is Kind.RESET:
            self.abort()
        elif fault.kind is Kind.HALF_OPEN:
            self.silent = True
            self.later(fault.seconds, self.abort)
        else:
            lane.pending.appendleft(rest)
            for one in (self.up, self.down):
                one.hold()
                self.later(fault.seconds, one.release)

    def abort(self) -> None:
        """Reset both sides."""
        self.silent = True
        self.client.abort()
        self.server.abort()
        self._forget()

    def lost(self, side: Side, reason: Failure) -> None:
        """One side is closed: so will the other be, in the same way."""
        side.lost = True
        other = self.server if side is self.client else self.client
        if self.silent and self.calls:
            pass  # half-open: the other side does not learn of it yet
        elif reason.check(ConnectionDone):
            other.close()
        else:
            other.abort()
        self._forget()

    def _forget(self) -> None:
        if self.client.lost and self.server.lost:
            for call in self.calls:
                call.cancel()
            self.calls.clear()
            self.proxy.gone(self)


class _Upstream(ClientFactory):
    """Connects a link to the server."""

    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, addr: IAddress | None) -> Side:
        return self._link.server

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._link.server.lost = True
        self._link.abort()
