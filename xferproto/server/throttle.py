"""Wrong passwords cost time: whoever has sent some waits before the next one is looked at."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from xferproto.errors import Busy, Denied
from xferproto.executor import undone_if_cancelled

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


@dataclass(slots=True)
class _Record:
    """
    What is remembered of a peer, or of a user.

    @ivar failures: how many wrong attempts there were, of late.
    @ivar last: when the last of them was, in seconds of the clock.
    @ivar under_way: how many attempts are.
    @ivar turn: held by the one that is looked at.
    """

    failures: int = 0
    last: float = 0.0
    under_way: int = 0
    turn: DeferredLock = field(default_factory=DeferredLock)

    def wait(self, now: float) -> float:
        """Seconds to wait from now on."""
        if not self.failures:
            return 0.0
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self.failures - 1, 16))
        return min(delay, max(0.0, self.last + delay - now))  # also where a clock is set back


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
            record = self._records[key] = _Record()
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


class Throttle:
    """
    Lets attempts to log in wait.

    Those of one peer are looked at one by one, each after a delay that grows with the wrong ones
    before it. Those for one user wait likewise, but together: nobody is kept out for longer than
    L{LONGEST_DELAY} by what others try. A right one lets nothing be forgotten: that would tell
    others that there is such a user, and let whoever has a password try those of others.

    @param clock: counts the seconds.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._peers = _Table(clock)
        self._users = _Table(clock)

    async def attempt(
        self, peer: str, user: str, look: Callable[[], Coroutine[Deferred[Any], Any, R]]
    ) -> R:
        """
        What C{look} comes to, when it is this attempt's turn.

        May be cancelled: then an attempt that waits is over. One that is looked at counts all the
        same, or whoever does not wait for an answer could have any number looked at.

        @param look: fails with L{Denied} where the attempt is wrong.
        @raise Busy: too many of this peer's attempts wait.
        """
        by_peer = self._peers.enter(peer)
        by_user = self._users.enter(user)

        def leave() -> None:
            self._peers.leave(peer, by_peer)
            self._users.leave(user, by_user)

        try:
            if by_peer.under_way > MOST_WAITING:
                raise Busy("Too many logins are being tried from here; try again later.")
            await self._pause(by_user)
            await by_peer.turn.acquire()
            try:
                await self._pause(by_peer)
            except BaseException:
                by_peer.turn.release()
                raise
        except BaseException:
            leave()
            raise

        async def looked_at() -> R:
            try:
                return await look()
            except Denied:
                self._peers.failed(peer, by_peer)
                self._users.failed(user, by_user)
                raise
            finally:
                by_peer.turn.release()
                leave()

        looking = Deferred.fromCoroutine(looked_at())
        return await undone_if_cancelled(looking, lambda outcome: None)

    async def _pause(self, record: _Record) -> None:
        if (seconds := record.wait(self._clock.seconds())) > 0:
            await deferLater(self._clock, seconds)
