"""Where a server listens: Twisted's endpoints, with TLS and the PROXY protocol around them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
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
from zope.interface import implementer

from xferproto.server.auth.options import endpoint_fields
from xferproto.server.limits import BACKLOG
from xferproto.server.proxy_protocol import ProxiedFactory
from xferproto.server.tls import ServerCertificate

_PLACE = {"tcp": 2, "tcp6": 1, "ssl": 5, "tls": 2, "unix": 2}
"""Where an endpoint's backlog stands among its positional arguments; others make no socket."""

_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
"""Has the most connections that the system lets wait to be accepted, at any socket: listen(2)."""


def allowed_backlog(wanted: int, somaxconn: Path = _SOMAXCONN) -> int:
    """How many connections can wait to be accepted, of so many that are wanted."""
    with contextlib.suppress(OSError, ValueError):  # a system that does not tell
        return min(wanted, int(somaxconn.read_text()))
    return wanted


def with_backlog(description: str, backlog: int) -> str:
    """An endpoint's description with this backlog, unless it has one or makes no socket."""
    (_, kind), *fields = endpoint_fields(description)
    place = _PLACE.get(kind)
    given = [key for key, _ in fields]
    if place is None or "backlog" in given or given.count(None) > place:
        return description
    return f"{description}:backlog={backlog}"


@implementer(IStreamServerEndpoint)
class Wrapped:
    """
    An endpoint with more between the socket and the protocol.

    @param reactor: times it.
    @param below: the endpoint that has the socket.
    @param proxied: whether each connection begins with a PROXY header.
    @param certificate: for TLS, behind that header; or None for none.
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
    The endpoint that a description is of.

    Beside Twisted's own there is C{tls+ENDPOINT}, any of them with the server's certificate, as
    C{tls+systemd:index=0}; C{tls+haproxy:ENDPOINT} is for a proxy that passes TLS on.

    @param backlog: how many connections may wait to be accepted, where the description says none.
    @raise ValueError: it is of none, or wants a certificate where there is none. Each kind of
        endpoint may raise exceptions of its own.
    """
    inner = description.removeprefix("tls+")
    with_tls = inner != description
    if with_tls and certificate is None:
        raise ValueError("tls+ goes with --tls-cert")
    below = inner.removeprefix("haproxy:")
    return Wrapped(
        reactor,
        serverFromString(reactor, with_backlog(below, backlog)),
        proxied=below != inner,
        certificate=certificate if with_tls else None,
    )


def listening_endpoints(
    reactor: Any, options: Mapping[str, Any], certificate: ServerCertificate | None
) -> list[tuple[str, IStreamServerEndpoint]]:
    """
    The endpoints that the options ask for, each with the words that describe it.

    @param options: has C{endpoints}, descriptions; where there are none, C{interface} and C{port};
        and C{backlog}.
    @param certificate: for C{tls+} endpoints, and for C{interface} and C{port}.
    @raise SystemExit: an endpoint string is wrong; told in one line.
    """
    endpoints: list[tuple[str, IStreamServerEndpoint]] = []
    backlog = options["backlog"]
    for description in options["endpoints"]:
        try:
            endpoint = parse_endpoint(reactor, description, certificate, backlog)
            endpoints.append((description, endpoint))
        except Exception as error:  # every kind of endpoint has its own way to refuse
            raise SystemExit(f"xfer: bad endpoint {description!r}: {error}") from None
    if not endpoints:
        interface, number = options["interface"], options["port"]
        kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
        socket = kind(reactor, number, backlog, interface)
        wrapped = Wrapped(reactor, socket, False, certificate)
        endpoints.append((f"{interface} port {number}", wrapped))
    return endpoints


def trial_line(listening_port: Any, near: str, number: int) -> str | None:
    """A line for a shell that lists the files, or None where no line of a few words does."""
    factory = getattr(listening_port, "factory", None)
    if isinstance(factory, ProxiedFactory):
        return None
    if isinstance(factory, TLSMemoryBIOFactory):
        host = f"[{near}]" if ":" in near else near
        return f"openssl s_client -quiet -connect {host}:{number}"
    return f"nc {near} {number}"
