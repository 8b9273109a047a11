"""Describe files and contents: the values that store, server and client share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """
    Describe one stored name: a line of a listing.

    @ivar id: the MD5 of the content, 32 lower-case hex digits.
    @ivar name: the name that the content was stored under.
    @ivar size: the size of the content in bytes.
    """

    id: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Digests:
    """
    Hold the hashes of one content.

    @ivar md5: 32 lower-case hex digits; the id of the file.
    @ivar sha256: 64 lower-case hex digits; distinguishes two contents with the same MD5.
    """

    md5: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PartialStatus:
    """
    Describe an unfinished upload under a token.

    @ivar token: the client's name of the upload.
    @ivar name: the name that the file will have.
    @ivar size: the declared size in bytes.
    @ivar held: the number of bytes received.
    @ivar started: when it was begun, in seconds since the epoch.
    @ivar idle: how long it has been unused while the server ran, in seconds.
    """

    token: str
    name: str
    size: int
    held: int
    started: float
    idle: float


@dataclass(frozen=True, slots=True)
class ContentStatus:
    """
    Describe one content, without its names.

    @ivar size: its size in bytes.
    @ivar sha256: 64 lower-case hex digits.
    @ivar stored: when its bytes were first stored, in seconds since the epoch.
    @ivar verified: when its stored bytes last hashed to the id, in seconds since the epoch.
    """

    size: int
    sha256: str
    stored: float
    verified: float


@dataclass(frozen=True, slots=True)
class Status:
    """
    Describe one content with all its names: the answer to C{STAT}.

    @ivar entries: one for each name, in name order; never empty.
    @ivar sha256: 64 lower-case hex digits.
    @ivar stored: when its bytes were first stored, in seconds since the epoch.
    @ivar verified: when its stored bytes last hashed to the id, in seconds since the epoch.
    """

    entries: tuple[Entry, ...]
    sha256: str
    stored: float
    verified: float
