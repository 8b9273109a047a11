"""What the parts of the unattended client share."""

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
    Hold what all parts that work on one watched directory use.

    @ivar clock: the reactor, or a clock of tests.
    @ivar now: a monotonic time, in seconds.
    @ivar disk: the one thread on which the directory and the journal are used, so that a scan never
        sees half of a move.
    @ivar directory: open.
    @ivar queue: the files that are held.
    @ivar breaker: whether the depot can be reached.
    @ivar counters: what was done.
    @ivar returned: device and inode of files that this process has moved back because they had
        changed; such a rename does not mean that they are complete.
    @ivar failed: called with what ends the work: L{DirectoryGone
        <xferproto.watch.directory.DirectoryGone>}, or an unexpected error.
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
