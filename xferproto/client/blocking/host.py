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
"""Seconds for a connection to one address."""

HEAD_START = 0.25
"""Seconds before the next address is tried beside one (RFC 8305, section 5)."""

ENDPOINTS: Mapping[int, Any] = {
    socket.AF_INET: TCP4ClientEndpoint,
    socket.AF_INET6: TCP6ClientEndpoint,
}
"""The endpoints that connect to the addresses of each family."""


@implementer(IStreamClientEndpoint)
class HostEndpoint:
    """
    Connect to a host, which may have several addresses: the first that accepts counts.

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

        @raise DNSLookupError: the host is unknown.
        @raise ConnectError: none of its addresses accepts a connection.
        @raise ValueError: the host name is malformed.
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
    """Return the host of a socket's address, with its scope if it has one."""
    scope = address[3] if len(address) > 3 else 0
    return f"{address[0]}%{scope}" if scope else str(address[0])
