"""What all that work on a watched directory share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xferproto.threads.executor import Executor
from xferproto.watch.circuit_breaker import CircuitBreaker
from xferproto.watch.counters import Counters
from xferproto.watch.directory import WatchedDirectory
from xferproto.watch.journal import Journal
from xferproto.watch.options import WatchSettings
from xferproto.watch.queue import Queue


@dataclass(frozen=True)
class WatchContext:
    """
    @ivar clock: the reactor, or what tests turn by hand.
    @ivar now: a time that only goes forward, in seconds.
    @ivar disk: one thread, on which all work on the directory and the journal is done: so a walk
        never sees half of a move.
    @ivar directory: open.
    @ivar queue: the files that are held.
    @ivar breaker: whether the depot can be reached.
    @ivar counters: what was done.
    @ivar returned: device and inode of files that this process has moved back, because they had
        changed: that they were renamed is no sign that they are complete.
    @ivar failed: told what ends the work: L{DirectoryGone
        <xferproto.watch.directory.DirectoryGone>}, or what should not have happened.
    """

    clock: Any
    now: Callable[[], float]
    disk: Executor
    settings: WatchSettings
    directory: WatchedDirectory
    journal: Journal
    queue: Queue
    breaker: CircuitBreaker
    counters: Counters
    failed: Callable[[Exception], object]
    returned: set[tuple[int, int]] = field(default_factory=set)
