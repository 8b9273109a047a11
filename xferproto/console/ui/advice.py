"""What went wrong, and what to do, as somebody at this command needs to hear it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from xferproto.model.errors import (
    REQUEST_ERRORS,
    AnswerTooLong,
    CertificateError,
    ConnectionCut,
    HashMismatch,
    RequestError,
    SourceChanged,
    TargetExists,
    TargetIsNoFile,
    TLSFailed,
    UnexpectedReply,
    UnknownRequestError,
    XferError,
)
from xferproto.model.escape import escaped

LONGEST = 300
"""Characters of a server's text that are shown."""


@dataclass(frozen=True)
class Explanation:
    """
    A failure in words, each safe to show.

    @ivar symbol: the protocol's name of it, where it has one.
    @ivar cause: what went wrong: a clause.
    @ivar advice: what to do: a clause.
    """

    symbol: str | None
    cause: str
    advice: str


REFUSALS: dict[str, tuple[str, str]] = {
    "bad-command": (
        "the depot does not know this request",
        "its version may be older than this xfer's; ask whoever runs it",
    ),
    "bad-details": (
        "the depot does not take these details",
        "its version may not be this xfer's; ask whoever runs it",
    ),
    "bad-name": (
        "this is no name that a depot stores",
        "take a relative path in UTF-8, without . and .. in it (put: --name)",
    ),
    "bad-id": (
        "this is no id; that is 32 hexadecimal digits",
        "xfer ls -l shows the ids",
    ),
    "bad-range": (
        "what is here already is not the beginning of the stored file",
        "remove the unfinished .part file, and start over",
    ),
    "bad-token": (
        "the depot does not take the mark to resume under",
        "its version may not be this xfer's; ask whoever runs it",
    ),
    "line-too-long": (
        "the request was longer than the depot takes",
        "choose a shorter name",
    ),
    "no-such-file": (
        "the depot has no such file",
        "xfer ls shows what there is for you to see",
    ),
    "too-large": (
        "the file is larger than the depot takes",
        "send it in parts (split), or ask whoever runs the depot to take more",
    ),
    "no-space": (
        "the depot has no room for it",
        "remove something there, or try again when its operator has made room; what came is kept",
    ),
    "collision": (
        "other content with the same MD5 is stored, and stays",
        "pack the file, as with gzip or tar, so that it has another MD5",
    ),
    "corrupt": (
        "the stored bytes are damaged",
        "put the file again if you have it, which heals it, or give it up (xfer rm); "
        "and tell whoever runs the depot",
    ),
    "busy": (
        "the depot is busy, or somebody is sending this very file",
        "try again in a minute, with fewer --jobs if it stays so",
    ),
    "login-required": (
        "strangers may not do this",
        "log in: give --user NAME, or put user into config.toml",
    ),
    "denied": (
        "you may not do this, or the user or password is wrong",
        "check --user and the password (xfer login), or ask whoever runs the depot for the right",
    ),
    "insecure": (
        "a password would be readable on the way",
        "connect with --tls",
    ),
    "quota-exceeded": (
        "the file would exceed your quota",
        "remove files there (xfer rm), or ask whoever runs the depot for more",
    ),
    "timeout": (
        "nothing came for too long",
        "start it again: it goes on where it was",
    ),
    "internal": (
        "the depot failed, and its log says why",
        "try again later, or tell whoever runs it",
    ),
}
"""For every symbol: the cause, and what to do."""

_ERRNO: dict[int, str] = {
    errno.ENOENT: "check the spelling",
    errno.EACCES: "ask its owner for access, or choose another place",
    errno.EPERM: "ask its owner for access, or choose another place",
    errno.ENOSPC: "make room on this disk, and start it again",
    errno.EDQUOT: "make room within your quota on this disk, and start it again",
    errno.EROFS: "choose another place (-o)",
    errno.EISDIR: "name a file, or choose another place (-o)",
    errno.ENOTDIR: "choose another place (-o)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "check this machine's disk",
    errno.EMFILE: "raise ulimit -n, or give fewer --jobs",
}


class Unreachable(XferError):
    """
    There was no connection to the depot at all, and no use in trying again at once.

    @ivar reason: what the system said.
    """

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


class HungUp(XferError):
    """What is there takes a connection, and closes it without a word."""


class LocalRefusal(XferError):
    """
    What this command does not do with a file.

    @ivar cause: why: a clause, safe to show.
    @ivar advice: what to do: a clause.
    """

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(f"{cause}; {advice}")
        self.cause = cause
        self.advice = advice


def explain(error: BaseException, server: str) -> Explanation:
    """
    What went wrong, and what to do.

    @param server: what to call the depot.
    """
    if isinstance(error, RequestError):
        return _refused(error)
    if isinstance(error, Unreachable):
        if isinstance(error.reason, ValueError):
            cause = f"can't reach {server}: that is no host name"
            return Explanation(None, cause, "check the host's name (--host, -s)")
        return explain(error.reason, server)
    if isinstance(error, LocalRefusal):
        return Explanation(None, error.cause, error.advice)
    if isinstance(error, XferError):
        return Explanation(None, *_told(error, server))
    return Explanation(None, *(_network(error, server) or _system(error)))


def _refused(error: RequestError) -> Explanation:
    known = REFUSALS.get(error.symbol)
    said = _clause(error.text)
    if known is None or isinstance(error, UnknownRequestError):
        return Explanation(
            escaped(error.symbol), said, "this xfer may be too old to know more; see its newest"
        )
    cause, advice = known
    # Of its own accord a server says more than the table's sentence only where it knows more.
    if error.text not in {kind.advice for kind in REQUEST_ERRORS.values()}:
        cause = said
    return Explanation(error.symbol, cause, advice)


def _clause(text: str) -> str:
    """A server's sentence up to what it advises, which is for people who type the protocol."""
    clause = text.partition("; ")[0].strip().removesuffix(".")
    return _lower(escaped(clause[:LONGEST]) or "it does not say why")


def _lower(text: str) -> str:
    """A sentence as a clause: it begins in lower case, unless with an abbreviation."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _told(error: XferError, server: str) -> tuple[str, str]:
    text = _clause(str(error)) if str(error) else type(error).__name__
    if isinstance(error, HashMismatch):
        return (
            f"the hashes differ: {error.ours} here, {escaped(error.theirs)} at the depot",
            "try again; if it stays so, one of the two machines has bad memory or a bad disk",
        )
    if isinstance(error, SourceChanged):
        return "the file changed while it was sent", "put it again when nobody writes to it"
    if isinstance(error, TargetIsNoFile):
        return (
            "what is there is no regular file, and is never replaced",
            "choose another place with -o; -o - writes into a pipe",
        )
    if isinstance(error, TargetExists):
        return "it is there already, and stays", "give --replace, or another place with -o"
    if isinstance(error, TLSFailed):  # most of them say what to do
        cause, _, advice = escaped(str(error)).removesuffix(".").partition("; ")
        usual = f"check that {server} is the right depot, and --tls, --ca, --fingerprint"
        return _lower(cause), advice or usual
    if isinstance(error, CertificateError):
        return _lower(escaped(str(error)).removesuffix(".")), "check --ca, --cert and --key"
    if isinstance(error, HungUp):
        return (
            f"what is at {server} hangs up without a word",
            "if it speaks TLS, give --tls; else check host and port",
        )
    if isinstance(error, AnswerTooLong):
        return (
            f"the answer of {server} is too long to be kept in memory",
            "ask for fewer names at a time, as in a directory or with a longer beginning",
        )
    if isinstance(error, UnexpectedReply):
        return (
            f"what answers at {server} does not speak xfer's protocol ({text})",
            "check host and port, and whether it takes --tls",
        )
    if isinstance(error, ConnectionCut):
        return (
            text,
            "start it again: it goes on where it was; if it was cut at once, check port and --tls",
        )
    return text, "see xfer -h"


def _network(error: BaseException, server: str) -> tuple[str, str] | None:
    """What to say of an error of the network, or None where it is of something else."""
    from twisted.internet.defer import CancelledError
    from twisted.internet.error import (
        ConnectError,
        ConnectionClosed,
        ConnectionRefusedError,
        DNSLookupError,
        NoRouteError,
        TCPTimedOutError,
        TimeoutError,
    )

    reach = f"can't reach {server}: "
    if isinstance(error, CancelledError):
        return "it was stopped", "start it again: it goes on where it was"
    if isinstance(error, DNSLookupError):
        return f"{reach}nobody knows this host", "check the host's name (--host, -s)"
    if isinstance(error, TimeoutError | TCPTimedOutError):
        return f"{reach}no answer", "check the address and the network, or try again later"
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{reach}connection refused",
            "check host and port (-s, --host, -p), and whether the depot runs",
        )
    if isinstance(error, NoRouteError):
        return f"{reach}no way leads there", "check the address and the network"
    if isinstance(error, ConnectError):
        number = error.osError
        reason = os.strerror(number) if isinstance(number, int) else escaped(str(error))
        return f"{reach}{_clause(reason)}", "check host and port (-s, --host, -p), or try again"
    if isinstance(error, ConnectionClosed):
        return _clause(str(error)), "start it again: it goes on where it was"
    return None


def _system(error: BaseException) -> tuple[str, str]:
    """What to say of an error of this machine."""
    if isinstance(error, OSError) and error.errno is not None:
        reason = _clause(error.strerror or os.strerror(error.errno))
        name = error.filename
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        where = f" ({escaped(str(name))})" if isinstance(name, str | os.PathLike) else ""
        return reason + where, _ERRNO.get(error.errno, "mend that, and start it again")
    if isinstance(error, OSError) and error.strerror:  # of our own, with what to do
        cause, _, advice = escaped(error.strerror).partition("; ")
        return _lower(cause), advice or "check what was given; xfer COMMAND -h says more"
    if isinstance(error, ValueError | OSError) and str(error):
        return _clause(str(error)), "check what was given; xfer COMMAND -h says more"
    text = escaped(str(error))[:LONGEST]
    return (
        f"this should not have happened ({type(error).__name__}{': ' + text if text else ''})",
        "report it, with what is told when XFER_DEBUG=1 is set",
    )
