"""Bandwidth: exact over seconds, shared fairly, and nobody spins while they wait."""

from __future__ import annotations

import os
from hashlib import md5

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import MemoryDepot, Session
from xferproto.server.limits import Limits
from xferproto.server.traffic.bandwidth import BURST, RateLimit, TokenBucket
from xferproto.wire.states import State

RATE = 100_000


class BucketTests(SynchronousTestCase):
    """What lets bytes pass."""

    def test_over_time(self) -> None:
        """Over many seconds as many bytes pass as the rate says, and a burst."""
        clock = Clock()
        bucket = TokenBucket(clock, RATE)
        passed = 0
        while clock.seconds() < 20:
            passed += 7_000
            clock.advance(bucket.take(7_000))
        self.assertLess(abs(passed - (RATE * (20 + BURST))), 7_001)

    def test_pause(self) -> None:
        """However long nothing passes, not more than the burst is saved."""
        clock = Clock()
        bucket = TokenBucket(clock, RATE)
        clock.advance(1000)
        self.assertEqual(bucket.take(int(RATE * BURST)), 0)
        self.assertAlmostEqual(bucket.take(RATE), 1.0)


class RateLimitTests(SynchronousTestCase):
    """One connection's."""

    def test_strictest(self) -> None:
        """The strictest of its buckets counts; one timer runs, and none after it."""
        clock = Clock()
        freed: list[float] = []
        limit = RateLimit(
            clock,
            [TokenBucket(clock, RATE), TokenBucket(clock, 2 * RATE)],
            lambda: freed.append(clock.seconds()),
        )
        self.assertTrue(limit.spend(RATE))
        self.assertTrue(limit.spend(RATE))
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        waiting = limit.when_free()
        clock.pump([0.25] * 8)
        self.successResultOf(waiting)
        self.assertEqual(freed, [2 - BURST])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """When its connection is gone nobody waits."""
        clock = Clock()
        limit = RateLimit(clock, [TokenBucket(clock, RATE)], lambda: None)
        limit.spend(RATE)
        waiting = limit.when_free()
        limit.stop()
        self.successResultOf(waiting)
        self.assertEqual(clock.getDelayedCalls(), [])


class ConnectionTests(SynchronousTestCase):
    """The same, over connections."""

    def depot(self, rate: int = 0, total_rate: int = 0) -> MemoryDepot:
        return MemoryDepot(self, limits=Limits(rate=rate, total_rate=total_rate))

    PIECE = RATE // 8
    """What is read at once, which a real transport is told as its buffer's size."""

    def feed(self, depot: MemoryDepot, sessions: list[Session], seconds: float) -> list[int]:
        """Let each send as fast as it is read: how many bytes each could in that time."""
        sent = [0] * len(sessions)
        for _ in range(round(seconds * 20)):
            for number, session in enumerate(sessions):
                while not session.protocol.paused:
                    session.send(b"x" * self.PIECE)
                    sent[number] += self.PIECE
            depot.clock.advance(0.05)
        return sent

    def begin(self, depot: MemoryDepot, count: int) -> list[Session]:
        sessions = [depot.connect() for _ in range(count)]
        for number, session in enumerate(sessions):
            session.send(b"UPLOAD %d;%d\n" % (number, 10**9))
        return sessions

    def test_up(self) -> None:
        """An upload is as fast as its connection may be."""
        depot = self.depot(rate=RATE)
        (sent,) = self.feed(depot, self.begin(depot, 1), 20)
        self.assertLess(abs(sent - (20 * RATE)), 0.02 * 20 * RATE)

    def test_up_in_all(self) -> None:
        """All together are as fast as all may be, and each gets its share."""
        depot = self.depot(total_rate=RATE)
        sent = self.feed(depot, self.begin(depot, 4), 20)
        self.assertLess(abs(sum(sent) - 20 * RATE), BURST * RATE + 4 * self.PIECE + 1)
        self.assertLess(max(sent) - min(sent), 0.05 * sum(sent))

    def test_down(self) -> None:
        """A download is as fast as its connection may be, and whole."""
        depot = MemoryDepot(self)
        content = os.urandom(5 * RATE)
        depot.connect().send(b"UPLOAD a;%d\n" % len(content), content)
        slow = self.depot(rate=RATE)
        slow.factory.depot.store = depot.store
        session = slow.connect()
        came = session.send(b"DOWNLOAD %s\n" % md5(content).hexdigest().encode())
        seconds = 0.0
        while session.protocol.state is State.SENDING:
            slow.clock.advance(0.05)
            seconds += 0.05
            came += session.answer()
        self.assertEqual(came.partition(b"\n")[2], content)
        self.assertLess(abs(seconds - (5 - BURST)), 0.3)

    def test_small_down(self) -> None:
        """Pipelined small downloads too."""
        depot = self.depot(rate=RATE)
        content = os.urandom(10_000)
        session = depot.connect()
        session.send(b"UPLOAD a;10000\n" + content)
        depot.clock.advance(10)
        session.answer()
        request = b"DOWNLOAD %s\n" % md5(content).hexdigest().encode()
        came = session.send(request * 50)
        seconds = 0.0
        while len(came) < 50 * 10_000:
            depot.clock.advance(0.05)
            seconds += 0.05
            came += session.answer()
        self.assertEqual(came.count(content), 50)
        self.assertLess(abs(seconds - (5 - BURST)), 0.3)

    def test_lost(self) -> None:
        """A connection that is lost while it waits leaves no timer."""
        depot = self.depot(rate=RATE)
        (session,) = self.begin(depot, 1)
        session.send(b"x" * RATE)
        self.assertTrue(session.protocol.paused)
        session.lose()
        self.assertEqual(depot.clock.getDelayedCalls(), [])

    def test_no_stall(self) -> None:
        """Who is held back by the server is not blamed for it."""
        depot = self.depot(rate=1)
        (session,) = self.begin(depot, 1)
        session.send(b"x" * 1000)
        depot.clock.pump([1.0] * 500)
        self.assertIs(session.protocol.state, State.RECEIVING)
