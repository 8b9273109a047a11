"""Wrong passwords cost time: whoever has sent some waits before the next one is looked at."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from xferproto.model.errors import Busy, Denied
from xferproto.server.auth.login_queue import LoginQueue
from xferproto.server.traffic.hangup import Sign
from xferproto.threads.executor import undone_if_cancelled

R = TypeVar("R")

FIRST_DELAY = 0.5
"""Seconds that the attempt after the first wrong one waits; after each further one, twice that."""

LONGEST_DELAY = 30.0
"""Seconds that an attempt waits at most."""

MEMORY = 300.0
"""Seconds after the last wrong attempt when all are forgotten."""

MOST_WAITING = 100
"""Attempts of one peer that wait; further ones are refused unlooked at."""

CAPACITY = 10_000
"""Peers, and users, that are remembered at most."""


def _too_many() -> Busy:
    return Busy("Too many logins are being tried from here; try again later.")


class _Record:
    """
    What is remembered of a peer, or of a user.

    @ivar failures: how many wrong attempts there were, of late.
    @ivar last: when the last of them was, in seconds of the clock.
    @ivar charges: how many attempts are not judged yet, and count as wrong until then.
    @ivar charged: when the last of these was made.
    @ivar under_way: how many attempts are.
    @ivar turns: to be looked at.
    """

    __slots__ = ("_clock", "charged", "charges", "failures", "last", "turns", "under_way")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.failures = 0
        self.last = 0.0
        self.charges = 0
        self.charged = 0.0
        self.under_way = 0
        self.turns = LoginQueue(clock, self.wait)

    def wait(self) -> float:
        """Seconds to wait from now on."""
        wrong = self.failures + self.charges
        if not wrong:
            return 0.0
        now = self._clock.seconds()
        self.last, self.charged = min(self.last, now), min(self.charged, now)  # it may be set back
        last = max(self.last, self.charged) if self.charges else self.last
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(wrong - 1, 16))
        return max(0.0, last + delay - now)


class _Table:
    """Records by a key, bounded: whoever failed longest ago is forgotten first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def enter(self, key: str) -> _Record:
        """The record of a key, for an attempt; L{leave} follows."""
        record = self._records.get(key)
        if record is None:
            if len(self._records) >= CAPACITY:
                idle = (key for key, record in self._records.items() if not record.under_way)
                if (oldest := next(idle, None)) is not None:
                    del self._records[oldest]
            record = self._records[key] = _Record(self._clock)
        if self._clock.seconds() - record.last > MEMORY:
            record.failures = 0
        record.under_way += 1
        return record

    def failed(self, key: str, record: _Record) -> None:
        """An attempt was wrong."""
        record.failures += 1
        record.last = self._clock.seconds()
        self._records.pop(key, None)
        self._records[key] = record  # behind all others

    def leave(self, key: str, record: _Record) -> None:
        """An attempt is over."""
        record.under_way -= 1
        if not record.under_way and not record.failures and self._records.get(key) is record:
            del self._records[key]


class LoginThrottle:
    """
    Lets attempts to log in wait.

    Those of one peer are looked at one by one, each after a delay that grows with the wrong ones
    before it. Those for one user wait likewise, but together: nobody is kept out for longer than
    L{LONGEST_DELAY} by what others try. A right one lets nothing be forgotten: that would tell
    others that there is such a user, and let whoever has a password try those of others.

    What is known to be right needs no work, but it has to wait like all others while a wrong one of
    its peer makes them wait: if it were let in meanwhile, silence would tell a wrong guess, at once
    and at no cost.

    @param clock: counts the seconds.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._peers = _Table(clock)
        self._users = _Table(clock)

    async def attempt(
        self,
        peer: str,
        user: str,
        look: Callable[[], Coroutine[Deferred[Any], Any, R]],
        known: Callable[[], R | None] = lambda: None,
        sign: Callable[[], Sign] = lambda: Sign.THERE,
    ) -> R:
        """
        What C{look} comes to, when it is this attempt's turn; or C{known}, without one.

        May be cancelled: then an attempt that waits is over. One that is looked at counts all the
        same, or whoever does not wait for an answer could have any number looked at.

        @param look: fails with L{Denied} where the attempt is wrong.
        @param known: what C{look} would come to, where that is known; else None.
        @param sign: of the peer who tries.
        @raise Busy: too many of this peer's attempts wait.
        """
        by_peer = self._peers.enter(peer)
        by_user = self._users.enter(user)
        charged = False

        def leave() -> None:
            by_peer.charges -= charged
            self._peers.leave(peer, by_peer)
            self._users.leave(user, by_user)

        try:
            if by_peer.under_way > MOST_WAITING and not by_peer.turns.make_room(_too_many()):
                raise _too_many()
            if (pause := by_user.wait()) > 0:
                if by_peer.turns.free:
                    if (result := known()) is not None:
                        leave()
                        return result
                    # Whoever hears nothing now knows that it is wrong, and may leave.
                    charged = True
                    by_peer.charges += 1
                    by_peer.charged = self._clock.seconds()
                await deferLater(self._clock, pause)
            await by_peer.turns.take(sign)
        except BaseException:
            if charged:
                self._peers.failed(peer, by_peer)
            leave()
            raise
        if (result := known()) is not None:
            leave()
            by_peer.turns.release()
            return result

        async def looked_at() -> R:
            try:
                return await look()
            except Denied:
                self._peers.failed(peer, by_peer)
                self._users.failed(user, by_user)
                raise
            finally:
                leave()
                by_peer.turns.release()

        looking = Deferred.fromCoroutine(looked_at())
        return await undone_if_cancelled(looking, lambda outcome: None)
