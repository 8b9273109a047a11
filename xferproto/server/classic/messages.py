"""
Cut messages out of what comes: nothing frames them, and TCP may cut or join them.

Each C{take_…} gets what has come so far, and whether no more will come soon. It returns the message
and what is behind it, or None where the message is not whole. A line end behind it is no must.
"""

from __future__ import annotations

from xferproto.model.errors import BadCommand, BadId
from xferproto.model.fields import parse_details, parse_id

COMMANDS = (b"LIST_FILES", b"UPLOAD", b"DOWNLOAD")
MARKER = b"EOF"
LINE_END = b"\r\n"
ENDS = (b"", b"\r", b"\n")
"""What may be behind a message: the end of what has come, or the beginning of a line end."""

LONGEST = 1024 + 1 + 19 + 2
"""The most bytes of a name, a size, what parts them, and a line end."""


def take_command(come: bytes, whole: bool) -> tuple[bytes, bytes] | None:
    """
    Take one of L{COMMANDS}.

    @raise BadCommand: what comes begins with something else.
    """
    for command in COMMANDS:
        rest = come[len(command) :]
        if come.startswith(command) and rest[:1] in ENDS:
            return command, rest
        if command.startswith(come) and not (come and whole):
            return None
    raise BadCommand("This is not a command; send LIST_FILES, UPLOAD or DOWNLOAD.")


def take_next(come: bytes, whole: bool) -> tuple[bytes, bytes] | None:
    """Take a command behind another one; a L{MARKER} before it, and line ends, are dropped."""
    come = come.lstrip(LINE_END)
    if come and MARKER.startswith(come) and (come == MARKER or not whole):
        return None
    return take_command(come.removeprefix(MARKER).lstrip(LINE_END), whole)


def take_details(come: bytes, whole: bool) -> tuple[tuple[str, int], bytes] | None:
    """
    Take C{name;size}; only a line end, or silence, says that there is no further digit.

    @raise RequestError: as L{parse_details}.
    """
    come = come.lstrip(LINE_END)
    line, end, rest = come.partition(b"\n")
    if not come or (not end and not whole and len(come) <= LONGEST):
        return None
    return parse_details(line.removesuffix(b"\r")), rest


def take_id(come: bytes, whole: bool) -> tuple[str, bytes] | None:
    """
    Take an id.

    @raise BadId: what comes is something else.
    """
    come = come.lstrip(LINE_END)
    if not come or (len(come) < 32 and not whole and b"\n" not in come):
        return None
    if come[32:33] not in ENDS:
        raise BadId()
    return parse_id(come[:32]), come[32:]
