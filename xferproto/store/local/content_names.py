"""
The names of one content, in order, page by page.

No index has them in order. A few are sorted where they stand; of many each page costs a look at all
of them, or a walk along the names of all contents, whichever is less.
"""

from __future__ import annotations

import sqlite3

from twisted.internet.defer import Deferred
from zope.interface import implementer

from xferproto.store.interface import ITextListing
from xferproto.store.local.page_length import Page, Paging
from xferproto.threads.executor import Executor

FEW = 16
"""So many names of a content are read at once, beside other queries; more are read elsewhere."""

ENTRIES_ON_PAGE = 16
"""About how many entries a page of the database has."""


class Names:
    """
    Reads the names of contents.

    @param connection: to the catalogue; only this uses it, on C{scans}.
    @param reading: to the catalogue, for what is read fast.
    @param reader: runs what uses C{reading}.
    @param scans: runs what may read many rows; one thing at a time.
    @param paging: how long pages are.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        reading: sqlite3.Connection,
        reader: Executor,
        scans: Executor,
        paging: Paging,
    ) -> None:
        self._connection = connection
        self._reading = reading
        self._reader = reader
        self._scans = scans
        self.paging = paging

    def few(self, id: str, only: str | None) -> Deferred[Page | None]:
        """All names of a content, where it has few."""
        return self._reader.run(self._few, id, only)

    def count(self, id: str) -> Deferred[int]:
        """How many names a content has, of whomever."""
        return self._scans.run(self._count, id)

    def page(
        self, id: str, only: str | None, after: str, count: int, entries: int, most: int
    ) -> Deferred[Page]:
        """
        The names of a content that come after another one.

        @param count: how many it has, about.
        @param entries: how many to look for.
        @param most: how many bytes they may have.
        """
        return self._scans.run(self._page, id, only, after, count, entries, most)

    def _few(self, id: str, only: str | None) -> Page | None:
        rows = self._reading.execute(
            "SELECT name, size, owner FROM entry WHERE id = ? LIMIT ?", (id, FEW + 1)
        ).fetchall()
        if len(rows) > FEW:
            return None
        seen = sorted({(name, size) for name, size, owner in rows if only in (None, owner)})
        return Page("".join(f"{id};{name};{size}\n" for name, size in seen).encode(), True)

    def _count(self, id: str) -> int:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM entry WHERE id = ?", (id,)
        ).fetchone()
        return int(count)

    def _page(
        self, id: str, only: str | None, after: str, count: int, entries: int, most: int
    ) -> Page:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        # A plus keeps its column from being looked up in an index.
        if count * count > pages * ENTRIES_ON_PAGE * entries:
            of = "entry WHERE +id = ? AND name > ?"
            own = " AND owner = ?" + (" AND owner <> ''" if only else "")
        else:
            of = "entry INDEXED BY entry_of_content WHERE id = ? AND +name > ?"
            own = " AND +owner = ?"
        # The inner queries' orders are kept: with a LIMIT they can't be left out.
        text, rows = self._connection.execute(
            "SELECT CAST(group_concat(line, '') AS BLOB), sum(rows) FROM ("
            " SELECT id || ';' || name || ';' || size || char(10) AS line, count(*) AS rows FROM ("
            f" SELECT id, name, size FROM {of}"
            + ("" if only is None else own)
            + " ORDER BY name LIMIT ?)"
            " GROUP BY name ORDER BY name LIMIT -1)",
            (id, after, *(() if only is None else (only,)), entries),
        ).fetchone()
        return Page.of(text or b"", rows == entries, most)


@implementer(ITextListing)
class LocalNames:
    """The entries of one content."""

    def __init__(self, names: Names, id: str, only: str | None) -> None:
        self._names = names
        self._id = id
        self._only = only
        self._size = names.paging.begin()
        self._after = ""
        self._count: int | None = None
        self._ended = False

    async def _read(self) -> bytes:
        if self._ended:
            return b""
        if self._count is None:
            few = await self._names.few(self._id, self._only)
            if few is not None:
                self._ended = True
                return few.text
            self._count = await self._names.count(self._id)
        page = await self._names.page(
            self._id, self._only, self._after, self._count, self._size.entries, self._size.most
        )
        self._ended = page.last
        if page.text:
            self._size.learn(page.text)
            last = page.text[page.text.rfind(b"\n", 0, -1) + 1 :].decode()
            self._after = last.partition(";")[2].rpartition(";")[0]
        return page.text

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._read())
