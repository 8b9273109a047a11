"""Make the connections of the line protocol."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory

from xferproto.depot.depot import Depot
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.connections import Connections
from xferproto.server.line.command_reader import CommandReader
from xferproto.server.line.commands import FORMS
from xferproto.server.line.protocol import LineProtocol
from xferproto.server.line.session import LineSession
from xferproto.server.traffic.connection_limit import RefusedConnection


class XferServerFactory(ServerFactory):
    """
    Make a L{LineProtocol} for each connection, and stop them all when the server stops.

    @ivar depot: what the connections serve.
    @ivar authenticator: lets users in.
    @ivar connections: counts and limits them, with those of other protocols.
    """

    noisy = False

    def __init__(
        self,
        depot: Depot,
        authenticator: Authenticator | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.depot = depot
        self.authenticator = Authenticator(depot) if authenticator is None else authenticator
        self.connections = Connections(depot.clock) if connections is None else connections

    def buildProtocol(self, addr: IAddress | None) -> LineProtocol | RefusedConnection:
        connections = self.connections
        refused = connections.refuse(addr)
        if refused is not None:
            return refused
        session = LineSession(
            connections.number(),
            self.depot,
            self.authenticator,
            connections.limits,
            connections.bandwidth,
            connections.failures,
        )
        return LineProtocol(session, CommandReader(session, FORMS), connections)

    async def stop(self) -> None:
        """Stop all connections, and wait for what they have begun."""
        await self.connections.stop()
        await self.depot.stop()
