"""Run work that must end before a store is closed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

R = TypeVar("R")


class PendingWork:
    """Runs commits and the like, and waits for those that run."""

    def __init__(self) -> None:
        self._running: set[Deferred[Any]] = set()

    def run(self, work: Coroutine[Deferred[Any], Any, R]) -> Deferred[R]:
        """Run C{work}: fires with what comes of it."""
        running = Deferred.fromCoroutine(work)
        self._running.add(running)

        def ended(outcome: R | Failure) -> R | Failure:
            self._running.discard(running)
            return outcome

        return running.addBoth(ended)

    async def when_idle(self) -> None:
        """Wait until nothing runs."""
        while self._running:
            await DeferredList(list(self._running))
