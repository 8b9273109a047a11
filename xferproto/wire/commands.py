"""
List the commands of the protocol, with their spellings, prompts and lines of HELP.

L{xferproto.wire.codec} parses their arguments. Nothing here imports Twisted.
"""

from __future__ import annotations

from enum import Enum

from xferproto.model.errors import BadCommand


class Command(Enum):
    """
    Describe one command.

    @ivar spellings: its names, in upper case.
    @ivar prompt: the line that asks for the argument, or None if none is needed.
    @ivar usage: its line of HELP.
    """

    LIST_FILES = (
        ("LIST_FILES", "LIST FILES", "LIST FILE"),
        None,
        "LIST_FILES [prefix]: the stored files, id;name;size, whose names begin with the prefix",
    )
    UPLOAD = (
        ("UPLOAD",),
        b"Please send the file name and file size",
        "UPLOAD name;size: store a file of exactly size bytes; the answer is its ID",
    )
    DOWNLOAD = (
        ("DOWNLOAD",),
        b"Please send a file ID",
        "DOWNLOAD id[;offset[;length]]: the file's entry on a line, then its bytes",
    )
    STAT = (
        ("STAT",),
        b"Please send a file ID",
        "STAT id: the names, SHA-256 and times of a file",
    )
    RESUME = (
        ("RESUME",),
        b"Please send the file name, file size and resume token",
        "RESUME name;size;token: store a file, from where an earlier try under the token ended",
    )
    VERIFY = (
        ("VERIFY",),
        b"Please send a file ID",
        "VERIFY id: hash the stored bytes again; the answer is the ID",
    )
    DELETE = (
        ("DELETE",),
        b"Please send a file ID",
        "DELETE id[;name]: remove one name of a file, or all; the answer is the ID",
    )
    LOGIN = (
        ("LOGIN",),
        b"Please send the user name and password",
        "LOGIN user;password: say who you are; on the server's own machine or over TLS only",
    )
    HELP = (("HELP",), None, "HELP: this list")
    QUIT = (("QUIT",), None, "QUIT: close the connection")
    LIST_DAMAGED = (
        ("LIST_DAMAGED", "LIST DAMAGED"),
        None,
        "LIST_DAMAGED [prefix]: as LIST_FILES, the files whose stored bytes are damaged",
    )

    def __init__(self, spellings: tuple[str, ...], prompt: bytes | None, usage: str) -> None:
        self.spellings = spellings
        self.prompt = prompt
        self.usage = usage


_SPELLINGS = {
    tuple(spelling.encode("ascii").split()): command
    for command in Command
    for spelling in command.spellings
}
"""The words of each spelling: one, or two."""


def parse_command(line: bytes) -> tuple[Command, bytes | None]:
    """
    Parse a line: the command, in any letter case, and the argument after one space, or None.

    @raise BadCommand: the line is not a command.
    """
    first, _, rest = line.partition(b" ")
    command = _SPELLINGS.get((first.upper(),))
    if command is None:
        second, _, rest = rest.partition(b" ")
        command = _SPELLINGS.get((first.upper(), second.upper()))
        if command is None:
            raise BadCommand()
    return command, rest or None
