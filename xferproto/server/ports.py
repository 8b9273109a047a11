"""Listen on endpoints, and announce in the log where."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.model.errors import ListenFailed
from xferproto.server.listen import trial_line

log = Logger("xfer")

Endpoints = Iterable[tuple[str, IStreamServerEndpoint]]
"""Each with its description, for messages."""


class Ports:
    """
    Hold the ports that a server listens on.

    @param on_failure: called when one can't be listened on, and that shows only later.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._ports: list[tuple[IListeningPort, str]] = []

    def listen(self, endpoints: Endpoints, factory: IProtocolFactory, clients: str = "") -> None:
        """
        Listen on endpoints.

        @param clients: whom they are for, where these are not the clients of the line protocol.
        @raise ListenFailed: an endpoint can't be listened on.
        """
        for description, endpoint in endpoints:
            failures: list[Failure] = []
            listening = maybeDeferred(endpoint.listen, factory)
            listening.addCallbacks(self._opened, failures.append, callbackArgs=(clients,))
            if failures:
                raise _listen_failed(description, failures[0])
            if not listening.called:
                listening.addCallback(self._listen_ended, description, failures)

    def _opened(self, listening_port: IListeningPort, clients: str) -> None:
        self._ports.append((listening_port, clients))

    def _listen_ended(self, _: object, description: str, failures: list[Failure]) -> None:
        if failures:
            log.critical("{error}", error=_listen_failed(description, failures[0]))
            self._on_failure()
        else:
            _announce(*self._ports[-1])

    def announce(self) -> None:
        """Log what is listened on, and a command to try it."""
        for listening_port, clients in self._ports:
            _announce(listening_port, clients)

    async def stop(self) -> None:
        """Listen no more."""
        for listening_port, _ in self._ports:
            await maybeDeferred(listening_port.stopListening)


def _announce(listening_port: IListeningPort, clients: str) -> None:
    address = listening_port.getHost()
    host, number = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or number is None:
        log.info("listening on {address}{clients}", address=address, clients=clients)
        return
    log.info("listening on {host} port {port}{clients}", host=host, port=number, clients=clients)
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    line = trial_line(listening_port, shlex.quote(near), number)
    if line is not None and not clients:
        log.info("try it: printf 'LIST_FILES\\nQUIT\\n' | {line}", line=line)


def _listen_failed(description: str, failure: Failure) -> ListenFailed:
    error = failure.value
    reason = getattr(error, "socketError", None) or error  # CannotListenError wraps it
    text = getattr(reason, "strerror", None) or reason
    return ListenFailed(f"Can't listen on {description}: {text}.")
