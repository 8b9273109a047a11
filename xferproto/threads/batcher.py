"""A lane: work that must be done in order, one batch at a time, off the reactor's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.threads.executor import Executor

T = TypeVar("T")


class Lane(Generic[T]):
    """
    Runs one function over all items that have gathered since its last run, never twice at once.

    The busier the lane, the larger the batches: a handoff to a thread or a commit is paid once for
    many items. L{put} and both callbacks run on the reactor's thread, C{work} on a thread of
    C{executor}.

    @param work: takes a batch; blocking is its point.
    @param done: told each batch that C{work} returned from.
    @param failed: told what C{work} raised, and the batch; then the lane goes on with what waits.
    @param turn: how many batches its thread may do in a row, without waiting for the reactor's
        thread in between, before others have a turn.
    """

    def __init__(
        self,
        executor: Executor,
        work: Callable[[list[T]], None],
        done: Callable[[list[T]], None],
        failed: Callable[[Failure, list[T]], None],
        turn: int = 1,
    ) -> None:
        self._executor = executor
        self._work = work
        self._done = done
        self._failed = failed
        self._batches = turn
        self._lock = threading.Lock()  # over what waits: both sides take from it
        self._waiting: list[T] = []
        self._running = False
        self._idle: list[Deferred[None]] = []

    def put(self, item: T) -> None:
        """Add an item behind the ones that wait."""
        with self._lock:
            self._waiting.append(item)
        if not self._running:
            self._run()

    def drop(self) -> None:
        """Forget the items that wait; a batch that runs is not disturbed."""
        with self._lock:
            self._waiting = []

    def when_idle(self) -> Deferred[None]:
        """Fires, with no error ever, once nothing waits and nothing runs."""
        idle: Deferred[None] = Deferred()
        if self._running:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def _run(self) -> None:
        self._running = True
        self._executor.run(self._turn, self._take()).addBoth(self._turned)

    def _take(self) -> list[T]:
        with self._lock:
            batch, self._waiting = self._waiting, []
        return batch

    def _turn(self, batch: list[T]) -> None:
        """On a thread: batch after batch, until nothing waits, one fails, or others want to."""
        left = self._batches
        while batch:
            try:
                self._work(batch)
            except Exception:
                # What waits must not be touched before those who are told have had their say.
                self._executor.report(self._failed, Failure(), batch)
                return
            self._executor.report(self._done, batch)
            left -= 1
            batch = self._take() if left else []

    def _turned(self, outcome: Failure | None) -> Failure | None:
        if self._waiting:
            self._run()
        else:
            self._running = False
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)
        return outcome
