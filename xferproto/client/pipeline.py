"""Requests that are sent before earlier ones are answered: prepared in batches, within a window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from xferproto.threads.executor import Executor

BATCH_FILES = 128
"""The most files that are prepared, or written, in one handoff to a thread."""

BATCH_BYTES = 1024 * 1024
"""The bytes of content after which such a batch ends."""

WINDOW_BYTES = 4 * BATCH_BYTES
"""The most bytes that are sent ahead of their answers."""


class Request(Protocol):
    """
    What a pipeline holds for each file.

    @ivar line: the command, empty where nothing is sent: its outcome is known already.
    @ivar sent: how many bytes are sent for it in all.
    """

    line: bytes
    sent: int


F = TypeVar("F", bound=tuple[Any, Any])
R = TypeVar("R", bound=Request)


@dataclass(slots=True)
class Batch(Generic[R]):
    """
    What was prepared of some files.

    @ivar requests: theirs, in order.
    @ivar wire: all that is sent for them.
    @ivar alone: the request after these, where it is one that must have the connection for itself.
    """

    requests: Sequence[R]
    wire: bytes
    alone: R | None = None


class Pipeline(Generic[F, R]):
    """
    Takes files from whoever has them, and keeps the requests for them until they are answered.

    One side asks for what is L{prepared}, sends it and L{put}s it here; the other one looks at the
    L{first} request, waits for its answer and L{pop}s it.

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
        What to send next, once the window has room for it; None at the end, or before what must be
        alone.

        @raise Exception: what the files raised, when all those before are prepared.
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
        """Whether there are files to be prepared, after as many as make a batch were taken."""
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
        """These are under way from now on."""
        self._under_way.extend(batch.requests)
        self.unanswered += len(batch.wire)
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)

    async def first(self) -> R | None:
        """
        The request whose turn it is to be answered; None when the sending has ended, and all are.

        @raise Exception: the sending has ended with it, and all requests before are answered.
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
        """The first one is answered."""
        self.unanswered -= self._under_way.popleft().sent

    def begin(self) -> None:
        """The sending begins; again, where it has ended before what must be alone."""
        self._ended = False

    def end(self, failure: Exception | None = None) -> None:
        """The sending has ended, or is to end."""
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
