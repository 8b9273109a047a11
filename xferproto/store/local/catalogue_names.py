"""
Read the names of one content, in order, page by page.

No index has them in order. A few are sorted where they stand; of many each page costs a look at all
of them, or a walk along the names of all contents, whichever is less.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from xferproto.store.local.catalogue_database import CatalogueDatabase
from xferproto.store.local.page_length import Page, Paging

FEW = 16
"""So many names of a content are read at once, beside other queries; more are read elsewhere."""

ENTRIES_ON_PAGE = 16
"""About how many entries a page of the database has."""


class Names:
    """
    Reads the names of contents.

    @param database: the catalogue's.
    @param paging: how long pages are.
    """

    def __init__(self, database: CatalogueDatabase, paging: Paging) -> None:
        self._database = database
        self.paging = paging

    def few(self, id: str, owner_filter: str | None) -> Deferred[Page | None]:
        """All names of a content, where it has few."""
        return self._database.read(self._few, id, owner_filter)

    def count(self, id: str) -> Deferred[int]:
        """How many names a content has, of whomever."""
        return self._database.scan(self._count, id)

    def page(
        self, id: str, owner_filter: str | None, after: str, count: int, entries: int, most: int
    ) -> Deferred[Page]:
        """
        The names of a content that come after another one.

        @param count: how many it has, about.
        @param entries: how many to look for.
        @param most: how many bytes they may have.
        """
        return self._database.scan(self._page, id, owner_filter, after, count, entries, most)

    def _few(self, id: str, owner_filter: str | None) -> Page | None:
        rows = self._database.reading.execute(
            "SELECT name, size, owner FROM entry WHERE id = ? LIMIT ?", (id, FEW + 1)
        ).fetchall()
        if len(rows) > FEW:
            return None
        seen = sorted({(name, size) for name, size, owner in rows if owner_filter in (None, owner)})
        return Page("".join(f"{id};{name};{size}\n" for name, size in seen).encode(), True)

    def _count(self, id: str) -> int:
        (count,) = self._database.scanning.execute(
            "SELECT count(*) FROM entry WHERE id = ?", (id,)
        ).fetchone()
        return int(count)

    def _page(
        self, id: str, owner_filter: str | None, after: str, count: int, entries: int, most: int
    ) -> Page:
        (pages,) = self._database.scanning.execute("PRAGMA page_count").fetchone()
        # A plus keeps its column from being looked up in an index.
        if count * count > pages * ENTRIES_ON_PAGE * entries:
            of = "entry WHERE +id = ? AND name > ?"
            own = " AND owner = ?" + (" AND owner <> ''" if owner_filter else "")
        else:
            of = "entry INDEXED BY entry_of_content WHERE id = ? AND +name > ?"
            own = " AND +owner = ?"
        # The inner queries' orders are kept: with a LIMIT they can't be left out.
        text, rows = self._database.scanning.execute(
            "SELECT CAST(group_concat(line, '') AS BLOB), sum(rows) FROM ("
            " SELECT id || ';' || name || ';' || size || char(10) AS line, count(*) AS rows FROM ("
            f" SELECT id, name, size FROM {of}"
            + ("" if owner_filter is None else own)
            + " ORDER BY name LIMIT ?)"
            " GROUP BY name ORDER BY name LIMIT -1)",
            (id, after, *(() if owner_filter is None else (owner_filter,)), entries),
        ).fetchone()
        return Page.of(text or b"", rows == entries, most)
