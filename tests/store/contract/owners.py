"""What every store must do for its owners: whose files there are, and who sees them."""

from __future__ import annotations

from tests.store.contract.case import StoreCase, digests_of, entries_of, entry_of, status_of
from xferproto.model.entry import Entry
from xferproto.model.errors import NoSuchFile
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.interface import FLAT_COST, IStore

ANN = View("ann", all=False)
BEN = View("ben", all=False)
BOSS = View("boss", all=True)
STRANGER = View("", all=False)


class OwnerContract(StoreCase):
    """
    The contract of L{IStore<xferproto.store.interface.IStore>} about views.

    @cvar padding: makes the contents small ones, or not.
    """

    padding = b""

    def content(self, text: bytes) -> bytes:
        return text + self.padding

    async def put(self, store: IStore, name: str, text: bytes, view: View) -> Entry:
        data = self.content(text)
        return await store.put(name, data, digests_of(data), view)

    async def names(self, store: IStore, view: View) -> list[str]:
        listing = store.list_text("", view)
        names = []
        while page := await listing.read():
            names += [entry.name for entry in entries_of(page)]
        return names

    async def test_seen(self) -> None:
        """One sees one's own files, or all; one who is told of no view sees all."""
        store = await self.new_store()
        await self.put(store, "a", b"1", ANN)
        await self.put(store, "b", b"2", BEN)
        await self.put(store, "s", b"3", STRANGER)
        await self.put(store, "x", b"4", BOSS)
        for view, names in (
            (ANN, ["a"]),
            (BEN, ["b"]),
            (STRANGER, ["s"]),
            (BOSS, ["a", "b", "s", "x"]),
            (EVERYTHING, ["a", "b", "s", "x"]),
        ):
            self.assertEqual(await self.names(store, view), names, view)

    async def test_damaged_seen(self) -> None:
        """So it is with what is damaged; an entry that two have is one."""
        store = await self.new_store()
        for name, view in (("a", ANN), ("x", ANN), ("x", BEN), ("s", STRANGER)):
            entry = await self.put(store, name, b"1", view)
        await store.maintenance.checked(entry.id, None)
        for view, names in (
            (ANN, ["a", "x"]),
            (BEN, ["x"]),
            (STRANGER, ["s"]),
            (BOSS, ["a", "s", "x"]),
            (View("dan", all=False), []),
        ):
            page = await store.list_damaged_text("", view).read()
            self.assertEqual([entry.name for entry in entries_of(page)], names, view)

    async def test_not_there(self) -> None:
        """What one does not see is not there, whatever one does with its id."""
        store = await self.new_store()
        entry = await self.put(store, "a", b"1", ANN)
        for view in (BEN, STRANGER):
            await self.assert_fails(store.status(entry.id, view), NoSuchFile)
            await self.assert_fails(store.get(entry.id, view), NoSuchFile)
            await self.assert_fails(store.open(entry.id, view), NoSuchFile)
            await self.assert_fails(store.delete(entry.id, None, view), NoSuchFile)
            await self.assert_fails(store.delete(entry.id, "a", view), NoSuchFile)
        for view in (ANN, BOSS):
            self.assertEqual((await store.get(entry.id, view))[0], entry)
            (await store.open(entry.id, view)).close()

    async def test_one_content(self) -> None:
        """Two owners of one content share its bytes, and see their own names of it alone."""
        store = await self.new_store()
        first = await self.put(store, "of ann", b"1", ANN)
        self.assertEqual((await self.put(store, "of ben", b"1", BEN)).id, first.id)
        for view, name in ((ANN, "of ann"), (BEN, "of ben")):
            self.assertEqual((await store.get(first.id, view))[0].name, name)
            status = await status_of(store, first.id, view)
            self.assertEqual([entry.name for entry in status.entries], [name])
        status = await status_of(store, first.id, BOSS)
        self.assertEqual([entry.name for entry in status.entries], ["of ann", "of ben"])
        await store.delete(first.id, None, ANN)
        self.assertEqual(await self.names(store, EVERYTHING), ["of ben"])
        self.assertEqual((await store.get(first.id, BEN))[0].name, "of ben")
        await self.assert_fails(store.get(first.id, ANN), NoSuchFile)

    async def test_times(self) -> None:
        """Who sees their own files is told when they stored them, and nothing of others' times."""
        store = await self.new_store()
        entry = await self.put(store, "of ben", b"1", BEN)
        for view in (ANN, STRANGER):
            self.time += 100
            own = self.time
            for name in ("b", "a"):
                await self.put(store, f"{view.owner} {name}", b"1", view)
                self.time += 10
            await store.maintenance.checked(entry.id, digests_of(self.content(b"1")))
            checked = self.time
            for name in ("b", "new"):
                self.time += 10
                await self.put(store, f"{view.owner} {name}", b"1", view)
                await self.put(store, name, b"1", BEN)
            status = await status_of(store, entry.id, view)
            self.assertEqual((status.stored, status.verified), (own, own), view)
            status = await status_of(store, entry.id, BOSS)
            self.assertEqual((status.stored, status.verified), (1e9, checked))

    async def test_many_names(self) -> None:
        """Of many names one sees and deletes one's own, whoever has how many."""
        store = await self.new_store()
        names: dict[View, list[str]] = {ANN: [], BEN: [], STRANGER: []}
        for number in range(3 * self.names_on_pages):
            view = (ANN, BEN, BEN, STRANGER)[number % 4]
            name = f"{number * 5 % (3 * self.names_on_pages):03}"
            await self.put(store, name, b"1", view)
            names[view].append(name)
            await self.put(store, "shared", b"1", view)
        id = entry_of("", self.content(b"1")).id
        everybody = sorted({name for some in names.values() for name in some} | {"shared"})
        status = await status_of(store, id, BOSS)
        self.assertEqual([entry.name for entry in status.entries], everybody)
        left = [ANN, BEN, STRANGER]
        while left:
            for view in left:
                status = await status_of(store, id, view)
                own = [*sorted(names[view]), "shared"]
                self.assertEqual([entry.name for entry in status.entries], own)
            gone = left.pop()
            await store.delete(id, None, gone)
            await self.assert_fails(store.status(id, gone), NoSuchFile)
        await self.assert_fails(store.status(id, EVERYTHING), NoSuchFile)

    async def test_one_name(self) -> None:
        """Two owners of one name and content are one line to who sees both, and two to count."""
        store = await self.new_store()
        for view in (ANN, BEN):
            await self.put(store, "n", b"1", view)
        entry = entry_of("n", self.content(b"1"))
        self.assertEqual(await self.names(store, BOSS), ["n"])
        self.assertEqual((await status_of(store, entry.id, BOSS)).entries, (entry,))
        await store.delete(entry.id, "n", BEN)
        self.assertEqual(await self.names(store, ANN), ["n"])
        await store.delete(entry.id, "n", BOSS)
        self.assertEqual(await self.names(store, EVERYTHING), [])

    async def test_uploads(self) -> None:
        """An upload and one under a token have their owner as well."""
        store = await self.new_store()
        data = self.content(b"1")
        upload = await store.create("u", len(data), ANN)
        upload.write([data])
        await upload.commit(digests_of(data))
        partial = await store.resume("t", len(data), "token", None, ANN)
        partial.write([data])
        await partial.commit(digests_of(data))
        self.assertEqual(await self.names(store, ANN), ["t", "u"])
        self.assertEqual(await self.names(store, BEN), [])

    async def test_known(self) -> None:
        """A hash alone opens nothing: known content is skipped by those who see it alone."""
        store = await self.new_store()
        data = self.content(b"1")
        await self.put(store, "a", b"1", ANN)
        sha256 = digests_of(data).sha256
        for view, known in ((ANN, True), (BOSS, True), (BEN, False), (STRANGER, False)):
            partial = await store.resume("n", len(data), f"sha256:{sha256}", sha256, view)
            self.assertEqual(partial.known is not None, known, view)
            await partial.abort()

    async def test_tokens_apart(self) -> None:
        """The same token of two owners is two uploads; neither is told of the other's bytes."""
        store = await self.new_store()
        for view, text in ((ANN, b"ann"), (BEN, b"benj"), (STRANGER, b"s")):
            partial = await store.resume("n", 10, "token", None, view)
            self.assertEqual(partial.offset, 0)
            partial.write([text])
            await partial.abort()
        for view, held in ((ANN, 3), (BEN, 4), (STRANGER, 1), (BOSS, 0)):
            partial = await store.resume("n", 10, "token", None, view)
            self.assertEqual(partial.offset, held, view)
            await partial.abort()

    async def test_usage(self) -> None:
        """What an owner's files have together: each name, once; and unfinished uploads."""
        store = await self.new_store()
        self.assertEqual(await store.usage(None), 0)
        size = len(self.content(b"1"))
        await self.put(store, "a", b"1", ANN)
        await self.put(store, "a", b"1", ANN)
        await self.put(store, "b", b"1", ANN)
        entry = await self.put(store, "c", b"1", BEN)
        partial = await store.resume("p", 1000, "token", None, BEN)
        partial.write([b"held"])
        self.assertEqual(await store.usage("ben"), size + 2 * FLAT_COST)
        await partial.abort()
        ann, ben = 2 * size + 2 * FLAT_COST, size + 4 + 2 * FLAT_COST
        self.assertEqual(await store.usage("ann"), ann)
        self.assertEqual(await store.usage("ben"), ben)
        self.assertEqual(await store.usage(""), 0)
        self.assertEqual(await store.usage("nobody"), 0)
        self.assertEqual(await store.usage(None), ann + ben)
        await store.delete(entry.id, None, ANN)
        self.assertEqual(await store.usage("ann"), 0)
        self.assertEqual(await store.usage("ben"), ben)
        partial = await store.resume("p", 1000, "token", None, STRANGER)
        partial.write([b"held"])
        await partial.abort()
        self.assertEqual(await store.usage(""), 4 + FLAT_COST)
        self.assertEqual(await store.usage("ben"), ben)

    async def test_known_no_more(self) -> None:
        """What was seen when it was asked for, and is not when it is named, gets no name."""
        store = await self.new_store()
        data = self.content(b"1")
        await self.put(store, "a", b"1", ANN)
        entry = await self.put(store, "b", b"1", BEN)
        sha256 = digests_of(data).sha256
        known = await store.resume("c", len(data), f"sha256:{sha256}", sha256, ANN)
        self.assertIsNot(known.known, None)
        await store.delete(entry.id, None, ANN)
        await self.assert_fails(known.commit(digests_of(data)), NoSuchFile)
        self.assertEqual(await store.usage("ann"), 0)

    async def test_pages(self) -> None:
        """A listing of one's own takes several pages, and leaves nothing out."""
        store = await self.new_store()
        for number in range(self.names_on_pages):
            await self.put(store, f"{number:03}", b"1", ANN)
            await self.put(store, f"{number:03}", b"2", BEN)
        names = [f"{number:03}" for number in range(self.names_on_pages)]
        self.assertEqual(await self.names(store, ANN), names)
        self.assertEqual(len(await self.names(store, BOSS)), 2 * len(names))
