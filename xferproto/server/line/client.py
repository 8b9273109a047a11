"""Know who is at the other end of a connection, and whether they are there."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from xferproto.depot.account import Account
from xferproto.model.escape import quoted
from xferproto.net.peer import certified_name, is_encrypted, keep_alive, peer_host
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.traffic.hangup import Sign, sign_of

log = Logger("xfer")

KEEP_ALIVE_ENDED = (5, 5, 6)
"""
When the system asks a peer that sends no more whether it is there, in seconds: after so many, again
after so many, so often. A system whose program has closed both halves says that it knows nothing of
the connection when it has forgotten it, after a minute.
"""


class Client:
    """
    Know who is at the other end.

    @param authenticator: knows them by their certificates.
    @param number: of the connection; the log's lines begin with it.
    @ivar transport: that of the connection, once it is made.
    """

    __slots__ = ("_account", "_authenticator", "_end_seen", "_number", "transport")

    transport: Any

    def __init__(self, authenticator: Authenticator, number: int) -> None:
        self._authenticator = authenticator
        self._number = number
        self._account: Account | None = None
        self._end_seen = False

    @property
    def account(self) -> Account:
        """The account of a login, else of a certificate, else that of strangers."""
        if self._account is None:
            account = self._authenticator.recognise(certified_name(self.transport))
            if account.name:
                self.log_in(account, "by certificate")
            self._account = account
        return self._account

    def log_in(self, account: Account, how: str) -> None:
        """Serve this account from now on."""
        self._account = account
        log.info(
            "#{number} logged in {how}: {user} from {host}",
            number=self._number,
            how=how,
            user=quoted(account.name),
            host=peer_host(self.transport),
        )

    def sign(self, working: bool, input_ended: bool) -> Sign:
        """
        Whether they are there, as far as is known now.

        @param working: whether a request of theirs is worked on.
        @param input_ended: whether the end of what they send was read.
        """
        sign = self._meant(sign_of(self.transport), working)
        return Sign.ENDED if sign is Sign.THERE and input_ended else sign

    def hung_up(self, sign: Sign, working: bool) -> None:
        """They have hung up, as C{sign} says, while the input was held back."""
        if self._meant(sign, working) is Sign.GONE:
            self.transport.abortConnection()
        elif not self._end_seen:
            self._end_seen = True
            keep_alive(self.transport, *KEEP_ALIVE_ENDED)

    def _meant(self, sign: Sign, working: bool) -> Sign:
        if sign is Sign.ENDED and working and is_encrypted(self.transport):
            return Sign.GONE  # no half of a TLS connection can be closed
        return sign
