"""What every store must know of a content, and how it is read."""

from __future__ import annotations

from tests.store.contract.case import (
    StoreCase,
    digests_of,
    entries_of,
    entry_of,
    listed,
    pages,
    put,
    status_of,
    stored_bytes,
)
from xferproto.model.entry import Entry, Status
from xferproto.model.errors import (
    Corrupt,
    NoSuchFile,
)
from xferproto.model.identity import EVERYTHING


class ContentContract(StoreCase):
    """Status, names and bytes."""

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

    async def test_names(self) -> None:
        """Many names of a content come page by page, in order, each once, and no other's."""
        store = await self.new_store()
        await put(store, "000", b"other")
        await put(store, "999", b"other")
        entries = await self.many_names(store, b"content")
        read = await pages(store.names_text(entries[0].id, EVERYTHING))
        self.assertGreater(len(read), 1)
        self.assertEqual([entry for page in read for entry in page], entries)

    async def test_names_at_once(self) -> None:
        """Whoever reads them in turns has them all, one who gives up midway aside."""
        store = await self.new_store()
        entries = await self.many_names(store, b"content")
        given_up, one, two = (store.names_text(entries[0].id, EVERYTHING) for _ in range(3))
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
        listing = store.names_text(entries[0].id, EVERYTHING)
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
        self.assertEqual(await store.names_text("0" * 32, EVERYTHING).read(), b"")

    async def test_unknown(self) -> None:
        """An id that nothing stored has is NoSuchFile, in an empty store and in another."""
        store = await self.new_store()
        for id in (digests_of(b"other").md5, "0" * 32, "f" * 32):
            await self.assert_fails(store.status(id, EVERYTHING), NoSuchFile)
            await self.assert_fails(store.open(id, EVERYTHING), NoSuchFile)
        await put(store, "name", b"content")
        await self.assert_fails(store.status(digests_of(b"other").md5, EVERYTHING), NoSuchFile)
        await self.assert_fails(store.open(digests_of(b"other").md5, EVERYTHING), NoSuchFile)

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
