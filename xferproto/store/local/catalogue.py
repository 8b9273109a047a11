"""
The catalogue: which contents a store has, under which names. SQLite, in WAL mode.

Only a row here makes a file listed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xferproto.store.local.catalogue_contents import ContentTable
from xferproto.store.local.catalogue_database import CatalogueDatabase
from xferproto.store.local.catalogue_entries import EntryTable
from xferproto.store.local.catalogue_uploads import UploadTable
from xferproto.threads.executor import Executor


class Catalogue:
    """
    The tables of one store.

    @param path: the SQLite file; made when it is not there.
    @param writer: runs the commits, one at a time.
    @param reader: runs the queries.
    @param leave: called on the writer's thread, before the commit, with each row among the small
        contents that a content has no more then.
    @param scans: runs the queries that may look at many rows; the reader where it is None.
    @raise StorageUnavailable: the file can't be made or read, or is no catalogue of this version.
    @ivar database: its connections.
    @ivar contents: the contents and their names.
    @ivar entries: the listings.
    @ivar uploads: the uploads under tokens.
    """

    def __init__(
        self,
        path: Path,
        writer: Executor,
        reader: Executor,
        leave: Callable[[int], object] = lambda number: None,
        scans: Executor | None = None,
    ) -> None:
        self.database = CatalogueDatabase(path, writer, reader, scans)
        self.contents = ContentTable(self.database, leave)
        self.entries = EntryTable(self.database)
        self.uploads = UploadTable(self.database)

    async def close(self) -> None:
        """Finish the commits and queries that wait, then close the file."""
        await self.database.close()
