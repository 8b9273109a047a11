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
class StoredEntry:
    """
    An entry, and what a store knows of it.

    @ivar entry: which.
    @ivar stored: when the content was first stored under the name, seconds since the epoch; of the
        owners whose names are seen.
    @ivar damaged: whether the stored bytes of the content are known to be wrong.
    """

    entry: Entry
    stored: float
    damaged: bool


@dataclass(frozen=True, slots=True)
class DamageSummary:
    """
    The entries of a store whose contents are known to be damaged.

    @ivar count: how many there are.
    @ivar names: the names of the first of them, in name order.
    """

    count: int
    names: tuple[str, ...]


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
class UploadStatus:
    """
    What came under a token of one owner.

    @ivar name: the name that it will have, or got last.
    @ivar size: the declared size in bytes.
    @ivar held: how many of them have come: all, where C{id} is known.
    @ivar started: when it was begun, seconds since the epoch.
    @ivar idle: for how long it has not been used while the server ran, in seconds.
    @ivar id: the content that it became; None while it is not stored.
    @ivar running: whether an upload has the token now.
    """

    name: str
    size: int
    held: int
    started: float
    idle: float
    id: str | None
    running: bool


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
