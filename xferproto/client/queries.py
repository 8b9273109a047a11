"""Requests with short answers: HELP, STAT, VERIFY, DELETE."""

from __future__ import annotations

import re

from xferproto.client.commands import expect_line, read_line, send_command, to_entry, to_wire
from xferproto.client.connection import Connection
from xferproto.client.lines import KeptEntries
from xferproto.model.entry import Status
from xferproto.model.errors import RequestError, UnexpectedReply
from xferproto.model.escape import quoted
from xferproto.wire import codec
from xferproto.wire.commands import Command

MOST_COMMANDS = 1000
MOST_FIELDS = 1000
"""The most lines of HELP, and of STAT beside the entries, that are waited for."""

_HELP = re.compile(rb"[A-Z][A-Z_]*([ :]|$)")
"""How a line of HELP begins: it is for people, but there is one for each command."""


async def help_lines(connection: Connection) -> list[str]:
    """Return what the server says of its commands."""
    connection.send_line(b"HELP")
    lines: list[str] = []
    while (line := await read_line(connection)) != codec.DONE:
        # Else one would wait for the end of anything.
        if not _HELP.match(line) or len(lines) == MOST_COMMANDS:
            raise UnexpectedReply(f"Expected a command, the server says {quoted(line)}.")
        lines.append(line.decode("utf-8", "replace"))
    connection.end_exchange()
    return lines


async def stat(connection: Connection, id: str) -> Status:
    """
    Return all that the depot knows of a content.

    @raise AnswerTooLong: it has more names than can be kept.
    """
    await send_command(connection, Command.STAT, codec.parse_id(to_wire(id)).encode())
    kept = KeptEntries()
    fields: dict[bytes, bytes] = {}
    others = 0
    while (line := await read_line(connection)) != codec.DONE:
        if b";" in line:
            kept.add(to_entry(line))
        else:  # a key that a newer server adds is passed over
            others += 1
            if others > MOST_FIELDS:
                raise UnexpectedReply("The answer to STAT has too many lines.")
            key, _, value = line.partition(b" ")
            fields[key] = value
    connection.end_exchange()
    try:
        return Status(
            tuple(kept.entries),
            codec.parse_sha256(fields[b"sha256"]),
            codec.parse_time(fields[b"stored"]),
            codec.parse_time(fields[b"verified"]),
        )
    except (KeyError, RequestError) as error:
        raise UnexpectedReply("The answer to STAT is not complete.") from error


async def confirm(connection: Connection, command: Command, id: str, name: str | None) -> None:
    """
    Send a command about a content that the server answers with its id.

    @param command: VERIFY or DELETE.
    @param name: of the content, if only that name is meant.
    """
    argument = codec.parse_id(to_wire(id)).encode()
    if name is not None:
        argument += b";" + to_wire(name)
        codec.parse_deletion(argument)
    await send_command(connection, command, argument)
    await expect_line(connection, id.lower().encode())
    connection.end_exchange()
