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
from xferproto.model.escape import escaped

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
    "bad-name": "Rename the file, and move it back.",
    "bad-details": "Report this as a bug of xfer.",
    "bad-token": "Report this as a bug of xfer.",
    "line-too-long": "Give the file a shorter name, and move it back.",
    "too-large": "Ask the depot's administrator for a larger limit (--max-file-size), or split the "
    "file.",
    "collision": "Other content in the depot has the same MD5, which does not happen by chance: "
    "find out where both come from. The file can be stored in an archive (tar, zip).",
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
        return Decision(FailureKind.CHANGED, "changed while it was sent")
    if isinstance(error, HashMismatch):
        if mismatches + 1 < MISMATCHES:
            return Decision(FailureKind.TEMPORARY, escaped(str(error)))
        return Decision(
            FailureKind.PERMANENT,
            f"The hashes differed {mismatches + 1} times: {escaped(str(error))}",
            "Check the network, the memory and the disk: the bytes differ each time.",
        )
    if isinstance(error, XferError) and error.scope is not Scope.REQUEST:
        kind = (
            FailureKind.UNREACHABLE
            if error.scope is Scope.CONNECTION
            else FailureKind.MISCONFIGURED
        )
        return Decision(kind, escaped(str(error)))
    if isinstance(error, ConnectError):
        number = error.osError
        reason = os.strerror(number) if isinstance(number, int) else escaped(str(error))
        return Decision(FailureKind.UNREACHABLE, reason)
    if isinstance(error, DNSLookupError):
        return Decision(FailureKind.UNREACHABLE, "unknown host")
    if isinstance(error, ConnectionClosed):
        return Decision(FailureKind.UNREACHABLE, escaped(str(error)))
    if isinstance(error, OSError):
        return _unreadable(error)
    if isinstance(error, ValueError):  # a malformed host name
        return Decision(FailureKind.MISCONFIGURED, escaped(str(error)))
    return Decision(FailureKind.TEMPORARY, "this should not have happened", unexpected=True)


def _refused(error: RequestError) -> Decision:
    cause = f"{error.symbol}: {escaped(error.text)}"
    if error.retryable:
        return Decision(FailureKind.TEMPORARY, cause)
    if error.scope is Scope.SERVER:
        return Decision(FailureKind.MISCONFIGURED, cause)
    if (advice := _FINAL_ADVICE.get(error.symbol)) is not None:
        return Decision(FailureKind.PERMANENT, cause, advice)
    # quota-exceeded; no-such-file and corrupt, if the depot had the content a moment ago; and
    # symbols of a newer depot.
    return Decision(FailureKind.TEMPORARY, cause)


def _unreadable(error: OSError) -> Decision:
    cause = f"It can't be read: {error.strerror or escaped(str(error))}."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Decision(FailureKind.VANISHED, cause)
    if error.errno in _NOT_THE_FILES_FAULT:
        return Decision(FailureKind.TEMPORARY, cause)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Decision(
            FailureKind.PERMANENT,
            cause,
            "Let the user of xfer-client read the file, and move it back.",
        )
    return Decision(FailureKind.PERMANENT, cause, "Fix that, or write the file again.")
