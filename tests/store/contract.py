"""
What every store must do, asked of it through L{xferproto.store.interface} alone.

A store's test module mixes L{StoreContract} into a C{twisted.trial.unittest.TestCase} and says how
one is made. Nothing here relies on when a Deferred fires.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.python.failure import Failure
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from tests.support.collision import COLLISION_ID, FIRST, SECOND
from tests.support.held import close_store
from xferproto.model.entry import Digests, Entry, PartialStatus, Status
from xferproto.model.errors import (
    Busy,
    Collision,
    Corrupt,
    NoSuchFile,
    QuotaExceeded,
    RequestError,
)
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.interface import FLAT_COST, IContent, IListing, IPartial, IStore, IUpload

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
        return await store.checked(id, None, content)
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


async def pages(listing: IListing) -> list[list[Entry]]:
    """The pages that are left of a listing, without the empty one at the end."""
    read = []
    while page := await listing.read():
        read.append(entries_of(page))
    return read


async def listed(store: IStore, prefix: str = "") -> list[Entry]:
    """All entries whose names begin with C{prefix}, as the store lists them."""
    return [entry for page in await pages(store.list(prefix, EVERYTHING)) for entry in page]


async def status_of(store: IStore, id: str, view: View = EVERYTHING) -> Status:
    """All that a store knows of a content, with the names that are seen."""
    known = await store.status(id, view)
    entries = [entry for page in await pages(store.names(id, view)) for entry in page]
    assert all(entry.size == known.size for entry in entries)
    return Status(tuple(entries), known.sha256, known.stored, known.verified)


async def listed_damaged(store: IStore, prefix: str = "") -> list[Entry]:
    """All damaged entries whose names begin with C{prefix}, as the store lists them."""
    return [entry for page in await pages(store.list_damaged(prefix, EVERYTHING)) for entry in page]


async def stored_bytes(store: IStore, id: str) -> bytes:
    """A content, read in one piece."""
    content = await store.open(id, EVERYTHING)
    try:
        return await content.read(0, content.entry.size)
    finally:
        content.close()


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


class StoreContract(StoreCase):
    """The contract of L{IStore}."""

    async def assert_refused(self, deferred: Deferred[Any]) -> None:
        """C{deferred} fails with an error that a client can be told, whichever."""
        try:
            await deferred
        except RequestError:
            return
        self.fail("nothing was raised")

    # The interfaces

    async def test_interfaces(self) -> None:
        """The store and all that it makes provide their interfaces."""
        store = await self.new_store()
        self.assertTrue(verifyObject(IStore, store))
        upload = await begin(store, "name", b"content")
        self.assertTrue(verifyObject(IUpload, upload))
        entry = await upload.commit(digests_of(b"content"))
        self.assertTrue(verifyObject(IListing, store.list("", EVERYTHING)))
        content = await store.open(entry.id, EVERYTHING)
        self.addCleanup(content.close)
        self.assertTrue(verifyObject(IContent, content))

    def test_view_required(self) -> None:
        """No method takes a view that is not given: a forgotten one would show all files."""
        optional = [
            name
            for name, method in IStore.namesAndDescriptions(all=True)
            if isinstance(method, Method) and "view" in method.optional
        ]
        self.assertEqual(optional, [])

    def test_collision_pair(self) -> None:
        """The two contents that collide have one MD5, and differ."""
        for data in (FIRST, SECOND):
            self.assertEqual(digests_of(data).md5, COLLISION_ID)
        self.assertNotEqual(digests_of(FIRST).sha256, digests_of(SECOND).sha256)

    # Uploads

    async def test_not_listed_before_commit(self) -> None:
        """An upload under way is neither listed nor found, however much of it is written."""
        store = await self.new_store()
        entry = entry_of("name", b"content")
        upload = await store.create("name", 7, EVERYTHING)
        for block in (b"cont", b"ent"):
            self.assertEqual(await listed(store), [])
            await self.assert_fails(store.status(entry.id, EVERYTHING), NoSuchFile)
            await self.assert_fails(store.open(entry.id, EVERYTHING), NoSuchFile)
            upload.write([block])
        self.assertEqual(await listed(store), [])
        await upload.abort()

    async def test_listed_after_commit(self) -> None:
        """A committed upload is listed, and the commit tells its entry."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        self.assertEqual(entry, entry_of("name", b"content"))
        self.assertEqual(await listed(store), [entry])

    async def test_blocks(self) -> None:
        """The bytes of all blocks are stored in order, empty ones among them."""
        store = await self.new_store()
        upload = await store.create("name", 6, EVERYTHING)
        written: list[Sequence[bytes]] = [[b"a", b"bc"], [], [b""], (b"d", b"", b"ef")]
        for blocks in written:
            upload.write(blocks)
        entry = await upload.commit(digests_of(b"abcdef"))
        self.assertEqual(await stored_bytes(store, entry.id), b"abcdef")

    async def test_abort(self) -> None:
        """An aborted upload leaves nothing, and can be aborted again."""
        store = await self.new_store()
        upload = await begin(store, "name", b"content")
        for _ in range(2):
            await upload.abort()
            self.assertEqual(await listed(store), [])
            await self.assert_fails(store.open(digests_of(b"content").md5, EVERYTHING), NoSuchFile)

    async def test_abort_empty(self) -> None:
        """An upload can be aborted before anything is written."""
        store = await self.new_store()
        upload = await store.create("name", 7, EVERYTHING)
        await upload.abort()
        self.assertEqual(await listed(store), [])

    async def test_abort_after_commit(self) -> None:
        """Aborting a committed upload does nothing."""
        store = await self.new_store()
        upload = await begin(store, "name", b"content")
        entry = await upload.commit(digests_of(b"content"))
        for _ in range(2):
            await upload.abort()
            self.assertEqual(await listed(store), [entry])
            self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_abort_spares_others(self) -> None:
        """Aborting an upload spares the same content, stored or under way."""
        store = await self.new_store()
        entry = await put(store, "stored", b"content")
        aborted = await begin(store, "aborted", b"content")
        running = await begin(store, "running", b"content")
        await aborted.abort()
        self.assertEqual(await stored_bytes(store, entry.id), b"content")
        await running.commit(digests_of(b"content"))
        self.assertEqual([entry.name for entry in await listed(store)], ["running", "stored"])

    async def test_two_names(self) -> None:
        """Two names of one content are two entries with one id and one status."""
        store = await self.new_store()
        entries = (await put(store, "one", b"content"), await put(store, "two", b"content"))
        self.assertEqual(entries[0].id, entries[1].id)
        self.assertEqual(await listed(store), list(entries))
        status = await status_of(store, entries[0].id)
        self.assertEqual(status.entries, entries)
        self.assertEqual(await stored_bytes(store, entries[0].id), b"content")

    async def test_two_contents(self) -> None:
        """Two contents under one name are two entries, each with its own bytes."""
        store = await self.new_store()
        contents = [b"content", b"other content"]
        for data in contents:
            await put(store, "name", data)
        entries = [entry_of("name", data) for data in contents]
        self.assertEqual(await listed(store), sorted(entries, key=lambda entry: entry.id))
        for entry, data in zip(entries, contents, strict=True):
            self.assertEqual(await stored_bytes(store, entry.id), data)
            self.assertEqual((await status_of(store, entry.id)).entries, (entry,))

    async def test_same_twice(self) -> None:
        """The same content under the same name once more is no second entry."""
        store = await self.new_store()
        first = await put(store, "name", b"content")
        self.assertEqual(await put(store, "name", b"content"), first)
        self.assertEqual(await listed(store), [first])
        self.assertEqual(await stored_bytes(store, first.id), b"content")

    async def test_same_content_at_once(self) -> None:
        """The same content from several uploads at once is stored under all their names."""
        store = await self.new_store()
        names = ["a", "b", "b", "c", "d"]
        uploads = [await begin(store, name, b"content") for name in names]
        entries = await gatherResults([up.commit(digests_of(b"content")) for up in uploads])
        self.assertEqual(entries, [entry_of(name, b"content") for name in names])
        self.assertEqual(
            await listed(store), [entry_of(name, b"content") for name in ("a", "b", "c", "d")]
        )
        self.assertEqual(await stored_bytes(store, entries[0].id), b"content")

    async def test_many_at_once(self) -> None:
        """Different contents that are committed at once are all stored."""
        store = await self.new_store()
        contents = [str(number).encode() for number in range(10)]
        uploads = [await begin(store, "name", data) for data in contents]
        commits = [
            upload.commit(digests_of(data)) for upload, data in zip(uploads, contents, strict=True)
        ]
        entries = await gatherResults(commits)
        self.assertEqual(await listed(store), sorted(entries, key=lambda entry: entry.id))
        for entry, data in zip(entries, contents, strict=True):
            self.assertEqual(await stored_bytes(store, entry.id), data)

    async def test_collision(self) -> None:
        """Other bytes with a stored MD5 are refused under any name, and the stored ones stay."""
        store = await self.new_store()
        first = await put(store, "name", FIRST)
        for name in ("name", "other"):
            upload = await begin(store, name, SECOND)
            await self.assert_fails(upload.commit(digests_of(SECOND)), Collision)
            await upload.abort()
        self.assertEqual(await listed(store), [first])
        self.assertEqual(await stored_bytes(store, COLLISION_ID), FIRST)
        self.assertEqual((await status_of(store, COLLISION_ID)).sha256, digests_of(FIRST).sha256)

    async def test_stored_again_after_collision(self) -> None:
        """After a refused collision the stored content can still be stored under more names."""
        store = await self.new_store()
        await put(store, "name", FIRST)
        upload = await begin(store, "refused", SECOND)
        await self.assert_fails(upload.commit(digests_of(SECOND)), Collision)
        await put(store, "other", FIRST)
        self.assertEqual([entry.name for entry in await listed(store)], ["name", "other"])

    async def test_collision_at_once(self) -> None:
        """Of two contents with one MD5 committed at once, one is stored and one is refused."""
        store = await self.new_store()
        contents = {"first": FIRST, "second": SECOND}
        uploads = {name: await begin(store, name, data) for name, data in contents.items()}
        outcomes = await DeferredList(
            [uploads[name].commit(digests_of(data)) for name, data in contents.items()],
            consumeErrors=True,
        )
        stored = [outcome for succeeded, outcome in outcomes if succeeded]
        refused: list[Any] = [outcome for succeeded, outcome in outcomes if not succeeded]
        self.assertEqual([failure.type for failure in refused], [Collision])
        self.assertEqual(await listed(store), stored)
        (entry,) = stored
        data = contents[entry.name]
        self.assertEqual(await stored_bytes(store, COLLISION_ID), data)
        self.assertEqual((await status_of(store, COLLISION_ID)).sha256, digests_of(data).sha256)

    # Small contents, in one piece

    def small_contents(self, store: IStore) -> list[bytes]:
        """Contents of several sizes that are small ones of the store, or just above."""
        sizes = {0, 1, 7, 100, max(0, store.small - 1), max(0, store.small), store.small + 1}
        return [b"x" * size for size in sorted(sizes)]

    async def test_put(self) -> None:
        """What is put is listed, known and open, with its bytes, however large it is."""
        store = await self.new_store()
        for data in self.small_contents(store):
            entry = entry_of("name", data)
            self.assertEqual(await store.put("name", data, digests_of(data), EVERYTHING), entry)
            self.assertIn(entry, await listed(store))
            status = await status_of(store, entry.id)
            self.assertEqual(status.entries, (entry,))
            self.assertEqual(status.sha256, digests_of(data).sha256)
            self.assertEqual((status.stored, status.verified), (1e9, 1e9))
            self.assertEqual(await stored_bytes(store, entry.id), data)
            await store.delete(entry.id, None, EVERYTHING)
            await self.assert_fails(store.get(entry.id, EVERYTHING), NoSuchFile)
        self.assertEqual(await listed(store), [])

    async def test_get(self) -> None:
        """A content comes with its bytes where it is a small one, else it is to be opened."""
        store = await self.new_store()
        for data in self.small_contents(store):
            entry = await store.put("name", data, digests_of(data), EVERYTHING)
            expected = data if len(data) <= store.small else None
            self.assertEqual(await store.get(entry.id, EVERYTHING), (entry, expected))

    async def test_get_oldest_name(self) -> None:
        """The entry is that of the oldest name, as when it is opened."""
        store = await self.new_store()
        for name in ("c", "a", "b"):
            await put(store, name, b"content")
            self.time += 10
        entry, _ = await store.get(entry_of("", b"content").id, EVERYTHING)
        self.assertEqual(entry.name, "c")
        await store.delete(entry.id, "c", EVERYTHING)
        entry, _ = await store.get(entry.id, EVERYTHING)
        self.assertEqual(entry.name, "a")

    async def test_get_unknown(self) -> None:
        """What is not there is NoSuchFile, among others that are."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        gets: list[Deferred[Any]] = []
        for _ in range(3):
            gets += [
                store.get(entry.id, EVERYTHING),
                store.get(entry_of("", b"other").id, EVERYTHING),
            ]
        outcomes = await DeferredList(gets, consumeErrors=True)
        self.assertEqual([succeeded for succeeded, _ in outcomes], [True, False] * 3)
        for succeeded, outcome in outcomes:
            if succeeded:
                self.assertEqual(outcome[0], entry)
            else:
                self.assertIs(outcome.type, NoSuchFile)

    async def test_get_damaged(self) -> None:
        """What is known to be damaged is Corrupt, until it is stored again."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        await damage(store, entry.id)
        await self.assert_fails(store.get(entry.id, EVERYTHING), Corrupt)
        await put(store, "other", b"content")
        self.assertEqual((await store.get(entry.id, EVERYTHING))[0], entry)

    async def test_put_and_committed(self) -> None:
        """A content may come in one piece and as an upload, in any order; it is there once."""
        store = await self.new_store()
        for data in (b"content", b""):
            for pieces in ((True, False), (False, True), (True, False, True, False)):
                for number, in_one in enumerate(pieces):
                    name = str(number)
                    if in_one:
                        await store.put(name, data, digests_of(data), EVERYTHING)
                    else:
                        upload = await begin(store, name, data)
                        await upload.commit(digests_of(data))
                    entries = [entry_of(str(each), data) for each in range(number + 1)]
                    self.assertEqual(await listed(store), entries)
                    self.assertEqual(await stored_bytes(store, entries[0].id), data)
                    entry, content = await store.get(entries[0].id, EVERYTHING)
                    self.assertEqual(entry, entries[0])
                    self.assertIn(content, (None, data))
                await store.delete(entries[0].id, None, EVERYTHING)
                self.assertEqual(await listed(store), [])

    async def test_put_collision(self) -> None:
        """Other bytes with a stored MD5 are refused, whichever way either came."""
        for one, other in ((True, True), (True, False), (False, True)):
            store = await self.new_store()
            if one:
                first = await store.put("first", FIRST, digests_of(FIRST), EVERYTHING)
            else:
                first = await (await begin(store, "first", FIRST)).commit(digests_of(FIRST))
            if other:
                refused = store.put("second", SECOND, digests_of(SECOND), EVERYTHING)
            else:
                refused = (await begin(store, "second", SECOND)).commit(digests_of(SECOND))
            await self.assert_fails(refused, Collision)
            self.assertEqual(await listed(store), [first])
            self.assertEqual(await stored_bytes(store, COLLISION_ID), FIRST)

    async def test_put_collision_at_once(self) -> None:
        """Of two put at once the first is stored, and what shares its commit is not disturbed."""
        store = await self.new_store()
        contents = [b"before", FIRST, SECOND, b"behind", FIRST]
        outcomes = await DeferredList(
            [
                store.put(str(at), data, digests_of(data), EVERYTHING)
                for at, data in enumerate(contents)
            ],
            consumeErrors=True,
        )
        self.assertEqual([good for good, _ in outcomes].count(False), 1 if outcomes[4][0] else 2)
        for (good, outcome), data in zip(outcomes, contents, strict=True):
            if good:
                self.assertEqual(await stored_bytes(store, outcome.id), data)
            else:
                self.assertIs(type(outcome), Failure)
                self.assertEqual(getattr(outcome, "type", None), Collision)
        self.assertTrue(outcomes[0][0] and outcomes[3][0])

    async def test_put_many_at_once(self) -> None:
        """Many contents put at once, some twice or under two names, are all stored."""
        store = await self.new_store()
        contents = [str(number % 40).encode() for number in range(100)]
        names = [str(number % 60) for number in range(100)]
        entries = await gatherResults(
            [
                store.put(name, data, digests_of(data), EVERYTHING)
                for name, data in zip(names, contents, strict=True)
            ]
        )
        expected = {entry_of(name, data) for name, data in zip(names, contents, strict=True)}
        self.assertEqual(set(entries), expected)
        self.assertEqual(
            await listed(store), sorted(expected, key=lambda entry: (entry.name, entry.id))
        )
        gets = [store.get(digests_of(data).md5, EVERYTHING) for data in contents]
        for data, (entry, content) in zip(contents, await gatherResults(gets), strict=True):
            self.assertEqual(entry.id, digests_of(data).md5)
            self.assertIn(content, (None, data))

    async def test_got_while_put(self) -> None:
        """A content that is got and read while it is stored anew is whole, every time."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        work: list[Deferred[Any]] = []
        for _ in range(20):
            work.append(store.put("name", b"content", digests_of(b"content"), EVERYTHING))
            work.append(store.get(entry.id, EVERYTHING))
        for number, outcome in enumerate(await gatherResults(work)):
            if number % 2:
                self.assertEqual(outcome[0], entry)
                self.assertIn(outcome[1], (None, b"content"))

    async def test_put_while_deleted(self) -> None:
        """A content put and deleted at once is there with its bytes, or not at all."""
        store = await self.new_store()
        for _ in range(10):
            entry = await put(store, "old", b"content")
            all_of_them: list[Deferred[Any]] = [
                store.put("new", b"content", digests_of(b"content"), EVERYTHING),
                store.delete(entry.id, None, EVERYTHING),
                store.put("newer", b"content", digests_of(b"content"), EVERYTHING),
                store.delete(entry.id, "new", EVERYTHING),
            ]
            outcomes = await DeferredList(all_of_them, consumeErrors=True)
            self.assertTrue(outcomes[0][0] and outcomes[2][0])
            for left in await listed(store):
                self.assertEqual(await stored_bytes(store, left.id), b"content")
                self.assertIs(await store.checked(left.id, digests_of(b"content")), True)
            await DeferredList([store.delete(entry.id, None, EVERYTHING)], consumeErrors=True)
            self.assertEqual(await listed(store), [])

    async def test_put_while_committed(self) -> None:
        """So is one that is put and committed as an upload, and deleted, at once."""
        store = await self.new_store()
        for _ in range(10):
            upload = await begin(store, "file", b"content")
            digests = digests_of(b"content")
            all_of_them: list[Deferred[Any]] = [
                store.put("small", b"content", digests, EVERYTHING),
                upload.commit(digests),
                store.put("small", b"content", digests, EVERYTHING),
                store.delete(digests.md5, None, EVERYTHING),
                store.put("last", b"content", digests, EVERYTHING),
            ]
            outcomes = await DeferredList(all_of_them, consumeErrors=True)
            self.assertEqual([good for good, _ in outcomes[:3]], [True] * 3)
            self.assertTrue(outcomes[4][0])
            for left in await listed(store):
                self.assertEqual(await stored_bytes(store, left.id), b"content")
            await DeferredList([store.delete(digests.md5, None, EVERYTHING)], consumeErrors=True)

    async def test_put_while_checked(self) -> None:
        """What is put while its old bytes are found to be wrong is not damaged by that."""
        store = await self.new_store()
        digests = digests_of(b"content")
        for _ in range(10):
            entry = await put(store, "name", b"content")
            content = await store.open(entry.id, EVERYTHING)
            all_of_them: list[Deferred[Any]] = [
                store.checked(entry.id, None, content),
                store.put("name", b"content", digests, EVERYTHING),
                store.checked(entry.id, None, content),
            ]
            outcomes = await DeferredList(all_of_them, consumeErrors=True)
            content.close()
            self.assertTrue(outcomes[1][0])
            self.assertEqual(await listed(store), [entry])
            self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_named_while_put(self) -> None:
        """A content that is stored anew while a token gives it one more name stays known."""
        store = await self.new_store()
        digests = digests_of(b"content")
        await put(store, "name", b"content")
        for number in range(10):
            partial = await store.resume(str(number), 7, f"t{number}", digests.sha256, EVERYTHING)
            if partial.known is None:  # it was looked for between two rows
                await go_on(partial, b"content")
                continue
            work = [partial.commit(digests)]
            work += [store.put("name", b"content", digests, EVERYTHING) for _ in range(3)]
            await gatherResults(work)
        self.assertEqual(len(await listed(store)), 11)

    async def test_close_waits_for_puts(self) -> None:
        """A store that is closed finishes what was put first."""
        store = await self.make_store()
        contents = [b"content", b"content", b"other"]
        order: list[object] = []

        def note(outcome: Entry | Failure | None) -> None:
            order.append(outcome)

        puts = [
            store.put(str(number), data, digests_of(data), EVERYTHING).addCallbacks(note, note)
            for number, data in enumerate(contents)
        ]
        closed = store.close().addCallbacks(note, note)
        await gatherResults([*puts, closed])
        expected = {entry_of(str(number), data) for number, data in enumerate(contents)}
        self.assertEqual(set(order[:-1]), expected)
        self.assertIs(order[-1], None)

    # Listings

    async def put_names(self, store: IStore, names: Sequence[str]) -> None:
        """Store something under each of the names, last ones first."""
        for name in sorted(names, reverse=True):
            await put(store, name, b"content")

    async def assert_lists(self, store: IStore, prefix: str, names: Sequence[str]) -> None:
        """The names with this prefix are C{names}, in this order."""
        found = [entry.name for entry in await listed(store, prefix)]
        self.assertEqual(found, list(names), f"with prefix {prefix!a}")

    async def test_empty(self) -> None:
        """A listing of nothing is over at once, and stays so."""
        store = await self.new_store()
        listing = store.list("", EVERYTHING)
        for _ in range(2):
            self.assertEqual(await listing.read(), b"")

    async def test_order(self) -> None:
        """Names are listed in the order of their code points, not of any language or encoding."""
        store = await self.new_store()
        names = [
            *(" ", "%", "-", "A", "Z", "_", "a", "a b", "a-b", "a.b", "a/b", "a;b", "aa", "ab"),
            *("e\u0301", "z", "\u00e9", "\ud7ff", "\ue000", "\uff5e", "\U0001f600", "\U0010ffff"),
        ]
        self.assertEqual(names, sorted(names))
        await self.put_names(store, names)
        await self.assert_lists(store, "", names)

    async def test_order_of_ids(self) -> None:
        """Entries of one name are listed in the order of their ids, between the other names."""
        store = await self.new_store()
        contents = [str(number).encode() for number in range(6)]
        for name in ("b", "c", "a"):
            for data in contents:
                await put(store, name, data)
        expected = [(name, id) for name in "abc" for id in sorted(entry_ids(contents))]
        self.assertEqual([(entry.name, entry.id) for entry in await listed(store)], expected)

    async def test_prefix(self) -> None:
        """A prefix lists the names that begin with it: itself too, no other case, no pattern."""
        store = await self.new_store()
        names = ["A", "A/b", "B", "a", "a%", "a%b", "a/", "a/b", "a;b;c", "a_", "a_c", "aXc", "b"]
        await self.put_names(store, names)
        prefixes = (
            *("", "A", "a", "a%", "a_", "a/", "a/b", "a/b/", "a;", "a;b", "a;b;c", "a;c"),
            *("%", "_", "b", "c", "aX", "*", "a*", "?", "[a]"),
        )
        for prefix in prefixes:
            expected = sorted(name for name in names if name.startswith(prefix))
            await self.assert_lists(store, prefix, expected)

    async def test_prefix_of_any_character(self) -> None:
        """A prefix may end in any character, the last ones of Unicode and of its planes too."""
        store = await self.new_store()
        last = "\U0010ffff"
        names = [
            *("a", "a\ud7ff", "a\ud7ff.txt", "a\ue000", "a\uffff", "a\uffffb", "a\U00010000"),
            *(f"a{last}", f"a{last}b", f"a{last}{last}", f"a{last}{last}c", "b", "\U0001f600"),
            *("\U0001f600x", "\U0001f601", last, f"{last}b", f"{last}{last}", "e\u0301", "\u00e9"),
        ]
        await self.put_names(store, names)
        prefixes = (
            *("a", "a\ud7ff", "a\ue000", "a\uffff", "a\U00010000", f"a{last}", f"a{last}{last}"),
            *("\U0001f600", "\U0001f601", "\U0001f602", last, f"{last}{last}", last * 3, "e"),
            *("\u00e9", "e\u0301", f"b{last}"),
        )
        for prefix in prefixes:
            expected = sorted(name for name in names if name.startswith(prefix))
            await self.assert_lists(store, prefix, expected)

    async def test_pages(self) -> None:
        """A listing that takes several pages has every entry once, in order, and then an end."""
        store = await self.new_store()
        names = [f"a{number:05}" for number in range(self.names_on_pages)]
        await self.put_names(store, [*names, "b"])
        listing = store.list("a", EVERYTHING)
        read = await pages(listing)
        self.assertGreater(len(read), 1)
        self.assertEqual([entry.name for page in read for entry in page], names)
        self.assertEqual(await listing.read(), b"")

    async def test_pages_of_one_name(self) -> None:
        """A page may end between two entries of one name; none is left out or told twice."""
        store = await self.new_store()
        contents = [str(number).encode() for number in range(self.names_on_pages)]
        uploads = [await begin(store, "name", data) for data in contents]
        await gatherResults(
            [up.commit(digests_of(data)) for up, data in zip(uploads, contents, strict=True)]
        )
        read = await pages(store.list("", EVERYTHING))
        self.assertGreater(len(read), 1)
        self.assertEqual([entry.id for page in read for entry in page], sorted(entry_ids(contents)))

    async def test_added_while_listing(self) -> None:
        """Entries that come between two pages disturb neither the order nor the other entries."""
        store = await self.new_store()
        names = [f"b{number:05}" for number in range(self.names_on_pages)]
        await self.put_names(store, names)
        listing = store.list("", EVERYTHING)
        read = entries_of(await listing.read())
        new = ["a", names[0] + "x", names[-1] + "x"]
        await self.put_names(store, new)
        read += [entry for page in await pages(listing) for entry in page]
        found = [entry.name for entry in read]
        self.assertEqual([name for name in found if name not in new], names)
        self.assertEqual(found, sorted(set(found)))

    async def test_listings_apart(self) -> None:
        """Two listings read in turns do not disturb each other."""
        store = await self.new_store()
        names = [f"a{number:05}" for number in range(self.names_on_pages)]
        await self.put_names(store, names)
        listings = [store.list("", EVERYTHING), store.list("a", EVERYTHING)]
        found: list[list[str]] = [[], []]
        for _ in names:
            for listing, seen in zip(listings, found, strict=True):
                seen += [entry.name for entry in entries_of(await listing.read())]
        self.assertEqual(found, [names, names])

    # Status

    async def test_status(self) -> None:
        """The status has every entry in name order, the SHA-256, and when it was first stored."""
        store = await self.new_store()
        self.time = 1e9 + 0.25
        await put(store, "b", b"content")
        self.time = 2e9
        await put(store, "a", b"content")
        digests = digests_of(b"content")
        self.assertEqual(
            await status_of(store, digests.md5),
            Status(
                (entry_of("a", b"content"), entry_of("b", b"content")),
                digests.sha256,
                stored=1e9 + 0.25,
                verified=1e9 + 0.25,
            ),
        )

    async def many_names(self, store: IStore, data: bytes) -> list[Entry]:
        """Store a content under so many names that it takes several pages; in name order."""
        count = self.names_on_pages
        for number in range(count):  # not in order
            await put(store, f"{number * 5 % count:03} é", data)
        return [entry_of(f"{number:03} é", data) for number in range(count)]

    async def test_names(self) -> None:
        """Many names of a content come page by page, in order, each once, and no other's."""
        store = await self.new_store()
        await put(store, "000", b"other")
        await put(store, "999", b"other")
        entries = await self.many_names(store, b"content")
        read = await pages(store.names(entries[0].id, EVERYTHING))
        self.assertGreater(len(read), 1)
        self.assertEqual([entry for page in read for entry in page], entries)

    async def test_names_at_once(self) -> None:
        """Whoever reads them in turns has them all, one who gives up midway aside."""
        store = await self.new_store()
        entries = await self.many_names(store, b"content")
        given_up, one, two = (store.names(entries[0].id, EVERYTHING) for _ in range(3))
        await given_up.read()
        found: list[list[Entry]] = [[], []]
        for _ in range(len(entries) + 1):
            for listing, seen in zip((one, two), found, strict=True):
                seen += entries_of(await listing.read())
        self.assertEqual(found, [entries, entries])

    async def test_names_deleted_meanwhile(self) -> None:
        """A name that is deleted while the names are read keeps no other from being told."""
        store = await self.new_store()
        entries = await self.many_names(store, b"content")
        listing = store.names(entries[0].id, EVERYTHING)
        first = entries_of(await listing.read())
        for gone in (first[-1], entries[len(first)]):
            await store.delete(gone.id, gone.name, EVERYTHING)
        rest = [entry for page in await pages(listing) for entry in page]
        self.assertEqual(rest, entries[len(first) + 1 :])
        await store.delete(entries[0].id, None, EVERYTHING)
        self.assertEqual(await listing.read(), b"")

    async def test_names_unknown(self) -> None:
        """What is not there has no names."""
        store = await self.new_store()
        self.assertEqual(await store.names("0" * 32, EVERYTHING).read(), b"")

    async def test_unknown(self) -> None:
        """An id that nothing stored has is NoSuchFile, in an empty store and in another."""
        store = await self.new_store()
        for id in (digests_of(b"other").md5, "0" * 32, "f" * 32):
            await self.assert_fails(store.status(id, EVERYTHING), NoSuchFile)
            await self.assert_fails(store.open(id, EVERYTHING), NoSuchFile)
        await put(store, "name", b"content")
        await self.assert_fails(store.status(digests_of(b"other").md5, EVERYTHING), NoSuchFile)
        await self.assert_fails(store.open(digests_of(b"other").md5, EVERYTHING), NoSuchFile)

    # Contents

    async def test_read(self) -> None:
        """Every range of a content reads as exactly its bytes, in any order."""
        store = await self.new_store()
        data = bytes(range(256)) * 1200
        entry = await put(store, "name", data)
        content = await store.open(entry.id, EVERYTHING)
        self.addCleanup(content.close)
        self.assertEqual(content.entry, entry)
        size = len(data)
        ranges = [
            (0, size),
            (size - 1, 1),
            (0, 1),
            (0, 0),
            (size, 0),
            (size // 2, 0),
            (1, size - 1),
        ]
        ranges += [(255, 2), (65535, 65537), (1000, 131072)]
        for offset, length in ranges:
            found = await content.read(offset, length)
            self.assertTrue(found == data[offset : offset + length], f"{length} from {offset} on")

    async def test_read_past_end(self) -> None:
        """Bytes that are not there are Corrupt, never fewer than asked for."""
        store = await self.new_store()
        content = await store.open((await put(store, "name", b"content")).id, EVERYTHING)
        self.addCleanup(content.close)
        for offset, length in ((0, 8), (6, 2), (7, 1), (100, 1)):
            await self.assert_fails(content.read(offset, length), Corrupt)
        self.assertEqual(await content.read(0, 7), b"content")

    async def test_empty_content(self) -> None:
        """A content of no bytes is stored, listed and read like any other."""
        store = await self.new_store()
        upload = await store.create("empty", 0, EVERYTHING)
        entry = await upload.commit(digests_of(b""))
        self.assertEqual(entry, Entry("d41d8cd98f00b204e9800998ecf8427e", "empty", 0))
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"")

    async def test_oldest_name(self) -> None:
        """An opened content goes by the oldest of its names, wherever that comes in name order."""
        store = await self.new_store()
        for name in ("m", "z", "a"):
            await put(store, name, b"content")
            self.time += 1
        content = await store.open(digests_of(b"content").md5, EVERYTHING)
        content.close()
        self.assertEqual(content.entry, entry_of("m", b"content"))

    async def test_opened_twice(self) -> None:
        """A content opened twice is read side by side; closing one leaves the other."""
        store = await self.new_store()
        id = (await put(store, "name", b"content")).id
        one, two = await store.open(id, EVERYTHING), await store.open(id, EVERYTHING)
        self.assertEqual(await one.read(0, 3), b"con")
        self.assertEqual(await two.read(0, 4), b"cont")
        one.close()
        self.assertEqual(await two.read(3, 4), b"tent")
        two.close()

    # Uploads under tokens

    async def test_partial_interface(self) -> None:
        """An upload under a token provides its interface, new and known alike."""
        store = await self.new_store()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertTrue(verifyObject(IPartial, partial))
        await go_on(partial, b"content")
        known = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertTrue(verifyObject(IPartial, known))
        await known.abort()

    async def test_resume_new(self) -> None:
        """A token that nobody has used begins with nothing, and is listed once it is committed."""
        store = await self.new_store()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        partial.write([b"content"])
        self.assertEqual(await listed(store), [])
        entry = await partial.commit(digests_of(b"content"))
        self.assertEqual(entry, entry_of("name", b"content"))
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_resume_nothing_held(self) -> None:
        """An upload that is given up while it holds nothing is forgotten; so one is discarded."""
        store = await self.new_store()
        await hold(store, "token", b"", 7)
        self.assertEqual(await store.partials(), [])
        await hold(store, "token", b"cont", 7)
        await hold(store, "token", b"", 0)
        self.assertEqual(await store.partials(), [])
        self.assertEqual(await store.usage(None), 0)

    async def test_resume_claims(self) -> None:
        """What it adds is claimed when nobody else can have the token, before all else."""
        store = await self.new_store()
        claimed: list[int] = []

        async def claim(count: int) -> None:
            claimed.append(count)
            await self.assert_fails(store.resume("other", 8, "token", None, EVERYTHING), Busy)
            if len(claimed) == 1:
                raise QuotaExceeded()

        await self.assert_fails(
            store.resume("n", 7, "token", None, EVERYTHING, claim), QuotaExceeded
        )
        self.assertEqual(await store.partials(), [])
        partial = await store.resume("n", 7, "token", None, EVERYTHING, claim)
        partial.write([b"cont"])
        await partial.abort()
        self.assertEqual(partial.grown, 4 + FLAT_COST)
        self.assertEqual(await store.usage(None), 4 + FLAT_COST)
        partial = await store.resume("n", 7, "token", None, EVERYTHING, claim)
        partial.write([b"e"])
        self.assertEqual(await store.usage(None), 4 + FLAT_COST)
        await partial.abort()
        self.assertEqual(partial.grown, 1)
        await go_on(await store.resume("n", 7, "token", None, EVERYTHING, claim), b"content")
        self.assertEqual(await store.usage(None), 7 + 2 * FLAT_COST)
        known = await store.resume("m", 7, "token", None, EVERYTHING, claim)
        await known.commit(digests_of(b"content"))
        self.assertEqual(await store.usage(None), 14 + 3 * FLAT_COST)
        whole = 7 + 2 * FLAT_COST
        self.assertEqual(claimed, [whole, whole, 3 + FLAT_COST, 2 + FLAT_COST, 7 + FLAT_COST])

    async def test_resume_empty(self) -> None:
        """A content of no bytes can be stored under a token, twice too."""
        store = await self.new_store()
        for name in ("a", "b"):
            partial = await store.resume(name, 0, "token", None, EVERYTHING)
            self.assertEqual(partial.offset, 0)
            await partial.commit(digests_of(b""))
        self.assertEqual(await listed(store), [entry_of(name, b"") for name in ("a", "b")])

    async def test_resume_gone_on(self) -> None:
        """What came before an abort stays unlisted, and is the beginning of the next try."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7)
        self.assertEqual(await listed(store), [])
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (4, None))
        entry = await go_on(partial, b"content")
        self.assertEqual(entry, entry_of("name", b"content"))
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_resume_often(self) -> None:
        """A content may come byte by byte, each under a try of its own; one may bring nothing."""
        store = await self.new_store()
        for length in (1, 2, 2, 3, 4, 5, 6, 7):
            await hold(store, "token", b"content"[:length], 7)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(partial.offset, 7)
        entry = await partial.commit(digests_of(b"content"))
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_resume_read(self) -> None:
        """What is held reads as exactly its bytes, before and after more of them are written."""
        store = await self.new_store()
        data = bytes(range(256)) * 600
        half = len(data) // 2
        await hold(store, "token", data[:half], len(data))
        partial = await store.resume("name", len(data), "token", None, EVERYTHING)
        for offset, length in ((0, half), (half - 1, 1), (0, 0), (1, half - 2), (65535, 3)):
            found = await partial.read(offset, length)
            self.assertTrue(found == data[offset : offset + length], f"{length} from {offset} on")
        entry = await go_on(partial, data)
        self.assertTrue(await stored_bytes(store, entry.id) == data)

    async def test_resume_under_another_name(self) -> None:
        """The name that an upload gets is the one of the try that ends it."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7, name="old")
        partial = await store.resume("new", 7, "token", None, EVERYTHING)
        self.assertEqual(partial.offset, 4)
        entry = await go_on(partial, b"content")
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(entry.name, "new")

    async def test_resume_tokens_apart(self) -> None:
        """Two tokens are two uploads, also where they differ in letter case or a dot alone."""
        store = await self.new_store()
        tokens = ("t", "T", "t.", ".t", "..", "t:1", "t-1", "t" * 128)
        for number, token in enumerate(tokens):
            await hold(store, token, b"content"[:number], 7)
        for number, token in enumerate(tokens):
            partial = await store.resume("name", 7, token, None, EVERYTHING)
            self.assertEqual(partial.offset, number, token)
            await partial.abort()

    async def test_restart(self) -> None:
        """A try that starts over forgets what is held, and may be of other bytes."""
        store = await self.new_store()
        await hold(store, "token", b"other", 7)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        await partial.restart()
        self.assertEqual((partial.offset, partial.known), (0, None))
        entry = await go_on(partial, b"content")
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_restart_and_abort(self) -> None:
        """What comes after starting over is what the next try goes on from."""
        store = await self.new_store()
        await hold(store, "token", b"other", 7)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        await partial.restart()
        partial.write([b"con"])
        await partial.abort()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(partial.offset, 3)
        self.assertEqual(await partial.read(0, 3), b"con")
        await partial.abort()

    async def test_resume_busy(self) -> None:
        """While an upload runs its token is Busy, and no other is; once it has ended, it is not."""
        store = await self.new_store()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        await self.assert_fails(store.resume("name", 7, "token", None, EVERYTHING), Busy)
        await self.assert_fails(store.resume("other", 8, "token", None, EVERYTHING), Busy)
        other = await store.resume("name", 7, "other", None, EVERYTHING)
        await other.abort()
        await partial.abort()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        await self.assert_fails(store.resume("name", 7, "token", None, EVERYTHING), Busy)
        await partial.restart()
        await self.assert_fails(store.resume("name", 7, "token", None, EVERYTHING), Busy)
        await go_on(partial, b"content")
        known = await store.resume("name", 7, "token", None, EVERYTHING)
        await self.assert_fails(store.resume("name", 7, "token", None, EVERYTHING), Busy)
        await known.commit(digests_of(b"content"))
        await (await store.resume("name", 7, "token", None, EVERYTHING)).abort()

    async def test_resume_at_once(self) -> None:
        """Of two tries at once one is let in, the other is Busy."""
        store = await self.new_store()
        outcomes = await DeferredList(
            [store.resume("name", 7, "token", None, EVERYTHING) for _ in range(2)],
            consumeErrors=True,
        )
        let_in = [outcome for succeeded, outcome in outcomes if succeeded]
        refused: list[Any] = [outcome for succeeded, outcome in outcomes if not succeeded]
        self.assertEqual([failure.type for failure in refused], [Busy])
        (partial,) = let_in
        await partial.abort()

    async def test_abort_partial_again(self) -> None:
        """Aborting an upload that has ended does nothing, nor to the next one under its token."""
        store = await self.new_store()
        ended = await store.resume("name", 7, "token", None, EVERYTHING)
        ended.write([b"con"])
        await ended.abort()
        running = await store.resume("name", 7, "token", None, EVERYTHING)
        await ended.abort()
        await self.assert_fails(store.resume("name", 7, "token", None, EVERYTHING), Busy)
        entry = await go_on(running, b"content")
        await running.abort()
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_resume_smaller(self) -> None:
        """A token that comes back for a smaller file than what is held begins with nothing."""
        store = await self.new_store()
        await hold(store, "token", b"content", 20)
        partial = await store.resume("name", 5, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        entry = await go_on(partial, b"other")
        self.assertEqual(await stored_bytes(store, entry.id), b"other")

    async def test_resume_other_size(self) -> None:
        """A token that comes back with another size offers at most what it holds."""
        store = await self.new_store()
        for size in (20, 7):
            await hold(store, "token", b"cont", 10)
            partial = await store.resume("name", size, "token", None, EVERYTHING)
            self.assertIn(partial.offset, (0, 4))
            self.assertEqual(await partial.read(0, partial.offset), b"cont"[: partial.offset])
            await partial.restart()
            await partial.abort()

    async def test_resume_finished_other_size(self) -> None:
        """A token that has ended well and comes back with another size is a new upload."""
        store = await self.new_store()
        entry = await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        partial = await store.resume("name", 5, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        other = await go_on(partial, b"other")
        self.assertEqual({*await listed(store)}, {entry, other})
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_known_by_sha256(self) -> None:
        """A stored content is known by its SHA-256; to commit it is to record one more name."""
        store = await self.new_store()
        entry = await put(store, "stored", b"content")
        digests = digests_of(b"content")
        partial = await store.resume("name", 7, "sha256:x", digests.sha256, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (7, digests))
        self.assertEqual(await listed(store), [entry])
        new = await partial.commit(digests)
        self.assertEqual(new, entry_of("name", b"content"))
        self.assertEqual(await listed(store), [new, entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_known_under_its_name(self) -> None:
        """A content that is stored under the very name already is known, and listed once."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        for _ in range(2):
            partial = await store.resume(
                "name", 7, "token", digests_of(b"content").sha256, EVERYTHING
            )
            self.assertEqual(await partial.commit(digests_of(b"content")), entry)
        self.assertEqual(await listed(store), [entry])

    async def test_known_aborted(self) -> None:
        """A known content that is not committed gets no name."""
        store = await self.new_store()
        entry = await put(store, "stored", b"content")
        partial = await store.resume("name", 7, "token", digests_of(b"content").sha256, EVERYTHING)
        await partial.abort()
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await store.partials(), [])

    async def test_not_known(self) -> None:
        """A content is not known by another SHA-256, nor with another size."""
        store = await self.new_store()
        await put(store, "stored", b"content")
        for size, data in ((7, b"another"), (6, b"content"), (8, b"content")):
            partial = await store.resume("name", size, "token", digests_of(data).sha256, EVERYTHING)
            self.assertEqual((partial.offset, partial.known), (0, None))
            await partial.abort()

    async def test_known_of_collision(self) -> None:
        """The other content with a stored MD5 is not known: the SHA-256 tells them apart."""
        store = await self.new_store()
        await put(store, "name", FIRST)
        partial = await store.resume(
            "name", len(SECOND), "token", digests_of(SECOND).sha256, EVERYTHING
        )
        self.assertEqual((partial.offset, partial.known), (0, None))
        await partial.abort()

    async def test_known_by_finished_token(self) -> None:
        """A token that has ended well stands for its content: a lost answer costs nothing."""
        store = await self.new_store()
        entry = await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        for name in ("name", "other"):
            partial = await store.resume(name, 7, "token", None, EVERYTHING)
            self.assertEqual((partial.offset, partial.known), (7, digests_of(b"content")))
            self.assertEqual(
                await partial.commit(digests_of(b"content")), entry_of(name, b"content")
            )
        self.assertEqual(await listed(store), [entry, entry_of("other", b"content")])

    async def test_finished_token_of_deleted(self) -> None:
        """The token of a content that was deleted is a new upload."""
        store = await self.new_store()
        entry = await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        await store.delete(entry.id, None, EVERYTHING)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        await go_on(partial, b"content")
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_known_restarted(self) -> None:
        """A known content can be sent all the same; other bytes are another content then."""
        store = await self.new_store()
        await put(store, "stored", b"content")
        for data in (b"content", b"another"):
            partial = await store.resume(
                "name", 7, "token", digests_of(b"content").sha256, EVERYTHING
            )
            self.assertEqual(partial.offset, 7)
            await partial.restart()
            self.assertEqual((partial.offset, partial.known), (0, None))
            entry = await go_on(partial, data)
            self.assertEqual(entry, entry_of("name", data))
            self.assertEqual(await stored_bytes(store, entry.id), data)

    async def test_known_restarted_beside_held(self) -> None:
        """Where bytes were held before the content was known, starting over forgets these too."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7)
        await put(store, "stored", b"content")
        partial = await store.resume("name", 7, "token", digests_of(b"content").sha256, EVERYTHING)
        self.assertEqual(partial.offset, 7)
        await partial.restart()
        self.assertEqual((partial.offset, partial.known), (0, None))
        partial.write([b"another"])
        entry = await partial.commit(digests_of(b"another"))
        self.assertEqual(await stored_bytes(store, entry.id), b"another")

    async def test_known_deleted_meanwhile(self) -> None:
        """A known content that is deleted before the commit gets no name: its bytes are gone."""
        store = await self.new_store()
        entry = await put(store, "stored", b"content")
        partial = await store.resume("name", 7, "token", digests_of(b"content").sha256, EVERYTHING)
        await store.delete(entry.id, None, EVERYTHING)
        await self.assert_refused(partial.commit(digests_of(b"content")))
        self.assertEqual(await listed(store), [])
        await self.assert_fails(store.open(entry.id, EVERYTHING), NoSuchFile)
        await self.assert_fails(store.status(entry.id, EVERYTHING), NoSuchFile)

    async def test_known_damaged_meanwhile(self) -> None:
        """A known content that is found damaged before the commit is not healed by a name alone."""
        store = await self.new_store()
        entry = await put(store, "stored", b"content")
        partial = await store.resume("name", 7, "token", digests_of(b"content").sha256, EVERYTHING)
        await damage(store, entry.id)
        await self.assert_refused(partial.commit(digests_of(b"content")))
        self.assertEqual(await listed(store), [])
        await self.assert_fails(store.open(entry.id, EVERYTHING), Corrupt)

    async def test_known_committed_while_deleted(self) -> None:
        """A known content committed and deleted at once is listed with its bytes, or not at all."""
        store = await self.new_store()
        entry = await put(store, "stored", b"content")
        partial = await store.resume("name", 7, "token", digests_of(b"content").sha256, EVERYTHING)
        both: list[Deferred[Any]] = [
            store.delete(entry.id, None, EVERYTHING),
            partial.commit(digests_of(b"content")),
        ]
        await DeferredList(both, consumeErrors=True)
        for left in await listed(store):
            self.assertEqual(await stored_bytes(store, left.id), b"content")

    async def test_damaged_is_not_known(self) -> None:
        """A damaged content is known neither by its SHA-256 nor by its token; its bytes heal it."""
        store = await self.new_store()
        entry = await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        await damage(store, entry.id)
        for token, sha256 in (("other", digests_of(b"content").sha256), ("token", None)):
            partial = await store.resume("name", 7, token, sha256, EVERYTHING)
            self.assertEqual((partial.offset, partial.known), (0, None), token)
            await partial.abort()
        await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_partial_collision(self) -> None:
        """An upload under a token that collides is refused and forgotten; the stored one stays."""
        store = await self.new_store()
        first = await put(store, "first", FIRST)
        await hold(store, "token", SECOND[:100], len(SECOND))
        partial = await store.resume("second", len(SECOND), "token", None, EVERYTHING)
        partial.write([SECOND[100:]])
        await self.assert_fails(partial.commit(digests_of(SECOND)), Collision)
        self.assertEqual(await store.partials(), [])
        self.assertEqual(await listed(store), [first])
        self.assertEqual(await stored_bytes(store, COLLISION_ID), FIRST)
        partial = await store.resume("second", len(SECOND), "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        await partial.abort()

    async def test_partials_of_one_content(self) -> None:
        """One content under several tokens, committed at once, gets all the names."""
        store = await self.new_store()
        names = ["a", "b", "c"]
        partials = [await store.resume(name, 7, name, None, EVERYTHING) for name in names]
        for partial in partials:
            partial.write([b"content"])
        await gatherResults([partial.commit(digests_of(b"content")) for partial in partials])
        self.assertEqual(await listed(store), [entry_of(name, b"content") for name in names])
        self.assertEqual(await stored_bytes(store, entry_of("", b"content").id), b"content")

    # Unfinished uploads, listed and aged

    async def test_partials(self) -> None:
        """Unfinished uploads are told, running or not, with all that is known of them."""
        store = await self.new_store()
        self.assertEqual(await store.partials(), [])
        await hold(store, "one", b"cont", 7, name="a")
        self.time += 10
        running = await store.resume("b/c;d", 1000, "two", None, EVERYTHING)
        running.write([b"co", b"n"])
        self.assertEqual(
            sorted(await store.partials(), key=lambda partial: partial.token),
            [
                PartialStatus("one", "a", 7, held=4, started=1e9, idle=0.0),
                PartialStatus("two", "b/c;d", 1000, held=3, started=1e9 + 10, idle=0.0),
            ],
        )
        await running.abort()

    async def test_partials_gone_on(self) -> None:
        """An upload that goes on is the one that was begun, whenever that was."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7)
        self.time += 1000
        await hold(store, "token", b"conten", 7, name="new")
        self.assertEqual(
            await store.partials(),
            [PartialStatus("token", "new", 7, held=6, started=1e9, idle=0.0)],
        )

    async def test_partials_finished(self) -> None:
        """A finished upload is unfinished no longer, and uploads without a token never are."""
        store = await self.new_store()
        await (await begin(store, "plain", b"plain")).abort()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(len(await store.partials()), 1)
        await go_on(partial, b"content")
        self.assertEqual(await store.partials(), [])

    async def idle_times(self, store: IStore) -> list[tuple[str, float]]:
        """The tokens of the unfinished uploads, and for how long they were idle."""
        return [(partial.token, partial.idle) for partial in await store.partials()]

    async def test_age(self) -> None:
        """Time adds up for what is idle, the longest idle is told first, and going on resets it."""
        store = await self.new_store()
        await hold(store, "a", b"c", 7)
        await store.age_partials(10, 100)
        await hold(store, "b", b"c", 7)
        await store.age_partials(20, 100)
        self.assertEqual(await self.idle_times(store), [("a", 30.0), ("b", 20.0)])
        await hold(store, "a", b"c", 7)
        await store.age_partials(1, 100)
        self.assertEqual(await self.idle_times(store), [("b", 21.0), ("a", 1.0)])

    async def test_used_again(self) -> None:
        """A token that stands for a content is kept for as long as it is used."""
        store = await self.new_store()
        await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        for _ in range(3):
            await store.age_partials(60, 100)
            partial = await store.resume("name", 7, "token", None, EVERYTHING)
            self.assertEqual(partial.known, digests_of(b"content"))
            await partial.commit(digests_of(b"content"))
        self.assertEqual(await store.usage(None), 7 + 2 * FLAT_COST)
        await store.delete(digests_of(b"content").md5, None, EVERYTHING)
        self.assertEqual(await store.usage(None), 0)

    async def test_expire(self) -> None:
        """An upload that was idle for longer than the limit is forgotten, with all it held."""
        store = await self.new_store()
        await hold(store, "old", b"cont", 7)
        await store.age_partials(60, 100)
        await hold(store, "new", b"con", 7)
        await store.age_partials(40, 100)
        self.assertEqual(await self.idle_times(store), [("old", 100.0), ("new", 40.0)])
        await store.age_partials(1, 100)
        self.assertEqual(await self.idle_times(store), [("new", 41.0)])
        for token, offset in (("old", 0), ("new", 3)):
            partial = await store.resume("name", 7, token, None, EVERYTHING)
            self.assertEqual((partial.offset, partial.known), (offset, None))
            await partial.abort()

    async def test_active_does_not_age(self) -> None:
        """A running upload does not expire, however long it takes, nor is it old when it ends."""
        store = await self.new_store()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        partial.write([b"cont"])
        for _ in range(3):
            await store.age_partials(1000, 100)
        await partial.abort()
        self.assertEqual(await self.idle_times(store), [("token", 0.0)])
        await store.age_partials(100, 100)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(partial.offset, 4)
        await go_on(partial, b"content")

    async def test_clock_does_not_age(self) -> None:
        """The time of day ages nothing, wherever it jumps: only what the store is told does."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7)
        for time in (2e9, 0.0, 1e9):
            self.time = time
            await store.age_partials(0, 100)
            self.assertEqual(await self.idle_times(store), [("token", 0.0)])

    async def test_finished_expires(self) -> None:
        """A token that has ended well is forgotten in the end; its content stays."""
        store = await self.new_store()
        entry = await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        await store.age_partials(101, 100)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        await partial.abort()
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    # Deleting

    async def test_delete_one_name(self) -> None:
        """One of two names can be deleted; the content stays under the other."""
        store = await self.new_store()
        one, two = await put(store, "one", b"content"), await put(store, "two", b"content")
        await store.delete(one.id, "one", EVERYTHING)
        self.assertEqual(await listed(store), [two])
        self.assertEqual((await status_of(store, two.id)).entries, (two,))
        self.assertEqual(await stored_bytes(store, two.id), b"content")

    async def test_delete_last_name(self) -> None:
        """The content goes with its last name."""
        store = await self.new_store()
        other = await put(store, "name", b"other")
        entry = await put(store, "name", b"content")
        await store.delete(entry.id, "name", EVERYTHING)
        self.assertEqual(await listed(store), [other])
        await self.assert_fails(store.status(entry.id, EVERYTHING), NoSuchFile)
        await self.assert_fails(store.open(entry.id, EVERYTHING), NoSuchFile)
        self.assertEqual(await stored_bytes(store, other.id), b"other")

    async def test_delete_all_names(self) -> None:
        """Without a name all names of a content are deleted, and no other content's."""
        store = await self.new_store()
        other = await put(store, "a", b"other")
        for name in ("a", "b", "c"):
            await put(store, name, b"content")
        await store.delete(entry_of("", b"content").id, None, EVERYTHING)
        self.assertEqual(await listed(store), [other])
        await self.assert_fails(store.open(entry_of("", b"content").id, EVERYTHING), NoSuchFile)

    async def test_delete_many_names(self) -> None:
        """However many they are; others stay, and the content can be stored anew."""
        store = await self.new_store()
        other = await put(store, "other", b"other")
        entries = await self.many_names(store, b"content")
        await store.delete(entries[0].id, None, EVERYTHING)
        self.assertEqual(await listed(store), [other])
        await self.assert_fails(store.status(entries[0].id, EVERYTHING), NoSuchFile)
        await self.assert_fails(store.delete(entries[0].id, None, EVERYTHING), NoSuchFile)
        entry = await put(store, "again", b"content")
        self.assertEqual(await listed(store), [entry, other])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_delete_many_while_stored(self) -> None:
        """A content of many names that is stored and deleted at once is there with its bytes."""
        store = await self.new_store()
        for small in (True, False):
            entries = await self.many_names(store, b"content")
            id = entries[0].id
            deleting = store.delete(id, None, EVERYTHING)
            if small:
                storing = store.put("new", b"content", digests_of(b"content"), EVERYTHING)
            else:
                upload = await begin(store, "new", b"content")
                storing = upload.commit(digests_of(b"content"))
            both: list[Deferred[Any]] = [deleting, storing]
            await gatherResults(both)
            left = await listed(store)
            self.assertIn(left, ([], [entry_of("new", b"content")]))
            if left:
                self.assertEqual(await stored_bytes(store, id), b"content")
                await store.delete(id, None, EVERYTHING)

    async def test_delete_many_twice(self) -> None:
        """Two who delete many names at once remove all of them, and one of them at least did."""
        store = await self.new_store()
        entries = await self.many_names(store, b"content")
        outcomes: list[Any] = await DeferredList(
            [store.delete(entries[0].id, None, EVERYTHING) for _ in range(2)], consumeErrors=True
        )
        self.assertIn(True, [succeeded for succeeded, _ in outcomes])
        for succeeded, outcome in outcomes:
            if not succeeded:
                self.assertIs(outcome.type, NoSuchFile)
        self.assertEqual(await listed(store), [])

    async def test_delete_unknown(self) -> None:
        """What is not there can't be deleted: NoSuchFile, and nothing else is."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        other = entry_of("", b"other").id
        for id, name in ((other, None), (other, "name"), (entry.id, "other"), (entry.id, "")):
            await self.assert_fails(store.delete(id, name, EVERYTHING), NoSuchFile)
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")
        await store.delete(entry.id, None, EVERYTHING)
        for name in (None, "name"):
            await self.assert_fails(store.delete(entry.id, name, EVERYTHING), NoSuchFile)

    async def test_delete_while_read(self) -> None:
        """Who reads a content that is deleted reads on to its end."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        content = await store.open(entry.id, EVERYTHING)
        self.addCleanup(content.close)
        self.assertEqual(await content.read(0, 3), b"con")
        await store.delete(entry.id, None, EVERYTHING)
        self.assertEqual(await content.read(3, 4), b"tent")

    async def test_stored_after_delete(self) -> None:
        """A deleted content can be stored again, and is as new."""
        store = await self.new_store()
        for name in ("one", "two"):
            await put(store, name, b"content")
        await store.delete(entry_of("", b"content").id, None, EVERYTHING)
        self.time = 2e9
        entry = await put(store, "three", b"content")
        self.assertEqual(await listed(store), [entry])
        status = await status_of(store, entry.id)
        self.assertEqual((status.entries, status.stored), ((entry,), 2e9))
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_delete_makes_room_for_collision(self) -> None:
        """Once a content is deleted, one that collided with it can be stored."""
        store = await self.new_store()
        await put(store, "name", FIRST)
        await store.delete(COLLISION_ID, None, EVERYTHING)
        entry = await put(store, "name", SECOND)
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, COLLISION_ID), SECOND)

    async def test_delete_while_stored(self) -> None:
        """A content deleted and committed at once is there with its bytes, or not at all."""
        store = await self.new_store()
        for _ in range(5):
            entry = await put(store, "old", b"content")
            upload = await begin(store, "new", b"content")
            all_of_them: list[Deferred[Any]] = [
                store.delete(entry.id, None, EVERYTHING),
                upload.commit(digests_of(b"content")),
                store.delete(entry.id, "new", EVERYTHING),
            ]
            await DeferredList(all_of_them, consumeErrors=True)
            for left in await listed(store):
                self.assertEqual(await stored_bytes(store, left.id), b"content")

    # Checks

    async def test_checked_right(self) -> None:
        """A content that hashes to what it did was verified just now, and is as it was."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        self.time += 1000
        self.assertIs(await store.checked(entry.id, digests_of(b"content")), True)
        status = await status_of(store, entry.id)
        self.assertEqual((status.stored, status.verified), (1e9, 1e9 + 1000))
        self.assertEqual(await listed(store), [entry])

    async def test_checked_wrong(self) -> None:
        """A content that hashes to something else, or can't be read, is listed and open no more."""
        right = digests_of(b"content")
        wrong = digests_of(b"context")
        found = (None, wrong, Digests(right.md5, wrong.sha256), Digests(wrong.md5, right.sha256))
        store = await self.new_store()
        other = await put(store, "other", b"other")
        for digests in found:
            for name in ("one", "two"):
                await put(store, name, b"content")
            self.assertEqual(len(await listed(store)), 3)
            content = await store.open(right.md5, EVERYTHING)
            self.assertIs(await store.checked(right.md5, digests, content), False)
            content.close()
            for _ in range(2):
                self.assertEqual(await listed(store), [other])
                await self.assert_fails(store.status(right.md5, EVERYTHING), Corrupt)
                await self.assert_fails(store.open(right.md5, EVERYTHING), Corrupt)
                self.assertIs(await store.missed(right.md5), False)
        self.assertEqual(await stored_bytes(store, other.id), b"other")

    async def test_checked_bytes_of_before(self) -> None:
        """What was read before a content was healed says nothing of the bytes that healed it."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        content = await store.open(entry.id, EVERYTHING)
        self.addCleanup(content.close)
        await damage(store, entry.id)
        await put(store, "name", b"content")
        for found in (None, digests_of(b"context")):
            self.assertIs(await store.checked(entry.id, found, content), None)
            self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_checked_unopened(self) -> None:
        """What could not be opened before it was healed is not damaged by being told late."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        await damage(store, entry.id)
        await self.assert_fails(store.open(entry.id, EVERYTHING), Corrupt)
        await put(store, "name", b"content")
        self.assertIs(await store.missed(entry.id), None)
        self.assertEqual(await listed(store), [entry])

    async def test_healed(self) -> None:
        """A damaged content that is stored again is there again, under all the names it had."""
        store = await self.new_store()
        entries = [await put(store, name, b"content") for name in ("b", "c")]
        id = entries[0].id
        await damage(store, id)
        self.time += 1000
        entries.insert(0, await put(store, "a", b"content"))
        self.assertEqual(await listed(store), entries)
        status = await status_of(store, id)
        self.assertEqual(status.entries, tuple(entries))
        self.assertEqual((status.stored, status.verified), (1e9, 1e9 + 1000))
        self.assertEqual(await stored_bytes(store, id), b"content")
        self.assertIs(await store.checked(id, digests_of(b"content")), True)

    async def test_healed_by_token(self) -> None:
        """A damaged content is healed by an upload under a token as well."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        await damage(store, entry.id)
        partial = await store.resume("other", 7, "token", digests_of(b"content").sha256, EVERYTHING)
        self.assertEqual(partial.offset, 0)
        await go_on(partial, b"content")
        self.assertEqual(await listed(store), [entry, entry_of("other", b"content")])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_list_damaged(self) -> None:
        """A damaged content is listed as that, and not otherwise, until it is mended."""
        store = await self.new_store()
        entries = [await put(store, name, b"content") for name in ("a", "b/1", "b/2")]
        other = await put(store, "b", b"other")
        self.assertEqual(await listed_damaged(store), [])
        await damage(store, other.id)
        await damage(store, entries[0].id)
        for _ in range(2):
            self.assertEqual(await listed_damaged(store), [entries[0], other, *entries[1:]])
        self.assertEqual(await listed_damaged(store, "b/"), entries[1:])
        self.assertEqual(await listed_damaged(store, "c"), [])
        self.assertEqual(await listed(store), [])
        await store.delete(other.id, None, EVERYTHING)
        await store.delete(entries[0].id, "b/1", EVERYTHING)
        self.assertEqual(await listed_damaged(store), [entries[0], entries[2]])
        await put(store, "c", b"content")
        self.assertEqual(await listed_damaged(store), [])

    async def test_pages_of_damaged(self) -> None:
        """Many damaged entries come on several pages, each once, in order."""
        store = await self.new_store()
        names = [f"name {number:05}" for number in range(self.names_on_pages)]
        entries = [await put(store, name, b"content") for name in names]
        await damage(store, entries[0].id)
        read = await pages(store.list_damaged("", EVERYTHING))
        self.assertGreater(len(read), 1)
        self.assertEqual([entry for page in read for entry in page], entries)

    async def test_damaged_collision(self) -> None:
        """A damaged content is not healed by other bytes that have its MD5."""
        store = await self.new_store()
        await put(store, "name", FIRST)
        await damage(store, COLLISION_ID)
        upload = await begin(store, "name", SECOND)
        await self.assert_fails(upload.commit(digests_of(SECOND)), Collision)
        self.assertEqual(await listed(store), [])
        await put(store, "name", FIRST)
        self.assertEqual(await stored_bytes(store, COLLISION_ID), FIRST)

    async def test_damaged_deleted(self) -> None:
        """A damaged content can be deleted, name by name, and is unknown then."""
        store = await self.new_store()
        for name in ("one", "two"):
            await put(store, name, b"content")
        id = entry_of("", b"content").id
        await damage(store, id)
        await store.delete(id, "one", EVERYTHING)
        await self.assert_fails(store.open(id, EVERYTHING), Corrupt)
        await store.delete(id, "two", EVERYTHING)
        await self.assert_fails(store.open(id, EVERYTHING), NoSuchFile)

    async def test_checked_after_delete(self) -> None:
        """Whatever is told of a content that was deleted meanwhile, nothing is wrong with it."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        await store.delete(entry.id, None, EVERYTHING)
        for found in (None, digests_of(b"other"), digests_of(b"content")):
            self.assertIs(await store.checked(entry.id, found), True)
        self.assertEqual(await listed(store), [])
        await self.assert_fails(store.status(entry.id, EVERYTHING), NoSuchFile)

    async def test_oldest_check(self) -> None:
        """What was verified longest ago comes first; being stored counts, a right check counts."""
        store = await self.new_store()
        self.assertIsNone(await store.oldest_check())
        contents = [b"c", b"a", b"d", b"b"]
        for data in contents:
            await put(store, "name", data)
            self.time += 10
        self.assertEqual(await store.oldest_check(), (entry_of("", b"c").id, 1e9))
        order = []
        for _ in range(2 * len(contents)):
            oldest = await store.oldest_check()
            assert oldest is not None
            order.append(oldest[0])
            digests = next(each for each in map(digests_of, contents) if each.md5 == oldest[0])
            await store.checked(oldest[0], digests)
            self.time += 10
        self.assertEqual(order, entry_ids(contents) * 2)

    async def test_oldest_check_passes_over(self) -> None:
        """What is damaged or deleted is not checked any more; what is healed is."""
        store = await self.new_store()
        for data in (b"damaged", b"deleted", b"good"):
            await put(store, "name", data)
            self.time += 10
        damaged, deleted, good = entry_ids([b"damaged", b"deleted", b"good"])
        await damage(store, damaged)
        self.assertEqual(await store.oldest_check(), (deleted, 1e9 + 10))
        await store.delete(deleted, None, EVERYTHING)
        self.assertEqual(await store.oldest_check(), (good, 1e9 + 20))
        await put(store, "name", b"damaged")
        await store.delete(good, None, EVERYTHING)
        self.assertEqual(await store.oldest_check(), (damaged, 1e9 + 30))
        await store.delete(damaged, None, EVERYTHING)
        self.assertIsNone(await store.oldest_check())

    # The end

    async def test_close_waits(self) -> None:
        """A store that is closed finishes the commits that run first."""
        store = await self.make_store()
        contents = [b"content", b"content", b"other"]
        uploads = [await begin(store, str(number), data) for number, data in enumerate(contents)]
        order: list[object] = []

        def note(outcome: Entry | Failure | None) -> None:
            order.append(outcome)

        commits = [
            upload.commit(digests_of(data)).addCallbacks(note, note)
            for upload, data in zip(uploads, contents, strict=True)
        ]
        closed = store.close().addCallbacks(note, note)
        await gatherResults([*commits, closed])
        expected = {entry_of(str(number), data) for number, data in enumerate(contents)}
        self.assertEqual(set(order[:-1]), expected)
        self.assertIs(order[-1], None)


def entry_ids(contents: Sequence[bytes]) -> list[str]:
    """The ids of contents."""
    return [digests_of(data).md5 for data in contents]
