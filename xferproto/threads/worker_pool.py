"""Share a few workers between the blocks of all transfers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from xferproto.threads.batcher import Batcher
from xferproto.threads.executor import Executor

WORKERS = 2 * max(2, os.cpu_count() or 1)
"""How many workers: while one writes and another waits for the disk, each processor can hash."""

BATCHES_PER_TURN = 8
"""Batches that a worker does in a row, without returning to the reactor's thread in between."""

Step = Callable[[Sequence[bytes]], None]
"""Does something with the next blocks of a content; runs on a thread, in order."""


class Stream:
    """
    Hold one step of one transfer, and the worker that runs it.

    @param step: what is done with the blocks.
    @param on_done: called with the number of bytes that were done, or skipped after a stop.
    @ivar failure: what C{step} raised; the blocks after that are skipped.
    @ivar stopped: set it to have waiting blocks skipped.
    @ivar worker: the number of its worker.
    """

    __slots__ = ("failure", "on_done", "step", "stopped", "worker")

    def __init__(self, step: Step, on_done: Callable[[int], None], worker: int) -> None:
        self.step = step
        self.on_done = on_done
        self.worker = worker
        self.failure: Failure | None = None
        self.stopped = False


class WorkerPool:
    """
    Run the steps of any number of transfers on a fixed number of workers.

    However many transfers run, each worker goes to its thread once for all blocks that gathered; a
    worker for each step of each transfer would go there for every block.

    @param executor: the threads that the workers run on.
    @param count: the number of workers.
    """

    def __init__(self, executor: Executor, count: int = WORKERS) -> None:
        self._workers: list[Batcher[tuple[Stream, bytes]]] = [
            Batcher(executor, _work, _done, _broken, BATCHES_PER_TURN) for _ in range(count)
        ]
        self._streams = [0] * count

    def open(self, step: Step, on_done: Callable[[int], None]) -> Stream:
        """Open a stream of blocks for a step, on the worker that has the fewest."""
        worker = self._streams.index(min(self._streams))
        self._streams[worker] += 1
        return Stream(step, on_done, worker)

    def close(self, stream: Stream) -> None:
        """Give up the place of a stream; call it once, when no block is left."""
        self._streams[stream.worker] -= 1

    def put(self, stream: Stream, block: bytes) -> None:
        """Queue the next block of a stream."""
        self._workers[stream.worker].put((stream, block))


def _grouped(batch: list[tuple[Stream, bytes]]) -> dict[Stream, list[bytes]]:
    groups: dict[Stream, list[bytes]] = {}
    for stream, block in batch:
        groups.setdefault(stream, []).append(block)
    return groups


def _work(batch: list[tuple[Stream, bytes]]) -> None:
    for stream, blocks in _grouped(batch).items():
        if not stream.stopped and stream.failure is None:
            try:
                stream.step(blocks)
            except Exception:  # of this transfer alone
                stream.failure = Failure()


def _done(batch: list[tuple[Stream, bytes]]) -> None:
    for stream, blocks in _grouped(batch).items():
        stream.on_done(sum(map(len, blocks)))


def _broken(failure: Failure, batch: list[tuple[Stream, bytes]]) -> None:
    """Fail all streams of a batch: no step raised, as those are caught, but what calls them did."""
    for stream in _grouped(batch):
        stream.failure = failure
    _done(batch)
