"""Who is at the other end of a transport, and whether anybody between could read along."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any

from cryptography.x509 import NameOID
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ISSLTransport


def is_loopback(host: str) -> bool:
    """Whether an address, or C{localhost}, is the machine's own."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def is_encrypted(transport: Any) -> bool:
    """Whether a transport is over TLS."""
    return ISSLTransport.providedBy(transport) or hasattr(transport, "getPeerCertificate")


def is_private(transport: Any) -> bool:
    """Whether nobody between the two ends can read along: TLS, or no network between them."""
    if is_encrypted(transport):
        return True
    peer = transport.getPeer()
    if isinstance(peer, UNIXAddress):
        return True
    host = getattr(peer, "host", None)
    return isinstance(host, str) and is_loopback(host)


def peer_host(transport: Any) -> str:
    """The address of the peer, or C{local} where it has none."""
    host = getattr(transport.getPeer(), "host", None)
    return host if isinstance(host, str) else "local"


def client_network(host: str) -> str:
    """
    Return what counts as one client, for limits and delays: an IPv4 address, or the /64 network of
    an IPv6 one, as whoever has one address of it usually has all.

    @param host: an IP address; what is none is returned as it is.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def lowest(transport: Any) -> Any:
    """The transport at the bottom, as the one under TLS."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


def socket_of(transport: Any) -> socket.socket | None:
    """The socket at the bottom of a transport; None where there is none, or none any more."""
    handle = getattr(lowest(transport), "getHandle", lambda: None)()
    return handle if isinstance(handle, socket.socket) else None


def keep_alive(transport: Any, idle: int, interval: int, count: int) -> None:
    """
    Let the system find out whether the peer of a connection is there: tcp(7), keep-alive.

    After C{idle} seconds of silence it is asked C{count} times, C{interval} seconds apart; without
    an answer the connection is lost. A peer that is there answers, whatever its program does.
    """
    handle = socket_of(transport)
    if handle is not None and hasattr(socket, "TCP_KEEPIDLE"):
        with contextlib.suppress(OSError):  # of another family, or closed
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def certified_name(transport: Any) -> str | None:
    """The one common name of the certificate that the peer has shown, or None."""
    get_certificate = getattr(transport, "getPeerCertificate", None)
    certificate = None if get_certificate is None else get_certificate()
    if certificate is None:
        return None
    subject = certificate.to_cryptography().subject
    names = [str(name.value) for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names[0] if len(names) == 1 else None
