"""
Name every error of xfer, with its symbol on the wire and what a client can do about it.

A L{RequestError} is what the server answers C{ERROR symbol text} for, and what the client raises
when it reads that line: both sides use the same classes. Nothing here imports Twisted.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Scope(Enum):
    """How much fails with an error."""

    REQUEST = "request"
    """This request alone; others on the same connection may succeed."""

    CONNECTION = "connection"
    """The connection: it is closed or of no more use, and a new one may do better."""

    SERVER = "server"
    """Every such request to this server, until somebody changes a setting of client or server."""


class XferError(Exception):
    """
    The base of every error that xfer raises on purpose.

    Each class says what its errors mean; callers ask these attributes instead of listing classes.

    @cvar symbol: the stable name of the error on the wire (docs/protocol.md, "Errors").
    @cvar scope: how much fails with it.
    @cvar retryable: whether the same request may succeed later, with nothing changed by the client.
    """

    symbol: ClassVar[str] = "internal"
    scope: ClassVar[Scope] = Scope.REQUEST
    retryable: ClassVar[bool] = False


class RequestError(XferError):
    """
    A request that the server refuses.

    @cvar advice: the sentence for people, used when no better one is given.
    @ivar text: the sentence for people.
    """

    advice: ClassVar[str] = "The server could not do this; its log says why."

    def __init__(self, text: str | None = None) -> None:
        self.text = self.advice if text is None else text
        super().__init__(self.text)


class BadCommand(RequestError):
    symbol = "bad-command"
    scope = Scope.SERVER
    advice = "This is not a command; send HELP for the list of commands."


class OtherProtocol(BadCommand):
    """A line that another protocol begins with; what follows it must not be read."""

    scope = Scope.CONNECTION
    advice = "This begins another protocol; connect again and send HELP for the list of commands."


class BadDetails(RequestError):
    symbol = "bad-details"
    advice = "The details are not of the form that this command takes; send HELP to see it."


class BadName(RequestError):
    symbol = "bad-name"
    advice = "This is not a file name that can be stored; send a relative path in UTF-8."


class BadId(RequestError):
    symbol = "bad-id"
    advice = "A file ID is 32 hexadecimal digits; send LIST_FILES to see the ones stored here."


class BadRange(RequestError):
    symbol = "bad-range"
    advice = "The range does not lie within the file; ask for bytes that it has."


class BadToken(RequestError):
    symbol = "bad-token"
    advice = "A resume token is 1 to 128 letters, digits, or characters of _.:- and nothing else."


class LineTooLong(RequestError):
    symbol = "line-too-long"
    scope = Scope.CONNECTION
    advice = "A line holds at most 4096 bytes; connect again and send shorter lines."


class NoSuchFile(RequestError):
    symbol = "no-such-file"
    advice = "No file with this ID is stored here; send LIST_FILES to see the ones that are."


class TooLarge(RequestError):
    symbol = "too-large"
    advice = "The file is larger than this server takes."


class NoSpace(RequestError):
    symbol = "no-space"
    retryable = True
    advice = "The server has no room left for this file; try again later."


class Collision(RequestError):
    symbol = "collision"
    advice = "Other content with the same ID is stored here, and stays; this file was not stored."


class Corrupt(RequestError):
    symbol = "corrupt"
    advice = "The stored bytes of this file are damaged; send the file again if you have it."


class Busy(RequestError):
    symbol = "busy"
    retryable = True
    advice = "Another connection is sending under this token; try again when it has ended."


class TooManyConnections(Busy):
    """A connection above the limits of the server: it is closed after the error."""

    scope = Scope.CONNECTION
    advice = "This server has as many connections as it takes; try again later."


class LoginRequired(RequestError):
    symbol = "login-required"
    scope = Scope.SERVER
    advice = "Strangers may not do this here; send LOGIN with a user name and password first."


class Denied(RequestError):
    symbol = "denied"
    scope = Scope.SERVER
    advice = "You may not do this here; ask whoever runs the server for the right to."


class LoginFailed(Denied):
    advice = "The user name or the password is wrong; mind upper case."


class Insecure(RequestError):
    symbol = "insecure"
    scope = Scope.SERVER
    advice = "A password is taken over TLS or on the server's own machine only; connect with TLS."


class QuotaExceeded(RequestError):
    symbol = "quota-exceeded"
    advice = "This file would exceed the quota; delete some files, or ask for a larger one."


class Timeout(RequestError):
    symbol = "timeout"
    scope = Scope.CONNECTION
    retryable = True
    advice = "Nothing came for too long; connect again, and go on where you were."


class Internal(RequestError):
    symbol = "internal"
    retryable = True


class StorageLost(Internal):
    """The storage directory is gone while the server runs."""

    scope = Scope.SERVER
    advice = "The server's storage is not there; try again when its operator has mended it."


REQUEST_ERRORS: dict[str, type[RequestError]] = {
    error.symbol: error
    for error in (
        BadCommand,
        BadDetails,
        BadName,
        BadId,
        BadRange,
        BadToken,
        LineTooLong,
        NoSuchFile,
        TooLarge,
        NoSpace,
        Collision,
        Corrupt,
        Busy,
        LoginRequired,
        Denied,
        Insecure,
        QuotaExceeded,
        Timeout,
        Internal,
    )
}
"""Every symbol that the server can send, and its class."""


class UnknownRequestError(RequestError):
    """
    The client's answer to a symbol that a newer server sends.

    @ivar symbol: that symbol.
    """

    def __init__(self, symbol: str, text: str) -> None:
        super().__init__(text)
        self.symbol = symbol  # type: ignore[misc]  # one instance, one symbol


class StorageUnavailable(XferError):
    """The storage directory can't be created, locked, read or written; the text says why."""

    scope = Scope.SERVER


class UsersUnreadable(XferError):
    """The users file can't be read, or has a mistake; the text says where."""

    scope = Scope.SERVER


class ListenFailed(XferError):
    """An endpoint can't be listened on; the text says why."""

    scope = Scope.SERVER


class CertificateError(XferError):
    """A certificate or a key can't be read, used or written; the text says which, and why."""

    scope = Scope.SERVER


class TLSFailed(XferError):
    """The peer is not trusted, does not trust this end, or does not speak TLS; see the text."""

    scope = Scope.SERVER


class HashMismatch(XferError):
    """The bytes that went over the wire are not the bytes that the other side hashed."""

    retryable = True

    def __init__(self, what: str, ours: str, theirs: str) -> None:
        super().__init__(f"{what}: the server's MD5 is {theirs}, the client's own is {ours}.")
        self.ours = ours
        self.theirs = theirs


class ConnectionCut(XferError):
    """The connection ended before the answer was complete."""

    scope = Scope.CONNECTION
    retryable = True


class LeftUnfinished(ConnectionCut):
    """An upload ended before all was sent: no other request can be made on its connection."""


class UnexpectedReply(XferError):
    """The server sent something that the protocol does not allow here."""

    scope = Scope.CONNECTION


class AnswerTooLong(UnexpectedReply):
    """An answer has more entries than can be kept in memory."""

    def __init__(self) -> None:
        super().__init__(
            "The server's answer is too long to be kept in memory; ask for fewer names, with a "
            "longer prefix, or take them one by one, with each_file."
        )


class SourceChanged(XferError):
    """The file being sent no longer has the bytes that were announced."""


class TargetExists(XferError):
    """A download would replace a file that is already there."""


class TargetIsNoFile(TargetExists):
    """A download would replace a device, a pipe, a socket or a directory: that is never done."""
