"""The commands that touch no file: HELP and QUIT."""

from __future__ import annotations

from xferproto.depot.account import Account
from xferproto.model.errors import BadDetails
from xferproto.server.line.session import LineSession
from xferproto.wire import codec
from xferproto.wire.commands import Command


def send_help(session: LineSession, account: Account, argument: bytes) -> None:
    """HELP: answer with a line for each command."""
    no_argument(argument)
    session.answer(*help_lines(), codec.DONE)


def help_lines() -> list[bytes]:
    """A line for each command."""
    return [command.usage.encode("ascii") for command in Command]


def leave(session: LineSession, account: Account, argument: bytes) -> None:
    """QUIT: close the connection."""
    no_argument(argument)
    session.closing.close()


def no_argument(argument: bytes) -> None:
    """
    Check that there is no argument.

    @raise BadDetails: there is one.
    """
    if argument:
        raise BadDetails("This command takes no argument; send it alone on its line.")
