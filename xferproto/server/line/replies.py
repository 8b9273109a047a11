"""Answer pipelined requests in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from xferproto.model.entry import Entry
from xferproto.model.errors import RequestError
from xferproto.transfer.budget import MemoryBudget
from xferproto.wire.commands import Command

OVERHEAD = 1024
"""About how many bytes of memory a pipelined request takes beside its content."""


CommandLine = tuple[Command, bytes]
"""A command, with its argument or what is known of it."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """
    The reply to a request that moved a small file.

    @ivar answer: all of it.
    @ivar entry: the file.
    @ivar count: how many of its bytes went over the wire.
    @ivar started: when the request was begun, seconds of the reactor's clock.
    """

    answer: bytes
    entry: Entry
    count: int
    started: float


Reply = Transferred | RequestError | Callable[[], None]
"""A reply; or a request that is only begun in its turn, as its reply can't be made before."""


@dataclass(slots=True)
class PendingReply:
    """
    A reply that is owed.

    @ivar held: bytes that it holds in memory, or may hold.
    @ivar request: what it answers.
    @ivar reply: what it is, when that is known.
    """

    held: int
    request: CommandLine | None
    reply: Reply | None = None


class ReplyQueue:
    """
    A queue of replies that become known in any order.

    While one request waits for its turn at the end of the queue, no further one may be added.

    @param budget: says how many bytes they may hold.
    @ivar command: what the requests are; they must all be of one command.
    @ivar request: the one that the reply taken out last answers.
    @ivar waiting: whether the last of them is a request that waits for its turn.
    @ivar full: whether no more requests should be taken in, for the memory.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._queue: deque[PendingReply] = deque()
        self._held = 0
        self.command: Command | None = None
        self.request: CommandLine | None = None
        self.waiting = False
        self.full = False

    def __bool__(self) -> bool:
        return bool(self._queue)

    def owe(self, command: Command, held: int, request: CommandLine | None = None) -> PendingReply:
        """Owe one more reply, behind all others."""
        owed = PendingReply(held, request)
        if not self._queue:
            self._budget.join()
        self.command = command
        self._queue.append(owed)
        self._held += held
        if self._held > self._budget.share:
            self.full = True
        return owed

    def wait(self, begin: Callable[[], None], request: CommandLine | None = None) -> None:
        """Let a request wait for its turn: until all that is owed now is answered."""
        self._queue.append(PendingReply(0, request, begin))
        self.waiting = True

    def next(self) -> Reply | None:
        """Take the first reply out, if it is known by now."""
        if not self._queue or self._queue[0].reply is None:
            return None
        owed = self._queue.popleft()
        self._held -= owed.held
        self.request = owed.request
        # Half, so that a peer is not stopped and started for every reply.
        if self.full and self._held <= self._budget.share // 2:
            self.full = False
        if not self._queue:
            self.waiting = False
            self._budget.leave()
        return owed.reply

    def drop(self) -> None:
        """The peer is gone: nothing is owed any more."""
        if self._queue:
            self._queue.clear()
            self._budget.leave()
        self._held = 0
        self.waiting = self.full = False
