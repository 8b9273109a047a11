"""Queue logins: one turn at a time, after a delay, connected peers first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from xferproto.server.traffic.hangup import Sign


class LoginQueue:
    """
    Give turns to waiting logins; who is next is chosen when the turn begins.

    @param clock: counts the seconds.
    @param delay: returns the seconds until the next turn.
    """

    def __init__(self, clock: IReactorTime, delay: Callable[[], float]) -> None:
        self._clock = clock
        self._delay = delay
        self._taken = False
        self._waiting: OrderedDict[Deferred[None], Callable[[], Sign]] = OrderedDict()
        self._next: IDelayedCall | None = None

    @property
    def free(self) -> bool:
        """Whether a turn would begin at once."""
        return not self._taken and not self._waiting and self._delay() <= 0

    def take(self, sign: Callable[[], Sign]) -> Deferred[None]:
        """
        Wait for a turn; L{release} ends it. May be cancelled before the turn begins.

        @param sign: returns whether the peer is connected. A peer that has half-closed may be gone,
            and has a turn only when no other waits. A peer that is gone has none; its connection
            cancels the wait when it notices.
        """
        if self.free and sign() is not Sign.GONE:
            self._taken = True
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._given_up)
        self._waiting[waiting] = sign
        self._go_on()
        return waiting

    def release(self) -> None:
        """End the turn."""
        self._taken = False
        self._go_on()

    def make_room(self, error: Exception) -> bool:
        """Fail the wait of a peer that may be gone; return whether there was one."""
        for waiting, sign in self._waiting.items():
            if sign() is not Sign.THERE:
                del self._waiting[waiting]
                waiting.errback(error)
                return True
        return False

    def _given_up(self, waiting: Deferred[None]) -> None:
        self._waiting.pop(waiting, None)
        if not self._waiting:
            self._rest()

    def _rest(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _go_on(self) -> None:
        """Begin the next turn, or try again when the delay has passed."""
        self._rest()
        if self._taken or not self._waiting:
            return
        if (seconds := self._delay()) > 0:
            self._next = self._clock.callLater(seconds, self._go_on)
            return
        chosen = self._first()
        if chosen is not None:
            del self._waiting[chosen]
            self._taken = True
            chosen.callback(None)

    def _first(self) -> Deferred[None] | None:
        """Return the first wait whose peer is connected, else the first that has half-closed."""
        perhaps = None
        for waiting, sign in self._waiting.items():
            found = sign()
            if found is Sign.THERE:
                return waiting
            if found is Sign.ENDED and perhaps is None:
                perhaps = waiting
        return perhaps
