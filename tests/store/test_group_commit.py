"""Commits that writers share: each change is made whole, or not at all."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.executors import SteppedExecutor
from xferproto.model.errors import NoSpace
from xferproto.store.local.group_commit import GroupCommit
from xferproto.store.local.schema import open_durable


class SharedCommitsTests(SynchronousTestCase):
    """Many changes to a transaction."""

    def test_undone_alone(self) -> None:
        """A change that fails half way is undone, and no other."""
        connection = open_durable(Path(self.mktemp()), 7, "CREATE TABLE t (a);", 1)
        self.addCleanup(connection.close)
        executor = SteppedExecutor()
        commits = GroupCommit(connection, executor)

        def insert(value: str, connection: sqlite3.Connection) -> str:
            connection.execute("INSERT INTO t VALUES (?)", (value,))
            if value.startswith("bad"):
                raise LookupError(value)
            return value

        values = ["first", "a", "bad 1", "b", "bad 2", "c"]
        writes = [commits.write(partial(insert, value)) for value in values]
        executor.run_all()
        for value, write in zip(values, writes, strict=True):
            if value.startswith("bad"):
                self.failureResultOf(write, LookupError)
            else:
                self.assertEqual(self.successResultOf(write), value)
        rows = [row[0] for row in connection.execute("SELECT a FROM t ORDER BY rowid")]
        self.assertEqual(rows, ["first", "a", "b", "c"])
        self.successResultOf(commits.when_idle())

    def test_given_up(self) -> None:
        """Where SQLite gives up the whole transaction for lack of room, all in it have none."""
        connection = open_durable(Path(self.mktemp()), 7, "CREATE TABLE t (a);", 1)
        self.addCleanup(connection.close)
        executor = SteppedExecutor()
        commits = GroupCommit(connection, executor)
        commits.write(lambda connection: None)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (1)")

        def fail(connection: sqlite3.Connection) -> None:
            connection.rollback()
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        writes = [commits.write(change) for change in (insert, fail, insert)]
        executor.run_all()
        for write in writes:
            self.failureResultOf(write, NoSpace)
        self.assertEqual(connection.execute("SELECT count(*) FROM t").fetchone(), (0,))
        again = commits.write(insert)
        executor.run_all()
        self.successResultOf(again)
        self.assertEqual(connection.execute("SELECT count(*) FROM t").fetchone(), (1,))
