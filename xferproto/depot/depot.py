"""Hold what all fronts of a server share: the store, and the limits that hold for all."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.depot.admission import Admission
from xferproto.depot.hash_turns import HashTurns
from xferproto.depot.quota import Quota
from xferproto.depot.request import Request
from xferproto.depot.uploader import Uploader
from xferproto.model.errors import XferError
from xferproto.store.interface import MOST_TOKENS, IStore
from xferproto.threads.executor import Executor
from xferproto.threads.pending import PendingWork
from xferproto.threads.worker_pool import WorkerPool
from xferproto.transfer.budget import MemoryBudget
from xferproto.transfer.sender import BLOCK

log = Logger("xfer")

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DepotLimits:
    """
    The limits of what is stored, whatever protocol it comes by.

    @ivar file_size: the most bytes of a file, or None for no limit.
    @ivar quota: the most bytes of all files together, or None for no limit.
    @ivar tokens: how many resume tokens each user may have, and all strangers together.
    """

    file_size: int | None = None
    quota: int | None = None
    tokens: int = MOST_TOKENS


NO_LIMITS = DepotLimits()
"""The limits of a depot whose operator sets none."""


class Depot:
    """
    Hold what all requests of all fronts share, and wait for them when the server stops.

    Users reach it through an L{Account<xferproto.depot.account.Account>}.

    @ivar store: where the files are; set before the first request.
    @ivar executor: the threads that hash, write and read.
    @ivar clock: times what waits.
    @ivar limits: what is not taken.
    @ivar workers: the threads' queues in which uploads are hashed and written.
    @ivar admission: lets uploads begin, a few at a time.
    @ivar quota: how many bytes may be stored.
    @ivar turns: when contents are hashed that a client asks for.
    @ivar incoming: how many bytes all uploads together may hold in memory.
    @ivar small: how many bytes all pipelined small files together may hold in memory.
    @ivar outgoing: how many bytes all downloads together may read ahead.
    @ivar tokens: the senders of the uploads under tokens, by owner and token.
    """

    def __init__(
        self,
        store: IStore | None,
        executor: Executor,
        clock: IReactorTime,
        limits: DepotLimits = NO_LIMITS,
    ) -> None:
        if store is not None:
            self.store = store
        self.executor = executor
        self.clock = clock
        self.limits = limits
        self.workers = WorkerPool(executor)
        self.admission = Admission(clock)
        self.quota = Quota(clock, limits.quota, lambda owner: self.store.usage(owner))
        self.turns = HashTurns(clock, self._transfers)
        self.incoming = MemoryBudget()
        self.small = MemoryBudget()
        self.outgoing = MemoryBudget(largest=BLOCK, smallest=16 * 1024)
        self.tokens: dict[tuple[str, str], Uploader] = {}
        self._work = PendingWork()

    store: IStore

    def _transfers(self) -> bool:
        """Return whether any transfer runs."""
        return self.incoming.used or self.small.used or self.outgoing.used

    def start(self, work: Coroutine[Deferred[Any], Any, R] | Deferred[R]) -> Deferred[R]:
        """Let C{work} run; L{stop} waits for it even when nobody else does."""
        return self._work.run(work)

    def serve(self, work: Callable[[Request], Coroutine[Deferred[Any], Any, R]]) -> Deferred[R]:
        """
        Let work for a request run; its result may be cancelled, which abandons the request.

        @param work: begins it; when it ends, and the request is abandoned, it has given back what
            it had.
        """
        request = Request()
        result: Deferred[R] = Deferred(lambda _: request.abandon())

        def done(found: R) -> None:
            if not request.abandoned:
                result.callback(found)

        def failed(failure: Failure) -> None:
            if not request.abandoned:
                result.errback(failure)
            elif not failure.check(XferError):
                log.failure("a request that was given up failed", failure)

        self.start(work(request)).addCallbacks(done, failed)
        return result

    async def stop(self) -> None:
        """Wait for all work that runs."""
        await self._work.when_idle()
