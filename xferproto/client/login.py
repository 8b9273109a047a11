"""The login of a client's connection."""

from __future__ import annotations

from xferproto.client.commands import expect_line, send_command
from xferproto.client.connection import Connection
from xferproto.client.credentials import check_credentials
from xferproto.model.credentials import Login
from xferproto.model.errors import Denied, Insecure, LoginFailed
from xferproto.net.peer import is_private
from xferproto.wire import codec
from xferproto.wire.commands import Command


async def login(connection: Connection, user: str, password: str) -> None:
    """
    Log a user in.

    @raise BadDetails: no server accepts such a name or password.
    @raise Insecure: others could read along; then nothing is sent.
    @raise LoginFailed: the server does not accept this name and password.
    """
    check_credentials(user, password)
    if not is_private(connection.transport):
        raise Insecure()
    argument = codec.format_login(Login(user, password))
    shown = f"{user};***".encode()
    # At the prompt: a server that accepts no password says so before it is sent one.
    await send_command(connection, Command.LOGIN, argument, prompted=True, shown=shown)
    try:
        await expect_line(connection, codec.format_welcome(user))
    except Denied as error:
        raise LoginFailed(error.text) from None
    connection.end_exchange()
