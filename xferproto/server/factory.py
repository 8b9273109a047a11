"""Make the connections of the line protocol, count them, and stop them all."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from xferproto.depot.depot import Depot
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.line.command_reader import CommandReader
from xferproto.server.line.commands import FORMS
from xferproto.server.line.failures import FailureReport
from xferproto.server.line.protocol import LineProtocol
from xferproto.server.line.session import LineSession
from xferproto.server.traffic.bandwidth import Bandwidth
from xferproto.server.traffic.connection_limit import (
    ConnectionLimit,
    RefusedConnection,
    counted_network,
)
from xferproto.server.traffic.stall import Watch

log = Logger("xfer")

GRACE = 5.0
"""Seconds that running transfers have to finish when the server stops."""


class XferServerFactory(ServerFactory):
    """
    Makes a L{LineProtocol} for each connection, and stops them all when the server stops.

    @ivar depot: what the connections serve.
    @ivar authenticator: lets users in.
    @ivar limits: what no connection may exceed.
    @ivar connection_limit: counts the connections, and refuses those above the limits.
    @ivar bandwidth: how fast bytes go.
    """

    noisy = False

    def __init__(
        self, depot: Depot, authenticator: Authenticator | None = None, limits: Limits = DEFAULTS
    ) -> None:
        clock = depot.clock
        self.depot = depot
        self.authenticator = Authenticator(depot) if authenticator is None else authenticator
        self.limits = limits
        self.connection_limit = ConnectionLimit(limits, clock)
        self.bandwidth = Bandwidth(clock, limits)
        self._failures = FailureReport(clock)
        self._connections: set[LineProtocol] = set()
        self._watch = Watch(clock, self._connections)
        self._made = 0
        self._stopping = False
        self._all_closed: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> LineProtocol | RefusedConnection:
        refused = self.connection_limit.refuse(addr)
        if refused is not None:
            return refused
        self._made += 1
        session = LineSession(
            self._made, self.depot, self.authenticator, self.limits, self.bandwidth, self._failures
        )
        return LineProtocol(session, CommandReader(session, FORMS), self)

    def opened(self, connection: LineProtocol) -> None:
        """A connection was made."""
        self._connections.add(connection)
        peer = connection.transport.getPeer()
        connection.network = counted_network(peer)
        self.connection_limit.opened(connection.network)
        self._watch.begin()
        host, port = getattr(peer, "host", peer), getattr(peer, "port", "")
        log.info(
            "#{number} connected from {host} {port}",
            number=connection.session.number,
            host=host,
            port=port,
        )
        if self._stopping:
            connection.stop()

    def closed(self, connection: LineProtocol) -> None:
        """A connection was lost."""
        self._connections.discard(connection)
        self.connection_limit.closed(connection.network)
        if not self._connections:
            self._watch.end()
        log.info("#{number} disconnected", number=connection.session.number)
        if not self._connections and self._all_closed is not None:
            self._all_closed.callback(None)

    async def stop(self) -> None:
        """Let the transfers that run finish for L{GRACE} seconds, then cut them off."""
        self._stopping = True
        self._all_closed = Deferred()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            log.info("waiting for {count} connections", count=len(self._connections))
            cutting = self.depot.clock.callLater(GRACE, self._cut_off)
            await self._all_closed
            if cutting.active():
                cutting.cancel()
        await self.depot.stop()

    def _cut_off(self) -> None:
        for connection in list(self._connections):
            log.warn("#{number} cut off by the stop", number=connection.session.number)
            connection.transport.abortConnection()
