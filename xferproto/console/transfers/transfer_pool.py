"""Many files over several connections at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from xferproto.client.retry import RetryingClient
from xferproto.console.session import Session
from xferproto.console.transfers.connections import Jobs

F = TypeVar("F")

SHARE = 512
"""Small files that are worth a connection of their own."""


class Carrier(Generic[F]):
    """
    Carries files over as many connections as are worth it.

    Half of the connections begin with the small files, half with the large ones, so that neither
    wait for the others; a connection that has none of its kind left helps with the other.

    @param session: makes connections, and says how many there may be.
    @param many: carries small files over a connection, taking them as it goes.
    @param one: carries a large file.
    @param unfinished: whether a file that was taken is still to be carried.
    """

    def __init__(
        self,
        session: Session,
        many: Callable[[RetryingClient, Iterator[F]], Awaitable[None]],
        one: Callable[[RetryingClient, F], Awaitable[None]],
        unfinished: Callable[[F], bool],
    ) -> None:
        self._session = session
        self._many = many
        self._one = one
        self._unfinished = unfinished
        self._small: deque[F] = deque()
        self._large: deque[F] = deque()
        self._small_first = False

    async def carry(self, client: RetryingClient, small: Sequence[F], large: Sequence[F]) -> None:
        """
        Carry all of them.

        @param client: of the first connection.
        @raise Exception: what C{many} or C{one} raised, unless it is about their connection alone;
            the others are given up then.
        """
        self._small.extend(small)
        self._large.extend(large)
        worth = len(large) + -(-len(small) // SHARE)
        jobs = Jobs(self._session, self._work, lambda: bool(self._small or self._large))
        await jobs.run(client, min(self._session.settings.jobs, worth))

    async def _work(self, client: RetryingClient) -> None:
        self._small_first = small_first = not self._small_first
        while self._small or self._large:
            if self._small and (small_first or not self._large):
                await self._putting_back(self._small, lambda files: self._many(client, files))
            else:
                await self._putting_back(self._large, lambda files: self._one(client, next(files)))

    async def _putting_back(
        self, files: deque[F], carry: Callable[[Iterator[F]], Awaitable[None]]
    ) -> None:
        """Carry files as they are taken; where that fails, put back what was not carried."""
        taken: list[F] = []

        def take() -> Iterator[F]:
            while files:
                taken.append(files.popleft())
                yield taken[-1]

        try:
            await carry(take())
        except BaseException:
            files.extendleft(filter(self._unfinished, reversed(taken)))
            raise
