"""Commands and their answers, as lines of a connection."""

from __future__ import annotations

from collections.abc import Callable

from xferproto.client.connection import Connection
from xferproto.client.lines import Lines
from xferproto.model.entry import Entry
from xferproto.model.errors import RequestError, UnexpectedReply
from xferproto.model.escape import quoted
from xferproto.wire import codec
from xferproto.wire.commands import Command


async def send_command(
    connection: Connection,
    command: Command,
    argument: bytes,
    prompted: bool | None = None,
    shown: bytes | None = None,
) -> None:
    """
    Send a command with its argument: at the server's prompt or on the same line.

    @param prompted: whether to wait for the prompt; None for what the settings say.
    @param shown: what the trace gets instead of the argument, at a prompt.
    @raise RequestError: the server refuses the command.
    """
    word = command.spellings[0].encode("ascii")
    if connection.settings.prompted if prompted is None else prompted:
        assert command.prompt is not None
        connection.send_line(word)
        await expect_line(connection, command.prompt)
        connection.send_line(argument, shown)
    else:
        connection.send_line(word + b" " + argument)


async def read_line(connection: Connection) -> bytes:
    """
    Receive the next line of an answer.

    @raise RequestError: the line is an error.
    """
    return checked(connection, await connection.next_line())


def checked(connection: Connection, line: bytes) -> bytes:
    """
    Return a line that is no error.

    @raise RequestError: the line is one; the answer ends with it.
    """
    if (error := codec.parse_error(line)) is not None:
        connection.end_exchange()
        raise error
    return line


async def expect_line(connection: Connection, expected: bytes) -> None:
    """
    Receive a line that can only be this one.

    @raise RequestError: the server refuses.
    @raise UnexpectedReply: the line is another one.
    """
    line = await read_line(connection)
    if line != expected:
        raise UnexpectedReply(f"Expected {quoted(expected)}, the server says {quoted(line)}.")


async def read_lines(connection: Connection, take: Callable[[bytes], None]) -> None:
    """
    Receive lines up to C{DONE}.

    @param take: called with each of them.
    @raise UnexpectedReply: what C{take} raised.
    """

    def traced(line: bytes) -> None:
        connection.settings.trace("<", line)
        take(line)

    lines = Lines(traced, connection.give_up)
    await connection.receive(lines, 0, None)
    connection.settings.trace("<", codec.DONE)
    if lines.rest:
        connection.refuse_unasked(lines.rest.partition(b"\n")[0])


async def send_quit(connection: Connection) -> None:
    """Send QUIT, and close the connection."""
    connection.send_line(b"QUIT")
    connection.end_exchange()
    connection.transport.loseConnection()


def to_wire(text: str) -> bytes:
    """Encode a text as it goes over the wire; the grammar refuses what is no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def to_entry(line: bytes) -> Entry:
    """
    Parse the entry that a line announces.

    @raise UnexpectedReply: the line announces none.
    """
    try:
        return codec.parse_entry(line)
    except RequestError as error:
        raise UnexpectedReply(f"Expected id;name;size, the server says {quoted(line)}.") from error
