"""
Commit the changes of several writers together: one commit takes all that came during the one
before it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.model.errors import NoSpace
from xferproto.threads.batcher import Batcher
from xferproto.threads.executor import Executor

R = TypeVar("R")


class CommitInDoubt(Exception):
    """A commit failed, and it is not known whether it is on the disk after a crash all the same."""


@dataclass(slots=True)
class _Write(Generic[R]):
    """A change that waits for a commit, and who waits for it."""

    change: Callable[[sqlite3.Connection], R]
    committed: Deferred[R] = field(default_factory=Deferred)
    outcome: R | Failure | None = None


class GroupCommit:
    """
    Makes changes to a database, many to a transaction.

    @param connection: only this uses it for writing.
    @param executor: runs the transactions, one at a time.
    """

    def __init__(self, connection: sqlite3.Connection, executor: Executor) -> None:
        self._connection = connection
        self._batcher: Batcher[_Write[Any]] = Batcher(executor, self._commit, _answer, _refuse)

    def write(self, change: Callable[[sqlite3.Connection], R]) -> Deferred[R]:
        """
        Make a change: fires with what it returns, once that is durable.

        @param change: runs within a transaction; what it raises undoes it alone.
        @raise NoSpace: the disk is full.
        """
        write = _Write(change)
        self._batcher.put(write)
        return write.committed

    def when_idle(self) -> Deferred[None]:
        """Fires when no change waits for its commit."""
        return self._batcher.when_idle()

    def _commit(self, batch: list[_Write[Any]]) -> None:
        connection = self._connection
        committing = False
        try:
            if connection.in_transaction:  # what could not be rolled back when it failed
                connection.rollback()
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
            committing = True
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            roll_back(connection, committing, error)
            if is_full(error):
                raise NoSpace() from error
            raise


def _answer(batch: list[_Write[Any]]) -> None:
    for write in batch:
        write.committed.callback(write.outcome)


def _refuse(failure: Failure, batch: list[_Write[Any]]) -> None:
    for write in batch:
        write.committed.errback(failure)


_NOT_WRITTEN = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
"""Where a COMMIT fails so, its last page has not been written, and nothing is in doubt."""


def roll_back(connection: sqlite3.Connection, committing: bool, error: Exception) -> None:
    """
    Undo a transaction that failed, so that it is undone after a crash too.

    @param committing: whether the COMMIT has failed, and not a statement before it.
    @raise CommitInDoubt: that can't be done.
    """
    certain = not committing or _code(error) in _NOT_WRITTEN
    try:
        if connection.in_transaction:
            connection.rollback()
        if not certain:
            settle(connection)
    except sqlite3.Error:
        if not certain:
            raise CommitInDoubt(str(error)) from error


def settle(connection: sqlite3.Connection) -> None:
    """
    Write over what a failed commit may have left in the write-ahead log. Without this a recovery
    could find it there, whole: it was written, and only its sync has failed.

    @raise sqlite3.Error: this fails too.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA user_version = {version}")  # writes a page, and changes nothing
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()


def checkpoint(connection: sqlite3.Connection) -> None:
    """Let the write-ahead log begin anew, so that what comes finds room in it on a full disk."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def is_full(error: BaseException) -> bool:
    """Whether a database error says that the disk is full."""
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: BaseException) -> int:
    """The primary result code of SQLite; 0 where the error is none of its."""
    return 0xFF & (getattr(error, "sqlite_errorcode", None) or 0)
