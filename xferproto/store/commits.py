"""
Commits that writers share: what gathers while one is on its way to the disk goes into the next one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.errors import NoSpace
from xferproto.executor import Executor
from xferproto.lane import Lane

R = TypeVar("R")


@dataclass(slots=True)
class _Write(Generic[R]):
    """A change that waits for a commit, and who waits for it."""

    change: Callable[[sqlite3.Connection], R]
    committed: Deferred[R] = field(default_factory=Deferred)
    outcome: R | Failure | None = None


class SharedCommits:
    """
    Makes changes to a database, many to a transaction.

    @param connection: only this uses it for writing.
    @param executor: runs the transactions, one at a time.
    """

    def __init__(self, connection: sqlite3.Connection, executor: Executor) -> None:
        self._connection = connection
        self._lane: Lane[_Write[Any]] = Lane(executor, self._commit, _answer, _refuse)

    def write(self, change: Callable[[sqlite3.Connection], R]) -> Deferred[R]:
        """
        Make a change: fires with what it returns, once that is durable.

        @param change: runs within a transaction; what it raises undoes it alone.
        @raise NoSpace: the disk is full.
        """
        write = _Write(change)
        self._lane.put(write)
        return write.committed

    def when_idle(self) -> Deferred[None]:
        """Fires when no change waits for its commit."""
        return self._lane.when_idle()

    def _commit(self, batch: list[_Write[Any]]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                connection.execute("SAVEPOINT change")
                try:
                    write.outcome = write.change(connection)
                except Exception as error:
                    if not connection.in_transaction:  # SQLite has given up all of it
                        raise
                    write.outcome = Failure(NoSpace() if is_full(error) else error)
                    connection.execute("ROLLBACK TO change")
                connection.execute("RELEASE change")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.rollback()
            if is_full(error):
                raise NoSpace() from error
            raise


def _answer(batch: list[_Write[Any]]) -> None:
    for write in batch:
        write.committed.callback(write.outcome)


def _refuse(failure: Failure, batch: list[_Write[Any]]) -> None:
    for write in batch:
        write.committed.errback(failure)


def is_full(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
