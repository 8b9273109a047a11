"""
Hold the arguments of requests, and the answer to C{RESUME}, as values.

L{xferproto.wire.codec} parses and formats them. Nothing here imports Twisted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from xferproto.model.errors import BadRange

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """
    Hold the argument of C{UPLOAD}.

    @ivar name: a name that L{parse_name} accepts.
    @ivar size: the number of bytes that follow.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ResumeDetails:
    """
    Hold the argument of C{RESUME}.

    @ivar name: a name that L{parse_name} accepts.
    @ivar size: the size of the whole file in bytes.
    @ivar token: the client's name of the upload.
    """

    name: str
    size: int
    token: str

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the content, if the token is C{sha256:HEX}, else None."""
        kind, _, digest = self.token.partition(":")
        return digest if kind == "sha256" and _SHA256.fullmatch(digest) else None


@dataclass(frozen=True, slots=True)
class Held:
    """
    Hold the server's answer to C{RESUME}.

    @ivar offset: the number of bytes that the server holds.
    @ivar md5: the MD5 of those bytes, 32 lower-case hex digits.
    """

    offset: int
    md5: str


@dataclass(frozen=True, slots=True)
class Range:
    """
    Hold the argument of C{DOWNLOAD}.

    @ivar id: the id of the file, in lower case.
    @ivar offset: the first byte to send.
    @ivar length: the number of bytes to send, or None for all.
    """

    id: str
    offset: int = 0
    length: int | None = None

    def within(self, size: int) -> int:
        """
        Return the number of bytes to send of a file of C{size} bytes.

        @raise BadRange: the range does not lie within the file.
        """
        length = size - self.offset if self.length is None else self.length
        if length < 0 or self.offset + length > size:
            raise BadRange(f"The file has {size} bytes; ask for a range that lies within them.")
        return length
