"""The lanes that all transfers share: each step of each one has its place on one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from xferproto.threads.batcher import Lane
from xferproto.threads.executor import Executor

COUNT = 2 * max(2, os.cpu_count() or 1)
"""How many lanes: while one writes and another waits for the disk, every processor has a hash."""

TURN = 8
"""Batches of a lane that are done in a row; the reactor's thread need not be asked for each."""

Step = Callable[[Sequence[bytes]], None]
"""Does something with the next blocks of a content; runs on a thread, in order."""


class Track:
    """
    One step of one transfer, on its lane.

    @param step: what is done with the blocks.
    @param done: told how many bytes were done, or passed over once it is stopped.
    @ivar failure: what C{step} raised; no more is done after that.
    @ivar stopped: set to let what waits be passed over.
    @ivar lane: the number of its lane.
    """

    __slots__ = ("done", "failure", "lane", "step", "stopped")

    def __init__(self, step: Step, done: Callable[[int], None], lane: int) -> None:
        self.step = step
        self.done = done
        self.lane = lane
        self.failure: Failure | None = None
        self.stopped = False


class Lanes:
    """
    A few lanes for the blocks of any number of transfers.

    However many transfers run, each lane goes to its thread once for all that gathered; a lane for
    each step of each transfer would go there for every block.

    @param executor: the threads they run on.
    @param count: how many there are.
    """

    def __init__(self, executor: Executor, count: int = COUNT) -> None:
        self._lanes: list[Lane[tuple[Track, bytes]]] = [
            Lane(executor, _work, _done, _broken, TURN) for _ in range(count)
        ]
        self._tracks = [0] * count

    def join(self, step: Step, done: Callable[[int], None]) -> Track:
        """Give a step its place, on the lane that has the fewest."""
        lane = self._tracks.index(min(self._tracks))
        self._tracks[lane] += 1
        return Track(step, done, lane)

    def leave(self, track: Track) -> None:
        """The step has nothing more to do."""
        self._tracks[track.lane] -= 1

    def put(self, track: Track, block: bytes) -> None:
        """Let a step do the next block."""
        self._lanes[track.lane].put((track, block))


def _grouped(batch: list[tuple[Track, bytes]]) -> dict[Track, list[bytes]]:
    groups: dict[Track, list[bytes]] = {}
    for track, block in batch:
        groups.setdefault(track, []).append(block)
    return groups


def _work(batch: list[tuple[Track, bytes]]) -> None:
    for track, blocks in _grouped(batch).items():
        if not track.stopped and track.failure is None:
            try:
                track.step(blocks)
            except Exception:  # of this transfer alone
                track.failure = Failure()


def _done(batch: list[tuple[Track, bytes]]) -> None:
    for track, blocks in _grouped(batch).items():
        track.done(sum(map(len, blocks)))


def _broken(failure: Failure, batch: list[tuple[Track, bytes]]) -> None:
    """A step did not raise, as those are caught, but what calls it did."""
    for track in _grouped(batch):
        track.failure = failure
    _done(batch)
