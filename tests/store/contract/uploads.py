"""What every store must do with an upload, from its beginning to its commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import DeferredList, gatherResults
from twisted.python.failure import Failure
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from tests.store.contract.case import (
    StoreCase,
    begin,
    digests_of,
    entry_of,
    listed,
    put,
    status_of,
    stored_bytes,
)
from tests.support.collision import COLLISION_ID, FIRST, SECOND
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    Collision,
    NoSuchFile,
)
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IContent, IStore, ITextListing, IUpload


class UploadContract(StoreCase):
    """The interfaces, uploads, and the end."""

    async def test_interfaces(self) -> None:
        """The store and all that it makes provide their interfaces."""
        store = await self.new_store()
        self.assertTrue(verifyObject(IStore, store))
        upload = await begin(store, "name", b"content")
        self.assertTrue(verifyObject(IUpload, upload))
        entry = await upload.commit(digests_of(b"content"))
        self.assertTrue(verifyObject(ITextListing, store.list_text("", EVERYTHING)))
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
