"""The files that are held in memory: those that settle, and those that wait to be sent."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from xferproto.client.source import ONE_LINE
from xferproto.watch.walk import Found, Identity

HELD = 20_000
"""
Files that are held at most, about half a KiB each; further ones are counted, and found again when
there is room.
"""

LARGE = 64 * 1024 * 1024
"""Files above this many bytes have a connection of their own: others do not wait for them."""

BULK = 256
"""Small files that are sent in one go."""


class Stage(enum.Enum):
    """How far a file has come."""

    SETTLING = "settling"
    READY = "ready"
    SENDING = "sending"
    FINISHING = "finishing"


@dataclass(slots=True, eq=False)
class Item:
    """
    A file that is held.

    @ivar doubtful: whether the depot may have it, though no answer is known.
    @ivar tries: how often it was refused for the time being.
    @ivar cuts: how many connections in a row were lost over it, without a byte more.
    @ivar mismatches: how often its hashes differed.
    @ivar sent: how many of its bytes are through.
    @ivar closed: whether its writer is known to have closed it as it is.
    """

    file: Found
    stage: Stage
    doubtful: bool = False
    tries: int = 0
    cuts: int = 0
    mismatches: int = 0
    sent: int = 0
    closed: bool = False

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def identity(self) -> Identity:
        return self.file.identity

    @property
    def size(self) -> int:
        return self.file.identity.size


@dataclass
class NotHeld:
    """
    Files that wait and are not held in memory.

    @ivar files: how many.
    @ivar bytes: how many bytes they have.
    @ivar refused: how many of them the depot has refused for now.
    @ivar left_out: whether there was no room for some of them.
    """

    files: int = 0
    bytes: int = 0
    refused: int = 0
    left_out: bool = False

    def add(self, file: Found) -> None:
        """One more."""
        self.files += 1
        self.bytes += file.identity.size

    def take(self, file: Found) -> None:
        """One less: it is held now."""
        self.files = max(0, self.files - 1)
        self.bytes = max(0, self.bytes - file.identity.size)

    def add_refused(self, file: Found) -> None:
        """One more that the depot has refused for now."""
        self.add(file)
        self.refused += 1


class Queue:
    """
    What is held.

    @ivar items: by their paths.
    @ivar bytes: that all of them have.
    @ivar not_held: what waits and is not held, as of the last look at the whole directory.

    @param changed: called when any of this may have changed.
    @param held: how many files at most.
    """

    def __init__(self, changed: Callable[[], object] = lambda: None, held: int = HELD) -> None:
        self.items: dict[str, Item] = {}
        self.bytes = 0
        self.not_held = NotHeld()
        self._held = held
        self._changed = changed
        self._bulk: deque[Item] = deque()
        self._single: deque[Item] = deque()
        self._large: deque[Item] = deque()
        self._waiting: list[Deferred[None]] = []
        self._wanting: list[Deferred[None]] = []

    # What is held

    @property
    def full(self) -> bool:
        """Whether there is no room for another file."""
        return len(self.items) >= self._held

    @property
    def ready(self) -> int:
        """How many files wait to be sent."""
        return len(self._bulk) + len(self._single) + len(self._large)

    def hold(self, file: Found, stage: Stage, doubtful: bool = False) -> Item:
        """Hold a file; one that is held already is held as it is now."""
        self.drop(file.path)
        item = Item(file, stage, doubtful)
        self.items[file.path] = item
        self.bytes += item.size
        self._changed()
        return item

    def drop(self, path: str) -> None:
        """Hold it no more; it waits for nothing."""
        item = self.items.pop(path, None)
        if item is None:
            return
        self.bytes -= item.size
        self._changed()
        if self._half_free:
            wanting, self._wanting = self._wanting, []
            _fire(wanting)

    @property
    def _half_free(self) -> bool:
        return len(self.items) <= self._held // 2

    def room(self) -> Deferred[None]:
        """Fires when half of what can be held is free."""
        waiter: Deferred[None] = Deferred()
        if self._half_free:
            waiter.callback(None)
        else:
            self._wanting.append(waiter)
        return waiter

    # The lanes

    def put(self, item: Item, first: bool = False) -> None:
        """It is to be sent, behind others or before them."""
        item.stage = Stage.READY
        if item.size > LARGE:
            lane = self._large
        elif item.size > ONE_LINE or item.doubtful:
            lane = self._single
        else:
            lane = self._bulk
        if first:
            lane.appendleft(item)
        else:
            lane.append(item)
        self._changed()
        waiting, self._waiting = self._waiting, []
        _fire(waiting)

    def take_bulk(self) -> list[Item]:
        """Small files that are sent together; empty where there are none."""
        taken: list[Item] = []
        while len(taken) < BULK and (item := self._take(self._bulk)) is not None:
            taken.append(item)
        return taken

    def take_single(self) -> Item | None:
        """A file that is sent by itself."""
        return self._take(self._single)

    def take_large(self) -> Item | None:
        """A large file."""
        return self._take(self._large)

    @property
    def some(self) -> bool:
        """Whether there may be files that are not large."""
        return bool(self._bulk or self._single)

    @property
    def some_large(self) -> bool:
        """Whether there may be large ones."""
        return bool(self._large)

    def _take(self, lane: deque[Item]) -> Item | None:
        while lane:
            item = lane.popleft()
            if self.items.get(item.path) is item:  # else it has changed since, or is gone
                item.stage = Stage.SENDING
                self._changed()
                return item
        return None

    def more(self) -> Deferred[None]:
        """Fires when something is put into a lane."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter


def _fire(waiters: list[Deferred[None]]) -> None:
    for waiter in waiters:
        if not waiter.called:  # as it is when it was cancelled
            waiter.callback(None)
