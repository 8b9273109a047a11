"""Refuse connections above the limits: in all, and of one client network."""

from __future__ import annotations

import contextlib
import resource
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.model.errors import TooManyConnections
from xferproto.net.peer import client_network, is_loopback
from xferproto.server.limits import Limits
from xferproto.wire import codec

log = Logger("xfer")

LINGER = 2.0
"""Seconds that a refused peer has to read the error before the connection is aborted."""

LINGERING = 64
"""The most refused connections that may take that time at once; further ones close at once."""

LOG_INTERVAL = 10.0
"""Seconds between two lines of the log about the same kind of event."""


class ThrottledLog:
    """
    Log a frequent event once every L{LOG_INTERVAL} seconds, with a count.

    @param clock: counts the seconds.
    @param write: writes the line; called with the number of events since the last one.
    """

    def __init__(self, clock: IReactorTime, write: Callable[[int], None]) -> None:
        self._clock = clock
        self._write = write
        self._written: float | None = None
        self._count = 0

    def happened(self) -> None:
        """Count one event, and log it if the last line is old enough."""
        self._count += 1
        now = self._clock.seconds()
        if self._written is None or now - self._written >= LOG_INTERVAL:
            self._written = now
            count, self._count = self._count, 0
            self._write(count)


def counted_network(address: object) -> str | None:
    """
    Return the network whose connections are counted together, for the address of a peer.

    @return: as L{client_network} has it, or None for UNIX sockets and loopback: a proxy there
        connects for many clients.
    """
    host = getattr(address, "host", None)
    if not isinstance(host, str) or is_loopback(host):
        return None
    return client_network(host)


def descriptors(wanted: int) -> int:
    """
    Raise the limit of open files of this process towards C{wanted}, and return what it is then.

    See getrlimit(2), C{RLIMIT_NOFILE}; the limit is never lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def room_for(connections: int) -> int:
    """
    Return how many connections this process can have open, at most C{connections}.

    A quarter of the descriptors is left for files: each transfer has one open.
    """
    available = descriptors(connections + connections // 3 + 64)
    return max(1, min(connections, available - max(64, available // 4)))


@implementer(IHalfCloseableProtocol)
class RefusedConnection(Protocol):
    """Answer a connection above the limits with an error, and close it."""

    def __init__(
        self, clock: IReactorTime, limit: ConnectionLimit, error: TooManyConnections
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._error = error
        self._abort: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(codec.format_error(self._error) + b"\n")
        if self._limit.lingering >= LINGERING:
            transport.loseConnection()
            return
        # What the peer sent is read and dropped: a close with unread bytes would drop the line.
        self._limit.lingering += 1
        self._abort = self._clock.callLater(LINGER, transport.abortConnection)
        if hasattr(transport, "loseWriteConnection") and not hasattr(
            transport, "getPeerCertificate"
        ):
            transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: the error is on its way."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._abort is not None:
            self._limit.lingering -= 1
            if self._abort.active():
                self._abort.cancel()


class ConnectionLimit:
    """
    Count open connections, and refuse those above the limits.

    @param limits: the numbers of connections, in all and of one client network.
    @ivar most: how many connections may be open at once.
    @ivar lingering: how many refused connections are still open.
    """

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.most = limits.connections
        self.lingering = 0
        self._per_peer = limits.per_peer
        self._clock = clock
        self._open = 0
        self._peers: Counter[str] = Counter()
        self._refusals = ThrottledLog(clock, self._log_refusals)

    def _log_refusals(self, count: int) -> None:
        log.warn(
            "refused {count} connections: {open} are open, of at most {most}, {peer} of one peer",
            count=count,
            open=self._open,
            most=self.most,
            peer=self._per_peer,
        )

    def refuse(self, address: IAddress | None) -> RefusedConnection | None:
        """Return the protocol for a connection above the limits, or None if there is room."""
        peer = counted_network(address)
        if self._open >= self.most:
            error = TooManyConnections()
        elif peer is not None and self._peers[peer] >= self._per_peer:
            error = TooManyConnections(
                "Your address has as many connections as it may; close one of them."
            )
        else:
            return None
        self._refusals.happened()
        return RefusedConnection(self._clock, self, error)

    def opened(self, peer: str | None) -> None:
        """Count a connection that was opened; C{peer} as L{counted_network} has it."""
        self._open += 1
        if peer is not None:
            self._peers[peer] += 1

    def closed(self, peer: str | None) -> None:
        """Count a connection no more that was closed."""
        self._open -= 1
        if peer is not None:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
