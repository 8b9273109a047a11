"""Know who is at the other end of a connection, and whether they are there."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from xferproto.depot.account import Account
from xferproto.model.escape import quoted
from xferproto.net.peer import certified_name, peer_host
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.traffic.hangup import Presence

log = Logger("xfer")


class Client:
    """
    Know who is at the other end.

    @param authenticator: knows them by their certificates.
    @param number: of the connection; the log's lines begin with it.
    @ivar presence: whether they are there.
    """

    __slots__ = ("_account", "_authenticator", "_number", "_transport", "presence")

    _transport: Any

    def __init__(self, authenticator: Authenticator, number: int) -> None:
        self._authenticator = authenticator
        self._number = number
        self._account: Account | None = None
        self.presence = Presence()

    def attach(self, transport: object) -> None:
        """The connection is made."""
        self._transport = self.presence.transport = transport

    @property
    def account(self) -> Account:
        """The account of a login, else of a certificate, else that of strangers."""
        if self._account is None:
            account = self._authenticator.recognise(certified_name(self._transport))
            if account.name:
                self.log_in(account, "by certificate")
            self._account = account
        return self._account

    @property
    def user(self) -> str:
        """The name of the user who is known by now; empty for a stranger."""
        return "" if self._account is None else self._account.name

    def log_in(self, account: Account, how: str) -> None:
        """Serve this account from now on."""
        self._account = account
        log.info(
            "#{number} logged in {how}: {user} from {host}",
            number=self._number,
            how=how,
            user=quoted(account.name),
            host=peer_host(self._transport),
        )
