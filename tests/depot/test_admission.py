"""Uploads that begin: a few at a time, in order, and no slow one keeps the others waiting."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot
from xferproto.depot.admission import FLOWING, LOOK, NEW, SLOTS, Admission, Slot
from xferproto.wire.states import State


class AdmissionTests(SynchronousTestCase):
    """Slots, and who waits for one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission(self.clock)

    def enter(self, count: int) -> list[Deferred[Slot]]:
        return [self.admission.enter() for _ in range(count)]

    def test_places(self) -> None:
        """As many as there are places begin at once; each that leaves lets the next one in."""
        inside = [self.successResultOf(entered) for entered in self.enter(SLOTS)]
        first, second = self.enter(2)
        self.assertNoResult(first)
        inside[0].leave()
        self.successResultOf(first)
        self.assertNoResult(second)
        inside[1].leave()
        self.successResultOf(second)

    def test_leave_twice(self) -> None:
        """A place is left once, however often that is said."""
        place = self.successResultOf(self.admission.enter())
        place.leave()
        place.leave()
        inside = self.enter(SLOTS)
        self.assertTrue(all(entered.called for entered in inside))
        self.assertNoResult(self.admission.enter())

    def test_in_order(self) -> None:
        """Who comes while others are let in waits behind them."""
        inside = [self.successResultOf(entered) for entered in self.enter(SLOTS)]
        later: list[Deferred[Slot]] = []
        first, second = self.enter(2)

        def leave(slot: Slot) -> None:
            slot.leave()
            later.extend(self.enter(1))

        first.addCallback(leave)
        inside[0].leave()
        self.successResultOf(second)
        (last,) = later
        self.assertNoResult(last)
        inside[1].leave()
        self.successResultOf(last)

    def test_given_up(self) -> None:
        """Where nobody waits any more, nobody looks."""
        self.enter(SLOTS)
        for entered in self.enter(2):
            self.assertEqual(len(self.clock.getDelayedCalls()), SLOTS + 1)
            entered.cancel()
            self.failureResultOf(entered, CancelledError)
        self.assertEqual(len(self.clock.getDelayedCalls()), SLOTS)

    def test_new(self) -> None:
        """Who has a place since a moment ago is not taken for silent yet."""
        inside = [self.successResultOf(entered) for entered in self.enter(SLOTS)]
        waiting = self.enter(2)
        self.turn(LOOK, came=FLOWING)
        for place in inside:
            place.came = FLOWING
        inside[0].leave()
        self.successResultOf(waiting[0])
        self.clock.advance(LOOK)
        self.assertNoResult(waiting[1])
        for place in inside[1:]:
            place.came = FLOWING
        self.clock.advance(LOOK)
        self.successResultOf(waiting[1])

    def test_one_silent(self) -> None:
        """A silent one among others that send loses its place; there are no more for that."""
        inside = [self.successResultOf(entered) for entered in self.enter(SLOTS)]
        waiting = self.enter(2)
        for _ in range(2):
            for place in inside[1:]:
                place.came = FLOWING
            self.clock.advance(LOOK)
        self.successResultOf(waiting[0])
        self.assertNoResult(waiting[1])

    def test_fewer_again(self) -> None:
        """Once those that have places send there are as many places as at first."""
        self.enter(SLOTS)
        waiting = self.enter(40 * SLOTS)
        places: list[Slot] = []
        for entered in waiting:
            entered.addCallback(places.append)

        def inside() -> int:
            return sum(place.ends is not None and place.ends.active() for place in places)

        self.turn(5 * LOOK, came=0)
        self.assertGreater(inside(), 2 * SLOTS)
        self.turn(NEW + LOOK, came=FLOWING)
        self.assertNoResult(waiting[-1])
        self.assertLessEqual(inside(), SLOTS)

    def turn(self, seconds: float, came: int) -> None:
        """Turn the clock, while so many bytes come for each that has a place."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            for place in self.admission._inside:
                place.came += came
            self.clock.advance(min(LOOK, end - self.clock.seconds()))

    def test_slow(self) -> None:
        """Who sends, but slowly, has the place for a moment only."""
        self.enter(SLOTS)
        waiting = self.enter(2 * SLOTS)
        for turn in (1, 2):
            self.turn(NEW, came=FLOWING)
            self.assertEqual(sum(entered.called for entered in waiting), turn * SLOTS)

    def test_silent(self) -> None:
        """Thousands that send nothing, or next to nothing, are passed within a second."""
        self.enter(5000)
        good = self.admission.enter()
        self.turn(0.8, came=FLOWING - 1)
        self.successResultOf(good)

    def test_not_silent(self) -> None:
        """Those that the disk holds back are not taken for silent, nor are there more places."""
        for _ in range(SLOTS):
            self.successResultOf(self.admission.enter(lambda: False))
        waiting = self.enter(SLOTS)
        self.turn(NEW - LOOK, came=0)
        self.assertFalse(any(entered.called for entered in waiting))

    def test_as_before(self) -> None:
        """When nobody waits any more, there are as many places as at first."""
        self.enter(10 * SLOTS)
        self.turn(1, came=0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.enter(SLOTS)
        self.assertNoResult(self.admission.enter())

    def test_thousands_leave(self) -> None:
        """Thousands that are gone when their turn comes leave one after the other."""
        inside = [self.successResultOf(entered) for entered in self.enter(SLOTS)]
        for entered in self.enter(5000):
            entered.addCallback(Slot.leave)
        last = self.admission.enter()
        inside[0].leave()
        self.successResultOf(last)

    def test_nothing_left_behind(self) -> None:
        """When all have left, no timer runs."""
        for entered in self.enter(SLOTS):
            self.successResultOf(entered).leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ConnectionTests(SynchronousTestCase):
    """The same, over connections."""

    SIZE = 20_000

    def begin(self, depot: Depot, count: int) -> None:
        self.sessions = [depot.connect() for _ in range(count)]
        for number, session in enumerate(self.sessions):
            session.send(b"UPLOAD %d;%d\n" % (number, self.SIZE))

    def states(self) -> list[State]:
        return [session.protocol.state for session in self.sessions]

    def test_wait(self) -> None:
        """An upload without a place is held back, and goes on when another one's bytes are in."""
        self.begin(Depot(self), SLOTS + 1)
        self.assertEqual(self.states(), [State.RECEIVING] * SLOTS + [State.WORKING])
        self.sessions[0].send(b"x" * self.SIZE)
        self.assertIs(self.sessions[-1].protocol.state, State.RECEIVING)

    def test_lost(self) -> None:
        """Connections that are lost keep no place, whether they had one or waited for it."""
        depot = Depot(self)
        self.begin(depot, SLOTS + 2)
        self.sessions[-2].lose()
        for session in self.sessions[:SLOTS]:
            session.lose()
        self.assertIs(self.sessions[-1].protocol.state, State.RECEIVING)
        self.sessions[-1].lose()
        self.assertEqual(depot.clock.getDelayedCalls(), [])
        self.assertEqual(depot.files(), [])

    def test_other_commands(self) -> None:
        """All else is served while uploads wait."""
        depot = Depot(self)
        self.begin(depot, SLOTS + 1)
        answer = depot.connect().send(b"UPLOAD small;5\nhelloLIST_FILES\n")
        self.assertEqual(len(answer.splitlines()), 3)
