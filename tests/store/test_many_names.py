"""Contents with very many names: what is told of them, and what it costs to give and remove one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import digests_of, listed, put, status_of, stored_bytes
from tests.support.depot import Depot, Session, Transport, few_at_once, make_store, small_rows
from tests.support.executors import GatedExecutor, SteppedExecutor
from tests.support.visitors import PASSWORD, peer, user
from xferproto.model.entry import Entry
from xferproto.model.identity import ALL_RIGHTS, EVERYTHING
from xferproto.store.interface import ITextListing
from xferproto.store.local import catalogue_changes, catalogue_views, page_length
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.store.local.schema import CATALOGUE
from xferproto.store.local.store import LocalStore
from xferproto.wire.states import State

HELLO = b"5d41402abc4b2a76b9719d911017c592"
LARGE = bytes(SMALL_SIZE + 1)


def in_order(count: int, length: int = 4) -> list[str]:
    """So many names of this length."""
    return [f"{number:04}".ljust(length, "x") for number in range(count)]


class ManyNamesCase(SynchronousTestCase):
    """Contents that get many names."""

    def name(self, store: LocalStore, names: list[str], data: bytes = b"hello") -> Entry:
        """Store a content under all these names: under the first as a client does."""
        entry: Entry = self.successResultOf(put(store, names[0], data))
        with closing(sqlite3.connect(store._root / CATALOGUE)) as connection, connection:
            connection.executemany(
                "INSERT INTO entry (name, id, size, stored) VALUES (?, ?, ?, 1e9)",
                [(name, entry.id, entry.size) for name in names[1:]],
            )
        return entry

    def slow_reader(self, depot: Depot, session: Session | None = None) -> Session:
        """A connection whose transport is full as soon as it holds anything."""
        session = session or depot.connect()
        transport, protocol = session.transport, session.protocol

        def write(data: bytes) -> None:
            Transport.write(transport, data)
            if transport.producer is not None:
                protocol.pauseProducing()

        self.patch(transport, "write", write)
        return session

    def read_slowly(self, session: Session, request: bytes) -> list[bytes]:
        """What comes of a request, in the parts in which the peer takes it."""
        parts = [session.send(request)]
        while session.protocol.state is State.SENDING:
            session.protocol.resumeProducing()
            parts.append(session.answer())
        return parts


class StatTests(ManyNamesCase):
    """STAT of a content with many names."""

    def test_never_read(self) -> None:
        """The names are read from the catalogue no faster than they are taken."""
        self.patch(page_length, "PAGE", 100)
        depot = Depot(self)
        names = in_order(1000)
        self.name(depot.store, names)
        parts = self.read_slowly(self.slow_reader(depot), b"STAT %s\n" % HELLO)
        self.assertGreater(len(parts), 9)
        self.assertLess(max(map(len, parts)), 10_000)
        lines = b"".join(parts).decode().splitlines()
        self.assertEqual(lines[:1000], [f"{HELLO.decode()};{name};5" for name in names])
        self.assertEqual(
            [line.split()[0] for line in lines[1000:]], ["sha256", "stored", "verified", "DONE"]
        )

    def test_never_read_own(self) -> None:
        """So it is for one who sees their own names only."""
        self.patch(page_length, "PAGE", 100)
        depot = Depot(self, users=[user("one", ALL_RIGHTS, all=False)])
        session = depot.connect(peer("127.0.0.1"))
        session.send(f"LOGIN one;{PASSWORD}\n".encode())
        self.name(depot.store, in_order(700, 8))
        session.send(b"".join(b"UPLOAD %s;5\nhello" % name.encode() for name in in_order(1000)))
        parts = self.read_slowly(self.slow_reader(depot, session), b"STAT %s\n" % HELLO)
        self.assertLess(max(map(len, parts)), 10_000)
        self.assertEqual(b"".join(parts).count(HELLO), 1000)

    def test_lost(self) -> None:
        """A peer that leaves midway leaves nothing behind."""
        self.patch(page_length, "PAGE", 100)
        depot = Depot(self)
        self.name(depot.store, in_order(1000))
        session = self.slow_reader(depot)
        session.send(b"STAT %s\n" % HELLO)
        session.lose()
        self.assertEqual(depot.timers(), [])
        self.assertEqual(len(depot.core._work), 0)

    def test_in_turn(self) -> None:
        """What is sent behind it waits for its end."""
        self.patch(page_length, "PAGE", 100)
        depot = Depot(self)
        self.name(depot.store, in_order(300))
        request = b"STAT %s\n" % HELLO
        one = depot.connect().send(request)
        self.assertEqual(one.count(HELLO), 300)
        many = depot.connect().send(request * 2 + b"DELETE %s\n" % HELLO + request)
        self.assertTrue(many.startswith(one * 2 + HELLO + b"\nERROR no-such-file "))

    def test_deleted_meanwhile(self) -> None:
        """A content that goes between the two questions is one that is not there."""
        depot = Depot(self)
        self.name(depot.store, ["a"])
        names = depot.store.names_text

        def gone(*arguments: Any) -> ITextListing:
            self.successResultOf(depot.store.delete(HELLO.decode(), None, EVERYTHING))
            return names(*arguments)

        self.patch(depot.store, "names_text", gone)
        answer = depot.connect().send(b"STAT %s\n" % HELLO)
        self.assertTrue(answer.startswith(b"ERROR no-such-file "))

    def test_broken_midway(self) -> None:
        """Where the names can't be read to their end, the connection is cut off: no DONE."""
        self.patch(page_length, "PAGE", 100)
        depot = Depot(self)
        self.name(depot.store, in_order(1000))
        session = self.slow_reader(depot)
        session.send(b"STAT %s\n" % HELLO)
        depot.store._catalogue.database.scanning.close()
        while session.protocol.state is State.SENDING:
            session.protocol.resumeProducing()
        self.assertTrue(session.transport.aborted)
        self.assertNotIn(b"DONE", session.answer())
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class PageTests(ManyNamesCase):
    """How long a page is."""

    def assert_pages(self, listing: ITextListing, most: int, entries: int) -> None:
        read = []
        while page := self.successResultOf(listing.read()):
            read.append(page)
        self.assertLessEqual(max(map(len, read)), most)
        self.assertEqual(sum(page.count(b"\n") for page in read), entries)

    def test_long_names(self) -> None:
        """A page of the longest names is no longer than one of short ones, whatever came before."""
        store = make_store(self)
        names = in_order(1500) + ["x" + name for name in in_order(600, 250)]
        entry = self.name(store, [name + f"/{'y' * 255}" * 3 * (len(name) > 9) for name in names])
        for listing in (store.list_text("", EVERYTHING), store.names_text(entry.id, EVERYTHING)):
            self.assert_pages(listing, page_length.LARGEST_PAGE, 2100)

    def test_many_listings(self) -> None:
        """Where many are read at once, by whichever command, all of them together are bounded."""
        store = make_store(self)
        entry = self.name(store, [f"{'y' * 240}/" * 3 + name for name in in_order(300)])
        others = [
            (store.list_text("", EVERYTHING), store.names_text(entry.id, EVERYTHING))
            for _ in range(50)
        ]
        share = page_length.FULL_PAGES * page_length.LARGEST_PAGE // 100
        for listing in (store.list_text("", EVERYTHING), store.names_text(entry.id, EVERYTHING)):
            self.assert_pages(listing, share, 300)
        del others


class BesideTests(ManyNamesCase):
    """Small requests beside long answers."""

    def test_answered(self) -> None:
        """They do not wait for the queries that look at many rows."""
        self.patch(page_length, "LARGEST_PAGE", 10_000)
        scans = SteppedExecutor()
        store = make_store(self, scans=scans)
        self.name(store, in_order(1000))
        depot = Depot.over(self, store)
        long = [depot.connect() for _ in range(10)]
        first = [
            session.send(b"LIST_FILES\n" if number % 2 else b"STAT %s\n" % HELLO)
            for number, session in enumerate(long)
        ]
        self.assertEqual(len(scans), 10)
        small = depot.connect()
        answer = small.send(b"UPLOAD b;1\nb")
        id = answer.strip()
        for request in (b"LIST_FILES b\n", b"LIST_FILES none\n", b"STAT %s\n" % id):
            self.assertTrue(small.send(request).endswith(b"DONE\n"))
        for request in (b"DOWNLOAD %s\n", b"VERIFY %s\n", b"DELETE %s;b\n"):
            self.assertTrue(small.send(request % id).startswith(id))
        scans.run_all()
        for begun, session in zip(first, long, strict=True):
            self.assertEqual((begun + session.answer()).count(HELLO), 1000)


class DeleteTests(ManyNamesCase):
    """Removing many names."""

    def setUp(self) -> None:
        for module in (catalogue_changes, catalogue_views):
            self.patch(module, "STEP", 40)
        self.root = Path(self.mktemp())
        self.database = GatedExecutor()
        self.time = 1e9
        self.store = make_store(self, self.root, database=self.database, now=lambda: self.time)

    def step_until(self, what: Callable[[], bool]) -> None:
        while not what():
            self.database.step()

    def finish(self, *work: Deferred[Any]) -> None:
        """Go on until all of this has come to its end, and no further."""
        self.step_until(lambda: all(one.called for one in work))

    async def store_as(self, way: str, data: bytes) -> None:
        """Store a content under a new name, in one of the ways that there are."""
        if way == "token":
            sha256 = digests_of(data).sha256
            resumed = await self.store.resume(
                "new", len(data), f"sha256:{sha256}", sha256, EVERYTHING
            )
            self.assertEqual(resumed.known, digests_of(data))
            await resumed.commit(digests_of(data))
        else:
            await put(self.store, "new", data)

    def left(self, store: LocalStore | None = None) -> int:
        was, self.database.open = self.database.open, True
        try:
            return len(self.successResultOf(listed(store or self.store)))
        finally:
            self.database.open = was

    def begin(self, data: bytes = b"hello") -> tuple[Entry, Deferred[None]]:
        """Begin to delete a content of 500 names, up to the first that are gone."""
        entry = self.name(self.store, in_order(500), data)
        self.database.open = False
        deleting = self.store.delete(entry.id, None, EVERYTHING)
        self.step_until(lambda: self.left() < 500)
        return entry, deleting

    def test_others_in_between(self) -> None:
        """What others store, as a row or a file, has its turn before the deletion has ended."""
        for data in (b"hello", LARGE):
            _, deleting = self.begin(data)
            others: list[Deferred[Any]] = [
                self.store.put("row", b"row", digests_of(b"row"), EVERYTHING),
                self.store._catalogue.uploads.usage(None),
                self.store.delete("0" * 32, None, EVERYTHING),
            ]
            self.finish(*others)
            self.failureResultOf(others[-1])
            self.assertNoResult(deleting)
            self.assertGreater(self.left(), 350)
            self.database.run_all()
            self.successResultOf(deleting)
            self.assertEqual(self.left(), 1)
            self.database.open = True

    def test_killed(self) -> None:
        """After a kill at any moment the content is there with its bytes, or not at all."""
        for data in (b"hello", LARGE):
            entry, deleting = self.begin(data)
            counts = []
            while not deleting.called:
                self.database.step()
                copy = Path(self.mktemp())
                shutil.copytree(self.root, copy)
                (copy / "lock").unlink(missing_ok=True)
                store = make_store(self, copy)
                count = self.left(store)
                counts.append(count)
                if count:
                    self.assertEqual(self.successResultOf(stored_bytes(store, entry.id)), data)
                    self.successResultOf(store.delete(entry.id, None, EVERYTHING))
                self.assertEqual(self.left(store), 0)
                self.assertEqual(small_rows(copy), [])
                self.assertEqual(list((copy / "incoming").iterdir()), [])
                self.assertEqual([p for p in (copy / "objects").rglob("*") if p.is_file()], [])
                self.successResultOf(store.close())
            self.assertEqual(counts, sorted(counts, reverse=True))
            self.assertGreater(len(set(counts)), 10)
            self.assertEqual(counts[-1], 0)
            self.successResultOf(deleting)
            self.database.open = True

    def test_stored_meanwhile(self) -> None:
        """A name that comes meanwhile stays, with the bytes, whichever way it came."""
        for data, way in ((b"hello", "put"), (LARGE, "upload"), (LARGE, "token")):
            entry, deleting = self.begin(data)
            self.time += 1
            storing = Deferred.fromCoroutine(self.store_as(way, data))
            self.finish(storing)
            self.successResultOf(storing)
            self.assertNoResult(deleting)
            self.database.run_all()
            self.successResultOf(deleting)
            self.database.open = True
            names = self.successResultOf(listed(self.store))
            self.assertEqual([entry.name for entry in names], ["new"])
            self.assertEqual(self.successResultOf(stored_bytes(self.store, entry.id)), data)
            self.successResultOf(self.store.delete(entry.id, None, EVERYTHING))

    def test_few(self) -> None:
        """However many there are, the last of them goes with the content, in one commit."""
        few_at_once(self)
        for count in range(1, 8):
            entry = self.name(self.store, in_order(count))
            self.database.open = False
            deleting = self.store.delete(entry.id, None, EVERYTHING)
            while not deleting.called:
                self.database.step()
                with closing(sqlite3.connect(self.root / CATALOGUE)) as connection:
                    found = connection.execute(
                        "SELECT (SELECT count(*) FROM entry) > 0, (SELECT count(*) FROM content)"
                    ).fetchone()
                self.assertEqual(found[0], found[1], count)
            self.successResultOf(deleting)
            self.assertEqual(found, (0, 0))
            self.database.open = True

    def test_at_once(self) -> None:
        """Two that delete the same names at once have both done it."""
        few_at_once(self)
        entry = self.name(self.store, in_order(9))
        self.database.open = False
        deleting = [self.store.delete(entry.id, None, EVERYTHING) for _ in range(2)]
        self.database.run_all()
        for one in deleting:
            self.successResultOf(one)
        self.database.open = True
        self.assertEqual(self.left(), 0)

    def test_lost(self) -> None:
        """The answer comes when all are gone, and they go when nobody waits for it any more."""
        for stays in (True, False):
            entry = self.name(self.store, in_order(500))
            depot = Depot.over(self, self.store)
            session = depot.connect()
            self.database.open = False
            self.assertEqual(session.send(f"DELETE {entry.id}\n".encode()), b"")
            self.step_until(lambda: self.left() < 300)
            self.assertEqual(session.answer(), b"")
            if not stays:
                session.lose()
            self.database.run_all()
            self.database.open = True
            if stays:
                self.assertEqual(session.answer(), b"%s\n" % HELLO)
            self.assertEqual(self.left(), 0)
            self.assertEqual(len(depot.core._work), 0)


class CostTests(ManyNamesCase):
    """What one name costs does not depend on how many others the content has."""

    def steps(self, store: LocalStore, work: Callable[[], Deferred[Any]]) -> int:
        """How many steps of SQLite's machine some work takes, on all of a store's connections."""
        count = 0

        def step() -> None:
            nonlocal count
            count += 1

        database = store._catalogue.database
        connections = (database.writing, database.reading, database.scanning)
        for connection in connections:
            connection.set_progress_handler(step, 1)
        try:
            self.successResultOf(work())
        finally:
            for connection in connections:
                connection.set_progress_handler(None, 1)
        return count

    def told(self, store: LocalStore, entry: Entry) -> int:
        """How many steps it takes to tell all names."""
        return self.steps(store, lambda: Deferred.fromCoroutine(status_of(store, entry.id)))

    def assert_flat(
        self, work: Callable[[LocalStore, Entry], Deferred[Any]], small: int = SMALL_SIZE
    ) -> None:
        store = make_store(self, small=small)
        entry = self.name(store, in_order(40))
        few = self.steps(store, lambda: work(store, entry))
        self.name(store, in_order(1500)[40:])
        many = self.steps(store, lambda: work(store, entry))
        self.assertLess(many, 3 * few, (few, many))

    def test_deleted(self) -> None:
        """To remove one of many names."""
        names = iter(["0020", "0021"])
        self.assert_flat(lambda store, entry: store.delete(entry.id, next(names), EVERYTHING))

    def test_stored(self) -> None:
        """To store a content of many names once more, as a row or as a file."""
        for small in (SMALL_SIZE, -1):
            self.assert_flat(
                lambda store, entry: Deferred.fromCoroutine(put(store, "new", b"hello")), small
            )

    def test_read(self) -> None:
        """To read and verify it."""
        self.assert_flat(lambda store, entry: store.get(entry.id, EVERYTHING))
        self.assert_flat(lambda store, entry: store.status(entry.id, EVERYTHING))
        self.assert_flat(
            lambda store, entry: store.maintenance.checked(entry.id, digests_of(b"hello"))
        )

    def test_deletion(self) -> None:
        """To remove all: twice as many take twice the work."""
        steps = []
        for count in (1000, 2000):
            store = make_store(self)
            entry = self.name(store, in_order(count))
            steps.append(self.steps(store, partial(store.delete, entry.id, None, EVERYTHING)))
        self.assertLess(steps[1], 2.2 * steps[0])

    def test_told(self) -> None:
        """To tell all names: twice as many take twice the work, or little more."""
        steps = []
        for count in (1000, 2000):
            store = make_store(self)
            entry = self.name(store, in_order(count))
            others = [store.list_text("", EVERYTHING) for _ in range(100)]
            steps.append(self.told(store, entry))
            del others
        self.assertLess(steps[1], 2.5 * steps[0])
