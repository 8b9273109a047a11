"""A storage directory that goes away while a store has it open, as one that is unmounted does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.store.contract import begin, digests_of, entry_of, hold, listed, stored_bytes
from tests.store.test_local_store import LocalStoreTestCase, open_store
from tests.support.depot import NO_SMALL, few_at_once
from tests.support.executors import GatedExecutor
from tests.support.held import close_store
from xferproto.model.errors import StorageLost
from xferproto.model.identity import EVERYTHING
from xferproto.store.local.layout import DIRECTORIES
from xferproto.store.local.store import LocalStore

DATA = b"content"
ID = entry_of("", DATA).id
DIGESTS = digests_of(DATA)
NAMES = ["name", "name 2", "name 3", "name 4"]
"""More of them than are removed in one transaction."""


class GoneTests(LocalStoreTestCase):
    """
    What is asked of the store then fails, and writes nothing into what is there instead.

    @cvar small: the most bytes of a small content.
    """

    small = 100

    def setUp(self) -> None:
        super().setUp()
        few_at_once(self)
        self.files = GatedExecutor()

    def begin(self) -> LocalStore:
        """A store that has a content under some names, and one of its bytes under a token."""
        self.root = Path(self.mktemp()).absolute()
        store = open_store(self.root, self.files, small=self.small)
        self.addCleanup(close_store, self, store, self.files)
        for name in NAMES:
            self.put(store, name, DATA)
        self.successResultOf(hold(store, "held", b"h", 5))
        return store

    def go_away(self) -> None:
        """Move the directory away; an empty depot is where it was."""
        self.root.rename(self.root.with_name(f"{self.root.name}-away"))
        for name in DIRECTORIES:
            (self.root / name).mkdir(parents=True)

    def assert_untouched(self) -> None:
        """Nothing was written into the other depot."""
        there = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        self.assertEqual(there, sorted(DIRECTORIES))

    def come_back(self) -> None:
        """Move the directory back; nothing was written into the other depot."""
        self.assert_untouched()
        for name in DIRECTORIES:
            (self.root / name).rmdir()
        self.root.rmdir()
        self.root.with_name(f"{self.root.name}-away").rename(self.root)

    def assert_as_before(self, store: LocalStore) -> None:
        """All that the store had can be had."""
        entries = [entry_of(name, DATA) for name in NAMES]
        self.assertEqual(self.successResultOf(listed(store)), entries)
        self.assertEqual(self.successResultOf(stored_bytes(store, ID)), DATA)
        self.assertEqual(
            [one.held for one in self.successResultOf(store.maintenance.partials())], [1]
        )

    def requests(self, store: LocalStore) -> dict[str, Callable[[], Deferred[Any]]]:
        """What is asked of a store beside the uploads that it has begun."""
        return {
            "create": lambda: store.create("new", 3, EVERYTHING),
            "put": lambda: store.put("new", b"new", digests_of(b"new"), EVERYTHING),
            "put again": lambda: store.put("new", DATA, DIGESTS, EVERYTHING),
            "resume": lambda: store.resume("new", 3, "new", None, EVERYTHING),
            "go on": lambda: store.resume("name", 5, "held", None, EVERYTHING),
            "delete one": lambda: store.delete(ID, NAMES[0], EVERYTHING),
            "delete": lambda: store.delete(ID, None, EVERYTHING),
            "age": lambda: store.maintenance.age_partials(9e9, 1),
            "tend": store.maintenance.tend,
            "check": store.maintenance.check,
        }

    def test_requests(self) -> None:
        """Requests fail, and change nothing."""
        for name in self.requests(self.begin()):
            store = self.begin()
            self.go_away()
            self.failureResultOf(self.requests(store)[name](), StorageLost)
            self.come_back()
            self.assert_as_before(store)

    def test_uploads(self) -> None:
        """Uploads that had begun can't be committed; what has a token goes on later."""
        store = self.begin()
        upload = self.successResultOf(begin(store, "new", b"new"))
        going_on = self.successResultOf(store.resume("name", 5, "held", None, EVERYTHING))
        going_on.write([b"ello"])
        self.go_away()
        for commit in (upload.commit(digests_of(b"new")), going_on.commit(digests_of(b"hello"))):
            self.failureResultOf(commit, StorageLost)
        self.come_back()
        going_on = self.successResultOf(store.resume("name", 5, "held", None, EVERYTHING))
        self.assertEqual(going_on.offset, 5)
        self.successResultOf(going_on.commit(digests_of(b"hello")))

    def test_midway(self) -> None:
        """However far a request has come by then."""
        for name in ("create", "resume", "go on", "delete"):
            for steps in range(20):
                store = self.begin()
                self.files.open = False
                asked = self.requests(store)[name]()
                for _ in range(steps):
                    if len(self.files):
                        self.files.step()
                if asked.called:
                    self.files.open = True
                    done = self.successResultOf(asked)
                    if done is not None:
                        self.successResultOf(done.abort())
                    break
                self.go_away()
                self.files.run_all()
                self.files.open = True
                outcome: list[Any] = []
                asked.addBoth(outcome.append)
                self.assert_untouched()
                if hasattr(outcome[0], "abort"):
                    self.successResultOf(outcome[0].abort())
                self.come_back()
            else:
                self.fail(f"{name} takes more steps")


class FileGoneTests(GoneTests):
    """The same, where every content has an object file, which can't be read then either."""

    small = NO_SMALL

    def test_read(self) -> None:
        """Bytes that can't be found are not taken for damaged."""
        store = self.begin()
        known = self.successResultOf(
            store.resume("more", len(DATA), "more", DIGESTS.sha256, EVERYTHING)
        )
        self.go_away()
        for asked in (store.open(ID, EVERYTHING), store.maintenance.missed(ID)):
            self.failureResultOf(asked, StorageLost)
        self.failureResultOf(known.commit(DIGESTS), StorageLost)
        self.failureResultOf(
            store.resume("again", len(DATA), "again", DIGESTS.sha256, EVERYTHING), StorageLost
        )
        self.come_back()
        self.assert_as_before(store)
