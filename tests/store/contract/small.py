"""What every store must do with small contents, which come and go in one piece."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.python.failure import Failure

from tests.store.contract.case import (
    StoreCase,
    begin,
    damage,
    digests_of,
    entry_of,
    go_on,
    listed,
    put,
    status_of,
    stored_bytes,
)
from tests.support.collision import COLLISION_ID, FIRST, SECOND
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    Collision,
    Corrupt,
    NoSuchFile,
)
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IStore


class SmallContract(StoreCase):
    """Putting and getting."""

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
                self.assertIs(
                    await store.maintenance.checked(left.id, digests_of(b"content")), True
                )
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
                store.maintenance.checked(entry.id, None, content),
                store.put("name", b"content", digests, EVERYTHING),
                store.maintenance.checked(entry.id, None, content),
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
