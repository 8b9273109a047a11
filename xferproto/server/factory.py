"""What all connections of a server share."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from xferproto.depot.depot import Depot
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.line.framing import FramedConnection
from xferproto.server.line.protocol import XferServerProtocol
from xferproto.server.traffic.bandwidth import Bandwidth
from xferproto.server.traffic.connection_limit import (
    ConnectionLimit,
    RefusedConnection,
    ThrottledLog,
    counted_network,
)
from xferproto.server.traffic.stall import Watch

log = Logger("xfer")

GRACE = 5.0
"""Seconds that running transfers have to finish when the server stops."""


class XferServerFactory(ServerFactory):
    """
    Makes a L{XferServerProtocol} for each connection, and stops them all when the server stops.

    @ivar depot: what the connections serve.
    @ivar authenticator: lets users in.
    @ivar limits: what no connection may exceed.
    @ivar connection_limit: counts the connections, and refuses those above the limits.
    @ivar bandwidth: how fast bytes go.
    @ivar no_descriptor_log: logs that no file could be opened because too many are.
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
        self.no_descriptor_log = ThrottledLog(clock, _log_no_descriptor)
        self._connections: set[FramedConnection] = set()
        self._watch = Watch(clock, self._connections)
        self._made = 0
        self._stopping = False
        self._all_closed: Deferred[None] | None = None

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> XferServerProtocol | RefusedConnection:
        refused = self.connection_limit.refuse(addr)
        if refused is not None:
            return refused
        self._made += 1
        return XferServerProtocol(self, self._made)

    def opened(self, connection: FramedConnection) -> None:
        """A connection was made."""
        self._connections.add(connection)
        peer = connection.transport.getPeer()
        connection.peer = counted_network(peer)
        self.connection_limit.opened(connection.peer)
        self._watch.begin()
        host, port = getattr(peer, "host", peer), getattr(peer, "port", "")
        log.info(
            "#{number} connected from {host} {port}", number=connection.number, host=host, port=port
        )
        if self._stopping:
            connection.stop()

    def closed(self, connection: FramedConnection) -> None:
        """A connection was lost."""
        self._connections.discard(connection)
        self.connection_limit.closed(connection.peer)
        if not self._connections:
            self._watch.end()
        log.info("#{number} disconnected", number=connection.number)
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
            log.warn("#{number} cut off by the stop", number=connection.number)
            connection.transport.abortConnection()


def _log_no_descriptor(count: int) -> None:
    log.error(
        "too many files are open: {count} requests were refused; let the process have more",
        count=count,
    )
