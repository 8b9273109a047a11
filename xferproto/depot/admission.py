"""
When a thousand uploads begin at once: a few at a time go much faster than all of them in turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

PLACES = 32
"""How many uploads may be new at once: each has room in memory for large blocks then."""

NEW = 0.25
"""Seconds after which an upload is new no longer, however little has come."""

LOOK = 0.03
"""Seconds between two looks at who has a place, while others wait for one."""

FLOWING = 1024
"""Bytes between two looks that keep a place: who sends less has none of those who wait in turn."""

MOST = 4096
"""How many places there may become: twice as many each time that most of them are silent."""


class Place:
    """
    The place of one upload; it may be left more than once.

    @ivar came: bytes that have come since the last look.
    @ivar fresh: whether it was not there yet at the last look.
    @ivar waits: whether it is the peer who has to go on, and not the disk.
    """

    __slots__ = ("_left", "came", "ends", "fresh", "waits")

    def __init__(
        self,
        left: Callable[[Place], None] | None = None,
        waits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._left = left
        self.waits = waits
        self.came = 0
        self.fresh = True
        self.ends: IDelayedCall | None = None

    def leave(self) -> None:
        """All has come, or nothing will."""
        if self.ends is not None and self.ends.active():
            self.ends.cancel()
        left, self._left = self._left, None
        if left is not None:
            left(self)


class Admission:
    """
    Lets uploads begin in the order they came, so many at a time.

    Silent ones keep nobody waiting for long: they lose their places, and when most are silent there
    are twice as many places, and so on, until there is somebody who sends.

    @param clock: counts how long they are new.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._places = PLACES
        self._inside: set[Place] = set()
        self._waiting: OrderedDict[Deferred[Place], Callable[[], bool]] = OrderedDict()
        self._next: IDelayedCall | None = None
        self._letting_in = False

    def enter(self, waits: Callable[[], bool] = lambda: True) -> Deferred[Place]:
        """
        Wait for a place. May be cancelled.

        @param waits: whether it is the peer who has to go on.
        """
        if len(self._inside) < self._places and not self._waiting:
            return succeed(self._place(waits))
        waiting: Deferred[Place] = Deferred(self._given_up)
        self._waiting[waiting] = waits
        if self._next is None:
            for place in self._inside:
                place.came = 0
            self._next = self._clock.callLater(LOOK, self._look)
        return waiting

    def _place(self, waits: Callable[[], bool]) -> Place:
        place = Place(self._leave, waits)
        place.ends = self._clock.callLater(NEW, place.leave)
        self._inside.add(place)
        return place

    def _leave(self, place: Place) -> None:
        self._inside.discard(place)
        self._let_in()

    def _let_in(self) -> None:
        if self._letting_in:  # thousands that are gone meanwhile leave at once
            return
        self._letting_in = True
        try:
            while self._waiting and len(self._inside) < self._places:
                waiting, waits = self._waiting.popitem(last=False)
                waiting.callback(self._place(waits))
        finally:
            self._letting_in = False
        self._rest()

    def _given_up(self, waiting: Deferred[Place]) -> None:
        """Nobody waits for this place any more."""
        self._waiting.pop(waiting, None)
        self._rest()

    def _rest(self) -> None:
        """Where nobody waits, look no more."""
        if not self._waiting and self._next is not None:
            self._next.cancel()
            self._next = None
            self._places = PLACES

    def _look(self) -> None:
        self._next = self._clock.callLater(LOOK, self._look)
        judged = [place for place in self._inside if not place.fresh]
        silent = [place for place in judged if place.came < FLOWING and place.waits()]
        if 2 * len(silent) > len(judged):
            self._places = min(MOST, 2 * self._places)
        elif judged:
            self._places = PLACES
        for place in self._inside:
            place.came = 0
            place.fresh = False
        for place in silent:
            place.leave()
        self._let_in()
