"""Find out about the peer of a transport: its address, its certificate, who could listen."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any

from cryptography.x509 import NameOID
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ISSLTransport


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or C{localhost}."""
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
    """Return whether a transport uses TLS."""
    return ISSLTransport.providedBy(transport) or hasattr(transport, "getPeerCertificate")


def is_private(transport: Any) -> bool:
    """Return whether nobody else can read along: TLS, or no network between the two ends."""
    if is_encrypted(transport):
        return True
    peer = transport.getPeer()
    if isinstance(peer, UNIXAddress):
        return True
    host = getattr(peer, "host", None)
    return isinstance(host, str) and is_loopback(host)


def peer_host(transport: Any) -> str:
    """Return the IP address of the peer, or C{local} if it has none."""
    host = getattr(transport.getPeer(), "host", None)
    return host if isinstance(host, str) else "local"


def client_network(host: str) -> str:
    """
    Return what counts as one client, for limits and delays: an IPv4 address, or the /64 network of
    an IPv6 one, as whoever has one address of it usually has all.

    @param host: an IP address; any other text is returned unchanged.
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
    """Return the lowest transport, such as the one below TLS."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


def socket_of(transport: Any) -> socket.socket | None:
    """Return the socket of the lowest transport, or None if there is none or it is closed."""
    handle = getattr(lowest(transport), "getHandle", lambda: None)()
    return handle if isinstance(handle, socket.socket) else None


def keep_alive(transport: Any, idle: int, interval: int, count: int) -> None:
    """
    Turn on TCP keep-alive, so that the system notices a peer that is gone: tcp(7).

    After C{idle} seconds of silence it sends C{count} probes, C{interval} seconds apart; without an
    answer the connection is lost. The system of the peer answers, whatever its program does.
    """
    handle = socket_of(transport)
    if handle is not None and hasattr(socket, "TCP_KEEPIDLE"):
        with contextlib.suppress(OSError):  # not TCP, or closed
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def certified_name(transport: Any) -> str | None:
    """Return the common name of the peer's certificate, or None unless there is exactly one."""
    get_certificate = getattr(transport, "getPeerCertificate", None)
    certificate = None if get_certificate is None else get_certificate()
    if certificate is None:
        return None
    subject = certificate.to_cryptography().subject
    names = [str(name.value) for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names[0] if len(names) == 1 else None
