"""What every store must tell of unfinished uploads, and when it must forget them."""

from __future__ import annotations

from tests.store.contract.case import (
    StoreCase,
    begin,
    digests_of,
    go_on,
    hold,
    listed,
    stored_bytes,
)
from xferproto.model.entry import PartialStatus
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import FLAT_COST, IStore


class PartialContract(StoreCase):
    """Unfinished uploads, listed and aged."""

    async def test_partials(self) -> None:
        """Unfinished uploads are told, running or not, with all that is known of them."""
        store = await self.new_store()
        self.assertEqual(await store.maintenance.partials(), [])
        await hold(store, "one", b"cont", 7, name="a")
        self.time += 10
        running = await store.resume("b/c;d", 1000, "two", None, EVERYTHING)
        running.write([b"co", b"n"])
        self.assertEqual(
            sorted(await store.maintenance.partials(), key=lambda partial: partial.token),
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
            await store.maintenance.partials(),
            [PartialStatus("token", "new", 7, held=6, started=1e9, idle=0.0)],
        )

    async def test_partials_finished(self) -> None:
        """A finished upload is unfinished no longer, and uploads without a token never are."""
        store = await self.new_store()
        await (await begin(store, "plain", b"plain")).abort()
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(len(await store.maintenance.partials()), 1)
        await go_on(partial, b"content")
        self.assertEqual(await store.maintenance.partials(), [])

    async def idle_times(self, store: IStore) -> list[tuple[str, float]]:
        """The tokens of the unfinished uploads, and for how long they were idle."""
        return [(partial.token, partial.idle) for partial in await store.maintenance.partials()]

    async def test_age(self) -> None:
        """Time adds up for what is idle, the longest idle is told first, and going on resets it."""
        store = await self.new_store()
        await hold(store, "a", b"c", 7)
        await store.maintenance.age_partials(10, 100)
        await hold(store, "b", b"c", 7)
        await store.maintenance.age_partials(20, 100)
        self.assertEqual(await self.idle_times(store), [("a", 30.0), ("b", 20.0)])
        await hold(store, "a", b"c", 7)
        await store.maintenance.age_partials(1, 100)
        self.assertEqual(await self.idle_times(store), [("b", 21.0), ("a", 1.0)])

    async def test_used_again(self) -> None:
        """A token that stands for a content is kept for as long as it is used."""
        store = await self.new_store()
        await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        for _ in range(3):
            await store.maintenance.age_partials(60, 100)
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
        await store.maintenance.age_partials(60, 100)
        await hold(store, "new", b"con", 7)
        await store.maintenance.age_partials(40, 100)
        self.assertEqual(await self.idle_times(store), [("old", 100.0), ("new", 40.0)])
        await store.maintenance.age_partials(1, 100)
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
            await store.maintenance.age_partials(1000, 100)
        await partial.abort()
        self.assertEqual(await self.idle_times(store), [("token", 0.0)])
        await store.maintenance.age_partials(100, 100)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual(partial.offset, 4)
        await go_on(partial, b"content")

    async def test_clock_does_not_age(self) -> None:
        """The time of day ages nothing, wherever it jumps: only what the store is told does."""
        store = await self.new_store()
        await hold(store, "token", b"cont", 7)
        for time in (2e9, 0.0, 1e9):
            self.time = time
            await store.maintenance.age_partials(0, 100)
            self.assertEqual(await self.idle_times(store), [("token", 0.0)])

    async def test_finished_expires(self) -> None:
        """A token that has ended well is forgotten in the end; its content stays."""
        store = await self.new_store()
        entry = await go_on(await store.resume("name", 7, "token", None, EVERYTHING), b"content")
        await store.maintenance.age_partials(101, 100)
        partial = await store.resume("name", 7, "token", None, EVERYTHING)
        self.assertEqual((partial.offset, partial.known), (0, None))
        await partial.abort()
        self.assertEqual(await listed(store), [entry])
        self.assertEqual(await stored_bytes(store, entry.id), b"content")
