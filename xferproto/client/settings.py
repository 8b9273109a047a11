"""What the connections of one factory share."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from xferproto.client.callbacks import Trace
from xferproto.threads.executor import Executor
from xferproto.threads.worker_pool import WorkerPool
from xferproto.transfer.budget import MemoryBudget


class Settings(Protocol):
    """
    How connections behave, and what they use together.

    @ivar prompted: whether to wait for each command's prompt, instead of sending its argument on
        the same line.
    @ivar trace: called with each line that goes over the wire.
    @ivar patience: seconds without progress after which a connection is given up; None for no
        limit.
    @ivar clock: counts these seconds.
    @ivar executor: reads, hashes and writes files.
    @ivar workers: hash and write what is received.
    @ivar budget: limits the memory of what is received and not yet written.
    """

    prompted: bool
    trace: Trace
    patience: float | None
    clock: IReactorTime | None
    executor: Executor
    workers: WorkerPool
    budget: MemoryBudget
