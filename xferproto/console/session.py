"""The run of a subcommand: reactor, connections, signals, and exit status."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

import click

from xferproto.console.config.password import credentials as find_credentials
from xferproto.console.config.settings import Settings
from xferproto.console.ui.advice import HungUp
from xferproto.console.ui.output import Output
from xferproto.model.errors import ConnectionCut, XferError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IStreamClientEndpoint

    from xferproto.client.protocol import XferClientProtocol
    from xferproto.client.retry import RetryingClient
    from xferproto.threads.executor import Executor

Work = Callable[["Session"], Coroutine["Deferred[Any]", Any, None]]
"""What a subcommand does."""

Credentials = tuple[str, str] | None

INTERRUPTED = 128
"""With the signal's number added, the exit status after one."""

GOODBYE = 2.0
"""Seconds that the depot has to close the connections at the end."""

PATIENCE = 30.0
"""Seconds without a byte after which a connection that is not retried counts as lost."""

THREADS = 4
"""Threads for each connection, which read, hash and write files."""


class Session:
    """
    Give a subcommand its connections, executor and output.

    @ivar reactor: the reactor, which runs.
    @ivar settings: the settings of this run.
    @ivar output: where to write.
    @ivar executor: does blocking work.
    @ivar endpoint: the depot.
    @ivar credentials: the user and password that log in, or None.
    @ivar interrupted: the message after Ctrl-C: what is kept, and how to go on.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        output: Output,
        endpoint: IStreamClientEndpoint,
        credentials: Credentials,
    ) -> None:
        from xferproto.threads.executor import ThreadExecutor

        self.reactor = reactor
        self.settings = settings
        self.output = output
        self.executor: Executor = ThreadExecutor(reactor, reactor.getThreadPool())
        self.endpoint = endpoint
        self.credentials = credentials
        self.interrupted: str | None = None
        self._clients: list[RetryingClient] = []
        self._connections: list[XferClientProtocol] = []

    def client(self) -> RetryingClient:
        """Make a client, which connects at its first request; the session disconnects it."""
        from xferproto.client.retry import RetryingClient

        client = RetryingClient(
            self.reactor,
            self.endpoint,
            self.settings.tries,
            self.output.note,
            credentials=self.credentials,
        )
        self._clients.append(client)
        return client

    async def connect(self) -> XferClientProtocol:
        """
        Make a connection, logged in, whose requests are tried once; the session disconnects it.
        """
        from xferproto.client.factory import connect

        client = await connect(self.reactor, self.endpoint, patience=PATIENCE)
        self._connections.append(client)
        if self.credentials is not None:
            await client.login(*self.credentials)
        return client

    def hung_up(self, error: Exception) -> bool:
        """Whether an error is the end of a connection on which the server has sent nothing."""
        return isinstance(error, ConnectionCut) and any(
            client.hung_up for client in self._connections
        )

    async def close(self) -> None:
        """Close the connections; wait for the depot a short time only."""
        from twisted.internet.defer import DeferredList

        goodbyes = [client.disconnect() for client in self._clients]
        goodbyes += [client.disconnect() for client in self._connections]
        closed = DeferredList(goodbyes, consumeErrors=True)
        await closed.addTimeout(GOODBYE, self.reactor, lambda result, seconds: None)


def run(settings: Settings, work: Work, credentials: Credentials = None) -> NoReturn:
    """
    Run a subcommand's work, and exit with its status: 0 when all went well, 1 when something
    failed, 130 after Ctrl-C, 143 after SIGTERM, 141 when nobody reads what it writes.

    @param work: cancelled by SIGINT and SIGTERM; what it raises is reported.
    @param credentials: the user and password; None to find them by the settings.
    @raise click.UsageError: there is no password, or the endpoint is malformed.
    """
    output = Output(settings.server, settings.json, settings.quiet)
    context = click.get_current_context(silent=True)
    output.command = None if context is None else context.info_name
    credentials = credentials or find_credentials(settings, output.note)
    status = 1
    try:
        status = _Run(settings, output, work, credentials).status()
        output.flush()
    except BrokenPipeError:
        output.hang_up()
        status = INTERRUPTED + signal.SIGPIPE
    except OSError as error:  # of standard output: its disk is full
        output.hang_up()
        print(f"xfer: standard output: {error.strerror}", file=sys.stderr)
        status = 1
    if status >= INTERRUPTED:  # threads may be at work still
        os._exit(status)
    sys.exit(status)


class _Run:
    """Run the reactor once, for one subcommand."""

    def __init__(
        self, settings: Settings, output: Output, work: Work, credentials: Credentials
    ) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._settings = settings
        self._output = output
        self._work = work
        self._credentials = credentials
        self._running: Deferred[None] | None = None
        self._signal: int | None = None
        self._error: OSError | None = None

    def status(self) -> int:
        """Run until the work is done, and return the exit status."""
        from xferproto.console.ui.log import begin_log

        reactor, output = self._reactor, self._output
        try:
            endpoint = _endpoint(reactor, self._settings)
        except XferError as error:
            output.failed("", error)
            return 1
        output.soon = lambda flush: reactor.callLater(0, self._flush, flush)
        session = Session(reactor, self._settings, output, endpoint, self._credentials)
        reactor.suggestThreadPoolSize(THREADS * (self._settings.jobs + 1))
        begin_log()
        usual = {
            number: signal.signal(number, self._signalled)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            reactor.callWhenRunning(self._begin, session)
            reactor.run(installSignalHandlers=False)
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)
        output.soon = None
        if self._error is not None:
            raise self._error
        if self._signal is not None:
            name = "Interrupted." if self._signal == signal.SIGINT else "Terminated."
            output.note(session.interrupted or name, signal=signal.Signals(self._signal).name)
            return INTERRUPTED + self._signal
        return 1 if output.failures else 0

    def _begin(self, session: Session) -> None:
        from twisted.internet.defer import Deferred

        self._running = Deferred.fromCoroutine(self._whole(session))
        self._running.addBoth(self._end)

    def _end(self, _: object) -> None:
        if self._signal is None:
            self._reactor.stop()
        else:  # threads may be stuck: do not wait for them
            self._reactor.crash()

    async def _whole(self, session: Session) -> None:
        from twisted.internet.defer import CancelledError

        try:
            await self._work(session)
        except CancelledError as error:
            if self._signal is None and self._error is None:
                self._output.failed("", error)
        except Exception as error:
            self._failed(session, error)
        if self._signal is None and self._error is None:
            await session.close()

    def _failed(self, session: Session, error: Exception) -> None:
        if isinstance(error, BrokenPipeError):
            self._error = error
            return
        if os.environ.get("XFER_DEBUG"):
            traceback.print_exception(error)
        self._output.failed("", HungUp() if session.hung_up(error) else error)

    def _flush(self, flush: Callable[[], None]) -> None:
        try:
            flush()
        except OSError as error:
            self._error = error
            self._cancel()

    def _signalled(self, number: int, frame: object) -> None:
        if self._signal is not None and number == signal.SIGINT:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # bars may have hidden the cursor
            os._exit(INTERRUPTED + number)
        if self._signal is None:
            self._signal = number
            self._reactor.callFromThread(self._cancel)

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()


def _endpoint(reactor: Any, settings: Settings) -> IStreamClientEndpoint:
    """
    Make the endpoint of the depot.

    @raise XferError: a file can't be used.
    @raise click.UsageError: the endpoint or the host name is malformed.
    """
    from xferproto.client.endpoint import depot_endpoint
    from xferproto.console.first_connection import FirstTry

    try:
        below = depot_endpoint(
            reactor,
            *(settings.host, settings.port, settings.endpoint, settings.tls),
            *(settings.ca, settings.fingerprint, settings.cert, settings.key),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return FirstTry(below)
