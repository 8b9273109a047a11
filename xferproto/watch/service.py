"""The service that C{twistd xfer-client --watch} runs: a session while the directory is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from xferproto.client.retry import RetryingClient
from xferproto.model.escape import escaped, printable, quoted
from xferproto.model.units import duration
from xferproto.signals import OperatorSignals
from xferproto.threads.executor import Executor, ThreadExecutor
from xferproto.watch.circuit_breaker import CircuitBreaker
from xferproto.watch.counters import Counters
from xferproto.watch.directory import DirectoryGone, DirectoryUnusable
from xferproto.watch.options import Done, WatchSettings
from xferproto.watch.report import Report
from xferproto.watch.session import Session, watched_directory

LOOK = 5.0
"""Seconds between two checks whether a directory that is gone is back."""

_DONE = {Done.MOVE: "moved to sent/", Done.DELETE: "deleted", Done.LEAVE: "left in place"}

log = Logger()


@dataclass(frozen=True)
class Renewal:
    """
    Read files again on SIGHUP, for new connections.

    @ivar what: which files, in words.
    @ivar read: returns the depot's endpoint, and the user and password; raises if a file can't be
        used.
    """

    what: str
    read: Callable[[], tuple[IStreamClientEndpoint, tuple[str, str] | None]]


class WatchService(Service):
    """
    Watch a directory, and send its files, until the service is stopped.

    @param reactor: the reactor.
    @param depot: the depot, as messages call it, and its endpoint.
    @param credentials: the user and password to log in with, or None.
    @param disk: does all work on the directory, one after the other; None for a thread of its own.
    @param now: a monotonic time, in seconds.
    @param renewal: reads files again on SIGHUP, or None.
    """

    def __init__(
        self,
        reactor: Any,
        depot: tuple[str, IStreamClientEndpoint],
        settings: WatchSettings,
        credentials: tuple[str, str] | None = None,
        disk: Executor | None = None,
        now: Callable[[], float] = time.monotonic,
        renewal: Renewal | None = None,
    ) -> None:
        self._reactor = reactor
        self._renewal = renewal
        again = {} if renewal is None else {renewal.what: self._renew}
        self._signals = OperatorSignals(reactor, _say, again)
        self._clients: WeakSet[RetryingClient] = WeakSet()
        self._depot, self._endpoint = depot
        self._settings = settings
        self._credentials = credentials
        self._now = now
        self._pool: ThreadPool | None = None
        if disk is None:
            self._pool = ThreadPool(1, 1, "xfer-watch")
            disk = ThreadExecutor(reactor, self._pool)
        self._disk = disk
        self._directory = watched_directory(settings)
        self._session: Session | None = None
        self._waiting: Deferred[None] | None = None

    def _client(self) -> RetryingClient:
        client = RetryingClient(
            self._reactor, self._endpoint, tries=1, credentials=self._credentials
        )
        self._clients.add(client)
        return client

    def _renew(self) -> None:
        assert self._renewal is not None
        try:
            self._endpoint, self._credentials = self._renewal.read()
        except Exception as error:
            log.error(
                "the files are not usable, and the old ones stay in use: {error}",
                error=escaped(str(error)),
            )
            return
        for client in self._clients:
            client.renew(self._endpoint, self._credentials)
        self._breaker.try_now()

    def startService(self) -> None:
        """
        Open the directory, and begin.

        @raise DirectoryUnusable: it can't be watched.
        """
        super().startService()
        self._signals.start()
        try:
            self._start()
        except BaseException:
            self._signals.stop()
            raise

    def _start(self) -> None:
        self._counters = counters = Counters(self._reactor.seconds)
        self._breaker = CircuitBreaker(self._reactor, self._depot, counters.changed)
        self._report = Report(
            self._reactor, self._disk, self._settings, self._depot, self._breaker, counters
        )
        counters.watcher = self._report.changed
        session = self._open()
        if self._pool is not None:
            self._pool.start()
        self._begin(session)

    def _open(self) -> Session:
        """Blocks."""
        self._directory.open()
        try:
            return Session(
                self._reactor,
                self._now,
                self._client,
                self._disk,
                self._settings,
                self._directory,
                self._breaker,
                self._counters,
                self._failed,
            )
        except BaseException:
            self._directory.close()
            raise

    def _begin(self, session: Session) -> None:
        self._session = self._report.session = session
        settings = self._settings
        log.info(
            "watching {directory}: files that have not changed for {settle} are sent to "
            "{depot}{prefix} and then {done}; scanned every {poll}{inotify}",
            directory=printable(str(settings.directory)),
            settle=duration(settings.settle),
            depot=self._depot,
            prefix=f" with the prefix {quoted(settings.prefix)}" if settings.prefix else "",
            done=_DONE[settings.done],
            poll=duration(session.poll),
            inotify="" if session.inotify is None else ", and when the system reports changes",
        )
        session.start()
        self._report.changed()

    def _failed(self, error: Exception) -> None:
        # Later: the caller may be a part that ends with the session.
        self._reactor.callLater(0, self._lose, self._session, error)

    def _lose(self, session: Session | None, error: Exception) -> None:
        if session is None or self._session is not session:
            return
        if isinstance(error, DirectoryGone):
            log.critical("{error} Waiting until it is back", error=escaped(str(error)))
        else:
            log.failure("this should not have happened; starting again", Failure(error))
        self._session = None
        self._waiting = Deferred.fromCoroutine(self._wait_for_it(session))
        self._waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _wait_for_it(self, session: Session) -> None:
        await session.stop()
        await self._disk.run(self._report.last("directory gone"))
        await self._disk.run(self._directory.close)
        self._report.session = None
        logged = ""
        while True:
            await deferLater(self._reactor, LOOK)
            if not await self._disk.run(self._directory.is_back):
                continue
            try:
                session = await self._disk.run(self._open)
                break
            except DirectoryUnusable as error:
                if logged != str(error):
                    logged = str(error)
                    log.error("{error}", error=escaped(logged))
        self._waiting = None
        self._begin(session)

    def stopService(self) -> Deferred[None]:
        """Stop sending; files that the depot has acknowledged are still moved."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        session, self._session = self._session, None
        if session is not None:
            await session.stop()
        await self._disk.run(self._report.last("stopped"))
        log.info(
            "stopped: {sent} sent, {failed} failed, {waiting} waiting",
            sent=self._counters.sent_files,
            failed=self._counters.failed_files,
            waiting=self._report.waiting,
        )
        await self._disk.run(self._directory.close)
        if self._pool is not None:
            self._pool.stop()
        self._signals.stop()  # last: systemd may send SIGHUP behind its SIGTERM


def _say(line: str) -> None:
    log.info("{line}", line=line)
