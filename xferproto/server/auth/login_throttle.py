"""Delay logins after wrong ones, for each client network and for each user."""

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
"""Seconds of delay after the first wrong attempt; the delay doubles with each further one."""

LONGEST_DELAY = 30.0
"""The longest delay, in seconds."""

MEMORY = 300.0
"""Seconds after the last wrong attempt when all attempts are forgotten."""

MOST_WAITING = 100
"""The most waiting attempts of one peer; further ones are refused."""

CAPACITY = 10_000
"""The most peers, and the most users, that have a record."""


def _too_many() -> Busy:
    return Busy("Too many logins are being tried from here; try again later.")


class _Record:
    """
    Count the attempts of a peer, or for a user.

    @ivar failures: the number of wrong attempts lately.
    @ivar last: the time of the last one, in seconds of the clock.
    @ivar charges: the number of attempts that count as wrong until they are verified.
    @ivar charged: the time of the last one.
    @ivar under_way: the number of attempts under way.
    @ivar turns: the queue of attempts to verify.
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
        """Return the seconds to wait from now."""
        wrong = self.failures + self.charges
        if not wrong:
            return 0.0
        now = self._clock.seconds()
        self.last, self.charged = (
            min(self.last, now),
            min(self.charged, now),
        )  # the clock may be set back
        last = max(self.last, self.charged) if self.charges else self.last
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(wrong - 1, 16))
        return max(0.0, last + delay - now)


class _Table:
    """Hold a bounded number of records; the one that failed longest ago is dropped first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def enter(self, key: str) -> _Record:
        """Return the record of a key for an attempt; L{leave} follows."""
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
        """Count a wrong attempt."""
        record.failures += 1
        record.last = self._clock.seconds()
        self._records.pop(key, None)
        self._records[key] = record  # as the newest

    def leave(self, key: str, record: _Record) -> None:
        """End an attempt."""
        record.under_way -= 1
        if not record.under_way and not record.failures and self._records.get(key) is record:
            del self._records[key]


class LoginThrottle:
    """
    Delay attempts to log in.

    The attempts of one peer are verified one by one, each after a delay that grows with the wrong
    ones before it. Attempts for one user are delayed too, but together: others can keep a user out
    for L{LONGEST_DELAY} at most. A right attempt resets nothing: a reset would show that the user
    exists, and let anyone with one password try those of others.

    A cached password needs no verification, but waits like all others while wrong attempts of its
    peer delay them: otherwise silence would reveal a wrong guess, at once and at no cost.

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
        cached: Callable[[], R | None] = lambda: None,
        sign: Callable[[], Sign] = lambda: Sign.THERE,
    ) -> R:
        """
        Return the result of C{look} when it is this attempt's turn, or that of C{cached}.

        May be cancelled: an attempt that waits ends then. One that is being verified counts all the
        same, or a peer that does not wait for answers could have any number verified.

        @param look: verifies the attempt; fails with L{Denied} if it is wrong.
        @param cached: returns the result of C{look} if it is cached, else None.
        @param sign: returns whether the peer is still connected.
        @raise Busy: too many attempts of this peer wait.
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
                    if (result := cached()) is not None:
                        leave()
                        return result
                    # A client without an answer now knows that the password is wrong and may leave.
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
        if (result := cached()) is not None:
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
