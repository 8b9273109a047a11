"""Peers that keep a server waiting: between commands, within a payload, or by not reading."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from xferproto.model.errors import Timeout
from xferproto.net.peer import lowest
from xferproto.server.line.framing import FramedConnection
from xferproto.server.traffic.hangup import Sign, signs
from xferproto.wire.states import HELD, State

if TYPE_CHECKING:
    from xferproto.server.factory import XferServerFactory

log = Logger("xfer")

INTERVAL = 1.0
"""Seconds between two looks at all connections: one timer, however many they are."""


class Wait(Enum):
    """What a connection waits for."""

    NOTHING = auto()
    """Its peer keeps it from nothing: it is the server's turn."""

    LINE = auto()
    """The next command or argument."""

    PAYLOAD = auto()
    """More bytes of an upload, or of a refused one."""

    READER = auto()
    """That its peer takes some of what it was sent."""


def unsent(transport: object) -> int:
    """Bytes that the lowest transport has not handed to the system yet; 0 where that is hidden."""
    below = lowest(transport)
    buffered = len(getattr(below, "dataBuffer", b"")) - getattr(below, "offset", 0)
    return int(buffered + getattr(below, "_tempDataLen", 0))


class WatchedConnection(FramedConnection):
    """A connection whose peer must go on."""

    _wait = Wait.LINE
    _moved = 0
    _since = 0.0
    _opened = 0.0
    _came = 0
    _taken = 0
    _window = 0.0
    _window_bytes = 0

    def __init__(self, factory: XferServerFactory, number: int) -> None:
        super().__init__(factory, number)
        self._opened = self._since = factory.depot.clock.seconds()

    def _waits_for(self) -> tuple[Wait, int]:
        """What it waits for, and a number that changes when some of it has come."""
        if self.state is State.CLOSING:  # which has a timer of its own
            return Wait.NOTHING, 0
        if self._output_full:
            return Wait.READER, self._taken
        if self.paused:
            return Wait.NOTHING, 0
        if self.state in (State.RECEIVING, State.DISCARDING):
            return Wait.PAYLOAD, self._received
        if self.state in (State.COMMAND, State.ARGUMENT) and not self._answers:
            return Wait.LINE, self._lines
        return Wait.NOTHING, 0

    def look(self, now: float, elapsed: float) -> None:
        """
        See whether the peer goes on, and close if it does not.

        @param elapsed: seconds since the last look.
        """
        limits = self.factory.limits
        came, self._came = self._received - self._came, self._received
        taken, self._taken = self._taken, self._written() - unsent(self.transport)
        wait, moved = self._waits_for()
        if wait is not self._wait or moved != self._moved:
            self._wait, self._moved, self._since = wait, moved, now
        if wait is Wait.NOTHING:
            return
        waited = now - self._since
        if wait is Wait.LINE:
            self._window = self._window_bytes = 0
            if limits.idle and waited >= limits.idle:
                self._refuse(Timeout(), skip=None)
                return
        else:
            self._window += elapsed
            self._window_bytes += came if wait is Wait.PAYLOAD else max(0, self._taken - taken)
            if (limits.stall and waited >= limits.stall) or self._too_slow():
                self._give_up(wait)
                return
        if limits.login_time and now - self._opened >= limits.login_time and self._may_nothing():
            if wait is Wait.READER:
                self._give_up(wait)
            else:
                self._refuse(Timeout("Nobody has logged in for too long; connect again."), None)

    def _written(self) -> int:
        """Bytes of the transfer that runs, where one does, that went to the transport."""
        return 0 if self._sender is None else self._sender.written

    def _too_slow(self) -> bool:
        limits = self.factory.limits
        if self._window < limits.minimum_over:
            return False
        slow = self._window_bytes < limits.minimum_rate * self._window
        self._window = self._window_bytes = 0
        return slow

    def _may_nothing(self) -> bool:
        """Whether whoever is there has to log in before anything else."""
        raise NotImplementedError

    def _give_up(self, wait: Wait) -> None:
        """The transfer stands still, or as good as that."""
        if wait is Wait.READER:  # no line could be sent, and nothing may follow part of a file
            log.warn("#{number} cut off: its peer takes too little", number=self.number)
            self._cut_off()
        elif self.state is State.RECEIVING:
            error = Timeout(f"Too little came for too long, after {self._cut_short()}.")
            self._in_turn(lambda: self._refuse(error, skip=None))
        else:
            self._refuse(Timeout(), skip=None)


class Watch:
    """
    Looks at all connections once in a while, as long as there are any.

    @param connections: which they are.
    """

    def __init__(self, clock: IReactorTime, connections: Iterable[FramedConnection]) -> None:
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
        """Those from whom nothing is read can't show that they are gone."""
        held = [connection for connection in self._connections if connection.state in HELD]
        found = signs([connection.transport for connection in held])
        for connection, sign in zip(held, found, strict=True):
            if sign is not Sign.THERE:
                connection.hung_up(sign)
