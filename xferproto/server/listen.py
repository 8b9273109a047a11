"""Make the endpoints that a server listens on, with TLS and the PROXY protocol around them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import usage
from zope.interface import implementer

from xferproto.server.auth.options import endpoint_fields
from xferproto.server.limits import BACKLOG
from xferproto.server.proxy_protocol import ProxiedFactory
from xferproto.server.tls import ServerCertificate
from xferproto.twistd import port

_PLACE = {"tcp": 2, "tcp6": 1, "ssl": 5, "tls": 2, "unix": 2}
"""The position of the backlog in an endpoint's arguments; other endpoints make no socket."""

_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
"""Holds the system's limit of connections that wait to be accepted on a socket: listen(2)."""


class ListenOptions(usage.Options):
    """Parse the options of C{twistd xfer} that are endpoints."""

    def __init__(self) -> None:
        super().__init__()
        self["endpoints"] = []
        self["classic"] = []

    def opt_endpoint(self, description: str) -> None:
        """Twisted endpoint to listen on, instead of --port and --interface; can be repeated."""
        self["endpoints"].append(description)

    opt_e = opt_endpoint

    def opt_classic(self, number: str) -> None:
        """TCP port of 127.0.0.1 for clients of the classic protocol, which sends bare messages."""
        try:
            self["classic"].append(f"tcp:{port(number)}:interface=127.0.0.1")
        except ValueError as error:
            raise usage.UsageError(f"Parameter --classic: {error}") from None

    def opt_classic_endpoint(self, description: str) -> None:
        """Twisted endpoint for clients of the classic protocol; can be repeated."""
        self["classic"].append(description)


def allowed_backlog(wanted: int, somaxconn: Path = _SOMAXCONN) -> int:
    """Return how many connections can wait to be accepted, at most C{wanted}."""
    with contextlib.suppress(OSError, ValueError):  # another system than Linux
        return min(wanted, int(somaxconn.read_text()))
    return wanted


def with_backlog(description: str, backlog: int) -> str:
    """Add a backlog to an endpoint's description, unless it has one or makes no socket."""
    (_, kind), *fields = endpoint_fields(description)
    place = _PLACE.get(kind)
    given = [key for key, _ in fields]
    if place is None or "backlog" in given or given.count(None) > place:
        return description
    return f"{description}:backlog={backlog}"


@implementer(IStreamServerEndpoint)
class WrappedEndpoint:
    """
    Put TLS and the PROXY protocol between the socket of an endpoint and the protocol.

    @param reactor: times them.
    @param below: the endpoint that has the socket.
    @param proxied: whether each connection begins with a PROXY header.
    @param certificate: the certificate for TLS, which begins after that header; None for no TLS.
    """

    def __init__(
        self,
        reactor: Any,
        below: IStreamServerEndpoint,
        proxied: bool,
        certificate: ServerCertificate | None,
    ) -> None:
        self._reactor = reactor
        self._below = below
        self._proxied = proxied
        self._certificate = certificate

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        factory: Any = protocolFactory
        if self._certificate is not None:
            factory = TLSMemoryBIOFactory(self._certificate, False, factory, self._reactor)
        if self._proxied:
            factory = ProxiedFactory(factory, self._reactor)
        listening: Deferred[IListeningPort] = self._below.listen(factory)
        return listening


def parse_endpoint(
    reactor: Any,
    description: str,
    certificate: ServerCertificate | None,
    backlog: int = BACKLOG,
) -> IStreamServerEndpoint:
    """
    Make an endpoint from its description.

    Beside Twisted's own there is C{tls+ENDPOINT}: any of them with the server's certificate, as in
    C{tls+systemd:index=0}; C{tls+haproxy:ENDPOINT} is for a proxy that passes TLS on.

    @param backlog: how many connections may wait to be accepted, unless the description says it.
    @raise ValueError: there is no such endpoint, or no certificate for C{tls+}. Each kind of
        endpoint may raise exceptions of its own.
    """
    inner = description.removeprefix("tls+")
    with_tls = inner != description
    if with_tls and certificate is None:
        raise ValueError("tls+ needs --tls-cert")
    below = inner.removeprefix("haproxy:")
    return WrappedEndpoint(
        reactor,
        serverFromString(reactor, with_backlog(below, backlog)),
        proxied=below != inner,
        certificate=certificate if with_tls else None,
    )


def parse_endpoints(
    reactor: Any, descriptions: Iterable[str], certificate: ServerCertificate | None, backlog: int
) -> list[tuple[str, IStreamServerEndpoint]]:
    """
    Make endpoints from their descriptions, and return each with its own.

    @raise SystemExit: one of them is wrong; with one line of text.
    """
    endpoints = []
    for description in descriptions:
        try:
            endpoint = parse_endpoint(reactor, description, certificate, backlog)
            endpoints.append((description, endpoint))
        except Exception as error:  # each kind of endpoint raises errors of its own
            raise SystemExit(f"xfer: bad endpoint {description!r}: {error}") from None
    return endpoints


def classic_endpoints(
    reactor: Any, options: Mapping[str, Any], certificate: ServerCertificate | None
) -> list[tuple[str, IStreamServerEndpoint]]:
    """Make the endpoints for the classic protocol; as L{listening_endpoints} otherwise."""
    return parse_endpoints(reactor, options["classic"], certificate, options["backlog"])


def listening_endpoints(
    reactor: Any, options: Mapping[str, Any], certificate: ServerCertificate | None
) -> list[tuple[str, IStreamServerEndpoint]]:
    """
    Make the endpoints that the options ask for, each with its description for messages.

    @param options: C{endpoints}, a list of descriptions, or C{interface} and C{port} if it is
        empty; and C{backlog}.
    @param certificate: for C{tls+} endpoints, and for C{interface} and C{port}.
    @raise SystemExit: an endpoint string is wrong; with one line of text.
    """
    backlog = options["backlog"]
    endpoints = parse_endpoints(reactor, options["endpoints"], certificate, backlog)
    if not endpoints:
        interface, number = options["interface"], options["port"]
        kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
        socket = kind(reactor, number, backlog, interface)
        wrapped = WrappedEndpoint(reactor, socket, False, certificate)
        endpoints.append((f"{interface} port {number}", wrapped))
    return endpoints


def trial_line(listening_port: Any, near: str, number: int) -> str | None:
    """Return a shell command that connects to a port, or None if no short one does."""
    factory = getattr(listening_port, "factory", None)
    if isinstance(factory, ProxiedFactory):
        return None
    if isinstance(factory, TLSMemoryBIOFactory):
        host = f"[{near}]" if ":" in near else near
        return f"openssl s_client -quiet -connect {host}:{number}"
    return f"nc {near} {number}"
