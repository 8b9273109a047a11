"""Whose a server's connection is: LOGIN, and what each command needs."""

from __future__ import annotations

from twisted.logger import Logger

from xferproto.model.errors import Denied, Insecure, LoginRequired, RequestError
from xferproto.model.escape import quoted
from xferproto.model.identity import NOBODY, Identity, Right
from xferproto.net.peer import certified_name, client_network, is_private, peer_host
from xferproto.server.auth.authenticator import IVisitor
from xferproto.server.line.connection import Connection
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Login

log = Logger("xfer")

NEEDED: dict[Command, Right] = {
    Command.LIST_FILES: Right.LIST,
    Command.STAT: Right.LIST,
    Command.DOWNLOAD: Right.READ,
    Command.VERIFY: Right.READ,
    Command.UPLOAD: Right.WRITE,
    Command.RESUME: Right.WRITE,
    Command.DELETE: Right.DELETE,
    Command.LIST_DAMAGED: Right.LIST,
}
"""What one must be allowed for a command; the others are for everybody."""


class VisitedConnection(Connection):
    """
    A connection that knows who is at the other end.

    @ivar identity: of whoever the request at hand is for, as it was when that began.
    """

    identity: Identity = NOBODY
    _visitor: IVisitor | None = None

    def _authorize(self, command: Command) -> None:
        """
        See whether a command may be begun.

        @raise LoginRequired: strangers may not do that.
        @raise Denied: this user may not.
        @raise Insecure: others could read along.
        """
        self.identity = identity = self._known().identity
        needed = NEEDED.get(command)
        if needed is not None and needed not in identity.rights:
            raise Denied() if identity.name else LoginRequired()
        if command is Command.LOGIN and not is_private(self.transport):
            raise Insecure()

    def _may_nothing(self) -> bool:
        return not self._known().identity.rights

    def _known(self) -> IVisitor:
        if self._visitor is None:
            self._visitor = self._recognised()
        return self._visitor

    def _recognised(self) -> IVisitor:
        visitor = self.factory.authenticator.recognise(certified_name(self.transport))
        if visitor.name:
            self._log_welcome(visitor, "by certificate")
        return visitor

    def _log_welcome(self, visitor: IVisitor, how: str) -> None:
        log.info(
            "#{number} logged in {how}: {user} from {host}",
            number=self.number,
            how=how,
            user=quoted(visitor.name),
            host=peer_host(self.transport),
        )

    def _login(self, argument: bytes, prompted: bool) -> None:
        self._start(self._log_in(codec.parse_login(argument)))

    async def _log_in(self, login: Login) -> None:
        host = peer_host(self.transport)
        logging_in = self.factory.authenticator.log_in(login, client_network(host), self._sign)
        try:
            visitor = await self._unless_lost(logging_in)
        except RequestError as error:
            log.warn(
                "#{number} login refused: {user} from {host}: {symbol}",
                number=self.number,
                user=quoted(login.user),
                host=host,
                symbol=error.symbol,
            )
            raise
        self._visitor = visitor
        self._log_welcome(visitor, "with a password")
        self._answer(codec.format_welcome(visitor.name))
