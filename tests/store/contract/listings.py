"""How every store must list its entries as text."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import gatherResults

from tests.store.contract.case import (
    StoreCase,
    begin,
    digests_of,
    entries_of,
    entry_ids,
    listed,
    pages,
    put,
)
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IStore


class ListingContract(StoreCase):
    """Order, prefixes and pages."""

    async def put_names(self, store: IStore, names: Sequence[str]) -> None:
        """Store something under each of the names, last ones first."""
        for name in sorted(names, reverse=True):
            await put(store, name, b"content")

    async def assert_lists(self, store: IStore, prefix: str, names: Sequence[str]) -> None:
        """The names with this prefix are C{names}, in this order."""
        found = [entry.name for entry in await listed(store, prefix)]
        self.assertEqual(found, list(names), f"with prefix {prefix!a}")

    async def test_empty(self) -> None:
        """A listing of nothing is over at once, and stays so."""
        store = await self.new_store()
        listing = store.list_text("", EVERYTHING)
        for _ in range(2):
            self.assertEqual(await listing.read(), b"")

    async def test_order(self) -> None:
        """Names are listed in the order of their code points, not of any language or encoding."""
        store = await self.new_store()
        names = [
            *(" ", "%", "-", "A", "Z", "_", "a", "a b", "a-b", "a.b", "a/b", "a;b", "aa", "ab"),
            *("e\u0301", "z", "\u00e9", "\ud7ff", "\ue000", "\uff5e", "\U0001f600", "\U0010ffff"),
        ]
        self.assertEqual(names, sorted(names))
        await self.put_names(store, names)
        await self.assert_lists(store, "", names)

    async def test_order_of_ids(self) -> None:
        """Entries of one name are listed in the order of their ids, between the other names."""
        store = await self.new_store()
        contents = [str(number).encode() for number in range(6)]
        for name in ("b", "c", "a"):
            for data in contents:
                await put(store, name, data)
        expected = [(name, id) for name in "abc" for id in sorted(entry_ids(contents))]
        self.assertEqual([(entry.name, entry.id) for entry in await listed(store)], expected)

    async def test_prefix(self) -> None:
        """A prefix lists the names that begin with it: itself too, no other case, no pattern."""
        store = await self.new_store()
        names = ["A", "A/b", "B", "a", "a%", "a%b", "a/", "a/b", "a;b;c", "a_", "a_c", "aXc", "b"]
        await self.put_names(store, names)
        prefixes = (
            *("", "A", "a", "a%", "a_", "a/", "a/b", "a/b/", "a;", "a;b", "a;b;c", "a;c"),
            *("%", "_", "b", "c", "aX", "*", "a*", "?", "[a]"),
        )
        for prefix in prefixes:
            expected = sorted(name for name in names if name.startswith(prefix))
            await self.assert_lists(store, prefix, expected)

    async def test_prefix_of_any_character(self) -> None:
        """A prefix may end in any character, the last ones of Unicode and of its planes too."""
        store = await self.new_store()
        last = "\U0010ffff"
        names = [
            *("a", "a\ud7ff", "a\ud7ff.txt", "a\ue000", "a\uffff", "a\uffffb", "a\U00010000"),
            *(f"a{last}", f"a{last}b", f"a{last}{last}", f"a{last}{last}c", "b", "\U0001f600"),
            *("\U0001f600x", "\U0001f601", last, f"{last}b", f"{last}{last}", "e\u0301", "\u00e9"),
        ]
        await self.put_names(store, names)
        prefixes = (
            *("a", "a\ud7ff", "a\ue000", "a\uffff", "a\U00010000", f"a{last}", f"a{last}{last}"),
            *("\U0001f600", "\U0001f601", "\U0001f602", last, f"{last}{last}", last * 3, "e"),
            *("\u00e9", "e\u0301", f"b{last}"),
        )
        for prefix in prefixes:
            expected = sorted(name for name in names if name.startswith(prefix))
            await self.assert_lists(store, prefix, expected)

    async def test_pages(self) -> None:
        """A listing that takes several pages has every entry once, in order, and then an end."""
        store = await self.new_store()
        names = [f"a{number:05}" for number in range(self.names_on_pages)]
        await self.put_names(store, [*names, "b"])
        listing = store.list_text("a", EVERYTHING)
        read = await pages(listing)
        self.assertGreater(len(read), 1)
        self.assertEqual([entry.name for page in read for entry in page], names)
        self.assertEqual(await listing.read(), b"")

    async def test_pages_of_one_name(self) -> None:
        """A page may end between two entries of one name; none is left out or told twice."""
        store = await self.new_store()
        contents = [str(number).encode() for number in range(self.names_on_pages)]
        uploads = [await begin(store, "name", data) for data in contents]
        await gatherResults(
            [up.commit(digests_of(data)) for up, data in zip(uploads, contents, strict=True)]
        )
        read = await pages(store.list_text("", EVERYTHING))
        self.assertGreater(len(read), 1)
        self.assertEqual([entry.id for page in read for entry in page], sorted(entry_ids(contents)))

    async def test_added_while_listing(self) -> None:
        """Entries that come between two pages disturb neither the order nor the other entries."""
        store = await self.new_store()
        names = [f"b{number:05}" for number in range(self.names_on_pages)]
        await self.put_names(store, names)
        listing = store.list_text("", EVERYTHING)
        read = entries_of(await listing.read())
        new = ["a", names[0] + "x", names[-1] + "x"]
        await self.put_names(store, new)
        read += [entry for page in await pages(listing) for entry in page]
        found = [entry.name for entry in read]
        self.assertEqual([name for name in found if name not in new], names)
        self.assertEqual(found, sorted(set(found)))

    async def test_listings_apart(self) -> None:
        """Two listings read in turns do not disturb each other."""
        store = await self.new_store()
        names = [f"a{number:05}" for number in range(self.names_on_pages)]
        await self.put_names(store, names)
        listings = [store.list_text("", EVERYTHING), store.list_text("a", EVERYTHING)]
        found: list[list[str]] = [[], []]
        for _ in names:
            for listing, seen in zip(listings, found, strict=True):
                seen += [entry.name for entry in entries_of(await listing.read())]
        self.assertEqual(found, [names, names])
