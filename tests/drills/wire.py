"""What the drills of the network share: a depot, proxies before it, and transfers to check."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from tests.drills.depot import Content, DepotProcess, clean_connection
from xferproto import RequestError, XferClientProtocol

R = TypeVar("R")

PREFIX = "drill-"
"""Begins the names of all that is stored."""


class Site:
    """
    Where a drill works.

    @ivar address: of the depot.
    @ivar directory: for files; gone at the end.
    """

    def __init__(self, reactor: Any, address: tuple[str, int], directory: Path) -> None:
        self.reactor = reactor
        self.address = address
        self.directory = directory

    async def clean(self) -> XferClientProtocol:
        """A connection with nothing in between."""
        return await clean_connection(self.reactor, self.address)

    async def stored_as(self, what: Content) -> set[str]:
        """
        The names under which a depot has exactly this content, fetched and compared.

        @raise AssertionError: it has other bytes under its id.
        """
        client = await self.clean()
        target = self.directory / f"check-{id(client)}"
        try:
            status = await client.stat(what.md5)
            await client.download(what.md5, target)
            same = target.read_bytes() == what.data
            assert same and status.sha256 == what.sha256, f"other bytes are stored as {what.md5}"
            return {entry.name for entry in status.entries}
        except RequestError as error:
            if error.symbol == "no-such-file":
                return set()
            raise
        finally:
            target.unlink(missing_ok=True)
            await client.disconnect()

    async def sweep(self, name: str, ids: Iterable[str]) -> set[tuple[str, str]]:
        """
        Delete what a transfer has left; what that was, as ids and names.

        @param name: what it was to be stored as.
        @param ids: contents that are no one else's, under whatever name.
        """
        client = await self.clean()
        try:
            found = {(one.id, one.name) for one in await client.list_files(name)}
            for id in ids:
                try:
                    found |= {(id, one.name) for one in (await client.stat(id)).entries}
                except RequestError:
                    continue
            for key in found:
                await client.delete(*key)
            return found
        finally:
            await client.disconnect()


@asynccontextmanager
async def site(
    reactor: Any, directory: Path | None, depot: tuple[str, int] | None
) -> AsyncIterator[Site]:
    """
    A place to work, with a depot that runs already or one of its own.

    @param directory: where temporary files are to be; the system's choice where it is None.
    """
    with tempfile.TemporaryDirectory(prefix="xfer-", dir=directory) as temporary:
        if depot is not None:
            yield Site(reactor, depot, Path(temporary))
            return
        process = DepotProcess(reactor, Path(temporary))
        try:
            await process.start()
            yield Site(reactor, process.address(), Path(temporary))
            assert process.running(), "the server ended by itself"
            process.stop()
            assert not process.complaints(), process.complaints()
        finally:
            process.kill()


class Patience:
    """
    Cancels a request once nothing has moved for some seconds, as a caller of the client should.

    @ivar ran_out: how often it had to.
    """

    def __init__(self, reactor: Any, seconds: float) -> None:
        self.ran_out = 0
        self._reactor = reactor
        self._seconds = seconds

    async def run(self, request: Callable[[Callable[[], None]], Deferred[R]]) -> R:
        """
        Wait for a request.

        @param request: makes it; gets what is to be called when something moves.
        @raise TimeoutError: it was cancelled.
        """
        call: IDelayedCall | None = None
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            self.ran_out += 1
            waiting.cancel()

        def moved() -> None:
            if call is not None and call.active():
                call.reset(self._seconds)

        waiting = request(moved)
        call = self._reactor.callLater(self._seconds, expire)
        try:
            return await waiting
        except CancelledError:
            if expired:
                raise TimeoutError() from None
            raise
        finally:
            if call.active():
                call.cancel()


async def in_parallel(works: Iterable[Callable[[], Awaitable[None]]], at_once: int) -> None:
    """Run them all, so many at a time; the first failure is raised when all have ended."""
    limit = DeferredSemaphore(at_once)

    async def one(work: Callable[[], Awaitable[None]]) -> None:
        async with limit:
            await work()

    running = [Deferred.fromCoroutine(one(work)) for work in works]
    for good, result in await DeferredList(running, consumeErrors=True):
        if not good and isinstance(result, Failure):
            result.raiseException()
