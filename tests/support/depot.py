"""A depot for tests, with a store in memory or on disk, and connections without a network."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.executors import InlineExecutor
from tests.support.held import assert_nothing_held, close_store, end_sessions, run_out
from tests.support.visitors import make_authenticator
from xferproto.depot import depot
from xferproto.model.identity import NOBODY, Identity
from xferproto.server.auth.users import User
from xferproto.server.connections import Connections
from xferproto.server.factory import XferServerFactory
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.line.protocol import LineProtocol
from xferproto.store.interface import IStore
from xferproto.store.local import catalogue_changes, catalogue_names, catalogue_views, page_length
from xferproto.store.local.packed import SMALL, SMALL_SIZE
from xferproto.store.local.store import LocalStore
from xferproto.store.memory.store import MemoryStore
from xferproto.threads.executor import Executor

S = TypeVar("S", bound=IStore)

NO_SMALL = -1
"""The greatest size of a small content, for a store in which every content has an object file."""


def make_store(
    case: SynchronousTestCase,
    root: Path | None = None,
    files: Executor | None = None,
    database: Executor | None = None,
    small: int = SMALL_SIZE,
    now: Callable[[], float] = lambda: 1e9,
    scans: Executor | None = None,
) -> LocalStore:
    """
    A local store that does everything inline, or its file work on C{files}.

    @param database: runs its commits and queries; inline where it is None.
    @param small: the most bytes of a small content.
    @param now: the time.
    @param scans: runs the queries that may take long; where the others run where it is None.
    """
    inline = InlineExecutor()
    root = Path(case.mktemp()) if root is None else root
    store = LocalStore(
        root,
        files=inline if files is None else files,
        writer=inline if database is None else database,
        reader=inline if database is None else database,
        now=now,
        scans=scans,
        small=small,
    )
    case.addCleanup(close_store, case, store, files, database, scans)
    return store


def few_at_once(case: SynchronousTestCase) -> None:
    """Let stores list three names to a page, and remove two to a transaction."""
    case.patch(page_length, "PAGE", 3)
    case.patch(catalogue_names, "FEW", 2)
    case.patch(catalogue_changes, "STEP", 2)
    case.patch(catalogue_changes, "STRIDE", 2)
    case.patch(catalogue_views, "STEP", 2)


def overwrite(root: Path, id: str, content: bytes | None) -> None:
    """
    Change stored bytes behind the back of their store, wherever they lie.

    @param content: what is there from now on; None for nothing.
    """
    path = root / "objects" / id[:2] / id
    if path.exists():
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        return
    with contextlib.closing(sqlite3.connect(root / SMALL)) as connection, connection:
        if content is None:
            changed = connection.execute("DELETE FROM small WHERE id = ?", (id,))
        else:
            changed = connection.execute("UPDATE small SET bytes = ? WHERE id = ?", (content, id))
        assert changed.rowcount, f"{id} is not there"


def small_rows(root: Path) -> list[tuple[int, str]]:
    """Number and id of each small content in a storage directory, in order of the numbers."""
    with contextlib.closing(sqlite3.connect(root / SMALL)) as connection:
        return connection.execute("SELECT number, id FROM small ORDER BY number").fetchall()


def small_marks(root: Path) -> list[tuple[int, int]]:
    """The marks of small contents that the catalogue may not know: first and last number."""
    with contextlib.closing(sqlite3.connect(root / SMALL)) as connection:
        return connection.execute("SELECT first, last FROM unsure ORDER BY first").fetchall()


class Transport(StringTransportWithDisconnection):
    """
    A transport that keeps what is written, and can close one half.

    @ivar half_closed: whether the server has closed its half.
    @ivar aborted: whether it was cut off with a reset.
    """

    half_closed = False
    aborted = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True
        IHalfCloseableProtocol(self.protocol).writeConnectionLost()

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class Session:
    """
    One connection to a server, without a network.

    @param peer: where it seems to come from; from another machine where it is None.
    @param transport: what it writes to, where it is not over plain TCP.
    @ivar protocol: the server's side.
    @ivar transport: what it writes to.
    """

    def __init__(
        self,
        factory: XferServerFactory,
        peer: IAddress | None = None,
        transport: Transport | None = None,
    ) -> None:
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, LineProtocol)
        self.protocol: LineProtocol = protocol
        self.transport = Transport(peerAddress=peer) if transport is None else transport
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def send(self, *chunks: bytes) -> bytes:
        """Let the chunks arrive one by one: all that the server has written since the last call."""
        for chunk in chunks:
            self.protocol.dataReceived(chunk)
        return self.answer()

    def answer(self) -> bytes:
        """What the server has written since the last call."""
        written: bytes = self.transport.value()
        self.transport.clear()
        return written

    def half_close(self) -> bytes:
        """The peer sends no more, but reads on."""
        self.protocol.readConnectionLost()
        return self.answer()

    def lose(self) -> None:
        """The connection is gone."""
        if self.transport.connected:
            self.transport.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))


class StoredDepot(Generic[S]):
    """
    A server without a network, over a store.

    @param case: its clean-up ends the sessions, and sees that nothing is held.
    @param store: which the clean-up does not close.
    @param executor: hashes, writes and reads; everything at once where it is None.
    @param database: runs what is left of the store's commits and queries in the end, where it does.
    @param users: who may log in; where it is None, strangers may do everything.
    @param anonymous: what strangers may do beside them.
    @param limits: what no connection may exceed.
    @param quota: the most bytes of all files together.
    @ivar store: the same.
    @ivar core: what its connections share.
    @ivar clock: turned by hand.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        store: S,
        executor: Executor | None = None,
        max_file_size: int | None = None,
        database: Executor | None = None,
        users: Sequence[User] | None = None,
        anonymous: Identity = NOBODY,
        limits: Limits = DEFAULTS,
        quota: int | None = None,
    ) -> None:
        self.clock = Clock()
        self.store: S = store
        self.core = depot.Depot(
            store,
            InlineExecutor() if executor is None else executor,
            self.clock,
            depot.DepotLimits(max_file_size, quota),
        )
        authenticator = None
        if users is not None:
            authenticator = make_authenticator(
                self.core, *users, anonymous=anonymous, executor=executor
            )
        self.factory = XferServerFactory(self.core, authenticator, Connections(self.clock, limits))
        self._case = case
        self._executors = executor, database
        case.addCleanup(self.close)

    def connect(self, peer: IAddress | None = None) -> Session:
        return Session(self.factory, peer)

    def close(self) -> None:
        """Every connection is lost, its work ends: nothing is held for anybody then."""
        end_sessions(self.factory)
        run_out(*self._executors, self.factory.authenticator._executor)
        assert_nothing_held(self._case, self.core.store, self.factory)

    def timers(self) -> list[IDelayedCall]:
        """What waits for the clock, beside the watch that looks at all connections."""
        watch = self.factory.connections._watch._next
        return [call for call in self.clock.getDelayedCalls() if call is not watch]


class MemoryDepot(StoredDepot[MemoryStore]):
    """
    A server without a network and a disk; for tests that look at no files and fail nothing of them.

    @param case: its clean-up ends the sessions, and sees that nothing is held.
    @param executor: hashes; at once where it is None. The store does all at once.
    @param small: the most bytes of a small content.
    @param users: who may log in; where it is None, strangers may do everything.
    @param anonymous: what strangers may do beside them.
    @param limits: what no connection may exceed.
    @param quota: the most bytes of all files together.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        executor: Executor | None = None,
        max_file_size: int | None = None,
        small: int = SMALL_SIZE,
        users: Sequence[User] | None = None,
        anonymous: Identity = NOBODY,
        limits: Limits = DEFAULTS,
        quota: int | None = None,
    ) -> None:
        store = MemoryStore(lambda: 1e9, small)
        super().__init__(
            case,
            store,
            executor,
            max_file_size,
            users=users,
            anonymous=anonymous,
            limits=limits,
            quota=quota,
        )


class Depot(StoredDepot[LocalStore]):
    """
    A server without a network, over a store in a directory.

    @param case: its clean-up ends the sessions, sees that nothing is held, and closes the store.
    @param executor: hashes, writes and reads; everything at once where it is None.
    @param database: runs the store's commits and queries; at once where it is None.
    @param small: the most bytes of a small content.
    @param users: who may log in; where it is None, strangers may do everything.
    @param anonymous: what strangers may do beside them.
    @param limits: what no connection may exceed.
    @param quota: the most bytes of all files together.
    @param store: one that is there already, which is not closed; a new one where it is None.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        executor: Executor | None = None,
        max_file_size: int | None = None,
        database: Executor | None = None,
        small: int = SMALL_SIZE,
        users: Sequence[User] | None = None,
        anonymous: Identity = NOBODY,
        limits: Limits = DEFAULTS,
        quota: int | None = None,
        store: LocalStore | None = None,
    ) -> None:
        if store is None:
            store = make_store(case, Path(case.mktemp()), executor, database, small)
        self.root = store._root
        super().__init__(
            case, store, executor, max_file_size, database, users, anonymous, limits, quota
        )

    @classmethod
    def over(
        cls, case: SynchronousTestCase, store: LocalStore, users: Sequence[User] | None = None
    ) -> Depot:
        """A server over a store that is there already."""
        return cls(case, users=users, store=store)

    def files(self) -> list[str]:
        """What lies in the storage directory, beside the databases: relative paths, sorted."""
        return sorted(
            str(path.relative_to(self.root))
            for folder in ("objects", "incoming")
            for path in (self.root / folder).rglob("*")
            if path.is_file()
        )
