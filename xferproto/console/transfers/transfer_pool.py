"""Transfers of many files, over several connections at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from xferproto.client.retry import RetryingClient
from xferproto.console.session import Session
from xferproto.console.transfers.connections import Jobs

F = TypeVar("F")

SHARE = 512
"""The number of small files that justifies one more connection."""


class TransferPool(Generic[F]):
    """
    Transfer files over as many connections as are worthwhile.

    Half of the connections begin with the small files, half with the large ones, so that neither
    wait for the others. A connection that has none of its kind left helps with the other kind.

    @param session: makes connections, and says how many there may be.
    @param many: transfers small files over a connection, taking them one by one.
    @param one: transfers a large file.
    @param unfinished: whether a file that was taken is still to be transferred.
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

    async def run(self, client: RetryingClient, small: Sequence[F], large: Sequence[F]) -> None:
        """
        Transfer all of these files.

        @param client: of the first connection.
        @raise Exception: what C{many} or C{one} raised, unless the error concerns their connection
            alone; then the other files are given up.
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
                await self._put_back_unfinished(
                    self._small, lambda files: self._many(client, files)
                )
            else:
                await self._put_back_unfinished(
                    self._large, lambda files: self._one(client, next(files))
                )

    async def _put_back_unfinished(
        self, files: deque[F], transfer: Callable[[Iterator[F]], Awaitable[None]]
    ) -> None:
        """Transfer files as they are taken; if that fails, put back what was not transferred."""
        taken: list[F] = []

        def take() -> Iterator[F]:
            while files:
                taken.append(files.popleft())
                yield taken[-1]

        try:
            await transfer(take())
        except BaseException:
            files.extendleft(filter(self._unfinished, reversed(taken)))
            raise
