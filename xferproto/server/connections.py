"""Count, log, watch and stop the connections of a server, whatever protocols they speak."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

from xferproto.server.failures import FailureReport
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.traffic.bandwidth import Bandwidth
from xferproto.server.traffic.connection_limit import (
    ConnectionLimit,
    RefusedConnection,
    counted_network,
)
from xferproto.server.traffic.watch import Watch, Watched

log = Logger("xfer")

GRACE = 5.0
"""Seconds that running transfers have to finish when the server stops."""


class Connection(Watched, Protocol):
    """What every connection is, whatever is spoken on it."""

    def stop(self) -> None:
        """The server stops: close now, or when the transfer that runs is through."""


class Connections:
    """
    Hold what all connections of a server share, and stop them all when it stops.

    @param limits: what no connection may exceed.
    @ivar clock: times them.
    @ivar limits: the same.
    @ivar limit: counts the connections, and refuses those above the limits.
    @ivar bandwidth: how fast bytes go.
    @ivar failures: turns what fails into errors for the peers.
    """

    def __init__(self, clock: IReactorTime, limits: Limits = DEFAULTS) -> None:
        self.clock = clock
        self.limits = limits
        self.limit = ConnectionLimit(limits, clock)
        self.bandwidth = Bandwidth(clock, limits)
        self.failures = FailureReport(clock)
        self._open: dict[Connection, str | None] = {}
        self._watch = Watch(clock, self._open)
        self._made = 0
        self._stopping = False
        self._all_closed: Deferred[None] | None = None

    def refuse(self, address: IAddress | None) -> RefusedConnection | None:
        """Return the protocol for a connection above the limits, or None if there is room."""
        return self.limit.refuse(address)

    def number(self) -> int:
        """Return the number of a new connection; the log's lines begin with it."""
        self._made += 1
        return self._made

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        peer = connection.transport.getPeer()
        network = counted_network(peer)
        self._open[connection] = network
        self.limit.opened(network)
        self._watch.begin()
        host, port = getattr(peer, "host", peer), getattr(peer, "port", "")
        log.info(
            "#{number} connected from {host} {port}", number=connection.number, host=host, port=port
        )
        if self._stopping:
            connection.stop()

    def closed(self, connection: Connection) -> None:
        """A connection was lost; may be called more than once."""
        if connection not in self._open:
            return
        self.limit.closed(self._open.pop(connection))
        if not self._open:
            self._watch.end()
        log.info("#{number} disconnected", number=connection.number)
        if not self._open and self._all_closed is not None:
            self._all_closed.callback(None)

    async def stop(self) -> None:
        """Let the transfers that run finish for L{GRACE} seconds, then cut them off."""
        self._stopping = True
        self._all_closed = Deferred()
        for connection in list(self._open):
            connection.stop()
        if self._open:
            log.info("waiting for {count} connections", count=len(self._open))
            cutting = self.clock.callLater(GRACE, self._cut_off)
            await self._all_closed
            if cutting.active():
                cutting.cancel()

    def _cut_off(self) -> None:
        for connection in list(self._open):
            log.warn("#{number} cut off by the stop", number=connection.number)
            connection.transport.abortConnection()
