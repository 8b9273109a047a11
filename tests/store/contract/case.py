"""
What the questions to a store share.

They ask through L{xferproto.store.interface} alone, and nothing relies on when a Deferred fires.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from tests.support.held import close_store
from xferproto.model.entry import Digests, Entry, Status
from xferproto.model.errors import (
    RequestError,
)
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.interface import IPartial, IStore, ITextListing, IUpload

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _TestCase
else:
    _TestCase = object


def digests_of(data: bytes) -> Digests:
    """Both hashes of a content."""
    return Digests(hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())


def entry_of(name: str, data: bytes) -> Entry:
    """The entry that C{data} gets under C{name}."""
    return Entry(digests_of(data).md5, name, len(data))


async def begin(store: IStore, name: str, data: bytes) -> IUpload:
    """An upload whose bytes are all written."""
    upload = await store.create(name, len(data), EVERYTHING)
    upload.write([data])
    return upload


async def put(store: IStore, name: str, data: bytes) -> Entry:
    """Store a content under a name, as a server does it: a small one in one piece."""
    if len(data) <= store.small:
        return await store.put(name, data, digests_of(data), EVERYTHING)
    upload = await begin(store, name, data)
    return await upload.commit(digests_of(data))


async def hold(store: IStore, token: str, data: bytes, size: int, name: str = "name") -> None:
    """An upload under a token that ends when C{data} of its C{size} bytes have come."""
    partial = await store.resume(name, size, token, None, EVERYTHING)
    partial.write([data[partial.offset :]])
    await partial.abort()


async def go_on(partial: IPartial, data: bytes) -> Entry:
    """Write what an upload under a token lacks of C{data}, and commit it."""
    partial.write([data[partial.offset :]])
    return await partial.commit(digests_of(data))


async def damage(store: IStore, id: str) -> bool | None:
    """Tell the store that the bytes of a content were opened, and can't be read: what it says."""
    content = await store.open(id, EVERYTHING)
    try:
        return await store.maintenance.checked(id, None, content)
    finally:
        content.close()


def entries_of(page: bytes) -> list[Entry]:
    """The entries on a page of a listing."""
    assert not page or page.endswith(b"\n"), page
    entries = []
    for line in page.decode().split("\n")[:-1]:
        id, _, rest = line.partition(";")
        name, _, size = rest.rpartition(";")
        entries.append(Entry(id, name, int(size)))
    return entries


async def pages(listing: ITextListing) -> list[list[Entry]]:
    """The pages that are left of a listing, without the empty one at the end."""
    read = []
    while page := await listing.read():
        read.append(entries_of(page))
    return read


async def listed(store: IStore, prefix: str = "") -> list[Entry]:
    """All entries whose names begin with C{prefix}, as the store lists them."""
    return [entry for page in await pages(store.list_text(prefix, EVERYTHING)) for entry in page]


async def status_of(store: IStore, id: str, view: View = EVERYTHING) -> Status:
    """All that a store knows of a content, with the names that are seen."""
    known = await store.status(id, view)
    entries = [entry for page in await pages(store.names_text(id, view)) for entry in page]
    assert all(entry.size == known.size for entry in entries)
    return Status(tuple(entries), known.sha256, known.stored, known.verified)


async def listed_damaged(store: IStore, prefix: str = "") -> list[Entry]:
    """All damaged entries whose names begin with C{prefix}, as the store lists them."""
    return [
        entry for page in await pages(store.list_damaged_text(prefix, EVERYTHING)) for entry in page
    ]


async def stored_bytes(store: IStore, id: str) -> bytes:
    """A content, read in one piece."""
    content = await store.open(id, EVERYTHING)
    try:
        return await content.read(0, content.entry.size)
    finally:
        content.close()


def entry_ids(contents: Sequence[bytes]) -> list[str]:
    """The ids of contents."""
    return [digests_of(data).md5 for data in contents]


class StoreCase(_TestCase):
    """
    Questions to a store, which a subclass makes.

    @cvar names_on_pages: a number of entries that takes the store several pages to list.
    @ivar time: what the store must take for the time, seconds since the epoch.
    """

    names_on_pages = 8
    time = 1e9

    async def make_store(self) -> IStore:
        """A new, empty store, whose clock shows C{self.time}; the caller closes it."""
        raise NotImplementedError

    async def new_store(self) -> IStore:
        """A new, empty store that the clean-up closes."""
        store = await self.make_store()
        self.addCleanup(close_store, self, store)
        return store

    async def assert_fails(self, deferred: Deferred[Any], error: type[Exception]) -> None:
        """What C{deferred} fails with is exactly an C{error}."""
        try:
            await deferred
        except error as raised:
            self.assertIs(type(raised), error)
        else:
            self.fail(f"{error.__name__} was not raised")

    async def assert_refused(self, deferred: Deferred[Any]) -> None:
        """C{deferred} fails with an error that a client can be told, whichever."""
        try:
            await deferred
        except RequestError:
            return
        self.fail("nothing was raised")

    async def many_names(self, store: IStore, data: bytes) -> list[Entry]:
        """Store a content under so many names that it takes several pages; in name order."""
        count = self.names_on_pages
        for number in range(count):  # not in order
            await put(store, f"{number * 5 % count:03} é", data)
        return [entry_of(f"{number:03} é", data) for number in range(count)]
