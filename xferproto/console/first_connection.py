"""The first connection of a run: where it can't be made, that is told at once."""

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
    An endpoint whose refusals are final until it was reached once: whoever sits at the terminal
    has mistyped the host as a rule, or the depot does not run. Later they are what a client that
    tries again is for, and so is a network that does not answer.

    A port that takes the connection and closes it without a word is that of something else, or
    speaks TLS: it is not connected to twice either.

    @param below: the endpoint itself.
    """

    def __init__(self, below: IStreamClientEndpoint) -> None:
        self._below = below
        self._reached = False
        self._first: Any = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @raise Unreachable: it was never reached, and is not reached now.
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
