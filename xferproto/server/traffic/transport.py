"""Set the options of the TCP connections of a server."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.policies import ProtocolWrapper

from xferproto.net.peer import keep_alive
from xferproto.server.traffic.hangup import KEEP_ALIVE


def prepare_transport(transport: Any) -> Any:
    """
    Set the options of a new connection, and return the transport below all that wrap it.

    Attributes can be read through the wrappers, but what is set there stays there.
    """
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        keep_alive(transport, *KEEP_ALIVE)
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport
