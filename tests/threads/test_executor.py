"""Work on threads that is cancelled: it goes on there, and what it makes is not lost from sight."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from xferproto.threads.executor import finished, undone_if_cancelled


class CancelledTests(SynchronousTestCase):
    """A thread's work, as a Deferred that a test fires."""

    def setUp(self) -> None:
        self.work: Deferred[str] = Deferred()
        self.undone: list[str] = []

    def waiting(self) -> Deferred[str]:
        """Who waits for it to be finished."""
        work: Coroutine[Deferred[Any], Any, str] = finished(self.work, self.undone.append)
        return Deferred.fromCoroutine(work)

    def test_not_cancelled(self) -> None:
        """Its result, or failure, is what comes out."""
        waiting = self.waiting()
        self.assertNoResult(waiting)
        self.work.callback("made")
        self.assertEqual(self.successResultOf(waiting), "made")
        self.assertEqual(self.undone, [])
        self.work = Deferred()
        waiting = self.waiting()
        self.work.errback(ZeroDivisionError())
        self.failureResultOf(waiting, ZeroDivisionError)

    def test_at_once(self) -> None:
        """Who does not wait for the end is told at once, and it is undone later."""
        waiting = undone_if_cancelled(self.work, self.undone.append)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.work.callback("made")
        self.assertEqual(self.undone, ["made"])

    def test_finished(self) -> None:
        """Who does is told when it is undone."""
        waiting = self.waiting()
        waiting.cancel()
        self.assertNoResult(waiting)
        self.work.callback("made")
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.undone, ["made"])

    def test_fails_after(self) -> None:
        """What nobody wants any more may fail, too."""
        waiting = self.waiting()
        waiting.cancel()
        self.work.errback(ZeroDivisionError())
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.undone, [])
