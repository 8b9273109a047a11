"""Close connections whose peers keep the server waiting: between commands, or in a transfer."""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger

from xferproto.model.errors import Timeout
from xferproto.server.line.session import LineSession
from xferproto.server.traffic.flow import Hold
from xferproto.server.traffic.stall import Fault, StallTimer, Wait, unsent
from xferproto.wire.states import State

log = Logger("xfer")


class Line(Protocol):
    """What is read of a connection: how much has come, and whether it is held back."""

    received: int
    lines: int
    paused: bool


class StallWatch:
    """
    Close a connection whose peer does not go on.

    @param line: counts what comes.
    """

    __slots__ = ("_line", "_session", "_timer")

    def __init__(self, session: LineSession, line: Line) -> None:
        self._session = session
        self._line = line
        self._timer = StallTimer(session.limits, session.depot.clock.seconds())

    def _waits_for(self) -> Wait:
        session = self._session
        if session.state is State.CLOSING:  # which has a timer of its own
            return Wait.NOTHING
        if session.flow.holds(Hold.OUTPUT):
            return Wait.READER
        if self._line.paused:
            return Wait.NOTHING
        if session.state in (State.RECEIVING, State.DISCARDING):
            return Wait.PAYLOAD
        if session.state in (State.COMMAND, State.ARGUMENT) and not session.replies:
            return Wait.LINE
        return Wait.NOTHING

    def look(self, now: float, elapsed: float) -> None:
        """
        See whether the peer goes on, and close if it does not.

        @param elapsed: seconds since the last look.
        """
        session, line = self._session, self._line
        written = 0 if session.sender is None else session.sender.written
        taken = written - unsent(session.transport)
        wait = self._waits_for()
        fault = self._timer.look(now, elapsed, wait, line.lines, line.received, taken)
        if fault is None or (fault is Fault.NO_LOGIN and session.client.account.identity.rights):
            return
        if wait is Wait.READER:  # no line could be sent, and nothing may follow part of a file
            log.warn("#{number} cut off: its peer takes too little", number=session.number)
            session.closing.cut_off()
        elif fault is Fault.NO_LOGIN:
            error = Timeout("Nobody has logged in for too long; connect again.")
            session.refuse(error)
        elif fault is Fault.STALLED and session.state is State.RECEIVING:
            error = Timeout(f"Too little came for too long, after {session.cut_short()}.")
            session.in_turn(lambda: session.refuse(error))
        else:
            session.refuse(Timeout())
