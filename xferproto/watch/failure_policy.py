"""What a failure means for the file, and for the others: which of them to try again, and when."""

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
"""How often in a row the hashes of a file may differ before it is taken for one that never goes."""


class Verdict(enum.Enum):
    """
    What is to be done.

    @cvar FAILED: it will never be stored as it is.
    @cvar LATER: it alone is tried again, after a while.
    @cvar CHANGED: it has to settle again.
    @cvar VANISHED: there is nothing to be sent any more.
    @cvar AWAY: the depot can't be reached: all wait until it is back.
    @cvar MISTAKE: it can be reached, but whoever runs this or that has to mend something: all wait.
    """

    FAILED = "failed"
    LATER = "later"
    CHANGED = "changed"
    VANISHED = "vanished"
    AWAY = "away"
    MISTAKE = "mistake"


@dataclass(frozen=True)
class Judgement:
    """
    A verdict, and its reasons.

    @ivar cause: one line, with nothing in it that does not print.
    @ivar advice: what people can do, where it is final.
    @ivar unexpected: whether it is a mistake in this program, to be told in full.
    """

    verdict: Verdict
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
"""What this machine, or the network that the file lies behind, may get over."""


def judge(error: BaseException, mismatches: int = 0) -> Judgement:
    """
    What it means that the upload of a file has failed so.

    @param mismatches: how often its hashes have differed before, in a row.
    """
    if isinstance(error, RequestError):
        return _refused(error)
    if isinstance(error, SourceChanged):
        return Judgement(Verdict.CHANGED, "it was changed while it was sent")
    if isinstance(error, HashMismatch):
        if mismatches + 1 < MISMATCHES:
            return Judgement(Verdict.LATER, printable(str(error)))
        return Judgement(
            Verdict.FAILED,
            f"The hashes differed {mismatches + 1} times: {printable(str(error))}",
            "Look for damage on the way, in memory or on the disk: it is not the same twice.",
        )
    if isinstance(error, XferError) and error.scope is not Scope.REQUEST:
        verdict = Verdict.AWAY if error.scope is Scope.CONNECTION else Verdict.MISTAKE
        return Judgement(verdict, printable(str(error)))
    if isinstance(error, ConnectError):
        number = error.osError
        reason = os.strerror(number) if isinstance(number, int) else printable(str(error))
        return Judgement(Verdict.AWAY, reason)
    if isinstance(error, DNSLookupError):
        return Judgement(Verdict.AWAY, "nobody knows this host")
    if isinstance(error, ConnectionClosed):
        return Judgement(Verdict.AWAY, printable(str(error)))
    if isinstance(error, OSError):
        return _unreadable(error)
    if isinstance(error, ValueError):  # a host name that is none
        return Judgement(Verdict.MISTAKE, printable(str(error)))
    return Judgement(Verdict.LATER, "this should not have happened", unexpected=True)


def _refused(error: RequestError) -> Judgement:
    cause = f"{error.symbol}: {printable(error.text)}"
    if error.retryable:
        return Judgement(Verdict.LATER, cause)
    if error.scope is Scope.SERVER:
        return Judgement(Verdict.MISTAKE, cause)
    if (advice := _FINAL_ADVICE.get(error.symbol)) is not None:
        return Judgement(Verdict.FAILED, cause, advice)
    # quota-exceeded; no-such-file and corrupt, where the depot had the content a moment ago; and
    # the symbols of a newer depot.
    return Judgement(Verdict.LATER, cause)


def _unreadable(error: OSError) -> Judgement:
    cause = f"It can't be read: {error.strerror or printable(str(error))}."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Judgement(Verdict.VANISHED, cause)
    if error.errno in _NOT_THE_FILES_FAULT:
        return Judgement(Verdict.LATER, cause)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Judgement(
            Verdict.FAILED,
            cause,
            "Let the user that xfer-client runs as read it, and move it back.",
        )
    return Judgement(Verdict.FAILED, cause, "Mend that, or write it anew.")
