"""
Let uploads begin a few at a time, which goes much faster than a thousand of them in turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

SLOTS = 32
"""The most uploads that are new at once: each has room in memory for large blocks then."""

NEW = 0.25
"""Seconds after which an upload is new no longer, however little has come."""

LOOK = 0.03
"""Seconds between two looks at who has a slot, while others wait for one."""

FLOWING = 1024
"""Bytes between two looks that keep a slot; an upload that sends less loses it."""

MOST = 4096
"""The most slots that there can be: twice as many each time that most of them are silent."""


class Slot:
    """
    The slot of one upload; it may be left more than once.

    @ivar came: bytes that have come since the last look.
    @ivar fresh: whether it was not there yet at the last look.
    @ivar waits: whether it is the peer who has to go on, and not the disk.
    """

    __slots__ = ("_left", "came", "ends", "fresh", "waits")

    def __init__(
        self,
        left: Callable[[Slot], None] | None = None,
        waits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._left = left
        self.waits = waits
        self.came = 0
        self.fresh = True
        self.ends: IDelayedCall | None = None

    def leave(self) -> None:
        """Leave: all has come, or nothing will."""
        if self.ends is not None and self.ends.active():
            self.ends.cancel()
        left, self._left = self._left, None
        if left is not None:
            left(self)


class Admission:
    """
    Let uploads begin in the order they came, so many at a time.

    Silent ones keep nobody waiting for long: they lose their slots, and when most are silent there
    are twice as many slots, and so on, until there is somebody who sends.

    @param clock: counts how long they are new.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slots = SLOTS
        self._inside: set[Slot] = set()
        self._waiting: OrderedDict[Deferred[Slot], Callable[[], bool]] = OrderedDict()
        self._next: IDelayedCall | None = None
        self._letting_in = False

    def enter(self, waits: Callable[[], bool] = lambda: True) -> Deferred[Slot]:
        """
        Wait for a slot. May be cancelled.

        @param waits: whether it is the peer who has to go on.
        """
        if len(self._inside) < self._slots and not self._waiting:
            return succeed(self._slot(waits))
        waiting: Deferred[Slot] = Deferred(self._given_up)
        self._waiting[waiting] = waits
        if self._next is None:
            for slot in self._inside:
                slot.came = 0
            self._next = self._clock.callLater(LOOK, self._look)
        return waiting

    def _slot(self, waits: Callable[[], bool]) -> Slot:
        slot = Slot(self._leave, waits)
        slot.ends = self._clock.callLater(NEW, slot.leave)
        self._inside.add(slot)
        return slot

    def _leave(self, slot: Slot) -> None:
        self._inside.discard(slot)
        self._let_in()

    def _let_in(self) -> None:
        if self._letting_in:  # thousands that are gone meanwhile leave at once
            return
        self._letting_in = True
        try:
            while self._waiting and len(self._inside) < self._slots:
                waiting, waits = self._waiting.popitem(last=False)
                waiting.callback(self._slot(waits))
        finally:
            self._letting_in = False
        self._rest()

    def _given_up(self, waiting: Deferred[Slot]) -> None:
        """Nobody waits for this slot any more."""
        self._waiting.pop(waiting, None)
        self._rest()

    def _rest(self) -> None:
        """Where nobody waits, look no more."""
        if not self._waiting and self._next is not None:
            self._next.cancel()
            self._next = None
            self._slots = SLOTS

    def _look(self) -> None:
        self._next = self._clock.callLater(LOOK, self._look)
        judged = [slot for slot in self._inside if not slot.fresh]
        silent = [slot for slot in judged if slot.came < FLOWING and slot.waits()]
        if 2 * len(silent) > len(judged):
            self._slots = min(MOST, 2 * self._slots)
        elif judged:
            self._slots = SLOTS
        for slot in self._inside:
            slot.came = 0
            slot.fresh = False
        for slot in silent:
            slot.leave()
        self._let_in()
