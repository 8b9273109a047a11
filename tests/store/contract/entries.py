"""How every store must list its entries as values, and find those of one name."""

from __future__ import annotations

from collections.abc import Sequence

from tests.store.contract.case import StoreCase, damage, digests_of, entry_ids, entry_of, put
from xferproto.model.entry import StoredEntry
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.interface import MOST_LISTED, IStore

ANN = View("ann", all=False)
BEN = View("ben", all=False)
BOSS = View("boss", all=True)
STRANGER = View("", all=False)
NOBODY = View("nobody", all=False)

NAMES = (
    *("%", "*", "A", "[a]", "_", "a", "a%", "a%b", "a/", "a/b", "a;b", "aXb", "a_", "a_b"),
    *("b", "e\u0301", "\u00e9", "\ue000", "\U0001f600", "\U0010ffff", "\U0010ffffb"),
)


class EntryContract(StoreCase):
    """Entries with their times, in pages, and by their name."""

    async def put_as(self, store: IStore, name: str, data: bytes, *views: View) -> StoredEntry:
        """Store a content under a name for each of the owners, now."""
        for view in views or (EVERYTHING,):
            await store.put(name, data, digests_of(data), view)
        return StoredEntry(entry_of(name, data), self.time, False)

    async def in_pages(
        self, store: IStore, limit: int, prefix: str = "", view: View = EVERYTHING
    ) -> list[StoredEntry]:
        """All entries with a prefix, so many to a page; all pages but the last are full."""
        found: list[StoredEntry] = []
        after: tuple[str, str] | None = None
        while True:
            page = await store.list(prefix, after, limit, view)
            self.assertLessEqual(len(page), limit)
            found += page
            if len(page) < limit:
                return found
            after = page[-1].entry.name, page[-1].entry.id

    # Lists

    async def test_list_empty(self) -> None:
        """An empty store has no entries, wherever one begins."""
        store = await self.new_store()
        for after in (None, ("", ""), ("a", "0" * 32), ("\U0010ffff", "f" * 32)):
            self.assertEqual(list(await store.list("", after, 10, EVERYTHING)), [])
            self.assertEqual(list(await store.list("a", after, 10, EVERYTHING)), [])

    async def test_list_times(self) -> None:
        """Each entry says when its content was first stored under its name."""
        store = await self.new_store()
        expected = []
        for number, name in enumerate(("b", "a", "c")):
            self.time = 1e9 + number + 0.25
            expected.append(await self.put_as(store, name, b"content"))
        self.time = 2e9
        await put(store, "a", b"content")
        expected.sort(key=lambda stored: stored.entry.name)
        self.assertEqual(list(await store.list("", None, 10, EVERYTHING)), expected)

    async def test_list_prefix(self) -> None:
        """A prefix is no pattern: names that begin with it, in code point order, page by page."""
        store = await self.new_store()
        for name in sorted(NAMES, reverse=True):
            await put(store, name, b"content")
        prefixes = ("", "a", "a%", "a_", "_", "%", "*", "[a]", "a/", "a;", "A", "B", "aX", "a*")
        for prefix in (*prefixes, "e", "\u00e9", "\U0010ffff", "\U0001f600", "\ud7ff", "zz"):
            expected = sorted(name for name in NAMES if name.startswith(prefix))
            for limit in (1, 2, 100):
                found = await self.in_pages(store, limit, prefix)
                self.assertEqual([one.entry.name for one in found], expected, ascii(prefix))

    async def test_list_contents_of_a_name(self) -> None:
        """A page may end between two contents of one name; none is left out or given twice."""
        store = await self.new_store()
        contents = [str(number).encode() for number in range(7)]
        for name in ("b", "a"):
            for data in contents:
                await put(store, name, data)
        expected = [(name, id) for name in "ab" for id in sorted(entry_ids(contents))]
        for limit in (1, 2, 5, 7, 14, 15):
            found = await self.in_pages(store, limit)
            self.assertEqual([(one.entry.name, one.entry.id) for one in found], expected)

    async def test_list_after(self) -> None:
        """A page begins behind a position, whether there is an entry, and whatever the prefix."""
        store = await self.new_store()
        for name in ("a", "b1", "b2", "b3", "c"):
            await put(store, name, b"content")
        id = digests_of(b"content").md5
        cases: Sequence[tuple[str, tuple[str, str], list[str]]] = (
            ("", ("b1", id), ["b2", "b3", "c"]),
            ("", ("b1", "0" * 32), ["b1", "b2", "b3", "c"]),
            ("", ("b1", "f" * 32), ["b2", "b3", "c"]),
            ("", ("b15", id), ["b2", "b3", "c"]),
            ("", ("c", id), []),
            ("", ("\U0010ffff", id), []),
            ("b", ("", ""), ["b1", "b2", "b3"]),
            ("b", ("a", id), ["b1", "b2", "b3"]),
            ("b", ("b2", id), ["b3"]),
            ("b", ("b3", id), []),
            ("b", ("c", id), []),
            ("b", ("b" * 5000, "x" * 5000), ["b1", "b2", "b3"][3:]),
            ("", ("%", "%"), ["a", "b1", "b2", "b3", "c"]),
        )
        for prefix, after, names in cases:
            found = await store.list(prefix, after, 100, EVERYTHING)
            self.assertEqual([one.entry.name for one in found], names, (prefix, after[0][:9]))

    async def test_list_deleted_between_pages(self) -> None:
        """An entry that goes after the page that it ended does not disturb the next page."""
        store = await self.new_store()
        for name in ("a", "b", "c"):
            await put(store, name, b"content")
        (first,) = await store.list("", None, 1, EVERYTHING)
        await store.delete(first.entry.id, "a", EVERYTHING)
        await put(store, "0", b"content")
        position = first.entry.name, first.entry.id
        rest = await store.list("", position, 10, EVERYTHING)
        self.assertEqual([one.entry.name for one in rest], ["b", "c"])

    async def test_list_owners(self) -> None:
        """Everyone sees their own entries and times; who sees all has each entry once."""
        store = await self.new_store()
        await self.put_as(store, "shared", b"1", ANN)
        self.time += 10
        of_ben = await self.put_as(store, "shared", b"1", BEN, STRANGER)
        own = await self.put_as(store, "own", b"2", BEN)
        oldest = StoredEntry(of_ben.entry, 1e9, False)
        for view, expected in (
            (ANN, [oldest]),
            (BEN, [own, of_ben]),
            (STRANGER, [of_ben]),
            (NOBODY, []),
            (BOSS, [own, oldest]),
            (EVERYTHING, [own, oldest]),
        ):
            for limit in (1, 2, 3):
                self.assertEqual(await self.in_pages(store, limit, "", view), expected, view)

    async def test_list_damaged_too(self) -> None:
        """A damaged content is among the entries, and says so until it is healed."""
        store = await self.new_store()
        good = await self.put_as(store, "a", b"good")
        bad = [await self.put_as(store, name, b"bad") for name in ("b", "c")]
        await damage(store, bad[0].entry.id)
        damaged = [StoredEntry(one.entry, one.stored, True) for one in bad]
        for limit in (1, 2, 10):
            self.assertEqual(await self.in_pages(store, limit), [good, *damaged])
        await put(store, "d", b"bad")
        healed = [*bad, StoredEntry(entry_of("d", b"bad"), self.time, False)]
        self.assertEqual(await self.in_pages(store, 10), [good, *healed])

    async def test_limits(self) -> None:
        """A limit that is none is a mistake of whoever asks."""
        store = await self.new_store()
        await put(store, "a", b"content")
        for limit in (0, -1, MOST_LISTED + 1, 2**70):
            with self.assertRaises(ValueError):
                await store.list("", None, limit, EVERYTHING)
            with self.assertRaises(ValueError):
                await store.find("a", limit, EVERYTHING)
        for limit in (1, MOST_LISTED):
            self.assertEqual(len(await store.list("", None, limit, EVERYTHING)), 1)
            self.assertEqual(len(await store.find("a", limit, EVERYTHING)), 1)

    # Finds

    async def test_find(self) -> None:
        """Exactly this name is found: no other case, no prefix, no pattern, no folder."""
        store = await self.new_store()
        self.assertEqual(list(await store.find("a", 10, EVERYTHING)), [])
        for name in NAMES:
            await put(store, name, b"content")
        for name in NAMES:
            (found,) = await store.find(name, 10, EVERYTHING)
            self.assertEqual(found, StoredEntry(entry_of(name, b"content"), 1e9, False))
        for name in ("", "B", "a?", "a%%", "aa", "a/b/", "\u00c9", "x" * 5000, "\U0010ffffc"):
            self.assertEqual(list(await store.find(name, 10, EVERYTHING)), [], ascii(name[:9]))

    async def find_contents(self, count: int) -> None:
        """A name with several contents, each once, the youngest first; as many as wanted."""
        store = await self.new_store()
        expected: list[StoredEntry] = []
        for number in range(count):
            expected.insert(0, await self.put_as(store, "a", str(number).encode()))
            self.time += 1
        await put(store, "a", b"0")  # again: that is not newer
        await put(store, "b", b"0")
        for limit in (1, 2, count - 1, count, count + 1):
            self.assertEqual(list(await store.find("a", limit, EVERYTHING)), expected[:limit])
        await store.delete(expected[0].entry.id, "a", EVERYTHING)
        self.assertEqual(list(await store.find("a", 1, EVERYTHING)), expected[1:2])

    async def test_find_contents(self) -> None:
        """A name has a few contents."""
        await self.find_contents(4)

    async def test_find_many_contents(self) -> None:
        """A name has many contents."""
        await self.find_contents(40)

    async def test_find_at_once(self) -> None:
        """Contents of one name and time come in the order of their ids, few and many."""
        for count in (5, 40):
            store = await self.new_store()
            contents = [str(number).encode() for number in range(count)]
            for data in contents:
                await put(store, "a", data)
            found = await store.find("a", 100, EVERYTHING)
            self.assertEqual([one.entry.id for one in found], sorted(entry_ids(contents)))

    async def find_owners(self, others: int) -> None:
        """Each sees their own, whoever else has contents under the name, and how many."""
        store = await self.new_store()
        of_ann = await self.put_as(store, "a", b"1", ANN)
        self.time += 10
        of_ben = await self.put_as(store, "a", b"1", BEN)
        self.time += 10
        new = await self.put_as(store, "a", b"2", BEN, STRANGER)
        for number in range(others):
            await self.put_as(store, "a", b"x%d" % number, View("eve", all=False))
        for view, expected in (
            (ANN, [of_ann]),
            (BEN, [new, of_ben]),
            (STRANGER, [new]),
            (NOBODY, []),
        ):
            self.assertEqual(list(await store.find("a", 100, view)), expected, view)
            self.assertEqual(list(await store.find("a", 1, view)), expected[:1], view)
        for view in (BOSS, EVERYTHING):
            found = await store.find("a", 100, view)
            self.assertEqual(len(found), 2 + others)
            self.assertIn(of_ann, found)
            self.assertIn(new, found)

    async def test_find_owners(self) -> None:
        """A few contents of several owners."""
        await self.find_owners(0)

    async def test_find_many_owners(self) -> None:
        """Many contents of several owners."""
        await self.find_owners(30)

    async def test_find_damaged(self) -> None:
        """A damaged content is found and says so: an older one is not taken for it in silence."""
        store = await self.new_store()
        old = await self.put_as(store, "a", b"old")
        self.time += 10
        new = await self.put_as(store, "a", b"new")
        await damage(store, new.entry.id)
        damaged = StoredEntry(new.entry, new.stored, True)
        self.assertEqual(list(await store.find("a", 10, EVERYTHING)), [damaged, old])
        await put(store, "b", b"new")
        self.assertEqual(list(await store.find("a", 10, EVERYTHING)), [new, old])

    # Damage, as the maintenance sees it

    async def test_damage_summary(self) -> None:
        """Damaged entries are counted, each name and content once, and the first are named."""
        store = await self.new_store()
        maintenance = store.maintenance
        self.assertEqual((await maintenance.damaged(10)).count, 0)
        for name, data in (("c", b"1"), ("a", b"1"), ("b", b"2"), ("a", b"2"), ("d", b"3")):
            await self.put_as(store, name, data, ANN, BEN)
        for data in (b"1", b"2"):
            await damage(store, digests_of(data).md5)
        for most in (0, 1, 3, 10):
            found = await maintenance.damaged(most)
            self.assertEqual((found.count, found.names), (4, ("a", "a", "b", "c")[:most]))
        await put(store, "d", b"1")
        found = await maintenance.damaged(10)
        self.assertEqual((found.count, found.names), (2, ("a", "b")))
