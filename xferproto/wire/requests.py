"""
The details of requests, and of what is answered to C{RESUME}, as values.

L{xferproto.wire.codec} makes them of bytes, and bytes of them. Nothing here imports Twisted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from xferproto.model.errors import BadRange

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """
    What C{UPLOAD} is asked for.

    @ivar name: a name that L{parse_name} let through.
    @ivar size: how many bytes will follow.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ResumeDetails:
    """
    What C{RESUME} is asked for.

    @ivar name: a name that L{parse_name} let through.
    @ivar size: the length of the whole file, in bytes.
    @ivar token: what the client calls this upload.
    """

    name: str
    size: int
    token: str

    @property
    def sha256(self) -> str | None:
        """The content's SHA-256, where the token is C{sha256:HEX}."""
        kind, _, digest = self.token.partition(":")
        return digest if kind == "sha256" and _SHA256.fullmatch(digest) else None


@dataclass(frozen=True, slots=True)
class Login:
    """
    What C{LOGIN} is asked for.

    @ivar user: a name that L{is_user_name} is true of.
    @ivar password: not shown where this is.
    """

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """
    What the server answers to C{RESUME}.

    @ivar offset: how many bytes it holds.
    @ivar md5: of those bytes, 32 lower-case hex digits.
    """

    offset: int
    md5: str


@dataclass(frozen=True, slots=True)
class Range:
    """
    What C{DOWNLOAD} is asked for.

    @ivar id: the file, lower case.
    @ivar offset: the first byte that is wanted.
    @ivar length: how many bytes from there, or None for all of them.
    """

    id: str
    offset: int = 0
    length: int | None = None

    def within(self, size: int) -> int:
        """
        How many bytes this asks of a file of C{size} bytes.

        @raise BadRange: the range does not lie within such a file.
        """
        length = size - self.offset if self.length is None else self.length
        if length < 0 or self.offset + length > size:
            raise BadRange(f"The file has {size} bytes; ask for a range that lies within them.")
        return length
