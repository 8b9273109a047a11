"""A client that does not give up: connects again, tries again, goes on where it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater

from xferproto.client.connection import Progress, Waited
from xferproto.client.factory import Trace, connect
from xferproto.client.protocol import XferClientProtocol
from xferproto.entry import Entry, Status
from xferproto.errors import ConnectionCut, HashMismatch, RequestError
from xferproto.escape import printable

R = TypeVar("R")

WORTH_ANOTHER_TRY = frozenset({"busy", "internal", "no-space", "timeout"})
"""The symbols of refusals that may have passed when one asks again."""


BACKOFF = backoffPolicy(initialDelay=1.0, maxDelay=60.0)
"""Seconds to wait after so many failures: longer each time, with jitter, up to a minute."""


def worth_another_try(error: BaseException, symbols: Collection[str] = WORTH_ANOTHER_TRY) -> bool:
    """Whether what failed may go well the next time; a refusal, if it is of these symbols."""
    if isinstance(error, RequestError):
        return error.symbol in symbols
    return isinstance(error, ConnectionCut | HashMismatch | ConnectError | DNSLookupError)


class RetryingClient:
    """
    The requests of an L{XferClientProtocol}, each tried again until it goes well or never will.

    Between two tries it waits, the longer the more have failed, and never the same time as others.
    Uploads go on under a token, downloads from what came.

    @param reactor: the reactor.
    @param endpoint: the depot, as for L{connect<xferproto.client.factory.connect>}.
    @param tries: how often each request is tried before its last failure is told.
    @param say: told in one line why something is tried again, and when.
    @param delay: seconds to wait, from how many tries have failed.
    @param prompted: as for L{connect<xferproto.client.factory.connect>}.
    @param trace: as for L{connect<xferproto.client.factory.connect>}.
    @param patience: seconds without a byte after which a connection is taken for lost.
    @param credentials: the user and password to log in with on every connection, or None.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: str | IStreamClientEndpoint,
        tries: int = 10,
        say: Callable[[str], None] = lambda line: None,
        delay: Callable[[int], float] = BACKOFF,
        prompted: bool = False,
        trace: Trace | None = None,
        patience: float = 60.0,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self._credentials = credentials
        self._patience = patience
        self._reactor = reactor
        self._endpoint = endpoint
        self._tries = tries
        self._say = say
        self._delay = delay
        self._prompted = prompted
        self._trace = trace
        self._client: XferClientProtocol | None = None
        self._connecting = DeferredLock()

    def list_files(self, prefix: str = "") -> Deferred[list[Entry]]:
        """As L{XferClientProtocol.list_files}."""
        return self._until_done(lambda client: client.list_files(prefix))

    def stat(self, id: str) -> Deferred[Status]:
        """As L{XferClientProtocol.stat}."""
        return self._until_done(lambda client: client.stat(id))

    def upload(
        self,
        source: Path | str | bytes,
        name: str | None = None,
        progress: Progress | None = None,
        waited: Waited | None = None,
    ) -> Deferred[Entry]:
        """As L{XferClientProtocol.resume}."""
        # What was known to the depot may have been deleted meanwhile; then it is sent.
        return self._until_done(
            lambda client: client.resume(source, name, progress=progress, waited=waited),
            WORTH_ANOTHER_TRY | {"no-such-file", "corrupt"},
        )

    def download(
        self,
        id: str,
        target: Path | str,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Deferred[Entry]:
        """As L{XferClientProtocol.download}, resumed."""
        return self._until_done(
            lambda client: client.download(id, target, replace, progress, resume=True)
        )

    def verify(self, id: str, waited: Waited | None = None) -> Deferred[None]:
        """As L{XferClientProtocol.verify}."""
        return self._until_done(lambda client: client.verify(id, waited))

    def delete(self, id: str, name: str | None = None) -> Deferred[None]:
        """As L{XferClientProtocol.delete}; tried again, it may find the work done: no-such-file."""
        return self._until_done(lambda client: client.delete(id, name))

    async def _disconnect(self) -> None:
        await self._connecting.acquire()
        client, self._client = self._client, None
        self._connecting.release()
        if client is not None:
            await client.disconnect()

    def disconnect(self) -> Deferred[None]:
        """Close the connection; the next request opens another."""
        return Deferred.fromCoroutine(self._disconnect())

    def _until_done(
        self,
        request: Callable[[XferClientProtocol], Awaitable[R]],
        symbols: Collection[str] = WORTH_ANOTHER_TRY,
    ) -> Deferred[R]:
        return Deferred.fromCoroutine(self._try(request, symbols))

    async def _try(
        self, request: Callable[[XferClientProtocol], Awaitable[R]], symbols: Collection[str]
    ) -> R:
        failed = 0
        while True:
            try:
                return await request(await self._connected())
            except Exception as error:
                failed += 1
                if failed >= self._tries or not worth_another_try(error, symbols):
                    raise
                seconds = self._delay(failed)
                reason = printable(str(error))
                self._say(f"{reason} Trying again in {seconds:.1f} s ({failed} of {self._tries}).")
            await deferLater(self._reactor, seconds)

    async def _connected(self) -> XferClientProtocol:
        await self._connecting.acquire()  # requests made at once share one connection
        try:
            if self._client is None or not self._client.usable:
                self._client = None
                client = await connect(
                    self._reactor, self._endpoint, self._prompted, self._trace, self._patience
                )
                await self._logged_in(client)
                self._client = client
            return self._client
        finally:
            self._connecting.release()

    async def _logged_in(self, client: XferClientProtocol) -> None:
        if self._credentials is None:
            return
        try:
            await client.login(*self._credentials)
        except BaseException:
            client.disconnect()
            raise
