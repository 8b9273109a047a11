"""What all connections of a server share."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from xferproto.depot.admission import Admission
from xferproto.depot.hash_turns import HashingTurns
from xferproto.depot.quota import Quota
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.line.framing import FramedConnection
from xferproto.server.line.protocol import XferServerProtocol
from xferproto.server.traffic.bandwidth import Bandwidth
from xferproto.server.traffic.connection_limit import (
    ConnectionLimit,
    RefusedConnection,
    ThrottledLog,
    counted_network,
)
from xferproto.server.traffic.stall import Watch
from xferproto.store.interface import IStore
from xferproto.threads.executor import Executor
from xferproto.threads.worker_pool import WorkerPool
from xferproto.transfer.budget import MemoryBudget
from xferproto.transfer.sender import BLOCK

log = Logger("xfer")

R = TypeVar("R")

GRACE = 5.0
"""Seconds that running transfers have to finish when the server stops."""


class XferServerFactory(ServerFactory):
    """
    Makes a L{XferServerProtocol} for each connection, and stops them all when the server stops.

    @ivar store: where the files are; set before the first connection.
    @ivar executor: the threads that hash and write.
    @ivar workers: where uploads are hashed and written.
    @ivar admission: lets uploads begin, a few at a time.
    @ivar clock: times transfers and the closing of connections.
    @ivar max_file_size: the largest file taken, in bytes, or None for no limit.
    @ivar authenticator: lets visitors in.
    @ivar limits: what no connection may exceed.
    @ivar connection_limit: counts the connections, and refuses those above the limits.
    @ivar bandwidth: how fast bytes go.
    @ivar quota: how many bytes may be stored.
    @ivar no_descriptor_log: logs that no file could be opened because too many are.
    @ivar sending: the connections that have an upload under a token, by its owner and the token.
    @ivar budget: how many bytes all uploads together may hold in memory.
    @ivar small: how many bytes all pipelined small files together may hold in memory.
    @ivar outgoing: how many bytes all downloads together may read ahead.
    @ivar turns: when contents are hashed that a client asks for.
    """

    noisy = False

    def __init__(
        self,
        executor: Executor,
        clock: IReactorTime,
        max_file_size: int | None = None,
        authenticator: Authenticator | None = None,
        limits: Limits = DEFAULTS,
    ) -> None:
        self.executor = executor
        self.clock = clock
        self.max_file_size = max_file_size
        self.authenticator = (
            Authenticator(executor, clock) if authenticator is None else authenticator
        )
        self.limits = limits
        self.connection_limit = ConnectionLimit(limits, clock)
        self.bandwidth = Bandwidth(clock, limits)
        self.quota = Quota(clock, limits.quota)
        self.no_descriptor_log = ThrottledLog(clock, _log_no_descriptor)
        self.workers = WorkerPool(executor)
        self.admission = Admission(clock)
        self.budget = MemoryBudget()
        self.small = MemoryBudget()
        self.outgoing = MemoryBudget(largest=BLOCK, smallest=16 * 1024)
        self.turns = HashingTurns(clock, self._transfers)
        self.sending: dict[tuple[str, str], FramedConnection] = {}
        self._connections: set[FramedConnection] = set()
        self._watch = Watch(clock, self._connections)
        self._made = 0
        self._work: set[Deferred[Any]] = set()
        self._stopping = False
        self._all_closed: Deferred[None] | None = None

    @property
    def store(self) -> IStore:
        return self.quota.store

    @store.setter
    def store(self, store: IStore) -> None:
        self.quota.store = store

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> XferServerProtocol | RefusedConnection:
        refused = self.connection_limit.refuse(addr)
        if refused is not None:
            return refused
        self._made += 1
        return XferServerProtocol(self, self._made)

    def _transfers(self) -> bool:
        """Whether any transfer runs."""
        return self.budget.used or self.small.used or self.outgoing.used

    def opened(self, connection: FramedConnection) -> None:
        """A connection was made."""
        self._connections.add(connection)
        peer = connection.transport.getPeer()
        connection.peer = counted_network(peer)
        self.connection_limit.opened(connection.peer)
        self._watch.begin()
        host, port = getattr(peer, "host", peer), getattr(peer, "port", "")
        log.info(
            "#{number} connected from {host} {port}", number=connection.number, host=host, port=port
        )
        if self._stopping:
            connection.stop()

    def closed(self, connection: FramedConnection) -> None:
        """A connection was lost."""
        self._connections.discard(connection)
        self.connection_limit.closed(connection.peer)
        if not self._connections:
            self._watch.end()
        log.info("#{number} disconnected", number=connection.number)
        if not self._connections and self._all_closed is not None:
            self._all_closed.callback(None)

    def start(self, work: Coroutine[Deferred[Any], Any, R] | Deferred[R]) -> Deferred[R]:
        """Let C{work} run; L{stop} waits for it even when its connection is gone."""
        running = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        self._work.add(running)

        def ended(outcome: Any) -> Any:
            self._work.discard(running)
            return outcome

        return running.addBoth(ended)

    async def stop(self) -> None:
        """Let the transfers that run finish for L{GRACE} seconds, then cut them off."""
        self._stopping = True
        self._all_closed = Deferred()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            log.info("waiting for {count} connections", count=len(self._connections))
            cutting = self.clock.callLater(GRACE, self._cut_off)
            await self._all_closed
            if cutting.active():
                cutting.cancel()
        await DeferredList(list(self._work), consumeErrors=True)

    def _cut_off(self) -> None:
        for connection in list(self._connections):
            log.warn("#{number} cut off by the stop", number=connection.number)
            connection.transport.abortConnection()


def _log_no_descriptor(count: int) -> None:
    log.error(
        "too many files are open: {count} requests were refused; let the process have more",
        count=count,
    )
