"""Open the database of a catalogue, and run queries and changes on its connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred

from xferproto.model.errors import StorageUnavailable
from xferproto.store.local.catalogue_pages import index_damaged
from xferproto.store.local.group_commit import GroupCommit
from xferproto.store.local.schema import open_database
from xferproto.threads.executor import Executor

P = ParamSpec("P")
R = TypeVar("R")

CACHE = 32 * 1024
"""
KiB of pages kept for writing: ids are random, and so are the pages they change. The connections
for reading make do with the 2 MiB that SQLite takes by itself.
"""


class CatalogueDatabase:
    """
    Opens a catalogue, and runs queries and changes.

    @param path: the SQLite file; made when it is not there.
    @param writer: runs the commits, one at a time.
    @param reader: runs the queries.
    @param scans: runs the queries that may look at many rows; the reader where it is None.
    @raise StorageUnavailable: the file can't be made or read, or is no catalogue of this version.
    @ivar writing: the connection for writing, on the writer's thread.
    @ivar reading: the connection for what is read fast, on the reader's thread.
    @ivar scanning: the connection for long queries.
    """

    def __init__(
        self, path: Path, writer: Executor, reader: Executor, scans: Executor | None
    ) -> None:
        self._reader = reader
        self._scans = reader if scans is None else scans
        try:
            self.writing = open_database(path)
            self.writing.execute(f"PRAGMA cache_size = {-CACHE}")
            self.reading = open_database(path)
            self.scanning = open_database(path)
            index_damaged(self.writing)
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"The catalogue {path} can't be opened: {error}.") from error
        self._commits = GroupCommit(self.writing, writer)

    def read(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Run a fast query, which uses C{reading}."""
        return self._reader.run(work, *args, **kwargs)

    def scan(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Run a query that may look at many rows, which uses C{scanning}."""
        return self._scans.run(work, *args, **kwargs)

    def write(self, change: Callable[[sqlite3.Connection], R]) -> Deferred[R]:
        """
        Make a change, in a commit with others: fires with what it returns, once that is durable.

        @param change: runs within a transaction; what it raises undoes it alone.
        @raise NoSpace: the disk is full.
        """
        return self._commits.write(change)

    def execute(self, statement: str, *parameters: object) -> Deferred[None]:
        """Make a change of one statement."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(statement, parameters)

        return self.write(change)

    async def close(self) -> None:
        """Finish the commits and queries that wait, then close the file."""
        await self._commits.when_idle()
        for executor in (self._reader, self._scans):
            await executor.run(lambda: None)  # behind the last query
        self.scanning.close()
        self.reading.close()
        self.writing.close()
