"""Run work that must end before what it uses is closed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

R = TypeVar("R")


class PendingWork:
    """Run work, and wait for all that runs."""

    def __init__(self) -> None:
        self._running: set[Deferred[Any]] = set()

    def __len__(self) -> int:
        """Return how many pieces of work run."""
        return len(self._running)

    def run(self, work: Coroutine[Deferred[Any], Any, R] | Deferred[R]) -> Deferred[R]:
        """Let C{work} run: fires with its result."""
        running = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        self._running.add(running)

        def ended(outcome: R | Failure) -> R | Failure:
            self._running.discard(running)
            return outcome

        return running.addBoth(ended)

    async def when_idle(self) -> None:
        """Wait until nothing runs; what fails meanwhile is the affair of whoever let it run."""
        while self._running:
            await DeferredList(list(self._running), consumeErrors=True)
