"""The command that says who a client is: LOGIN."""

from __future__ import annotations

from twisted.logger import Logger

from xferproto.depot.account import Account
from xferproto.model.credentials import Login
from xferproto.model.errors import RequestError
from xferproto.model.escape import quoted
from xferproto.net.peer import client_network, peer_host
from xferproto.server.line.session import LineSession
from xferproto.server.traffic.hangup import Sign
from xferproto.wire import codec
from xferproto.wire.states import State

log = Logger("xfer")


def log_in(session: LineSession, account: Account, argument: bytes) -> None:
    """LOGIN: let a user in, whose account the session has from then on."""
    session.start(_log_in(session, codec.parse_login(argument)))


async def _log_in(session: LineSession, login: Login) -> None:
    host = peer_host(session.transport)

    def sign() -> Sign:
        return session.client.presence.sign(
            session.state is State.WORKING, session.closing.input_ended
        )

    logging_in = session.authenticator.log_in(login, client_network(host), sign)
    try:
        account = await session.unless_lost(logging_in)
    except RequestError as error:
        log.warn(
            "#{number} login refused: {user} from {host}: {symbol}",
            number=session.number,
            user=quoted(login.user),
            host=host,
            symbol=error.symbol,
        )
        raise
    session.client.log_in(account, "with a password")
    session.answer(codec.format_welcome(account.name))
