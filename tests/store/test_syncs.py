"""What a store has on the disk before what: the order of its syncs."""

from __future__ import annotations

from tests.store.contract import damage, digests_of, put
from tests.store.test_local_store import LocalStoreTestCase, watched_calls
from xferproto.model.errors import NoSuchFile
from xferproto.model.identity import View
from xferproto.store.local.store import LocalStore


class SyncTests(LocalStoreTestCase):
    """The calls by which a store changes its files."""

    def calls(self, store: LocalStore, name: str, data: bytes) -> list[str]:
        """What the storing of a content takes."""
        seen: list[str] = []
        with watched_calls(self.root, seen.append):
            self.successResultOf(put(store, name, data))
        return seen

    def assert_mark_synced(self, calls: list[str]) -> None:
        """The mark is on the disk before the object is."""
        mark, synced = calls.index("open mark"), calls.index("fsync uploads")
        self.assertLess(mark, synced)
        self.assertLess(synced, calls.index("rename incoming"))

    def test_first(self) -> None:
        """
        Until something is committed marks are durable: an object without a row and a mark tells
        that a catalogue was lost. From then on they are not, since that would cost a sync for each.
        """
        self.open().close()
        store = self.open()
        self.assert_mark_synced(self.calls(store, "first", b"content"))
        for name, data in (("second", b"content"), ("third", b"another content")):
            self.assertNotIn("fsync uploads", self.calls(store, name, data))
        self.close(store)
        self.assertNotIn("fsync uploads", self.calls(self.open(), "fourth", b"one more"))

    def test_first_refused(self) -> None:
        """What could not be committed was not the first."""
        store = self.open()

        def refuse(step: str) -> None:
            if step == "rename incoming":
                raise OSError(5, "it fails")

        with watched_calls(self.root, refuse):
            self.failureResultOf(put(store, "first", b"content"), OSError)
        self.assert_mark_synced(self.calls(store, "second", b"content"))

    def test_quarantined(self) -> None:
        """The folder of what is put aside is synced: after a power cut it is not there again."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        seen: list[str] = []
        with watched_calls(self.root, seen.append):
            self.assertIs(self.successResultOf(damage(store, entry.id)), False)
        self.assertEqual(seen[-2:], ["rename folder", "fsync folder"])

    def test_not_seen(self) -> None:
        """Whoever deletes what is not theirs causes no more work than where there is nothing."""
        store = self.open()
        ann, ben = View("ann", all=False), View("ben", all=False)
        upload = self.successResultOf(store.create("name", 7, ann))
        upload.write([b"content"])
        entry = self.successResultOf(upload.commit(digests_of(b"content")))
        for name in ("name", None):
            seen: list[str] = []
            with watched_calls(self.root, seen.append):
                self.failureResultOf(store.delete(entry.id, name, ben), NoSuchFile)
            self.assertEqual(seen, [])
