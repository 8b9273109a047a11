"""
Read the header of the PROXY protocol, which names the client behind a proxy.

Its two forms are specified in HAProxy's doc/proxy-protocol.txt, sections 2.1 and 2.2. Twisted has
an endpoint for it as well, but that calls C{connectionMade} before the header has come, with the
proxy as the peer, and drops a half-closed connection.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger("xfer")

HEADER_TIMEOUT = 10.0
"""Seconds that a proxy has to send its header."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_MAX_LINE = 107
_FIXED = struct.Struct("!12sBBH")
_FAMILIES: dict[int, tuple[struct.Struct, type[IPv4] | type[IPv6]]] = {
    0x11: (struct.Struct("!4s4sHH"), IPv4),
    0x21: (struct.Struct("!16s16sHH"), IPv6),
}


class Header(NamedTuple):
    """
    Hold the fields of a header.

    @ivar length: its length in bytes.
    @ivar peer: the client of the proxy; None without one, as in the proxy's own health checks.
    @ivar host: the address that the client connected to.
    """

    length: int
    peer: IAddress | None = None
    host: IAddress | None = None


def parse_header(data: bytes) -> Header | None:
    """
    Parse the header that a connection begins with; None while some of it is missing.

    @raise ValueError: the connection begins with something else.
    """
    start = data[: len(_SIGNATURE)]
    if _SIGNATURE.startswith(start):
        return _parse_binary(data)
    if not (b"PROXY ".startswith(data[:6]) or data.startswith(b"PROXY ")):
        raise ValueError("no PROXY header")
    line, end, _ = data[:_MAX_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= _MAX_LINE:
            raise ValueError("a PROXY header without an end")
        return None
    length = len(line) + 2
    fields = line.decode("ascii").split(" ")  # UnicodeDecodeError is a ValueError
    if fields[1:2] == ["UNKNOWN"]:
        return Header(length)
    if len(fields) != 6 or fields[1] not in ("TCP4", "TCP6"):
        raise ValueError("a damaged PROXY header")
    kind: type[IPv4] | type[IPv6] = IPv4 if fields[1] == "TCP4" else IPv6
    source, target = kind(fields[2]), kind(fields[3])
    return Header(length, _address(source, _port(fields[4])), _address(target, _port(fields[5])))


def _parse_binary(data: bytes) -> Header | None:
    if len(data) < _FIXED.size:
        return None
    _, command, family, rest = _FIXED.unpack_from(data)
    length = _FIXED.size + rest
    if command not in (0x20, 0x21):
        raise ValueError("a PROXY header of another version")
    if len(data) < length:
        return None
    if command == 0x20 or family not in _FAMILIES:  # the proxy itself, or a protocol without ports
        return Header(length)
    layout, kind = _FAMILIES[family]
    if rest < layout.size:
        raise ValueError("a damaged PROXY header")
    source, target, source_port, target_port = layout.unpack_from(data, _FIXED.size)
    return Header(length, _address(kind(source), source_port), _address(kind(target), target_port))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise ValueError("a damaged PROXY header")
    return int(text)


def _address(ip: IPv4 | IPv6, port: int) -> IAddress:
    kind = IPv4Address if isinstance(ip, IPv4) else IPv6Address
    return kind("TCP", str(ip), port)


@implementer(IHalfCloseableProtocol)
class ProxiedConnection(ProtocolWrapper):
    """Wait for the header on a connection from a proxy, then make the protocol."""

    factory: ProxiedFactory

    def __init__(self, factory: ProxiedFactory) -> None:
        super().__init__(factory, Protocol())
        self._begun = b""
        self._header: Header | None = None
        self._waiting: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(transport)
        self._waiting = self.factory.clock.callLater(HEADER_TIMEOUT, self._refuse, "no header")

    def dataReceived(self, data: bytes) -> None:
        if self._header is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        if self._waiting is None:  # refused
            return
        self._begun += data
        try:
            self._header = parse_header(self._begun)
        except ValueError as error:
            self._refuse(str(error))
            return
        if self._header is None:
            return
        self._stop_waiting()
        rest, self._begun = self._begun[self._header.length :], b""
        protocol: Any = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        if protocol is None:
            self.abortConnection()
            return
        self.wrappedProtocol = protocol
        protocol.makeConnection(self)
        if rest:
            protocol.dataReceived(rest)

    def getPeer(self) -> Any:
        header = self._header
        return super().getPeer() if header is None or header.peer is None else header.peer

    def getHost(self) -> Any:
        header = self._header
        return super().getHost() if header is None or header.host is None else header.host

    def readConnectionLost(self) -> None:
        protocol = self._half_closeable()
        if protocol is None:
            self.loseConnection()
        else:
            protocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        protocol = self._half_closeable()
        if protocol is not None:
            protocol.writeConnectionLost()

    def _half_closeable(self) -> IHalfCloseableProtocol | None:
        # A wrapper, such as that of TLS, provides whatever its transport does, this one included.
        protocol = self.wrappedProtocol
        if isinstance(protocol, ProtocolWrapper):
            return None
        return IHalfCloseableProtocol(protocol, None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        super().connectionLost(reason)

    def _refuse(self, reason: str) -> None:
        peer = super().getPeer()
        log.warn("refused {peer}, which is not a proxy: {reason}", peer=peer, reason=reason)
        self._stop_waiting()
        self.abortConnection()

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.active():
            waiting.cancel()


class ProxiedFactory(WrappingFactory[ProxiedConnection]):
    """
    Wrap a factory whose connections come from a proxy.

    @param clock: times the headers.
    """

    noisy = False

    def __init__(self, wrapped: IProtocolFactory, clock: Any) -> None:
        super().__init__(wrapped)
        self.clock = clock

    def buildProtocol(self, addr: IAddress | None) -> ProxiedConnection:
        return ProxiedConnection(self)
