"""Check names of files and users, tokens and passwords (docs/protocol.md, "Grammar")."""

from __future__ import annotations

import re

from xferproto.model.errors import BadName

MAX_NAME = 1024
"""The most bytes a name may have in UTF-8."""

MAX_COMPONENT = 255
"""The most bytes that one component of a name may have (NAME_MAX of the usual file systems)."""

MAX_USER = 64
"""The most characters that the name of a user may have."""

MAX_PASSWORD = 1024
"""The most bytes that a password may have in UTF-8."""

MAX_TOKEN = 128
"""The most characters that a resume token may have."""

_USER = re.compile(rb"[A-Za-z0-9._-]{1,%d}" % MAX_USER)
_TOKEN = re.compile(f"[A-Za-z0-9._:-]{{1,{MAX_TOKEN}}}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_FORBIDDEN = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Backslash, and the characters of Unicode's categories Cc, Zl and Zp."""


def _decode(field: bytes) -> str:
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError:
        raise BadName("A name is valid UTF-8; send it in that encoding.") from None


def _check_characters(name: str) -> None:
    if (found := _FORBIDDEN.search(name)) is not None:
        if found[0] == "\\":
            raise BadName("A name has no backslash; put / between the components of a path.")
        raise BadName("A name has no control character and no line or paragraph separator.")


def parse_name(field: bytes) -> str:
    """
    Parse a name: a relative path in UTF-8 with C{/} between its components. It is only a label.

    @raise BadName: the name is empty, too long, not UTF-8, absolute, or has an empty, C{.} or C{..}
        component, a component above 255 bytes, a backslash, a control character or a line or
        paragraph separator.
    """
    if not field:
        raise BadName("A name is not empty; send a relative path.")
    if len(field) > MAX_NAME:
        raise BadName(f"A name has at most {MAX_NAME} bytes; send a shorter one.")
    name = _decode(field)
    _check_characters(name)
    for component in field.split(b"/"):
        if component in (b"", b".", b".."):
            raise BadName("A name is a relative path without empty, . or .. components.")
        if len(component) > MAX_COMPONENT:
            raise BadName(f"A component of a name has at most {MAX_COMPONENT} bytes.")
    return name


def check_name(name: str) -> None:
    """
    Check that a text is a name that can be stored.

    @param name: where it is made of a path, bytes that are not UTF-8 stand there as Python's
        surrogate escapes.
    @raise BadName: as for L{parse_name}.
    """
    try:
        field = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadName("A name is valid UTF-8; send it in that encoding.") from None
    parse_name(field)


def parse_prefix(field: bytes) -> str:
    """
    Parse the beginning of a name: any text that a name could begin with, also the empty one.

    @raise BadName: the text is not UTF-8, or has a character that no name has.
    """
    prefix = _decode(field)
    _check_characters(prefix)
    return prefix


def is_user_name(name: str) -> bool:
    """Return whether a name is 1 to 64 ASCII letters, digits, or characters of C{._-}."""
    return _USER.fullmatch(name.encode("utf-8", "replace")) is not None


def is_token(token: str) -> bool:
    """Whether this is 1 to 128 ASCII letters, digits, or characters of C{._:-}."""
    return _TOKEN.fullmatch(token) is not None


def is_password(password: str) -> bool:
    """Return whether a password is 1 to 1,024 bytes in UTF-8, without control characters."""
    try:
        count = len(password.encode())
    except UnicodeEncodeError:
        return False
    return 1 <= count <= MAX_PASSWORD and not _CONTROL.search(password)
