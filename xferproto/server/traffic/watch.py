"""Look at connections once in a while: for peers that stand still, and for those that are gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from xferproto.server.traffic.hangup import Sign, signs

log = Logger("xfer")

INTERVAL = 1.0
"""Seconds between two looks at all connections: one timer, however many they are."""


class Watched(Protocol):
    """
    A connection that is looked at.

    @ivar transport: where it comes from.
    """

    transport: Any

    @property
    def number(self) -> int:
        """Its number; the log's lines begin with it."""

    @property
    def held(self) -> bool:
        """Whether a request is worked on, and nothing is read."""

    def look(self, now: float, elapsed: float) -> None:
        """
        See whether the peer goes on, and close if it does not.

        @param elapsed: seconds since the last look.
        """

    def hung_up(self, sign: Sign) -> None:
        """The peer has hung up, as C{sign} says, while nothing is read from it."""


class Watch:
    """
    Look at all connections once in a while, as long as there are any.

    @param connections: which they are.
    """

    def __init__(self, clock: IReactorTime, connections: Iterable[Watched]) -> None:
        self._clock = clock
        self._connections = connections
        self._looked = 0.0
        self._next: IDelayedCall | None = None

    def begin(self) -> None:
        """There is a connection."""
        if self._next is None:
            self._looked = self._clock.seconds()
            self._next = self._clock.callLater(INTERVAL, self._look)

    def end(self) -> None:
        """There is none any more."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _look(self) -> None:
        now = self._clock.seconds()
        elapsed, self._looked = now - self._looked, now
        self._next = self._clock.callLater(INTERVAL, self._look)
        self._look_for_lost()
        for connection in tuple(self._connections):
            try:
                connection.look(now, elapsed)
            except Exception:  # of this one; the others are looked at all the same
                log.failure("#{number} failed", number=connection.number)
                connection.transport.abortConnection()

    def _look_for_lost(self) -> None:
        """Find those that are gone while nothing is read from them, which does not show it."""
        held = [connection for connection in self._connections if connection.held]
        found = signs([connection.transport for connection in held])
        for connection, sign in zip(held, found, strict=True):
            if sign is not Sign.THERE:
                connection.hung_up(sign)
