"""Room that is kept for uploads: how much of it, for how long, and who else gets it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from xferproto.model.errors import NoSpace
from xferproto.store.local.space import Space
from xferproto.store.reservation import HORIZON, WINDOW, Promise


class PromiseTests(SynchronousTestCase):
    """Room of one upload."""

    def slow(self) -> Promise:
        """One of a thousand bytes, of which one has come in the first window."""
        promise = Promise(1000, 0)
        promise.use(1)
        promise.look(WINDOW - 1)
        self.assertEqual(promise.kept, 999)
        promise.look(WINDOW)
        self.assertEqual(promise.kept, HORIZON / WINDOW)
        return promise

    def test_faster(self) -> None:
        """Who sends faster is asked for what there is, and is not given what others may have."""
        promise = self.slow()
        promise.use(30)
        self.assertEqual((promise.kept, promise.missing), (0, 969))
        promise.look(2 * WINDOW)
        self.assertEqual(promise.kept, 0)

    def test_grow(self) -> None:
        """What is needed must be there; what the pace allows is kept with it, as far as it is."""
        promise = self.slow()
        promise.use(30)
        promise.look(2 * WINDOW)
        self.assertFalse(promise.grow(50, 49))
        self.assertEqual(promise.kept, 0)
        for count, room, kept in ((50, 50, 50), (50, 100, 100), (50, 60, 100), (1, 9999, 900)):
            self.assertTrue(promise.grow(count, room))
            self.assertEqual(promise.kept, kept)

    def test_slower(self) -> None:
        """Each window counts for itself: who stops is kept nothing, however much came before."""
        promise = Promise(1000, 0)
        promise.use(900)
        promise.look(WINDOW)
        self.assertEqual(promise.kept, 100)
        promise.look(2 * WINDOW)
        self.assertEqual(promise.kept, 0)


class SpaceTests(SynchronousTestCase):
    """Room on a disk without a reserve."""

    def setUp(self) -> None:
        self.time = 0.0
        self.free = 1000
        self.space = Space(Path(), lambda path: (self.free, 0), now=lambda: self.time)

    def test_own(self) -> None:
        """What is kept for an upload is its own when it needs more; what others keep is not."""
        slow = self.space.reserve(1000)
        slow.wrote(1)
        self.time = WINDOW
        self.space.check()
        other = self.space.reserve(100)
        self.assertEqual(slow.promise.kept, 30)
        self.free = 140
        slow.take(40)
        self.assertGreaterEqual(slow.promise.kept, 40)
        self.assertRaises(NoSpace, slow.take, 41)
        other.release()
        slow.take(140)
        slow.release()
