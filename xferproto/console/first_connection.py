"""The first connection of a run: if it can't be made, the command fails at once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectError, DNSLookupError, TCPTimedOutError, TimeoutError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.console.ui.advice import HungUp, Unreachable
from xferproto.model.errors import ConnectionCut


@implementer(IStreamClientEndpoint)
class FirstTry:
    """
    Connect to an endpoint; a refusal is final until the endpoint was reached once.

    At first, a refusal means that the host is mistyped or the depot does not run. Later, the client
    tries again; it also does so if the network does not answer.

    A server that closes the first connection without an answer is another one, or speaks TLS: it is
    not connected to again either.

    @param below: the endpoint itself.
    """

    def __init__(self, below: IStreamClientEndpoint) -> None:
        self._below = below
        self._reached = False
        self._first: Any = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @raise Unreachable: the endpoint was never reached, and is not reached now.
        """
        if self._first is not None and self._first.hung_up:
            return fail(Unreachable(HungUp()))
        connecting: Deferred[IProtocol] = self._below.connect(protocolFactory)
        return connecting.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: IProtocol) -> IProtocol:
        self._reached = True
        self._first = self._first or protocol
        return protocol

    def _failed(self, failure: Failure) -> Failure:
        error = failure.value
        if (
            not self._reached
            and isinstance(error, ConnectError | DNSLookupError | ConnectionCut | ValueError)
            and not isinstance(error, TimeoutError | TCPTimedOutError)
        ):
            return Failure(Unreachable(error))
        return failure
