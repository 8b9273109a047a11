"""The files in memory: those that are not stable yet, and those that wait to be sent."""

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
The most files that are held, about half a KiB each; further ones are counted, and found again when
there is room.
"""

LARGE = 64 * 1024 * 1024
"""Files above this many bytes have a connection of their own, so that others need not wait."""

BULK = 256
"""The most small files that are sent in one request."""


class Stage(enum.Enum):
    """How far a file has come."""

    SETTLING = "settling"
    READY = "ready"
    SENDING = "sending"
    FINISHING = "finishing"


@dataclass(slots=True, eq=False)
class Item:
    """
    A file in the queue.

    @ivar doubtful: whether the depot may have it, though no answer is known.
    @ivar tries: how often it was refused for now.
    @ivar cuts: how many connections in a row were lost while it was sent, without progress.
    @ivar mismatches: how often its hashes differed.
    @ivar sent: how many of its bytes were sent.
    @ivar closed: whether its writer is known to have closed it.
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
    Count the files that wait and are not held in memory.

    @ivar files: how many.
    @ivar bytes: how many bytes they have.
    @ivar refused: how many of them the depot has refused for now.
    @ivar left_out: whether some of them found no room.
    """

    files: int = 0
    bytes: int = 0
    refused: int = 0
    left_out: bool = False

    def add(self, file: Found) -> None:
        """Count one more."""
        self.files += 1
        self.bytes += file.identity.size

    def take(self, file: Found) -> None:
        """Count one less, which is held now."""
        self.files = max(0, self.files - 1)
        self.bytes = max(0, self.bytes - file.identity.size)

    def add_refused(self, file: Found) -> None:
        """Count one more that the depot has refused for now."""
        self.add(file)
        self.refused += 1


class Queue:
    """
    Hold files, and give those that are to be sent in three classes of size.

    @ivar items: the files, by their paths.
    @ivar bytes: the bytes of all of them.
    @ivar not_held: the files that wait and are not held, as of the last scan.

    @param changed: called when any of this may have changed.
    @param held: the most files that are held.
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

    # Files that are held

    @property
    def full(self) -> bool:
        """Whether there is no room for another file."""
        return len(self.items) >= self._held

    @property
    def ready(self) -> int:
        """How many files wait to be sent."""
        return len(self._bulk) + len(self._single) + len(self._large)

    def hold(self, file: Found, stage: Stage, doubtful: bool = False) -> Item:
        """Hold a file, in place of one with the same path."""
        self.drop(file.path)
        item = Item(file, stage, doubtful)
        self.items[file.path] = item
        self.bytes += item.size
        self._changed()
        return item

    def drop(self, path: str) -> None:
        """Hold a file no longer."""
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
        """Return a Deferred that fires when half of the room is free."""
        waiter: Deferred[None] = Deferred()
        if self._half_free:
            waiter.callback(None)
        else:
            self._wanting.append(waiter)
        return waiter

    # Files that wait to be sent

    def put(self, item: Item, first: bool = False) -> None:
        """Let a file wait to be sent, after the others or before them."""
        item.stage = Stage.READY
        if item.size > LARGE:
            waiting_files = self._large
        elif item.size > ONE_LINE or item.doubtful:
            waiting_files = self._single
        else:
            waiting_files = self._bulk
        if first:
            waiting_files.appendleft(item)
        else:
            waiting_files.append(item)
        self._changed()
        waiting, self._waiting = self._waiting, []
        _fire(waiting)

    def take_bulk(self) -> list[Item]:
        """Take small files that are sent together; an empty list if there are none."""
        taken: list[Item] = []
        while len(taken) < BULK and (item := self._take(self._bulk)) is not None:
            taken.append(item)
        return taken

    def take_single(self) -> Item | None:
        """Take a file that is sent alone."""
        return self._take(self._single)

    def take_large(self) -> Item | None:
        """Take a large file."""
        return self._take(self._large)

    @property
    def some(self) -> bool:
        """Whether files that are not large may be waiting."""
        return bool(self._bulk or self._single)

    @property
    def some_large(self) -> bool:
        """Whether large files may be waiting."""
        return bool(self._large)

    def _take(self, waiting_files: deque[Item]) -> Item | None:
        while waiting_files:
            item = waiting_files.popleft()
            if self.items.get(item.path) is item:  # if not, it has changed since, or is gone
                item.stage = Stage.SENDING
                self._changed()
                return item
        return None

    def more(self) -> Deferred[None]:
        """Return a Deferred that fires when a file is put here."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter


def _fire(waiters: list[Deferred[None]]) -> None:
    for waiter in waiters:
        if not waiter.called:  # as it is when it was cancelled
            waiter.callback(None)
