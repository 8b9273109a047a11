"""Close connections whose peers keep the server waiting: between commands, or in a transfer."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from xferproto.model.errors import Timeout
from xferproto.net.peer import lowest
from xferproto.server.line.flow import Hold
from xferproto.server.line.session import LineSession
from xferproto.server.traffic.hangup import Sign, signs
from xferproto.wire.states import HELD, State

log = Logger("xfer")

INTERVAL = 1.0
"""Seconds between two looks at all connections: one timer, however many they are."""


class Wait(Enum):
    """What the server waits for on a connection."""

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


class Line(Protocol):
    """What the timer reads of a connection: how much has come, and whether it is held back."""

    received: int
    lines: int
    paused: bool


class StallTimer:
    """
    Close a connection whose peer does not go on.

    @param line: counts what comes.
    """

    __slots__ = (
        "_came",
        "_line",
        "_moved",
        "_opened",
        "_session",
        "_since",
        "_taken",
        "_wait",
        "_window",
        "_window_bytes",
    )

    def __init__(self, session: LineSession, line: Line) -> None:
        self._session = session
        self._line = line
        self._wait = Wait.LINE
        self._moved = self._came = self._taken = 0
        self._opened = self._since = session.depot.clock.seconds()
        self._window = 0.0
        self._window_bytes = 0

    def _waits_for(self) -> tuple[Wait, int]:
        """What the server waits for, and a number that changes when some of it has come."""
        session = self._session
        if session.state is State.CLOSING:  # which has a timer of its own
            return Wait.NOTHING, 0
        if session.flow.holds(Hold.OUTPUT):
            return Wait.READER, self._taken
        if self._line.paused:
            return Wait.NOTHING, 0
        if session.state in (State.RECEIVING, State.DISCARDING):
            return Wait.PAYLOAD, self._line.received
        if session.state in (State.COMMAND, State.ARGUMENT) and not session.replies:
            return Wait.LINE, self._line.lines
        return Wait.NOTHING, 0

    def look(self, now: float, elapsed: float) -> None:
        """
        See whether the peer goes on, and close if it does not.

        @param elapsed: seconds since the last look.
        """
        session, limits = self._session, self._session.limits
        received = self._line.received
        came, self._came = received - self._came, received
        written = 0 if session.sender is None else session.sender.written
        taken, self._taken = self._taken, written - unsent(session.transport)
        wait, moved = self._waits_for()
        if wait is not self._wait or moved != self._moved:
            self._wait, self._moved, self._since = wait, moved, now
        if wait is Wait.NOTHING:
            return
        waited = now - self._since
        if wait is Wait.LINE:
            self._window = self._window_bytes = 0
            if limits.idle and waited >= limits.idle:
                session.refuse(Timeout())
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
                error = Timeout("Nobody has logged in for too long; connect again.")
                session.refuse(error)

    def _too_slow(self) -> bool:
        limits = self._session.limits
        if self._window < limits.minimum_over:
            return False
        slow = self._window_bytes < limits.minimum_rate * self._window
        self._window = self._window_bytes = 0
        return slow

    def _may_nothing(self) -> bool:
        """Whether whoever is there has to log in before anything else."""
        return not self._session.client.account.identity.rights

    def _give_up(self, wait: Wait) -> None:
        """The transfer stands still, or as good as that."""
        session = self._session
        if wait is Wait.READER:  # no line could be sent, and nothing may follow part of a file
            log.warn("#{number} cut off: its peer takes too little", number=session.number)
            session.closing.cut_off()
        elif session.state is State.RECEIVING:
            error = Timeout(f"Too little came for too long, after {session.cut_short()}.")
            session.in_turn(lambda: session.refuse(error))
        else:
            session.refuse(Timeout())


class Watched(Protocol):
    """A connection that is looked at."""

    session: LineSession
    stall: StallTimer


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
                connection.stall.look(now, elapsed)
            except Exception:  # of this one; the others are looked at all the same
                log.failure("#{number} failed", number=connection.session.number)
                connection.session.transport.abortConnection()

    def _look_for_lost(self) -> None:
        """Find those that are gone while nothing is read from them, which does not show it."""
        held = [one.session for one in self._connections if one.session.state in HELD]
        found = signs([session.transport for session in held])
        for session, sign in zip(held, found, strict=True):
            if sign is not Sign.THERE:
                session.client.hung_up(sign, session.state is State.WORKING)
