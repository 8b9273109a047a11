"""
Hash contents on request, for verifying and resuming: few at once, in turns, behind the transfers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from xferproto.model.errors import ConnectionCut

SLOTS = max(1, (os.cpu_count() or 1) // 2)
"""The most contents that are hashed at once, of all that are asked for."""

ROTATING = 64
"""The most contents that are verified in turns, with open files; further ones wait."""

SLICE = 16 * 1024 * 1024
"""Bytes after which a content lets the next one have its turn."""

SMALL = 64 * 1024
"""Contents of up to so many bytes need no turn."""

REST = 3.0
"""While transfers run, it rests for so many times as long as it has worked: it has a quarter."""

LONGEST_REST = 0.25
"""Seconds that it rests at most, for a block of a slow disk."""


class Slots:
    """
    Give a number of slots to those who wait, in order.

    Those who wait are looked at in a loop, and not each by the one before it: hundreds may be gone
    at once, and the stack is not as deep.

    @param count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._uploads: deque[tuple[Turn, Deferred[None]]] = deque()
        self._others: deque[tuple[Turn, Deferred[None]]] = deque()
        self._upload_next = True
        self._letting_in = False

    @property
    def wanted(self) -> bool:
        """Whether any turn waits for a slot."""
        return bool(self._uploads or self._others)

    def take(self, turn: Turn) -> Deferred[None]:
        """
        Wait for a slot: behind others of the kind; uploads and others have theirs by turns.

        @raise ConnectionCut: nobody wants it any more; no slot was taken.
        """
        waiting: Deferred[None] = Deferred()
        (self._uploads if turn.for_upload else self._others).append((turn, waiting))
        self._let_in()
        return waiting

    def give(self) -> None:
        """Leave a slot."""
        self._free += 1
        self._let_in()

    def _let_in(self) -> None:
        if self._letting_in:
            return
        self._letting_in = True
        try:
            while self._free and self.wanted:
                turn, waiting = self._next()
                if turn.gone():
                    waiting.errback(ConnectionCut("The connection was lost."))
                else:
                    self._free -= 1
                    waiting.callback(None)
        finally:
            self._letting_in = False

    def _next(self) -> tuple[Turn, Deferred[None]]:
        queue, other = self._others, self._uploads
        if self._upload_next:
            queue, other = other, queue
        self._upload_next = not self._upload_next
        return queue.popleft() if queue else other.popleft()


class Turn:
    """
    The hashing of one content: a context, entered when its turn comes.

    @raise ConnectionCut: nobody wants it any more.
    """

    def __init__(
        self, turns: HashTurns, size: int, gone: Callable[[], bool], for_upload: bool
    ) -> None:
        self._turns = turns
        self._free = size <= SMALL
        self._rotates = not for_upload and not self._free
        self.gone = gone
        self.for_upload = for_upload
        self._inside = False
        self._began = 0
        self._since = 0.0

    async def __aenter__(self) -> Self:
        if self._rotates:
            await self._turns.rotation.take(self)
        try:
            await self._enter(0)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    async def progressed(self, done: int) -> None:
        """Note how many bytes are hashed, and wait until the next ones may be."""
        if self.gone():
            raise ConnectionCut("The connection was lost.")
        if self._free:
            return
        if done - self._began >= SLICE and self._turns.hashing.wanted:
            self._leave()
            await self._enter(done)
        else:
            await self._turns.rest(self._since)
            self._since = self._turns.clock.seconds()

    async def _enter(self, done: int) -> None:
        if not self._free:
            await self._turns.hashing.take(self)
            self._inside = True
            self._began = done
            self._since = self._turns.clock.seconds()

    def _leave(self) -> None:
        if self._inside:
            self._inside = False
            self._turns.hashing.give()

    def _end(self) -> None:
        self._leave()
        if self._rotates:
            self._turns.rotation.give()


class HashTurns:
    """
    Let contents be hashed on request, a slice at a time, those of uploads and others by turns.

    @param clock: times the rests.
    @param transfers: whether any transfer runs now.
    @ivar rotation: the slots of those that take turns beside the uploads.
    @ivar hashing: the slots of those whose turn it is.
    """

    def __init__(self, clock: IReactorTime, transfers: Callable[[], bool]) -> None:
        self.clock = clock
        self.rotation = Slots(ROTATING)
        self.hashing = Slots(SLOTS)
        self._transfers = transfers

    def turn(self, size: int, gone: Callable[[], bool], for_upload: bool = False) -> Turn:
        """
        The hashing of a content.

        @param size: how many bytes will be hashed.
        @param gone: whether nobody wants it any more.
        @param for_upload: whether an upload waits for it.
        """
        return Turn(self, size, gone, for_upload)

    async def rest(self, since: float) -> None:
        """Leave threads and disk to the transfers, if any run, after work that began then."""
        if self._transfers():
            worked = self.clock.seconds() - since
            if worked > 0:
                await deferLater(self.clock, min(LONGEST_REST, REST * worked))
