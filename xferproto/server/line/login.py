"""Whose a server's connection is: LOGIN, and what each command needs."""

from __future__ import annotations

from twisted.logger import Logger

from xferproto.depot.account import Account
from xferproto.model.errors import Insecure, RequestError
from xferproto.model.escape import quoted
from xferproto.model.identity import Right
from xferproto.net.peer import certified_name, client_network, is_private, peer_host
from xferproto.server.line.connection import Connection
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Login

log = Logger("xfer")

RIGHTS: dict[Command, Right] = {
    Command.LIST_FILES: Right.LIST,
    Command.STAT: Right.LIST,
    Command.DOWNLOAD: Right.READ,
    Command.VERIFY: Right.READ,
    Command.UPLOAD: Right.WRITE,
    Command.RESUME: Right.WRITE,
    Command.DELETE: Right.DELETE,
    Command.LIST_DAMAGED: Right.LIST,
}
"""The right of the use case that each command leads to; the others have none."""


class VisitedConnection(Connection):
    """A connection that knows who is at the other end."""

    _account: Account | None = None

    def _authorize(self, command: Command) -> None:
        """
        See whether a command may be begun, before its argument is asked for.

        @raise LoginRequired: strangers may not do that.
        @raise Denied: this user may not.
        @raise Insecure: others could read along.
        """
        right = RIGHTS.get(command)
        if right is not None:
            self.account.require(right)
        if command is Command.LOGIN and not is_private(self.transport):
            raise Insecure()

    def _may_nothing(self) -> bool:
        return not self.account.identity.rights

    @property
    def account(self) -> Account:
        """The account of whoever is at the other end."""
        if self._account is None:
            self._account = self._recognised()
        return self._account

    def _recognised(self) -> Account:
        account = self.factory.authenticator.recognise(certified_name(self.transport))
        if account.name:
            self._log_welcome(account, "by certificate")
        return account

    def _log_welcome(self, account: Account, how: str) -> None:
        log.info(
            "#{number} logged in {how}: {user} from {host}",
            number=self.number,
            how=how,
            user=quoted(account.name),
            host=peer_host(self.transport),
        )

    def _login(self, argument: bytes, prompted: bool) -> None:
        self._start(self._log_in(codec.parse_login(argument)))

    async def _log_in(self, login: Login) -> None:
        host = peer_host(self.transport)
        logging_in = self.factory.authenticator.log_in(login, client_network(host), self._sign)
        try:
            account = await self._unless_lost(logging_in)
        except RequestError as error:
            log.warn(
                "#{number} login refused: {user} from {host}: {symbol}",
                number=self.number,
                user=quoted(login.user),
                host=host,
                symbol=error.symbol,
            )
            raise
        self._account = account
        self._log_welcome(account, "with a password")
        self._answer(codec.format_welcome(account.name))
