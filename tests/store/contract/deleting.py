"""How every store must delete."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults

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
from xferproto.model.errors import (
    NoSuchFile,
)
from xferproto.model.identity import EVERYTHING


class DeletionContract(StoreCase):
    """Names and contents that go."""

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
