"""
Parse and format the lines of the protocol.

The rules are those of docs/protocol.md, "Grammar". Nothing here imports Twisted, or does input and
output. Each C{parse_…} takes the bytes of a line or of one field, without the line end; each
C{format_…} returns bytes without it.
"""

from __future__ import annotations

import re
from datetime import datetime

from xferproto.model import fields
from xferproto.model.credentials import Login
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    REQUEST_ERRORS,
    BadDetails,
    BadRange,
    BadToken,
    RequestError,
    UnknownRequestError,
)
from xferproto.model.fields import parse_id as parse_id
from xferproto.model.fields import parse_size as parse_size
from xferproto.model.names import (
    MAX_PASSWORD,
    MAX_USER,
    is_password,
    is_token,
    is_user_name,
    parse_name,
)
from xferproto.model.units import iso_time
from xferproto.wire.requests import Held, Range, ResumeDetails, UploadDetails

MAX_LINE = 4096
"""The most bytes a line may have, its LF not counted."""

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
"""The id of the empty file (RFC 1321, A.5)."""

NO_FILES = b"No files available at the moment"
NO_DAMAGED = b"No damaged files known at the moment"
READY = b"Ready to receive the file"
DONE = b"DONE"

_SHA256 = re.compile(rb"[0-9a-f]{64}")
_TIME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_WAIT = re.compile(rb"WAIT ([0-9]{1,3}) (.+)")
_ERROR = re.compile(r"ERROR ([a-z][a-z0-9-]*)(?: (.*))?")


def parse_upload(argument: bytes) -> UploadDetails:
    """
    Parse C{name;size}; the size is the last field, the name may contain C{;}.

    @raise BadDetails: there is no C{;}, or no size after the last one.
    @raise BadName: the name is not allowed.
    """
    return UploadDetails(*fields.parse_details(argument))


def parse_resume(argument: bytes) -> ResumeDetails:
    """
    Parse C{name;size;token}: the token is the last field, the size the one before it.

    @raise BadDetails: a field is missing, or the size is not a size.
    @raise BadName: the name is not allowed.
    @raise BadToken: the token is not allowed.
    """
    rest, semicolon, field = argument.rpartition(b";")
    if not semicolon or b";" not in rest:
        raise BadDetails("A field is missing; send name;size;token.")
    token = field.decode("ascii", "replace")
    if not is_token(token):
        raise BadToken()
    details = parse_upload(rest)
    return ResumeDetails(details.name, details.size, token)


def parse_held(line: bytes) -> Held:
    """
    Parse C{offset;md5}.

    @raise RequestError: the line is anything else.
    """
    offset, _, md5 = line.partition(b";")
    return Held(parse_size(offset), parse_id(md5))


def parse_offset(line: bytes) -> int:
    """
    Parse the offset from which a resumed upload continues.

    @raise BadRange: the line is not a number.
    """
    try:
        return parse_size(line)
    except BadDetails:
        raise BadRange("An offset is a decimal number of bytes, below 2^63.") from None


def parse_deletion(argument: bytes) -> tuple[str, str | None]:
    """
    Parse C{id} or C{id;name}.

    @raise BadId: the id is not an id.
    @raise BadName: the name is not allowed.
    """
    id, semicolon, name = argument.partition(b";")
    return parse_id(id), parse_name(name) if semicolon else None


def check_login(login: Login) -> None:
    """
    Check a user name and a password.

    @raise BadDetails: one of them is not allowed. The text quotes neither.
    """
    if not is_user_name(login.user):
        raise BadDetails(f"A user name is 1 to {MAX_USER} letters, digits, or characters of ._-.")
    if not is_password(login.password):
        raise BadDetails(
            f"A password is 1 to {MAX_PASSWORD} bytes of UTF-8 without control characters."
        )


def parse_login(argument: bytes) -> Login:
    """
    Parse C{user;password}: the user is the first field; the password may contain C{;}.

    @raise BadDetails: there is no C{;}, or one of them is not allowed. The text quotes neither.
    """
    user, semicolon, password = argument.partition(b";")
    if not semicolon:
        raise BadDetails("There is no password; send the user name and password as user;password.")
    # Bytes that are not UTF-8 become surrogates, which are not allowed.
    login = Login(*(part.decode("utf-8", "surrogateescape") for part in (user, password)))
    check_login(login)
    return login


def payload_size(argument: bytes) -> int | None:
    """Return how many bytes follow a one-line upload, or None if its line does not say."""
    try:
        return parse_size(argument.rpartition(b";")[2]) if b";" in argument else None
    except BadDetails:
        return None


def parse_range(argument: bytes) -> Range:
    """
    Parse C{id[;offset[;length]]}.

    @raise BadId: the id is not an id.
    @raise BadRange: offset or length is not a number.
    @raise BadDetails: there are more than three fields.
    """
    fields = argument.split(b";")
    if len(fields) > 3:
        raise BadDetails("There are too many fields; send id, id;offset or id;offset;length.")
    id = parse_id(fields[0])
    try:
        return Range(id, *(parse_size(field) for field in fields[1:]))
    except BadDetails:
        raise BadRange("Offset and length are numbers below 2^63; send id;offset;length.") from None


def parse_entry(line: bytes) -> Entry:
    """
    Parse C{id;name;size}: the id is the first field, the size the last.

    @raise RequestError: the line is not an entry.
    """
    id, _, rest = line.partition(b";")
    name, semicolon, size = rest.rpartition(b";")
    if not semicolon:
        raise BadDetails("An entry is id;name;size.")
    return Entry(parse_id(id), parse_name(name), parse_size(size))


def parse_sha256(field: bytes) -> str:
    """
    Parse a SHA-256: 64 lower-case hex digits.

    @raise BadDetails: the field is anything else.
    """
    if not _SHA256.fullmatch(field):
        raise BadDetails("A SHA-256 is 64 hexadecimal digits.")
    return field.decode("ascii")


def parse_time(field: bytes) -> float:
    """
    Parse the form of L{format_time}, and return seconds since the epoch.

    @raise BadDetails: the field is anything else.
    """
    try:
        if not _TIME.fullmatch(field):
            raise ValueError(field)
        return datetime.fromisoformat(field.decode("ascii")).timestamp()
    except ValueError:
        raise BadDetails("A time is in ISO 8601, as 2001-02-03T04:05:06.789Z.") from None


def parse_wait(line: bytes) -> tuple[int, str] | None:
    """
    Parse a C{WAIT} line: the percentage that is done, 0 to 100, and the description of the work.
    Return None for any other line.
    """
    match = _WAIT.fullmatch(line)
    if match is None or (percent := int(match[1])) > 100:
        return None
    return percent, match[2].decode("utf-8", "replace")


def parse_error(line: bytes) -> RequestError | None:
    """Parse an C{ERROR} line; return None for any other line."""
    match = _ERROR.fullmatch(line.decode("utf-8", "replace"))
    if match is None:
        return None
    symbol, text = match[1], match[2] or ""
    known = REQUEST_ERRORS.get(symbol)
    return UnknownRequestError(symbol, text) if known is None else known(text)


def format_entry(entry: Entry) -> bytes:
    return f"{entry.id};{entry.name};{entry.size}".encode()


def format_upload(details: UploadDetails) -> bytes:
    return f"{details.name};{details.size}".encode()


def format_resume(details: ResumeDetails) -> bytes:
    return f"{details.name};{details.size};{details.token}".encode()


def format_login(login: Login) -> bytes:
    return f"{login.user};{login.password}".encode()


def format_welcome(user: str) -> bytes:
    return f"Welcome {user}".encode()


def format_held(held: Held) -> bytes:
    return f"{held.offset};{held.md5}".encode()


def format_wait(percent: int, what: str) -> bytes:
    return f"WAIT {percent} {what}".encode()


def format_range(range: Range) -> bytes:
    """Return the shortest form: C{id}, C{id;offset} or C{id;offset;length}."""
    if range.length is not None:
        return f"{range.id};{range.offset};{range.length}".encode()
    return f"{range.id};{range.offset}".encode() if range.offset else range.id.encode()


CLOSES = "the server closes the connection."
"""The end of the text of a refusal after which no request can be made."""


def format_error(error: RequestError, closes: bool = False) -> bytes:
    """
    Format the line of an error.

    @param closes: whether to say that the server closes the connection.
    """
    text = f"{error.text.removesuffix('.')}; {CLOSES}" if closes else error.text
    return f"ERROR {error.symbol} {text}".encode()


def format_time(seconds: float) -> bytes:
    """Format a time in ISO 8601, UTC, with milliseconds: C{2001-02-03T04:05:06.789Z}."""
    return iso_time(seconds).encode("ascii")
