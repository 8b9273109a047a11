"""Run blocking work in batches, in order and one batch at a time, off the reactor's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.threads.executor import Executor

T = TypeVar("T")


class Batcher(Generic[T]):
    """
    Run one function over all items that have gathered since its last run, never twice at once.

    The busier the batcher, the larger the batches: a handoff to a thread or a commit is paid once
    for many items. L{put} and both callbacks run on the reactor's thread, C{work} on a thread of
    C{executor}.

    @param work: takes a batch; may block.
    @param on_done: called with each batch that C{work} returned from.
    @param on_failed: called with what C{work} raised and the batch; the waiting items run next.
    @param batches: how many batches its thread may do in a row, without returning to the reactor's
        thread in between, before other work has a turn.
    """

    def __init__(
        self,
        executor: Executor,
        work: Callable[[list[T]], None],
        on_done: Callable[[list[T]], None],
        on_failed: Callable[[Failure, list[T]], None],
        batches: int = 1,
    ) -> None:
        self._executor = executor
        self._work = work
        self._on_done = on_done
        self._on_failed = on_failed
        self._batches = batches
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
        """Return a Deferred that fires once nothing waits and nothing runs; it never fails."""
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
        """Do batches, on a thread, until nothing waits, one fails or the turn is over."""
        left = self._batches
        while batch:
            try:
                self._work(batch)
            except Exception:
                # The callback may drop what waits, so it comes before the next batch.
                self._executor.report(self._on_failed, Failure(), batch)
                return
            self._executor.report(self._on_done, batch)
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
