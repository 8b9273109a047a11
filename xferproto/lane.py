"""A lane: work that must be done in order, one batch at a time, off the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.executor import Executor

T = TypeVar("T")


class Lane(Generic[T]):
    """
    Runs one function over all items that have gathered since its last run, never twice at once.

    The busier the lane, the larger the batches: a handoff to a thread or a commit is paid once for
    many items. L{put} and both callbacks run on the reactor's thread, C{work} on a thread of
    C{executor}.

    @param work: takes a batch; blocking is its point.
    @param done: told each batch that C{work} returned from.
    @param failed: told what C{work} raised, and the batch; the lane goes on with the next one.
    """

    def __init__(
        self,
        executor: Executor,
        work: Callable[[list[T]], None],
        done: Callable[[list[T]], None],
        failed: Callable[[Failure, list[T]], None],
    ) -> None:
        self._executor = executor
        self._work = work
        self._done = done
        self._failed = failed
        self._waiting: list[T] = []
        self._running = False
        self._idle: list[Deferred[None]] = []

    def put(self, item: T) -> None:
        """Add an item behind the ones that wait."""
        self._waiting.append(item)
        if not self._running:
            self._run()

    def drop(self) -> None:
        """Forget the items that wait; a batch that runs is not disturbed."""
        self._waiting.clear()

    def when_idle(self) -> Deferred[None]:
        """Fires, with no error ever, once nothing waits and nothing runs."""
        idle: Deferred[None] = Deferred()
        if self._running:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def _run(self) -> None:
        batch, self._waiting = self._waiting, []
        self._running = True
        self._executor.run(self._work, batch).addCallbacks(
            lambda _: self._done(batch), lambda failure: self._failed(failure, batch)
        ).addBoth(self._next)

    def _next(self, outcome: Failure | None) -> Failure | None:
        if self._waiting:
            self._run()
        else:
            self._running = False
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)
        return outcome
