"""What a server and its store hold for those who use them; nothing at the end of each test."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.executors import SteppedExecutor
from xferproto.depot.depot import Depot
from xferproto.depot.hash_turns import ROTATING, SLOTS, Slots
from xferproto.server.auth.login_throttle import LoginThrottle
from xferproto.server.factory import XferServerFactory
from xferproto.server.line.protocol import LineProtocol
from xferproto.store.interface import IStore
from xferproto.store.local.store import LocalStore
from xferproto.store.memory.store import MemoryStore
from xferproto.threads.executor import Executor

DESCRIPTORS = Path("/proc/self/fd")
"""What this process has open, where the system says it."""


def held_by_store(store: IStore) -> dict[str, object]:
    """What a store keeps for uploads, requests and contents; of unknown kinds nothing."""
    if isinstance(store, MemoryStore):
        return _there({"tokens": store._uploads.leases})
    if not isinstance(store, LocalStore):
        return {}
    return _there(
        {
            "reservations": store._space.held,
            "tokens": store._resumable.leases._held,
            "locks": store._locks._locks,
            "commits and the like": store._pending,
            "open files": _open_files(store._root),
        }
    )


def held_by_depot(depot: Depot) -> dict[str, object]:
    """What a depot keeps for requests, of whatever protocol."""
    quota, admission, workers = depot.quota, depot.admission, depot.workers
    usages = (quota._all, *quota._owners.values())
    return _there(
        {
            "work": depot._work,
            "slots of uploads": admission._inside,
            "uploads that wait": admission._waiting,
            "tokens": depot.tokens,
            "memory": [b._members for b in (depot.incoming, depot.small, depot.outgoing)],
            "workers": workers._streams,
            "bytes": [usage.reserved for usage in usages],
            "reservations of bytes": [one for usage in usages for one in usage.reservations],
            "turns of hashing": _taken(depot.turns.hashing, SLOTS),
            "files that are hashed in turns": _taken(depot.turns.rotation, ROTATING),
        }
    )


def held_by_server(factory: XferServerFactory) -> dict[str, object]:
    """What the connections of a server hold together, those that are open among them."""
    return held_by_depot(factory.depot) | _there(
        {
            "connections": factory.connections._open,
            "logins": _logins(factory.authenticator._throttle),
            "passwords": _passwords(factory),
            "counted connections": factory.connections.limit._open,
        }
    )


def _there(held: dict[str, object]) -> dict[str, object]:
    """What there is of it."""
    return {
        what: found
        for what, found in held.items()
        if (any(found) if isinstance(found, list) else found)
    }


def _open_files(root: Path) -> list[str]:
    """The files in the folders of a storage directory that this process has open."""
    folders = tuple(f"{root.absolute() / name}/" for name in ("objects", "incoming", "partial"))
    found = []
    # Paths as text: a test with many stores looks at many thousands.
    for descriptor in os.listdir(DESCRIPTORS) if DESCRIPTORS.is_dir() else ():  # noqa: PTH208
        with contextlib.suppress(OSError):  # it was that of the listing
            found.append(os.readlink(f"{DESCRIPTORS}/{descriptor}"))  # noqa: PTH115
    return [path for path in found if path.startswith(folders)]


def _taken(places: Slots, count: int) -> int:
    return count - places._free + len(places._uploads) + len(places._others)


def _logins(throttle: LoginThrottle) -> list[int]:
    """How many logins of each peer and of each user are under way, charged, in turn or waiting."""
    return [
        record.under_way + record.charges + record.turns._taken + len(record.turns._waiting)
        for table in (throttle._peers, throttle._users)
        for record in table._records.values()
    ]


def _passwords(factory: XferServerFactory) -> int:
    """How many passwords are looked at, or wait to be."""
    found = 0
    for checker in {*factory.authenticator.portal.checkers.values()}:
        turns = getattr(checker, "_turns", None)
        if turns is not None:
            found += turns.limit - turns.tokens + len(turns.waiting)
    return found


def run_out(*executors: Executor | None) -> None:
    """Let the threads do what is left, and what comes of it."""
    stepped = [executor for executor in executors if isinstance(executor, SteppedExecutor)]
    while any(map(len, stepped)):
        for executor in stepped:
            executor.run_all()


def assert_nothing_held(
    case: SynchronousTestCase, store: IStore, factory: XferServerFactory | None = None
) -> None:
    """Nothing is claimed of a quota, reserved on the disk, locked, or kept of what all share."""
    case.assertEqual(held_by_store(store), {})
    if factory is not None:
        case.assertEqual(held_by_server(factory), {})


def close_store(
    case: SynchronousTestCase, store: IStore, *executors: Executor | None
) -> Deferred[None]:
    """Close a store in which nothing is held, for a clean-up; these run its work."""
    run_out(*executors)
    found = held_by_store(store)
    closing = store.close()
    run_out(*executors)
    case.assertEqual(found, {})
    return closing


def end_sessions(factory: XferServerFactory) -> None:
    """Every connection of a server is lost now."""
    for connection in list(factory.connections._open):
        assert isinstance(connection, LineProtocol)
        connection.connectionLost(Failure(ConnectionLost()))
