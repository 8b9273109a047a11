"""Listings of a depot's entries."""

from __future__ import annotations

from collections.abc import Callable

from xferproto.client.commands import read_line, read_lines, to_entry, to_wire
from xferproto.client.connection import Connection
from xferproto.client.lines import KeptEntries
from xferproto.model.entry import Entry
from xferproto.model.errors import UnexpectedReply
from xferproto.model.names import parse_prefix
from xferproto.wire import codec
from xferproto.wire.commands import Command


async def list_entries(connection: Connection, command: Command, prefix: str) -> list[Entry]:
    """
    Return the entries of a listing.

    @param command: LIST_FILES or LIST_DAMAGED.
    @raise AnswerTooLong: there are more than can be kept.
    """
    kept = KeptEntries()
    await each_entry(connection, command, prefix, kept.add)
    return kept.entries


async def each_entry(
    connection: Connection, command: Command, prefix: str, on_entry: Callable[[Entry], object]
) -> None:
    """
    Call a function with each entry of a listing.

    @param command: LIST_FILES or LIST_DAMAGED.
    @raise Exception: what C{on_entry} raised.
    """
    argument = to_wire(prefix)
    parse_prefix(argument)
    line = command.name.encode()
    connection.send_line(line + (b" " + argument if argument else b""))
    raised: list[Exception] = []

    def take(line: bytes) -> None:
        if line in (codec.NO_FILES, codec.NO_DAMAGED):
            return
        entry = to_entry(line)
        try:
            on_entry(entry)
        except Exception as error:
            raised.append(error)
            raise UnexpectedReply("Nobody wants the rest of the listing.") from error

    try:
        first = await read_line(connection)
        if first != codec.DONE:
            take(first)
            await read_lines(connection, take)
    except UnexpectedReply:
        if raised:
            raise raised[0] from None
        raise
    connection.end_exchange()
