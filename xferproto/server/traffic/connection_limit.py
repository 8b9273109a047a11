"""Who gets in: connections in all and from one address, and what those too many are told."""

from __future__ import annotations

import contextlib
import ipaddress
import resource
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.model.errors import Busy
from xferproto.server.limits import Limits
from xferproto.wire import codec

log = Logger("xfer")

LINGER = 2.0
"""Seconds that one who is refused has to read why."""

LINGERING = 64
"""So many that are refused may take that time at once; further ones are closed at once."""

SELDOM = 10.0
"""Seconds between two lines of the log that say the same of many."""


class Seldom:
    """
    Says once in a while what happens often.

    @param clock: counts the seconds.
    @param say: writes it, told how often it happened since the last time.
    """

    def __init__(self, clock: IReactorTime, say: Callable[[int], None]) -> None:
        self._clock = clock
        self._say = say
        self._said: float | None = None
        self._count = 0

    def happened(self) -> None:
        """It has happened once more."""
        self._count += 1
        now = self._clock.seconds()
        if self._said is None or now - self._said >= SELDOM:
            self._said = now
            times, self._count = self._count, 0
            self._say(times)


def peer_of(address: object) -> str | None:
    """
    What counts as one peer: an IPv4 address, or the network of an IPv6 one.

    None for UNIX sockets and loopback: there, a proxy speaks for many.
    """
    host = getattr(address, "host", None)
    if not isinstance(host, str):
        return None
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        else:  # whoever has one address of a /64 has all of them
            return None if ip.is_loopback else str(int(ip) >> 64)
    return None if ip.is_loopback else str(ip)


def descriptors(wanted: int) -> int:
    """
    How many files this process may have open, raised as far as it may be and C{wanted} says.
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
    How many connections there can be, of so many that are wanted.

    A quarter of the descriptors is left for files: those who transfer have one open each.
    """
    available = descriptors(connections + connections // 3 + 64)
    return max(1, min(connections, available - max(64, available // 4)))


@implementer(IHalfCloseableProtocol)
class Refused(Protocol):
    """A connection too many: is told so, and closed."""

    def __init__(self, clock: IReactorTime, door: Door, error: Busy) -> None:
        self._clock = clock
        self._door = door
        self._error = error
        self._ends: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(codec.format_error(self._error) + b"\n")
        if self._door.lingering >= LINGERING:
            transport.loseConnection()
            return
        # What it may have sent is read away: closing with bytes unread would take the line away.
        self._door.lingering += 1
        self._ends = self._clock.callLater(LINGER, transport.abortConnection)
        if hasattr(transport, "loseWriteConnection") and not hasattr(
            transport, "getPeerCertificate"
        ):
            transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The line is on its way."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._ends is not None:
            self._door.lingering -= 1
            if self._ends.active():
                self._ends.cancel()


class Door:
    """
    Counts who is in.

    @param limits: says how many may be.
    @ivar most: how many may be in at once.
    @ivar lingering: how many that were refused are not gone yet.
    """

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.most = limits.connections
        self.lingering = 0
        self._per_peer = limits.per_peer
        self._clock = clock
        self._inside = 0
        self._peers: Counter[str] = Counter()
        self._refusals = Seldom(clock, self._say)

    def _say(self, times: int) -> None:
        log.warn(
            "refused {times} connections: {inside} are open, of at most {most}, {peer} of one peer",
            times=times,
            inside=self._inside,
            most=self.most,
            peer=self._per_peer,
        )

    def refused(self, address: IAddress | None) -> Refused | None:
        """What answers a connection too many; None where there is room."""
        peer = peer_of(address)
        if self._inside >= self.most:
            error = Busy("This server has as many connections as it takes; try again later.")
        elif peer is not None and self._peers[peer] >= self._per_peer:
            error = Busy("Your address has as many connections as it may; close one of them.")
        else:
            return None
        self._refusals.happened()
        return Refused(self._clock, self, error)

    def entered(self, peer: str | None) -> None:
        """One is in."""
        self._inside += 1
        if peer is not None:
            self._peers[peer] += 1

    def left(self, peer: str | None) -> None:
        """One that was in is gone."""
        self._inside -= 1
        if peer is not None:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
