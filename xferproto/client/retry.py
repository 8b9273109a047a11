"""A client that connects again, tries again, and resumes transfers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from xferproto.client.callbacks import OnResult, OnWait, Progress, Trace
from xferproto.client.deprecation import renamed_parameters
from xferproto.client.factory import Endpoint
from xferproto.client.outstanding import Outstanding
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.reconnector import Reconnector
from xferproto.client.retry_policy import (
    BACKOFF,
    FOR_UPLOADS,
    Headway,
    worth_another_try,
)
from xferproto.model.entry import Entry, Status
from xferproto.model.errors import (
    HashMismatch,
    LeftUnfinished,
    SourceChanged,
    XferError,
)
from xferproto.model.escape import escaped

R = TypeVar("R")


class RetryingClient:
    """
    Make the requests of an L{XferClientProtocol}, and try each again until it succeeds or can't.

    The wait between two tries grows with the number of failures, and has jitter. Uploads resume
    under a token, downloads from the part that came. A transfer may fail any number of times as
    long as each try makes progress.

    @param reactor: the reactor.
    @param endpoint: the depot, as for L{connect<xferproto.client.factory.connect>}.
    @param tries: how often each request is tried without progress, before it fails with the last
        failure.
    @param notify: called with a line that says why something is tried again, and when.
    @param delay: returns the seconds to wait, by the number of failed tries.
    @param prompted: as for L{connect<xferproto.client.factory.connect>}.
    @param trace: as for L{connect<xferproto.client.factory.connect>}.
    @param patience: seconds without progress after which a connection counts as lost.
    @param credentials: the user and password to log in with on every connection, or None.
    """

    @renamed_parameters(say="notify")
    def __init__(
        self,
        reactor: Any,
        endpoint: Endpoint,
        tries: int = 10,
        notify: Callable[[str], None] = lambda line: None,
        delay: Callable[[int], float] = BACKOFF,
        prompted: bool = False,
        trace: Trace | None = None,
        patience: float = 60.0,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self._reconnector = Reconnector(reactor, endpoint, prompted, trace, patience, credentials)
        self._reactor = reactor
        self._tries = tries
        self._notify = notify
        self._delay = delay

    def renew(self, endpoint: Endpoint, credentials: tuple[str, str] | None) -> None:
        """Use another endpoint and other credentials for new connections."""
        self._reconnector.endpoint = endpoint
        self._reconnector.credentials = credentials

    def connect(self) -> Deferred[None]:
        """
        Connect and log in once, unless there is a connection. From now on, each new connection is
        used only after the server has answered on it: a server that limits its connections refuses
        then, and not at a request.

        @return: fires when there is a connection.
        """
        self._reconnector.asks = True
        return Deferred.fromCoroutine(self._connect())

    async def _connect(self) -> None:
        await self._reconnector.connection()

    def list_files(self, prefix: str = "") -> Deferred[list[Entry]]:
        """As L{XferClientProtocol.list_files}."""
        return self._until_done(lambda client: client.list_files(prefix))

    @renamed_parameters(told="on_entry")
    def each_file(self, prefix: str, on_entry: Callable[[Entry], object]) -> Deferred[None]:
        """As L{XferClientProtocol.each_file}; each entry comes once, on however many tries."""
        return self._each(lambda client, hear: client.each_file(prefix, hear), on_entry)

    def list_damaged(self, prefix: str = "") -> Deferred[list[Entry]]:
        """As L{XferClientProtocol.list_damaged}."""
        return self._until_done(lambda client: client.list_damaged(prefix))

    @renamed_parameters(told="on_entry")
    def each_damaged(self, prefix: str, on_entry: Callable[[Entry], object]) -> Deferred[None]:
        """As L{XferClientProtocol.each_damaged}; gives each entry once, as L{each_file} does."""
        return self._each(lambda client, hear: client.each_damaged(prefix, hear), on_entry)

    def _each(
        self,
        listing: Callable[[XferClientProtocol, Callable[[Entry], None]], Deferred[None]],
        on_entry: Callable[[Entry], object],
    ) -> Deferred[None]:
        last: tuple[str, str] | None = None
        further = False

        def came_along() -> bool:
            nonlocal further
            result, further = further, False
            return result

        def request(client: XferClientProtocol) -> Deferred[None]:
            before = last

            def hear(entry: Entry) -> None:
                nonlocal last, further
                place = (entry.name, entry.id)  # the order of a listing
                if before is None or place > before:
                    on_entry(entry)
                    last = place
                    further = True

            return listing(client, hear)

        return self._until_done(request, came_along=came_along)

    def stat(self, id: str) -> Deferred[Status]:
        """As L{XferClientProtocol.stat}."""
        return self._until_done(lambda client: client.stat(id))

    @renamed_parameters(waited="on_wait")
    def upload(
        self,
        source: Path | str | bytes,
        name: str | None = None,
        progress: Progress | None = None,
        token: str | None = None,
        on_wait: OnWait | None = None,
    ) -> Deferred[Entry]:
        """
        As L{XferClientProtocol.resume}. If the file changes, the depot discards the part that it
        has.
        """
        return Deferred.fromCoroutine(self._upload(source, name, progress, token, on_wait))

    async def _upload(
        self,
        source: Path | str | bytes,
        name: str | None,
        progress: Progress | None,
        token: str | None,
        on_wait: OnWait | None,
    ) -> Entry:
        headway = Headway(progress)
        begun: dict[tuple[str, str], None] = {}  # each is another one where the file has changed

        def note(name: str, token: str) -> None:
            begun.pop((name, token), None)
            begun[name, token] = None

        try:
            entry = await self._until_done(
                lambda client: client.resume(
                    source, name, token, headway.progressed, on_wait, note
                ),
                FOR_UPLOADS,
                headway.came_along,
            )
        except SourceChanged:
            for each in begun:
                await self.discard(*each)
            raise
        for each in list(begun)[:-1]:
            await self.discard(*each)
        return entry

    async def discard(self, name: str, token: str) -> None:
        """
        Let the depot drop what it holds under a token, if it can be reached; if not, it does so
        when the upload expires. Never fails, unless it is cancelled.
        """
        try:
            await (await self._reconnector.connection()).discard(name, token)
        except CancelledError:  # a caller that stops must not go on
            raise
        except Exception:
            pass

    def download(
        self,
        id: str,
        target: Path | str,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Deferred[Entry]:
        """
        As L{XferClientProtocol.download}, resumed. If the hashes differ, the depot is asked to
        verify the content, which records damage there.

        @raise Corrupt: the depot's bytes are damaged.
        """
        headway = Headway(progress, kept=True)

        async def request(client: XferClientProtocol) -> Entry:
            try:
                return await client.download(id, target, replace, headway.progressed, resume=True)
            except HashMismatch:
                await client.verify(id)
                raise

        return self._until_done(request, came_along=headway.came_along)

    @renamed_parameters(told="on_result")
    def upload_many(
        self, files: Iterable[tuple[Path | str | bytes, str]], on_result: OnResult
    ) -> Deferred[None]:
        """
        As L{XferClientProtocol.upload_many}, over as many connections as it takes.

        A file that has no outcome when one is lost is sent again on the next. A file whose failure
        may pass is tried again after others. Large files begin anew with each try; L{upload} goes
        on.

        @param on_result: called once for each file; not in their order, where some are tried again.
        @return: fires when all have an outcome. Fails with what C{files} or C{on_result} raised,
            with which all ends; or when no file had an outcome on the last C{tries} connections.
        """
        outstanding = Outstanding(
            files, on_result, self._tries, lambda error: worth_another_try(error, FOR_UPLOADS)
        )
        return Deferred.fromCoroutine(
            self._try_all(
                outstanding,
                lambda client: client.upload_many(outstanding.files(), outstanding.heard),
            )
        )

    @renamed_parameters(told="on_result")
    def download_many(
        self, files: Iterable[tuple[str, Path | str]], on_result: OnResult, replace: bool = False
    ) -> Deferred[None]:
        """
        As L{XferClientProtocol.download_many}, over as many connections as it takes.

        @param on_result: as for L{upload_many}.
        @return: as for L{upload_many}; a file without an outcome has no target.
        """
        outstanding = Outstanding(files, on_result, self._tries, worth_another_try)
        return Deferred.fromCoroutine(
            self._try_all(
                outstanding,
                lambda client: client.download_many(
                    outstanding.files(), outstanding.heard, replace
                ),
            )
        )

    def read(self, id: str, largest: int, progress: Progress | None = None) -> Deferred[bytes]:
        """As L{XferClientProtocol.read}."""
        return self._until_done(lambda client: client.read(id, largest, progress))

    @renamed_parameters(waited="on_wait")
    def verify(self, id: str, on_wait: OnWait | None = None) -> Deferred[None]:
        """As L{XferClientProtocol.verify}."""
        return self._until_done(lambda client: client.verify(id, on_wait))

    def delete(self, id: str, name: str | None = None) -> Deferred[None]:
        """As L{XferClientProtocol.delete}; a second try may fail with no-such-file."""
        return self._until_done(lambda client: client.delete(id, name))

    def disconnect(self) -> Deferred[None]:
        """Close the connection; the next request opens another."""
        return Deferred.fromCoroutine(self._reconnector.disconnect())

    def _until_done(
        self,
        request: Callable[[XferClientProtocol], Awaitable[R]],
        also: tuple[type[XferError], ...] = (),
        came_along: Callable[[], bool] = lambda: False,
    ) -> Deferred[R]:
        return Deferred.fromCoroutine(self._try(request, also, came_along))

    async def _try(
        self,
        request: Callable[[XferClientProtocol], Awaitable[R]],
        also: tuple[type[XferError], ...],
        came_along: Callable[[], bool],
    ) -> R:
        failed = 0
        while True:
            try:
                return await request(await self._reconnector.connection())
            except Exception as error:
                failed = 1 if came_along() else failed + 1
                if failed >= self._tries or not worth_another_try(error, also):
                    raise
                reason = str(error)
            await self._wait(reason, failed)

    async def _try_all(
        self,
        outstanding: Outstanding[Any],
        request: Callable[[XferClientProtocol], Awaitable[None]],
    ) -> None:
        failed = 0  # connections in a row without the outcome of any file
        while True:
            try:
                await request(await self._reconnector.connection())
            except Exception as error:
                if outstanding.raised is not None:
                    raise outstanding.raised from None
                came_along = outstanding.came_along()
                if came_along and isinstance(error, LeftUnfinished):
                    failed = 0
                    continue  # one file ended its connection: the others need not wait
                failed = 1 if came_along else failed + 1
                if failed >= self._tries or not worth_another_try(error):
                    raise
                tried, reason = failed, str(error)
            else:
                outstanding.came_along()
                failed = 0
                tried, reason = outstanding.try_again()
                if not tried:
                    return
            await self._wait(reason, tried)

    async def _wait(self, reason: str, failed: int) -> None:
        seconds = self._delay(failed)
        self._notify(
            f"{escaped(reason)} Trying again in {seconds:.1f} s ({failed} of {self._tries})."
        )
        await deferLater(self._reactor, seconds)
