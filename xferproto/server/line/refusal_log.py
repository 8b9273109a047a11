"""Describe a refused request for the log: its command, and the file that it names."""

from __future__ import annotations

from xferproto.model.errors import BadId
from xferproto.model.escape import quoted
from xferproto.model.fields import parse_id
from xferproto.server.line.replies import CommandLine
from xferproto.wire.commands import Command

MAX_SHOWN = 1024
"""The most bytes of an argument that are shown: as many as a name may have."""

_BEHIND_NAME = {Command.UPLOAD: 1, Command.RESUME: 2}
"""How many fields follow the name in an argument, for the commands that begin with one."""

_PREFIXED = (Command.LIST_FILES, Command.LIST_DAMAGED)

_WITH_ID = (Command.DOWNLOAD, Command.STAT, Command.VERIFY, Command.DELETE)


def described(request: CommandLine | None) -> str:
    """
    Describe a request, as in C{UPLOAD "report.txt"}. Of LOGIN nothing but the command is shown.

    @param request: None where no command was understood, for which the text is empty.
    """
    if request is None:
        return ""
    command, argument = request
    word = command.spellings[0]
    if command in _BEHIND_NAME:
        shown = quoted(argument.rsplit(b";", _BEHIND_NAME[command])[0][:MAX_SHOWN])
    elif command in _PREFIXED:
        shown = quoted(argument[:MAX_SHOWN])
    elif command in _WITH_ID:
        shown = _id(argument)
    else:
        return word
    return f"{word} {shown}" if argument else word


def _id(argument: bytes) -> str:
    """Show the id of an argument, and the name behind it."""
    field, semicolon, rest = argument.partition(b";")
    try:
        id = parse_id(field)
    except BadId:
        return quoted(argument[:MAX_SHOWN])
    return f"{id} {quoted(rest[:MAX_SHOWN])}" if semicolon else id
