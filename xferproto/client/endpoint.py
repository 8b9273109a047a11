"""Make the Twisted endpoint of a depot: from host and port, with TLS or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint

from xferproto.client.tls import tls_endpoint


class BadEndpoint(ValueError):
    """A text does not describe a client endpoint; the message says why."""


def depot_endpoint(
    reactor: Any,
    host: str,
    port: int,
    endpoint: str | None = None,
    tls: bool = False,
    ca: Path | str | None = None,
    fingerprint: str | None = None,
    cert: Path | str | None = None,
    key: Path | str | None = None,
) -> IStreamClientEndpoint:
    """
    Make the endpoint of a depot.

    @param endpoint: an endpoint string, instead of host and port.
    @param tls: whether to connect with TLS; only with host and port.
    @param ca: as for L{tls_endpoint}, like those behind it.
    @raise BadEndpoint: C{endpoint} is malformed.
    @raise CertificateError: a file can't be used.
    @raise ValueError: the host name is malformed.
    """
    if endpoint is not None:
        try:
            chosen: IStreamClientEndpoint = clientFromString(reactor, endpoint)
        except Exception as error:  # every kind of endpoint has its own way to refuse
            raise BadEndpoint(f"bad endpoint {endpoint!r}: {error}") from None
        return chosen
    if tls:
        return tls_endpoint(reactor, host, port, ca, fingerprint, cert, key)
    return HostnameEndpoint(reactor, host.encode("ascii", "replace"), port)
