"""Many files over several connections at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from xferproto.client.retry import RetryingClient

F = TypeVar("F")

SHARE = 512
"""Small files that are worth a connection of their own."""


class Carrier(Generic[F]):
    """
    Carries files over as many connections as are worth it.

    Half of the connections begin with the small files, half with the large ones, so that neither
    wait for the others; a connection that has none of its kind left helps with the other.

    @param client: makes the client of a connection.
    @param jobs: the most connections.
    @param many: carries small files over a connection, taking them as it goes.
    @param one: carries a large file.
    """

    def __init__(
        self,
        client: Callable[[], RetryingClient],
        jobs: int,
        many: Callable[[RetryingClient, Iterator[F]], Awaitable[None]],
        one: Callable[[RetryingClient, F], Awaitable[None]],
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._many = many
        self._one = one
        self._small: deque[F] = deque()
        self._large: deque[F] = deque()

    async def carry(self, small: Sequence[F], large: Sequence[F]) -> None:
        """
        Carry all of them.

        @raise Exception: what C{many} or C{one} raised; the others are given up then.
        """
        self._small.extend(small)
        self._large.extend(large)
        jobs = min(self._jobs, len(large) + -(-len(small) // SHARE))
        await all_of([self._work(number % 2 == 0) for number in range(jobs)])

    async def _work(self, small_first: bool) -> None:
        client = self._client()
        while self._small or self._large:
            if self._small and (small_first or not self._large):
                await self._many(client, _drained(self._small))
            else:
                await self._one(client, self._large.popleft())


def _drained(files: deque[F]) -> Iterator[F]:
    while files:
        yield files.popleft()


async def all_of(works: Sequence[Coroutine[Deferred[Any], Any, None]]) -> None:
    """
    Do works at the same time, and wait until all of them have ended.

    @raise Exception: what the first one to fail raised; the others were cancelled then, as all are
        when this is.
    """
    running = [Deferred.fromCoroutine(work) for work in works]
    unfinished = len(running)
    failures: list[Failure] = []
    told: Deferred[None] = Deferred()
    finished: Deferred[None] = Deferred()

    def cancel() -> None:
        for work in running:
            work.cancel()

    def end(result: Failure | None) -> None:
        nonlocal unfinished
        unfinished -= 1
        if isinstance(result, Failure):
            failures.append(result)
            if len(failures) == 1:
                cancel()
        if not unfinished:
            finished.callback(None)
            if not told.called:
                told.callback(None)

    for work in running:
        work.addBoth(end)
    if running:
        try:
            await told
        except CancelledError:
            cancel()
            await finished
            raise
    if failures:
        failures[0].raiseException()
