"""What every store must do with an upload under a token."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredList, gatherResults
from zope.interface.verify import verifyObject

from tests.store.contract.case import (
    StoreCase,
    digests_of,
    entry_of,
    go_on,
    hold,
    listed,
    put,
    stored_bytes,
)
from tests.support.collision import COLLISION_ID, FIRST, SECOND
from xferproto.model.errors import (
    Busy,
    Collision,
    QuotaExceeded,
)
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import FLAT_COST, IPartial


class TokenContract(StoreCase):
    """Uploads that go on where they ended."""

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
        self.assertEqual(await store.maintenance.partials(), [])
        await hold(store, "token", b"cont", 7)
        await hold(store, "token", b"", 0)
        self.assertEqual(await store.maintenance.partials(), [])
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
        self.assertEqual(await store.maintenance.partials(), [])
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

    async def test_partial_collision(self) -> None:
        """An upload under a token that collides is refused and forgotten; the stored one stays."""
        store = await self.new_store()
        first = await put(store, "first", FIRST)
        await hold(store, "token", SECOND[:100], len(SECOND))
        partial = await store.resume("second", len(SECOND), "token", None, EVERYTHING)
        partial.write([SECOND[100:]])
        await self.assert_fails(partial.commit(digests_of(SECOND)), Collision)
        self.assertEqual(await store.maintenance.partials(), [])
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
