"""List the entries of a local store as text, page by page."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from xferproto.store.interface import ITextListing
from xferproto.store.local.catalogue_entries import EntryTable
from xferproto.store.local.catalogue_names import Names


@implementer(ITextListing)
class LocalListing:
    """The entries with a prefix: those of damaged contents, or all others."""

    def __init__(
        self, entries: EntryTable, prefix: str, owner_filter: str | None, damaged: bool = False
    ) -> None:
        self._entries = entries
        self._size = entries.paging.begin()
        self._owner_filter = owner_filter
        self._prefix = prefix
        self._damaged = damaged
        self._last: tuple[str, str] | None = None
        self._ended = False

    async def _read(self) -> bytes:
        if self._ended:
            return b""
        page = await self._entries.page(
            self._prefix, self._last, self._size, self._owner_filter, self._damaged
        )
        self._ended = page.last
        if page.text:
            self._size.learn(page.text)
            last = page.text[page.text.rfind(b"\n", 0, -1) + 1 :].decode()
            id, _, rest = last.partition(";")
            self._last = (rest.rpartition(";")[0], id)
        return page.text

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._read())


@implementer(ITextListing)
class LocalNames:
    """The entries of one content."""

    def __init__(self, names: Names, id: str, owner_filter: str | None) -> None:
        self._names = names
        self._id = id
        self._owner_filter = owner_filter
        self._size = names.paging.begin()
        self._after = ""
        self._count: int | None = None
        self._ended = False

    async def _read(self) -> bytes:
        if self._ended:
            return b""
        if self._count is None:
            few = await self._names.few(self._id, self._owner_filter)
            if few is not None:
                self._ended = True
                return few.text
            self._count = await self._names.count(self._id)
        page = await self._names.page(
            self._id,
            self._owner_filter,
            self._after,
            self._count,
            self._size.entries,
            self._size.most,
        )
        self._ended = page.last
        if page.text:
            self._size.learn(page.text)
            last = page.text[page.text.rfind(b"\n", 0, -1) + 1 :].decode()
            self._after = last.partition(";")[2].rpartition(";")[0]
        return page.text

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._read())
