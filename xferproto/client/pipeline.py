"""Pipelined requests: prepared in batches, and sent within a window before earlier answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from xferproto.threads.executor import Executor

BATCH_FILES = 128
"""The most files that are prepared or written in one handoff to a thread."""

BATCH_BYTES = 1024 * 1024
"""The bytes of content after which such a batch ends."""

WINDOW_BYTES = 4 * BATCH_BYTES
"""The most bytes that are sent ahead of their answers."""


class Request(Protocol):
    """
    The request for one file.

    @ivar line: the command; empty if nothing is sent, because the outcome is known already.
    @ivar sent: how many bytes are sent for it in all.
    """

    line: bytes
    sent: int


F = TypeVar("F", bound=tuple[Any, Any])
R = TypeVar("R", bound=Request)


@dataclass(slots=True)
class Batch(Generic[R]):
    """
    Prepared requests.

    @ivar requests: the requests, in order.
    @ivar wire: the bytes to send for them.
    @ivar alone: the request after these, if it must have the connection for itself.
    """

    requests: Sequence[R]
    wire: bytes
    alone: R | None = None


class Pipeline(Generic[F, R]):
    """
    Prepare the requests for files, and keep them until they are answered.

    The sending side takes what is L{prepared}, sends it and L{put}s it here; the receiving side
    looks at the L{first} request, waits for its answer and L{pop}s it.

    @param files: pairs of any kind; taken as they are needed.
    @param prepare: makes the requests of the first of some files, as many as fit into a batch and
        at least one; runs on a thread.
    @param executor: that thread.
    @param most: how many requests may be under way.

    @ivar alone: the request that must have the connection for itself now; nothing is prepared
        until it is None again.
    @ivar unanswered: bytes that were sent for requests that are under way.
    """

    def __init__(
        self,
        files: Iterable[F],
        prepare: Callable[[Sequence[F]], Batch[R]],
        executor: Executor,
        most: int,
    ) -> None:
        self._files = iter(files)
        self._prepare = prepare
        self._executor = executor
        self._most = most
        self._taken: list[F] = []
        self._failure: Exception | None = None  # of the files, or of the sending
        self._next: Batch[R] | None = None
        self._room: Deferred[None] | None = None
        self._under_way: deque[R] = deque()
        self._more: Deferred[None] | None = None
        self._ended = False
        self.alone: R | None = None
        self.unanswered = 0

    async def prepared(self) -> Batch[R] | None:
        """
        Return the next batch once the window has room for it; None at the end, or before a request
        that must be alone.

        @raise Exception: what the files raised, after all those before are prepared.
        """
        if self.alone is not None or self._ended or not self._take():
            return None
        batch = await self._executor.run(self._prepare, tuple(self._taken))
        del self._taken[: len(batch.requests) + (batch.alone is not None)]
        self._next = batch
        while not self._ended and not self._fits(batch):
            self._room = Deferred()
            await self._room
        self._next = None
        if self._ended:
            return None
        self.alone = batch.alone
        return batch

    def _take(self) -> bool:
        """Take files for a batch, and return whether there are any."""
        content = 0
        while self._failure is None and len(self._taken) < BATCH_FILES and content < BATCH_BYTES:
            try:
                file = next(self._files)
            except StopIteration:
                break
            except Exception as error:  # raised when those before it are through
                self._failure = error
                break
            self._taken.append(file)
            content += len(file[0]) if isinstance(file[0], bytes) else 0
        if not self._taken and self._failure is not None:
            raise self._failure
        return bool(self._taken)

    def _fits(self, batch: Batch[R]) -> bool:
        return not self._under_way or (
            len(self._under_way) + len(batch.requests) <= self._most
            and self.unanswered + len(batch.wire) <= WINDOW_BYTES
        )

    def put(self, batch: Batch[R]) -> None:
        """Note that a batch is sent."""
        self._under_way.extend(batch.requests)
        self.unanswered += len(batch.wire)
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)

    async def first(self) -> R | None:
        """
        Return the next request to be answered; None when sending has ended, and all are answered.

        @raise Exception: what sending has ended with, after all requests before are answered.
        """
        if self._next is not None and self._fits(self._next):
            self._go_on()
        while not self._under_way:
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                return None
            self._more = Deferred()
            await self._more
        return self._under_way[0]

    def pop(self) -> None:
        """Remove the first request, which is answered."""
        self.unanswered -= self._under_way.popleft().sent

    def begin(self) -> None:
        """Note that sending begins, also after a request that was alone."""
        self._ended = False

    def end(self, failure: Exception | None = None) -> None:
        """End sending."""
        self._ended = True
        self._failure = self._failure or failure
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)
        self._go_on()

    def _go_on(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)
