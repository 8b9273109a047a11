"""Parse what clients send of a file: ids, sizes and details (docs/protocol.md, "Grammar")."""

from __future__ import annotations

import re

from xferproto.model.errors import BadDetails, BadId
from xferproto.model.names import parse_name
from xferproto.model.units import SIZE_LIMIT

_DIGITS = re.compile(rb"[0-9]{1,19}")
_ID = re.compile(rb"[0-9a-fA-F]{32}")


def parse_size(field: bytes) -> int:
    """
    Parse a size: 1 to 19 ASCII digits, below 2^63.

    @raise BadDetails: the field is anything else.
    """
    if not _DIGITS.fullmatch(field) or (size := int(field)) >= SIZE_LIMIT:
        raise BadDetails("A size is 1 to 19 decimal digits and below 2^63; send name;size.")
    return size


def parse_id(field: bytes) -> str:
    """
    Parse an id: 32 hex digits of either case. Return it in lower case.

    @raise BadId: the field is anything else.
    """
    if not _ID.fullmatch(field):
        raise BadId()
    return field.decode("ascii").lower()


def parse_details(argument: bytes) -> tuple[str, int]:
    """
    Parse C{name;size}; the size is the last field, the name may contain C{;}.

    @raise BadDetails: there is no C{;}, or no size after the last one.
    @raise BadName: the name is not allowed.
    """
    name, semicolon, size = argument.rpartition(b";")
    if not semicolon:
        raise BadDetails("There is no size; send the file name and file size as name;size.")
    count = parse_size(size)
    return parse_name(name), count
