"""The logins that wait: judged one at a time, after a delay, those first whose peers are there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from xferproto.server.traffic.hangup import Sign


class LoginQueue:
    """
    A queue, whose first is chosen when it is their turn and not before.

    @param clock: counts the seconds.
    @param delay: how many seconds from now on nobody has a turn.
    """

    def __init__(self, clock: IReactorTime, delay: Callable[[], float]) -> None:
        self._clock = clock
        self._delay = delay
        self._taken = False
        self._waiting: OrderedDict[Deferred[None], Callable[[], Sign]] = OrderedDict()
        self._next: IDelayedCall | None = None

    @property
    def free(self) -> bool:
        """Whether a turn could be taken at once."""
        return not self._taken and not self._waiting and self._delay() <= 0

    def take(self, sign: Callable[[], Sign]) -> Deferred[None]:
        """
        Wait for a turn; L{release} ends it. May be cancelled before it has come.

        @param sign: of the peer who waits. One who has ended may be gone, and has a turn when no
            other waits. One who is gone has none; the wait is cancelled when that is noticed.
        """
        if self.free and sign() is not Sign.GONE:
            self._taken = True
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._given_up)
        self._waiting[waiting] = sign
        self._go_on()
        return waiting

    def release(self) -> None:
        """The turn is over."""
        self._taken = False
        self._go_on()

    def make_room(self, error: Exception) -> bool:
        """Let the wait of one that may be gone fail; whether there was one."""
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
        """Give the turn to whoever is next, or look again when the delay has passed."""
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
        """The first one whose peer is connected; else the first whose peer may have gone."""
        perhaps = None
        for waiting, sign in self._waiting.items():
            found = sign()
            if found is Sign.THERE:
                return waiting
            if found is Sign.ENDED and perhaps is None:
                perhaps = waiting
        return perhaps
