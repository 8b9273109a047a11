"""Work that several connections share, as many as the depot accepts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.python.failure import Failure

from xferproto.client.retry import RetryingClient
from xferproto.console.session import Session
from xferproto.console.ui.advice import Unreachable
from xferproto.model.errors import ConnectionCut
from xferproto.model.escape import escaped

LOST = (ConnectionCut, ConnectError, DNSLookupError, Unreachable)
"""Failures of one connection, after which others may go on."""

Work = Callable[[RetryingClient], Coroutine[Deferred[Any], Any, None]]
"""Do work over a connection, until none is left; put back what could not be done."""


class Jobs:
    """
    Share work among as many connections as are wanted and the depot accepts.

    The first one begins at once. Others are tried beside it, once each; if the depot refuses them,
    the work is done without them. If one is lost for good, the others do what it put back.

    @param session: makes connections.
    @param work: what each of them does.
    @param left: whether there is anything left to be done.
    """

    def __init__(self, session: Session, work: Work, left: Callable[[], bool]) -> None:
        self._session = session
        self._work = work
        self._left = left
        self._there: list[RetryingClient] = []
        self._connecting: set[Deferred[None]] = set()
        self._lost: list[Exception] = []
        self._refused = False

    async def run(self, first: RetryingClient, most: int) -> None:
        """
        Do all of the work.

        @param first: the client of the first connection, which may have been used before.
        @param most: the most connections.
        @raise Exception: what the work raised, unless the error concerns one connection alone; or
            why the last connection was lost.
        """
        if most > 1:
            with suppress(*LOST):  # its requests try again
                await first.connect()  # as a rule it has a connection
        self._there.append(first)
        others = [self._join() for _ in range(most - 1)]
        while self._left():
            if not self._there:
                raise self._lost[-1]
            await all_of([*map(self._share, self._there), *others])
            others = []

    async def _join(self) -> None:
        client = self._session.client()
        connecting = client.connect()
        self._connecting.add(connecting)
        try:
            await connecting
        except CancelledError:
            return
        except Exception as error:
            if not self._refused:
                text = escaped(str(error))
                self._session.output.note(f"There are fewer connections than --jobs: {text}")
            self._refused = True
            return
        finally:
            self._connecting.discard(connecting)
        self._there.append(client)
        await self._share(client)

    async def _share(self, client: RetryingClient) -> None:
        try:
            await self._work(client)
        except LOST as error:
            self._there.remove(client)
            self._lost.append(error)
            return
        for connecting in tuple(self._connecting):  # there is nothing left for them to do
            connecting.cancel()


async def all_of(works: Sequence[Coroutine[Deferred[Any], Any, None]]) -> None:
    """
    Run coroutines at the same time, and wait until all of them have ended.

    @raise Exception: what the first one to fail raised; the others are cancelled then. Cancelling
        this cancels all of them.
    """
    running = [Deferred.fromCoroutine(work) for work in works]
    unfinished = len(running)
    failures: list[Failure] = []
    decided: Deferred[None] = Deferred()
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
                cancel()  # whose ends come in between
        if not unfinished and not finished.called:
            finished.callback(None)
            if not decided.called:
                decided.callback(None)

    for work in running:
        work.addBoth(end)
    if running:
        try:
            await decided
        except CancelledError:
            cancel()
            await finished
            raise
    if failures:
        failures[0].raiseException()
