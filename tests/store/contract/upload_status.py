"""What every store must say of an upload under a token, without taking it."""

from __future__ import annotations

from tests.store.contract.case import StoreCase, damage, digests_of, go_on, hold
from xferproto.model.entry import UploadStatus
from xferproto.model.errors import BadToken, Busy
from xferproto.model.identity import EVERYTHING, View

ANN = View("ann", all=False)
BEN = View("ben", all=False)
BOSS = View("boss", all=True)
STRANGER = View("", all=False)

HOSTILE = (
    *("", "a/b", "ann/token", "/", "../x", "a b", "a;b", "a\n", "\x00", "%", "*", "é"),
    *("\U0001f600", "\ud800", "a" * 129, "a" * 100_000, "a\\b", "token\x00"),
)
"""What is no token."""


class UploadStatusContract(StoreCase):
    """C{IStore.upload_status}, and what is a token."""

    async def test_unknown(self) -> None:
        """Nothing is known of a token that nobody has used."""
        store = await self.new_store()
        for token in ("token", "..", ".", ":", "-", "t" * 128, "sha256:" + "0" * 64):
            self.assertIsNone(await store.upload_status(token, EVERYTHING))
        self.assertEqual(list(await store.maintenance.partials()), [])

    async def test_held(self) -> None:
        """What is held shows, and can be gone on with all the same."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7, name="a;b")
        self.time += 10
        await store.maintenance.age_partials(20, 100)
        for _ in range(2):
            self.assertEqual(
                await store.upload_status("token", EVERYTHING),
                UploadStatus("a;b", 7, 4, started=1e9, idle=20.0, id=None, running=False),
            )
        self.assertIsNone(await store.upload_status("Token", EVERYTHING))
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(partial.offset, 4)
        await go_on(partial, b"content")

    async def test_running(self) -> None:
        """The status of an upload that runs shows what has come; it is not disturbed."""
        store = await self.new_store()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        for held, block in ((0, b"co"), (2, b"nt"), (4, b"ent")):
            status = await store.upload_status("token", EVERYTHING)
            self.assertEqual(status, UploadStatus("name", 7, held, 1e9, 0.0, None, True))
            await self.assert_fails(store.resume("name", 7, "token", None, EVERYTHING), Busy)
            partial.write([block])
        await partial.commit(digests_of(b"content"))

    async def test_nothing_held(self) -> None:
        """One that ends while it holds nothing is forgotten, and so is one that is too old."""
        store = await self.new_store()
        await hold(store, "token", b"", 7)
        self.assertIsNone(await store.upload_status("token", EVERYTHING))
        await hold(store, "token", b"c", 7)
        await store.maintenance.age_partials(101, 100)
        self.assertIsNone(await store.upload_status("token", EVERYTHING))

    async def test_stored(self) -> None:
        """One that was stored holds all of its bytes, as long as its content is there."""
        store = await self.new_store()
        entry = await go_on(await store.resume("a", 7, "token", None, EVERYTHING), b"content")
        stored = UploadStatus("a", 7, 7, started=1e9, idle=0.0, id=entry.id, running=False)
        self.assertEqual(await store.upload_status("token", EVERYTHING), stored)
        known = await store.resume("b", 7, "token", None, EVERYTHING)
        status = await store.upload_status("token", EVERYTHING)
        self.assertEqual((status and status.held, status and status.running), (7, True))
        await known.abort()
        await damage(store, entry.id)
        self.assertIsNone(await store.upload_status("token", EVERYTHING))
        await store.delete(entry.id, None, EVERYTHING)
        self.assertIsNone(await store.upload_status("token", EVERYTHING))

    async def test_owners(self) -> None:
        """Each owner has tokens of their own; who sees everybody's files has no other's token."""
        store = await self.new_store()
        for view, data in ((ANN, b"cont"), (STRANGER, b"c")):
            partial = await store.resume("name", 7, "token", None, view)
            partial.write([data])
            await partial.abort()
        for view, held in ((ANN, 4), (BEN, None), (STRANGER, 1), (BOSS, None), (EVERYTHING, 1)):
            status = await store.upload_status("token", view)
            self.assertEqual(None if status is None else status.held, held, view)

    async def test_stored_but_not_seen(self) -> None:
        """A content whose names an owner does not have any more is held no more for them."""
        store = await self.new_store()
        partial = await store.resume("name", 7, "token", None, ANN)
        entry = await go_on(partial, b"content")
        await store.put("other", b"content", digests_of(b"content"), BEN)
        await store.delete(entry.id, None, ANN)
        self.assertIsNone(await store.upload_status("token", ANN))

    async def test_hostile(self) -> None:
        """What is no token is refused, and names nobody's upload."""
        store = await self.new_store()
        for view in (ANN, STRANGER):
            partial = await store.resume("name", 7, "token", None, view)
            partial.write([b"cont"])
            await partial.abort()
        before = list(await store.maintenance.partials())
        for token in HOSTILE:
            for view in (ANN, BEN, STRANGER, EVERYTHING):
                await self.assert_fails(store.upload_status(token, view), BadToken)
                await self.assert_fails(store.resume("name", 7, token, None, view), BadToken)
        self.assertEqual(list(await store.maintenance.partials()), before)
