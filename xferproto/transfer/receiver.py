"""
Receive a declared number of bytes, and hash and write them on threads.

Shared by the server's uploads and the client's downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.threads.worker_pool import Step, WorkerPool
from xferproto.transfer.budget import MemoryBudget


class Receiver:
    """
    Take exactly C{size} bytes, and pass them to every step in order.

    The slowest step applies back-pressure: when the bytes that some step has not done exceed the
    share of the budget, L{full} is true, until C{drained} is called.

    @param size: the number of bytes that will come.
    @param steps: what to do with the bytes; the steps run in parallel.
    @param workers: the workers that run them.
    @param budget: limits the bytes that wait.
    @param drained: called when L{full} is true no longer.
    @param failed: called once, when a step has raised; the receiver then drops further bytes, and
        L{finish} raises the error.

    @ivar remaining: bytes still to come.
    @ivar full: whether to pause the sender.
    @ivar failure: the first error of a step, or None.
    """

    def __init__(
        self,
        size: int,
        steps: Sequence[Step],
        workers: WorkerPool,
        budget: MemoryBudget,
        drained: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self.remaining = size
        self.full = False
        self.failure: Failure | None = None
        self._workers = workers
        self._budget = budget
        self._drained = drained
        self._failed = failed
        self._stopped = False
        self._joined = False
        self._left = False
        self._idle: list[Deferred[None]] = []
        self._held = [0] * len(steps)
        self._streams = [
            workers.open(step, partial(self._done, number)) for number, step in enumerate(steps)
        ]

    @property
    def block(self) -> int:
        """The most bytes worth reading at once."""
        return min(self.remaining, self._budget.share)

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most L{remaining}."""
        self.remaining -= len(data)
        if self._stopped:
            return
        if not self._joined:  # a peer that sends nothing takes no share
            self._joined = True
            self._budget.join()
        for number, stream in enumerate(self._streams):
            self._held[number] += len(data)
            self._workers.put(stream, data)
        if not self._stopped and max(self._held) > self._budget.share:
            self.full = True

    def refuse(self, error: Exception) -> None:
        """Drop further bytes, as if a step had raised this error."""
        if self.failure is None:
            self._fail(Failure(error))

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        self._drop()
        self._let_come()
        self._failed()

    async def finish(self) -> None:
        """
        Wait until every step has done all bytes; may be called again after a cancellation.

        @raise Exception: what a step raised.
        """
        await self._when_idle()
        if self.failure is not None:
            self.failure.raiseException()

    async def stop(self) -> None:
        """Drop the bytes that wait, and wait for the steps that run, however they end."""
        self._drop()
        await self._when_idle()

    async def _when_idle(self) -> None:
        if any(self._held):
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        if not self._left:
            self._left = True
            if self._joined:
                self._budget.leave()
            for stream in self._streams:
                self._workers.close(stream)

    def _drop(self) -> None:
        self._stopped = True
        for stream in self._streams:
            stream.stopped = True

    def _done(self, number: int, count: int) -> None:
        """Count the bytes that a step has done or skipped."""
        self._held[number] -= count
        failure = self._streams[number].failure
        if failure is not None and self.failure is None:
            self._fail(failure)
        # Half, so that a sender is not stopped and started for every block.
        elif max(self._held) <= self._budget.share // 2:
            self._let_come()
        if not any(self._held):
            idle, self._idle = self._idle, []
            for waiter in idle:
                if not waiter.called:  # as it is when it was cancelled
                    waiter.callback(None)

    def _let_come(self) -> None:
        if self.full:
            self.full = False
            self._drained()
