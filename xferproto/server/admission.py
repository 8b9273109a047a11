"""
When a thousand uploads begin at once: a few at a time go much faster than all of them in turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

PLACES = 32
"""How many uploads may be new at once: each has room in memory for large blocks then."""

NEW = 0.25
"""
Seconds after which an upload is new no longer, however little has come: a slow peer keeps nobody
waiting for longer.
"""


class Place:
    """The place of one upload; it may be left more than once."""

    def __init__(self, left: Callable[[], None] | None = None) -> None:
        self._left = left
        self.ends: IDelayedCall | None = None

    def leave(self) -> None:
        """All has come, or nothing will."""
        if self.ends is not None and self.ends.active():
            self.ends.cancel()
        left, self._left = self._left, None
        if left is not None:
            left()


class Admission:
    """
    Lets uploads begin in the order they came, so many at a time.

    @param clock: counts how long they are new.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._free = PLACES
        self._waiting: deque[Deferred[Place]] = deque()

    def enter(self) -> Deferred[Place]:
        """Wait for a place."""
        if self._free:
            self._free -= 1
            return succeed(self._place())
        waiting: Deferred[Place] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _place(self) -> Place:
        place = Place(self._leave)
        place.ends = self._clock.callLater(NEW, place.leave)
        return place

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().callback(self._place())
        else:
            self._free += 1
