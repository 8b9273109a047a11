"""The service that runs one exchange, prints its transcript, and leaves the exit status."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    eventAsText,
    formatEvent,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.client.exchange.exchange import exchange
from xferproto.client.factory import connect
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.retry import RetryingClient
from xferproto.model.errors import RequestError, XferError
from xferproto.model.escape import printable
from xferproto.signals import OperatorSignals
from xferproto.twistd import ExitStatus

SHOWN_ENTRIES = 20
"""Lines of a listing that the transcript shows."""


@implementer(ILogObserver)
class TranscriptObserver:
    """Print the exchange only, and errors to standard error."""

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level")
        if event.get("log_namespace") == ExchangeService.log.namespace:
            stream = sys.__stdout__ if level is LogLevel.info else sys.__stderr__
            print(formatEvent(event), file=stream, flush=True)
        elif level in (LogLevel.error, LogLevel.critical):
            print(eventAsText(event), file=sys.__stderr__, flush=True)


class ExchangeService(Service):
    """
    Run one exchange, then stop the reactor.

    @param reactor: the reactor.
    @param endpoint: the depot, as messages call it, and its endpoint.
    @param source: the file to send.
    @param output: the directory to fetch it into.
    @param tries: how often to try each step; if more than once, transfers are resumed.
    @param verify: as for L{exchange}.
    @param delete: as for L{exchange}.
    @param credentials: the user and password to log in with, or None.
    @param exit_status: becomes 1 unless both ways were a success.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        endpoint: tuple[str, IStreamClientEndpoint],
        source: Path,
        output: Path,
        exit_status: ExitStatus,
        tries: int = 1,
        verify: bool = False,
        delete: bool = False,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self._credentials = credentials
        self._reactor = reactor
        self._depot, self._endpoint = endpoint
        self._source = source
        self._output = output
        self._tries = tries
        self._verify = verify
        self._delete = delete
        self._exit_status = exit_status
        self._entries = 0
        self._signals = OperatorSignals(reactor, self._notify, {})

    def startService(self) -> None:
        super().startService()
        self._signals.start()
        self._exit_status.code = 1  # until it is known better
        self._reactor.callWhenRunning(
            lambda: Deferred.fromCoroutine(self._run()).addErrback(self._failed).addBoth(self._end)
        )

    def stopService(self) -> None:
        self._signals.stop()
        super().stopService()

    def _notify(self, line: str) -> None:
        self.log.info("{line}", line=line)

    def _trace(self, direction: Literal["<", ">"], line: bytes) -> None:
        self._entries = self._entries + 1 if b";" in line and direction == "<" else 0
        if self._entries <= SHOWN_ENTRIES:
            self._notify(f"{direction} {printable(line)}")
        elif self._entries == SHOWN_ENTRIES + 1:
            self._notify("  ... and more entries")

    async def _run(self) -> None:
        self._notify(f"connecting to {self._depot}")
        client: XferClientProtocol | RetryingClient
        if self._tries > 1:
            client = RetryingClient(
                self._reactor,
                self._endpoint,
                self._tries,
                lambda line: self._notify(f"  {printable(line)}"),
                prompted=True,
                trace=self._trace,
                credentials=self._credentials,
            )
        else:
            client = await connect(self._reactor, self._endpoint, prompted=True, trace=self._trace)
            self._notify("connected")
            if self._credentials is not None:
                await client.login(*self._credentials)
        if await exchange(
            client, self._source, self._output, self._notify, self._verify, self._delete
        ):
            self._exit_status.code = 0
        self._notify("disconnected")

    def _failed(self, failure: Failure) -> None:
        self.log.error("xfer-client: {reason}", reason=self._reason(failure))

    def _reason(self, failure: Failure) -> str:
        error = failure.value
        if isinstance(error, RequestError):
            return f"refused: {printable(error.text)} ({error.symbol})"
        if isinstance(error, XferError):
            return str(error)
        if isinstance(error, ConnectError):
            number = error.osError
            reason = os.strerror(number) if isinstance(number, int) else str(error)
            return f"can't reach {self._depot}: {reason}"
        if isinstance(error, ValueError):  # a host name that is none
            return f"can't reach {self._depot}: {error}"
        if isinstance(error, DNSLookupError):
            return f"can't reach {self._depot}: nobody knows this host"
        if isinstance(error, OSError):
            return f"{printable(str(error.filename))}: {error.strerror}"
        self.log.failure("the exchange failed", failure)
        return "this should not have happened"

    def _end(self, _: object) -> None:
        if self._reactor.running:
            self._reactor.stop()
