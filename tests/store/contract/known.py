"""How every store must skip content that it has already."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from tests.store.contract.case import (
    StoreCase,
    damage,
    digests_of,
    entry_of,
    go_on,
    hold,
    listed,
    put,
    stored_bytes,
)
from tests.support.collision import FIRST, SECOND
from xferproto.model.errors import (
    Corrupt,
    NoSuchFile,
)
from xferproto.model.identity import EVERYTHING


class KnownContract(StoreCase):
    """Uploads under tokens whose content is stored."""

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
        self.assertEqual(await store.maintenance.partials(), [])

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
