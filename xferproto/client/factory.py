"""Make and connect clients."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from xferproto.client.callbacks import Trace
from xferproto.client.protocol import XferClientProtocol
from xferproto.threads.executor import Executor, ThreadExecutor
from xferproto.threads.worker_pool import WorkerPool
from xferproto.transfer.budget import MemoryBudget

DEFAULT_PORT = 9000


class Connects(Protocol):
    """An endpoint, for type checkers that do not know zope.interface."""

    def connect(self, protocolFactory: Any) -> Any: ...


Endpoint = str | IStreamClientEndpoint | Connects
"""A depot's endpoint: any Twisted client endpoint, or its string, as in C{tcp:depot:9000}."""


PATIENCE = 60.0
"""Seconds without progress after which a connection of L{connect} is given up."""


class XferClientFactory(ClientFactory):
    """
    Make an L{XferClientProtocol} for each connection, with any client endpoint's C{connect}.

    @param executor: the threads that read, hash and write files.
    @param prompted: whether to wait for each command's prompt, as a person would, instead of
        sending the argument on the same line.
    @param trace: called with each line that goes over the wire.
    @param patience: seconds without progress, while an answer is awaited, after which the
        connection is given up (L{Patience<xferproto.client.patience.Patience>}); None for no limit.
    @param clock: counts them.
    """

    noisy = False

    def __init__(
        self,
        executor: Executor,
        prompted: bool = False,
        trace: Trace | None = None,
        patience: float | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        if patience is not None and clock is None:
            raise TypeError("patience takes a clock")
        self.patience = patience
        self.clock = clock
        self.executor = executor
        self.prompted = prompted
        self.trace: Trace = trace or (lambda direction, line: None)
        self.workers = WorkerPool(executor)
        self.budget = MemoryBudget()

    def buildProtocol(self, addr: IAddress | None) -> XferClientProtocol:
        return XferClientProtocol(self)


def connect(
    reactor: Any,
    endpoint: Endpoint,
    prompted: bool = False,
    trace: Trace | None = None,
    patience: float | None = PATIENCE,
) -> Deferred[XferClientProtocol]:
    """
    Connect to a depot.

    @param reactor: the reactor; its threads do the reading and hashing.
    @param endpoint: any Twisted client endpoint, or its description, as in C{tcp:depot:9000}.
    @param prompted: as for L{XferClientFactory}.
    @param trace: as for L{XferClientFactory}.
    @param patience: as for L{XferClientFactory}.
    @return: fires with the connected client.
    @raise ConnectError: the depot can't be reached (L{twisted.internet.error}).
    @raise CancelledError: this was cancelled.
    @raise ValueError: C{endpoint} is malformed.
    """
    executor = ThreadExecutor(reactor, reactor.getThreadPool())
    factory = XferClientFactory(executor, prompted, trace, patience, reactor)
    chosen: Any = clientFromString(reactor, endpoint) if isinstance(endpoint, str) else endpoint
    return _cancellable(chosen.connect(factory))


def _cancellable(connecting: Deferred[XferClientProtocol]) -> Deferred[XferClientProtocol]:
    """
    Return a Deferred that fails with C{CancelledError} when it is cancelled. An endpoint reports
    that by an error of its own: a name that is being resolved, as one that does not exist.
    """
    cancelled = False

    def cancel(_: Deferred[XferClientProtocol]) -> None:
        nonlocal cancelled
        cancelled = True
        connecting.cancel()

    def succeed(client: XferClientProtocol) -> None:
        if cancelled:
            client.disconnect()
        else:
            connected.callback(client)

    def fail(failure: Failure) -> None:
        if not cancelled:
            connected.errback(failure)

    connected: Deferred[XferClientProtocol] = Deferred(cancel)
    connecting.addCallbacks(succeed, fail)
    return connected
