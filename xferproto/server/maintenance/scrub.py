"""Scrub: hash all stored contents again, slowly, to find damage before a client does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from xferproto.model.errors import NoSuchFile
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IStore
from xferproto.threads.executor import Executor
from xferproto.transfer import hashing
from xferproto.transfer.stored_check import verify

log = Logger("xfer")

INTERVAL = 24 * 60 * 60.0
"""Seconds after its last check when a content is due again."""

PAUSE = 60.0
"""Seconds until the next try when nothing is due, or a content could not be read."""


class _Stopped(Exception):
    """The scrub is stopping."""


class Scrub:
    """
    Verify stored contents at a rate, first the one that was verified longest ago.

    @param store: the store to scrub.
    @param executor: the threads that hash.
    @param clock: measures the rate.
    @param rate: bytes a second.
    @param now: returns the time of day, in seconds since the epoch, as the store does.
    """

    def __init__(
        self,
        store: IStore,
        executor: Executor,
        clock: IReactorTime,
        rate: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._rate = rate
        self._now = now
        self._running: Deferred[None] | None = None
        self._sleeping: Deferred[None] | None = None
        self._stopping = False
        self._unreadable: dict[str, float] = {}  # ids, and when to try them again

    def start(self) -> None:
        """Start scrubbing."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Stop, and return when no read is under way."""
        self._stopping = True
        if self._sleeping is not None:
            self._sleeping.cancel()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        with contextlib.suppress(_Stopped):
            while True:
                try:
                    done = await self._verify_next()
                except _Stopped:
                    raise
                except Exception:
                    log.failure("scrub: can't ask the store for the next file")
                    done = False
                if not done:
                    await self._sleep(PAUSE)

    async def _sleep(self, seconds: float) -> None:
        if self._stopping:
            raise _Stopped()
        self._sleeping = deferLater(self._clock, seconds)
        try:
            await self._sleeping
        except CancelledError:
            raise _Stopped() from None
        finally:
            self._sleeping = None

    async def _verify_next(self) -> bool:
        """Verify the content that is due, or defer it if unreadable; return whether one was."""
        now = self._clock.seconds()
        self._unreadable = {id: until for id, until in self._unreadable.items() if until > now}
        oldest = await self._store.maintenance.oldest_check(self._unreadable)
        if oldest is None:
            return False
        id, verified = oldest
        # A time in the future is from a clock that was wrong, and does not count.
        if 0 <= self._now() - verified < INTERVAL:
            return False
        began = self._clock.seconds()

        async def checkpoint(done: int) -> None:
            ahead = done / self._rate - (self._clock.seconds() - began)
            # A clock that jumps back must not stop the scrub for longer than a block takes.
            longest = max(PAUSE, hashing.HASH_BLOCK / self._rate)
            await self._sleep(max(0.0, min(ahead, longest)))

        try:
            await verify(self._store, id, self._executor, checkpoint, EVERYTHING)
        except NoSuchFile:  # deleted meanwhile
            return True
        except _Stopped:
            raise
        except Exception:
            log.failure("scrub: can't read {id} now", id=id)
            self._unreadable[id] = self._clock.seconds() + PAUSE
        return True
