"""
A host by name, for a reactor beside the program's own.

Twisted's C{HostnameEndpoint} is made of a C{LoopingCall}, and making one of these installs the
program's own reactor (C{twisted.internet.reactor}), whatever other it is for.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, FailureGroup, race
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

TIMEOUT = 30
"""Seconds that an address has to take a connection."""

HEAD_START = 0.25
"""Seconds that each address has before the next one is tried beside it (RFC 8305, section 5)."""

ENDPOINTS: Mapping[int, Any] = {
    socket.AF_INET: TCP4ClientEndpoint,
    socket.AF_INET6: TCP6ClientEndpoint,
}
"""What connects to the addresses of each family."""


@implementer(IStreamClientEndpoint)
class HostEndpoint:
    """
    A port of a host, which may have several addresses; the first that takes a connection counts.

    @param reactor: connects; its threads look the name up.
    @param host: a name or an address, of IPv4 or IPv6.
    """

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @raise DNSLookupError: nobody knows the host.
        @raise ConnectError: none of its addresses takes a connection.
        @raise ValueError: that is no name of a host.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        attempts: list[Deferred[IProtocol]] = [
            deferLater(self._reactor, HEAD_START * number, endpoint.connect, factory)
            for number, endpoint in enumerate(await self._endpoints())
        ]
        try:
            return (await race(attempts))[1]
        except FailureGroup as group:
            first: BaseException = group.failures[0].value  # type: ignore[assignment]
            raise first from None

    async def _endpoints(self) -> list[Any]:
        pool = self._reactor.getThreadPool()
        look_up = partial(socket.getaddrinfo, type=socket.SOCK_STREAM)
        try:
            found = await deferToThreadPool(self._reactor, pool, look_up, self._host, self._port)
        except socket.gaierror as error:
            raise DNSLookupError(f"{self._host}: {error.strerror}") from None
        endpoints = [
            kind(self._reactor, _host(address), self._port, TIMEOUT)
            for family, _, _, _, address in found
            if (kind := ENDPOINTS.get(family)) is not None
        ]
        if not endpoints:
            raise DNSLookupError(f"{self._host}: there is no address of a known kind")
        return endpoints


def _host(address: tuple[Any, ...]) -> str:
    """The first part of a socket's address, with its scope where it is good in one only."""
    scope = address[3] if len(address) > 3 else 0
    return f"{address[0]}%{scope}" if scope else str(address[0])
