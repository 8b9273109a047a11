"""Work that several connections share: as many as the depot gives."""

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
from xferproto.model.escape import printable

LOST = (ConnectionCut, ConnectError, DNSLookupError, Unreachable)
"""What ends the work of one connection, and may let others go on."""

Work = Callable[[RetryingClient], Coroutine[Deferred[Any], Any, None]]
"""Does work over a connection, until none is left; puts back what it could not do."""


class Jobs:
    """
    Has work done over as many connections as are wanted, or as there are.

    The first one does its part from the beginning. Others are tried beside it, once each: what the
    depot refuses is done without. Where one is lost for good, the others do what it put back.

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
        Do all of it.

        @param first: the client of the first connection, which may have been used before.
        @param most: the most connections.
        @raise Exception: what a work raised, unless it is about its connection alone; what the last
            connection was lost by.
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
                text = printable(str(error))
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
                cancel()  # whose ends come in between
        if not unfinished and not finished.called:
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
