"""
The store in memory: every question is answered at once, nothing blocks, and nothing survives.

It meets L{IStore} like the one on a disk does, and shares no code with that: where the two agree on
the contract suite, the contract is what they agree on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from xferproto.model.entry import ContentStatus, Digests, Entry, StoredEntry, UploadStatus
from xferproto.model.errors import Corrupt
from xferproto.model.identity import View
from xferproto.store.interface import (
    MOST_TOKENS,
    Claiming,
    IContent,
    IPartial,
    IStore,
    ITextListing,
    IUpload,
    check_limit,
)
from xferproto.store.memory.catalogue import Content, MemoryCatalogue
from xferproto.store.memory.maintenance import MemoryMaintenance
from xferproto.store.memory.uploads import MemoryUpload, MemoryUploads, exactly

SMALL = 64 * 1024
"""The most bytes of a small content."""

PAGE = 1000
"""Entries on a page of text."""


@implementer(IContent)
class MemoryContent:
    """A content, open: as it was then, whatever becomes of it."""

    def __init__(self, entry: Entry, content: Content) -> None:
        self.entry = entry
        self.identity = content.identity
        self._data = content.data

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return execute(exactly, self._data, offset, length)

    def close(self) -> None:
        """There is nothing to let go of."""


@implementer(ITextListing)
class MemoryListing:
    """
    Entries as text, page by page.

    @param behind: the entries behind a name and an id; from the first where it is None.
    @param page: how many come on a page.
    """

    def __init__(
        self, behind: Callable[[tuple[str, str] | None], Sequence[Entry]], page: int
    ) -> None:
        self._behind = behind
        self._page = page
        self._last: tuple[str, str] | None = None

    def _read(self) -> bytes:
        entries = self._behind(self._last)[: self._page]
        if entries:
            self._last = entries[-1].name, entries[-1].id
        return "".join(f"{one.id};{one.name};{one.size}\n" for one in entries).encode()

    def read(self) -> Deferred[bytes]:
        return execute(self._read)


@implementer(IStore)
class MemoryStore:
    """
    A store that keeps all in memory.

    @param now: the time, seconds since the epoch.
    @param small: the most bytes of a small content; -1 for none.
    @param tokens: how many tokens an owner may have.
    @param page: how many entries come on a page of text.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        small: int = SMALL,
        tokens: int = MOST_TOKENS,
        page: int = PAGE,
    ) -> None:
        self.small = small
        self._page = page
        self._catalogue = MemoryCatalogue(now)
        self._uploads = MemoryUploads(self._catalogue, tokens)
        self.maintenance = MemoryMaintenance(self._catalogue, self._uploads)

    # Uploads

    def create(self, name: str, size: int, view: View) -> Deferred[IUpload]:
        return succeed(MemoryUpload(self._catalogue, name, size, view.owner))

    def resume(
        self,
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        view: View,
        claim: Claiming | None = None,
    ) -> Deferred[IPartial]:
        resuming = self._uploads.resume(name, size, token, sha256, view, claim)
        return Deferred.fromCoroutine(resuming)

    def upload_status(self, token: str, view: View) -> Deferred[UploadStatus | None]:
        return execute(self._uploads.status, token, view)

    def _put(self, entry: Entry, content: bytes, digests: Digests, owner: str) -> Entry:
        self._catalogue.store(entry, digests, bytes(content), owner)
        return entry

    def put(self, name: str, content: bytes, digests: Digests, view: View) -> Deferred[Entry]:
        entry = Entry(digests.md5, name, len(content))
        return execute(self._put, entry, content, digests, view.owner)

    # Entries

    def list(
        self, prefix: str, after: tuple[str, str] | None, limit: int, view: View
    ) -> Deferred[Sequence[StoredEntry]]:
        check_limit(limit)
        entries = self._catalogue.entries(prefix, after, view.owner_filter)
        return succeed([*itertools.islice(entries, limit)])

    def find(self, name: str, limit: int, view: View) -> Deferred[Sequence[StoredEntry]]:
        check_limit(limit)
        entries = self._catalogue.entries(name, None, view.owner_filter)
        same = itertools.takewhile(lambda one: one.entry.name == name, entries)
        found = sorted(same, key=lambda one: (-one.stored, one.entry.id))
        return succeed(found[:limit])

    def _listing(self, prefix: str, view: View, damaged: bool) -> ITextListing:
        def behind(after: tuple[str, str] | None) -> Sequence[Entry]:
            entries = self._catalogue.entries(prefix, after, view.owner_filter)
            return [one.entry for one in entries if one.damaged is damaged]

        return MemoryListing(behind, self._page)

    def list_text(self, prefix: str, view: View) -> ITextListing:
        return self._listing(prefix, view, damaged=False)

    def list_damaged_text(self, prefix: str, view: View) -> ITextListing:
        return self._listing(prefix, view, damaged=True)

    def names_text(self, id: str, view: View) -> ITextListing:
        def behind(after: tuple[str, str] | None) -> Sequence[Entry]:
            names = {name for name, _, _ in self._catalogue.names(id, view.owner_filter)}
            rest = sorted(name for name in names if after is None or name > after[0])
            return [Entry(id, name, self._catalogue.contents[id].size) for name in rest]

        return MemoryListing(behind, self._page)

    # Contents

    def _visible(self, id: str, view: View) -> tuple[Content, Entry, float]:
        found = self._catalogue.visible(id, view.owner_filter)
        if found[0].damaged:
            raise Corrupt()
        return found

    def _readable(self, id: str, view: View) -> tuple[Content, Entry]:
        content, entry, _ = self._visible(id, view)
        if not content.whole:
            raise Corrupt()
        return content, entry

    def _get(self, id: str, view: View) -> tuple[Entry, bytes | None]:
        content, entry = self._readable(id, view)
        return entry, content.data if content.size <= self.small else None

    def get(self, id: str, view: View) -> Deferred[tuple[Entry, bytes | None]]:
        return execute(self._get, id, view)

    def _open(self, id: str, view: View) -> IContent:
        content, entry = self._readable(id, view)
        return MemoryContent(entry, content)

    def open(self, id: str, view: View) -> Deferred[IContent]:
        return execute(self._open, id, view)

    def _status(self, id: str, view: View) -> ContentStatus:
        content, _, stored = self._visible(id, view)
        times = (content.stored, content.verified) if view.all else (stored, stored)
        return ContentStatus(content.size, content.sha256, *times)

    def status(self, id: str, view: View) -> Deferred[ContentStatus]:
        return execute(self._status, id, view)

    def _delete(self, id: str, name: str | None, view: View) -> None:
        if self._catalogue.remove(id, name, view.owner_filter):
            self._uploads.deleted(id)

    def delete(self, id: str, name: str | None, view: View) -> Deferred[None]:
        return execute(self._delete, id, name, view)

    # The whole

    def usage(self, owner: str | None) -> Deferred[int]:
        return execute(self._usage, owner)

    def _usage(self, owner: str | None) -> int:
        return self._catalogue.usage(owner) + self._uploads.usage(owner)

    def close(self) -> Deferred[None]:
        return succeed(None)
