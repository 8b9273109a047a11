"""Decide what is done about a failed upload: with this file, and with all others."""

from __future__ import annotations

import enum
import errno
import os
from dataclasses import dataclass

from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError

from xferproto.model.errors import (
    HashMismatch,
    RequestError,
    Scope,
    SourceChanged,
    XferError,
)
from xferproto.model.escape import printable

MISMATCHES = 5
"""How often in a row the hashes of a file may differ before the failure is permanent."""


class FailureKind(enum.Enum):
    """
    What a failure is about, which decides what is done.

    @cvar PERMANENT: the file as it is can't be stored: it is moved to C{failed/}.
    @cvar TEMPORARY: this file alone is tried again, after a while.
    @cvar CHANGED: the file has to become stable again.
    @cvar VANISHED: the file is gone.
    @cvar UNREACHABLE: the depot can't be reached: all files wait until it is back.
    @cvar MISCONFIGURED: the depot can be reached, but an administrator of the client or of the
        depot has to mend something: all files wait.
    """

    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    CHANGED = "changed"
    VANISHED = "vanished"
    UNREACHABLE = "unreachable"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True)
class Decision:
    """
    What is done about a failure, and why.

    @ivar cause: one line of printable characters.
    @ivar advice: what people can do about a permanent failure.
    @ivar unexpected: whether the failure is a bug of this program, to be logged in full.
    """

    kind: FailureKind
    cause: str
    advice: str = ""
    unexpected: bool = False


_FINAL_ADVICE = {
    "bad-name": "Give it another name, and move it back.",
    "bad-details": "Tell whoever wrote this client: it should not ask so.",
    "bad-token": "Tell whoever wrote this client: it should not ask so.",
    "line-too-long": "Give it a shorter name, and move it back.",
    "too-large": "Ask whoever runs the depot for a larger limit (--max-file-size), or split it.",
    "collision": "Its MD5 is that of other content in the depot, which does not happen by chance: "
    "find out where both come from. In an archive (tar, zip) it can be stored.",
}

_NOT_THE_FILES_FAULT = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR),
        *(errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ETIMEDOUT),
    }
)
"""Errors of this machine, or of a network file system, that may pass."""


def decide(error: BaseException, mismatches: int = 0) -> Decision:
    """
    Decide what is done about a failed upload.

    @param mismatches: how often in a row the hashes of this file have differed before.
    """
    if isinstance(error, RequestError):
        return _refused(error)
    if isinstance(error, SourceChanged):
        return Decision(FailureKind.CHANGED, "it was changed while it was sent")
    if isinstance(error, HashMismatch):
        if mismatches + 1 < MISMATCHES:
            return Decision(FailureKind.TEMPORARY, printable(str(error)))
        return Decision(
            FailureKind.PERMANENT,
            f"The hashes differed {mismatches + 1} times: {printable(str(error))}",
            "Look for damage on the way, in memory or on the disk: it is not the same twice.",
        )
    if isinstance(error, XferError) and error.scope is not Scope.REQUEST:
        kind = (
            FailureKind.UNREACHABLE
            if error.scope is Scope.CONNECTION
            else FailureKind.MISCONFIGURED
        )
        return Decision(kind, printable(str(error)))
    if isinstance(error, ConnectError):
        number = error.osError
        reason = os.strerror(number) if isinstance(number, int) else printable(str(error))
        return Decision(FailureKind.UNREACHABLE, reason)
    if isinstance(error, DNSLookupError):
        return Decision(FailureKind.UNREACHABLE, "nobody knows this host")
    if isinstance(error, ConnectionClosed):
        return Decision(FailureKind.UNREACHABLE, printable(str(error)))
    if isinstance(error, OSError):
        return _unreadable(error)
    if isinstance(error, ValueError):  # a host name that is none
        return Decision(FailureKind.MISCONFIGURED, printable(str(error)))
    return Decision(FailureKind.TEMPORARY, "this should not have happened", unexpected=True)


def _refused(error: RequestError) -> Decision:
    cause = f"{error.symbol}: {printable(error.text)}"
    if error.retryable:
        return Decision(FailureKind.TEMPORARY, cause)
    if error.scope is Scope.SERVER:
        return Decision(FailureKind.MISCONFIGURED, cause)
    if (advice := _FINAL_ADVICE.get(error.symbol)) is not None:
        return Decision(FailureKind.PERMANENT, cause, advice)
    # quota-exceeded; no-such-file and corrupt, where the depot had the content a moment ago; and
    # the symbols of a newer depot.
    return Decision(FailureKind.TEMPORARY, cause)


def _unreadable(error: OSError) -> Decision:
    cause = f"It can't be read: {error.strerror or printable(str(error))}."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Decision(FailureKind.VANISHED, cause)
    if error.errno in _NOT_THE_FILES_FAULT:
        return Decision(FailureKind.TEMPORARY, cause)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Decision(
            FailureKind.PERMANENT,
            cause,
            "Let the user that xfer-client runs as read it, and move it back.",
        )
    return Decision(FailureKind.PERMANENT, cause, "Mend that, or write it anew.")
