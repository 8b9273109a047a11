"""List the entries of a catalogue in pages, and find them by their names."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from xferproto.model.entry import DamageSummary, StoredEntry
from xferproto.store.local.catalogue_database import CatalogueDatabase
from xferproto.store.local.catalogue_names import Names
from xferproto.store.local.catalogue_pages import (
    find_few,
    find_many,
    list_entries,
    page_of,
    summarize_damage,
)
from xferproto.store.local.page_length import Page, PageSize, Paging


class EntryTable:
    """
    Lists entries.

    The first page of a listing is read where fast queries run, further ones where long ones do:
    they wait for one another, and who asks for little does not wait for them.

    @param database: the catalogue's.
    @ivar paging: how long the pages of listings are.
    @ivar names: the names of one content.
    """

    def __init__(self, database: CatalogueDatabase) -> None:
        self._database = database
        self.paging = Paging()
        self.names = Names(database, self.paging)

    def page(
        self,
        prefix: str,
        after: tuple[str, str] | None,
        size: PageSize,
        owner_filter: str | None,
        damaged: bool,
    ) -> Deferred[Page]:
        """
        Read entries with this prefix, in name order, each a line C{id;name;size}.

        @param after: name and id of the entry behind which the page begins.
        @param size: how long it is.
        @param owner_filter: the owner whose entries are wanted, or None for all.
        @param damaged: whether those of damaged contents are wanted, or those of all others.
        """
        database = self._database
        run, connection = (
            (database.read, database.reading)
            if after is None
            else (database.scan, database.scanning)
        )
        return run(
            page_of, connection, prefix, after, owner_filter, size.entries, size.most, damaged
        )

    def list(
        self, prefix: str, after: tuple[str, str] | None, limit: int, owner_filter: str | None
    ) -> Deferred[Sequence[StoredEntry]]:
        """List entries with this prefix, damaged ones among them, in name order."""
        database = self._database
        run, connection = (
            (database.read, database.reading)
            if after is None
            else (database.scan, database.scanning)
        )
        return run(list_entries, connection, prefix, after, limit, owner_filter)

    async def find(self, name: str, limit: int, owner_filter: str | None) -> Sequence[StoredEntry]:
        """Find the entries of exactly this name, the youngest first."""
        database = self._database
        found = await database.read(find_few, database.reading, name, owner_filter)
        if found is not None:
            return found[:limit]
        return await database.scan(find_many, database.scanning, name, limit, owner_filter)

    def summarize_damage(self, most: int) -> Deferred[DamageSummary]:
        """Count the entries of damaged contents, and give the names of the first."""
        return self._database.scan(summarize_damage, self._database.scanning, most)
