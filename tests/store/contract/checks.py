"""What every store must make of a check of its stored bytes."""

from __future__ import annotations

from tests.store.contract.case import (
    StoreCase,
    begin,
    damage,
    digests_of,
    entry_ids,
    entry_of,
    go_on,
    listed,
    listed_damaged,
    pages,
    put,
    status_of,
    stored_bytes,
)
from tests.support.collision import COLLISION_ID, FIRST, SECOND
from xferproto.model.entry import Digests
from xferproto.model.errors import (
    Collision,
    Corrupt,
    NoSuchFile,
)
from xferproto.model.identity import EVERYTHING


class CheckContract(StoreCase):
    """Checks, damage and healing."""

    async def test_checked_right(self) -> None:
        """A content that hashes to what it did was verified just now, and is as it was."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        self.time += 1000
        self.assertIs(await store.maintenance.checked(entry.id, digests_of(b"content")), True)
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
            self.assertIs(await store.maintenance.checked(right.md5, digests, content), False)
            content.close()
            for _ in range(2):
                self.assertEqual(await listed(store), [other])
                await self.assert_fails(store.status(right.md5, EVERYTHING), Corrupt)
                await self.assert_fails(store.open(right.md5, EVERYTHING), Corrupt)
                self.assertIs(await store.maintenance.missed(right.md5), False)
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
            self.assertIs(await store.maintenance.checked(entry.id, found, content), None)
            self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")

    async def test_checked_unopened(self) -> None:
        """What could not be opened before it was healed is not damaged by being told late."""
        store = await self.new_store()
        entry = await put(store, "name", b"content")
        await damage(store, entry.id)
        await self.assert_fails(store.open(entry.id, EVERYTHING), Corrupt)
        await put(store, "name", b"content")
        self.assertIs(await store.maintenance.missed(entry.id), None)
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
        self.assertIs(await store.maintenance.checked(id, digests_of(b"content")), True)

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
        read = await pages(store.list_damaged_text("", EVERYTHING))
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
            self.assertIs(await store.maintenance.checked(entry.id, found), True)
        self.assertEqual(await listed(store), [])
        await self.assert_fails(store.status(entry.id, EVERYTHING), NoSuchFile)

    async def test_oldest_check(self) -> None:
        """What was verified longest ago comes first; being stored counts, a right check counts."""
        store = await self.new_store()
        self.assertIsNone(await store.maintenance.oldest_check())
        contents = [b"c", b"a", b"d", b"b"]
        for data in contents:
            await put(store, "name", data)
            self.time += 10
        self.assertEqual(await store.maintenance.oldest_check(), (entry_of("", b"c").id, 1e9))
        order = []
        for _ in range(2 * len(contents)):
            oldest = await store.maintenance.oldest_check()
            assert oldest is not None
            order.append(oldest[0])
            digests = next(each for each in map(digests_of, contents) if each.md5 == oldest[0])
            await store.maintenance.checked(oldest[0], digests)
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
        self.assertEqual(await store.maintenance.oldest_check(), (deleted, 1e9 + 10))
        await store.delete(deleted, None, EVERYTHING)
        self.assertEqual(await store.maintenance.oldest_check(), (good, 1e9 + 20))
        await put(store, "name", b"damaged")
        await store.delete(good, None, EVERYTHING)
        self.assertEqual(await store.maintenance.oldest_check(), (damaged, 1e9 + 30))
        await store.delete(damaged, None, EVERYTHING)
        self.assertIsNone(await store.maintenance.oldest_check())
