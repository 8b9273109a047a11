"""Judge peers that keep a server waiting: between requests, within a payload, or by not reading."""

from __future__ import annotations

from enum import Enum, auto

from xferproto.net.peer import lowest
from xferproto.server.limits import Limits


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


class Fault(Enum):
    """Why a connection is to be closed."""

    IDLE = auto()
    """No request came for too long."""

    STALLED = auto()
    """A transfer stands still for its peer, or as good as that."""

    NO_LOGIN = auto()
    """Whoever may do nothing without a login has not logged in."""


def unsent(transport: object) -> int:
    """Bytes that the lowest transport has not handed to the system yet; 0 where that is hidden."""
    below = lowest(transport)
    buffered = len(getattr(below, "dataBuffer", b"")) - getattr(below, "offset", 0)
    return int(buffered + getattr(below, "_tempDataLen", 0))


class StallTimer:
    """
    Judge whether the peer of one connection goes on.

    @param limits: how long it may stand still.
    @param now: the time, in seconds.
    """

    __slots__ = (
        "_came",
        "_limits",
        "_moved",
        "_opened",
        "_since",
        "_taken",
        "_wait",
        "_window",
        "_window_bytes",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._wait = Wait.LINE
        self._moved = self._came = self._taken = 0
        self._opened = self._since = now
        self._window = 0.0
        self._window_bytes = 0

    def look(
        self, now: float, elapsed: float, wait: Wait, lines: int, came: int, taken: int
    ) -> Fault | None:
        """
        See whether the peer goes on; None where it does, or where nothing is waited for.

        @param elapsed: seconds since the last look.
        @param wait: what is waited for.
        @param lines: how many lines have come.
        @param came: how many bytes have come.
        @param taken: how many bytes the peer took, of what it was sent.
        """
        limits = self._limits
        moved = {Wait.LINE: lines, Wait.PAYLOAD: came, Wait.READER: taken}.get(wait, 0)
        more = came - self._came if wait is Wait.PAYLOAD else max(0, taken - self._taken)
        self._came, self._taken = came, taken
        if wait is not self._wait or moved != self._moved:
            self._wait, self._moved, self._since = wait, moved, now
        if wait is Wait.NOTHING:
            return None
        waited = now - self._since
        if wait is Wait.LINE:
            self._window = self._window_bytes = 0
            if limits.idle and waited >= limits.idle:
                return Fault.IDLE
        else:
            self._window += elapsed
            self._window_bytes += more
            if (limits.stall and waited >= limits.stall) or self._too_slow():
                return Fault.STALLED
        if limits.login_time and now - self._opened >= limits.login_time:
            return Fault.NO_LOGIN
        return None

    def _too_slow(self) -> bool:
        if self._window < self._limits.minimum_over:
            return False
        slow = self._window_bytes < self._limits.minimum_rate * self._window
        self._window = self._window_bytes = 0
        return slow
