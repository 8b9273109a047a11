"""Stop trying while the depot can't be reached; log once when it is lost, and once when back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from xferproto.client.retry_policy import BACKOFF
from xferproto.model.units import duration
from xferproto.watch.failure_policy import Decision, FailureKind

SLOW = 300.0
"""
Seconds until the next try, if an administrator has to fix something: servers delay those who log in
with a wrong password again and again.
"""

log = Logger()


class CircuitBreaker:
    """
    Let one connection try while the depot can't be reached, and make the others wait.

    @param depot: the depot, as messages call it.
    @param changed: called when any of the variables has changed.
    @param delay: seconds to wait, by the number of failed tries.
    @ivar up: whether the last try succeeded; None before the first.
    @ivar since: since when, in seconds of the clock.
    @ivar reason: why the last try failed.
    @ivar next_try: the time of the next try.
    """

    def __init__(
        self,
        clock: IReactorTime,
        depot: str,
        changed: Callable[[], object] = lambda: None,
        delay: Callable[[int], float] = BACKOFF,
    ) -> None:
        self.up: bool | None = None
        self.since: float = clock.seconds()
        self.reason: str | None = None
        self.next_try: float | None = None
        self._clock = clock
        self._depot = depot
        self._changed = changed
        self._delay = delay
        self._failed = 0
        self._logged: FailureKind | None = None
        self._call: IDelayedCall | None = None
        self._trying = False
        self._waiting: list[Deferred[None]] = []

    @contextlib.asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Enter a context in which the depot may be asked, when it is time for the next try."""
        while self.up is False and (self._call is not None or self._trying):
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            await waiter
        trying = self.up is False
        if trying:
            self._trying = True
        try:
            yield
        finally:
            if trying and self._trying:
                self._trying = False
                self._wake()

    def worked(self) -> None:
        """Note that the depot has answered."""
        if self.up:
            return
        if self.up is False:
            seconds = self._clock.seconds() - self.since
            log.info("{depot} is back after {period}", depot=self._depot, period=duration(seconds))
        self._cancel()
        self.up, self.reason, self.next_try = True, None, None
        self.since = self._clock.seconds()
        self._failed = 0
        self._logged = None
        self._trying = False
        self._changed()
        self._wake()

    def failed(self, decision: Decision) -> None:
        """Note that the depot can't be reached, or that an administrator has to fix something."""
        misconfigured = decision.kind is FailureKind.MISCONFIGURED
        if self.up is not False:
            self.up, self.since = False, self._clock.seconds()
        elif self._call is not None:  # another connection has failed before
            return
        self.reason = decision.cause
        self._failed += 1
        self._trying = False
        seconds = SLOW if misconfigured else self._delay(self._failed)
        self.next_try = self._clock.seconds() + seconds
        self._call = self._clock.callLater(seconds, self._due)
        if self._logged is not decision.kind:
            self._logged = decision.kind
            self._log(decision.cause, misconfigured)
        self._changed()

    def _log(self, cause: str, misconfigured: bool) -> None:
        if misconfigured:
            log.critical(
                "nothing is sent until this is fixed: {cause} ({depot}; tried again every "
                "{period}, and at a restart)",
                cause=cause.rstrip("."),
                depot=self._depot,
                period=duration(SLOW),
            )
        else:
            log.warn(
                "can't reach {depot}: {cause} (trying again, at least every minute)",
                depot=self._depot,
                cause=cause.rstrip("."),
            )

    def _due(self) -> None:
        self._call = None
        self.next_try = None
        self._wake()

    def try_now(self) -> None:
        """Try at once: something may have been fixed."""
        if self._call is not None:
            self._cancel()
            self._due()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:  # as it is when it was cancelled
                waiter.callback(None)

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def stop(self) -> None:
        """Stop trying; those who wait go on waiting until they are cancelled."""
        self._cancel()
