"""
The way in: a declared number of bytes, counted down, hashed and written on threads.

Shared by the server's uploads and the client's downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from xferproto.executor import Executor
from xferproto.lane import Lane
from xferproto.transfer.budget import MemoryBudget

TURN = 8
"""Batches of a step that are done in a row; the reactor's thread need not be asked for each."""

Step = Callable[[Sequence[bytes]], None]
"""Does something with the next blocks of a content; runs on a thread, in order."""


class Receiver:
    """
    Takes exactly C{size} bytes and hands them to every step, each step in a lane of its own.

    The slowest step holds the others back: when bytes that not every step has done exceed the share
    of the budget, L{full} is true, until C{drained} is called.

    @param size: how many bytes will come.
    @param steps: what to do with them; they run side by side.
    @param executor: the threads they run on.
    @param budget: says how much may wait.
    @param drained: called when L{full} is true no longer.
    @param failed: called once, when a step has raised; the receiver then drops what comes, and
        L{finish} tells why.

    @ivar remaining: bytes still to come.
    @ivar full: whether the sender should be held back now.
    @ivar failure: what a step raised first, or None.
    """

    def __init__(
        self,
        size: int,
        steps: Sequence[Step],
        executor: Executor,
        budget: MemoryBudget,
        drained: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self.remaining = size
        self.full = False
        self._budget = budget
        self._drained = drained
        self._failed = failed
        self.failure: Failure | None = None
        self._stopped = False
        self._left = False
        self._lanes = [
            Lane(executor, step, self._counted(lane), self._step_failed, TURN)
            for lane, step in enumerate(steps)
        ]
        self._held = [0] * len(steps)
        budget.join()

    def write(self, data: bytes) -> None:
        """Take the next bytes; not more than L{remaining}."""
        self.remaining -= len(data)
        if self._stopped:
            return
        for number, lane in enumerate(self._lanes):
            self._held[number] += len(data)
            lane.put(data)
        if not self._stopped and max(self._held) > self._budget.share:
            self.full = True

    async def finish(self) -> None:
        """
        Wait until every step has done all bytes; may be called again when it was cancelled.

        @raise Exception: what a step raised.
        """
        await self._idle()
        if self.failure is not None:
            self.failure.raiseException()

    async def stop(self) -> None:
        """Drop what waits, and wait for what runs, however it ends."""
        self._drop()
        await self._idle()

    async def _idle(self) -> None:
        for lane in self._lanes:
            await lane.when_idle()
        if not self._left:
            self._left = True
            self._budget.leave()

    def _drop(self) -> None:
        self._stopped = True
        for lane in self._lanes:
            lane.drop()

    def _counted(self, number: int) -> Callable[[list[bytes]], None]:
        def done(batch: list[bytes]) -> None:
            self._held[number] -= sum(map(len, batch))
            # Half, so that a sender is not stopped and started for every block.
            if self.full and max(self._held) <= self._budget.share // 2:
                self.full = False
                self._drained()

        return done

    def _step_failed(self, failure: Failure, batch: list[bytes]) -> None:
        self._drop()
        if self.full:
            self.full = False
            self._drained()
        if self.failure is None:
            self.failure = failure
            self._failed()
