"""Explanations of failures: what went wrong, and what the user can do."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from xferproto.model.errors import (
    REQUEST_ERRORS,
    AnswerTooLong,
    CertificateError,
    ConnectionCut,
    Denied,
    HashMismatch,
    LoginFailed,
    LoginRequired,
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
from xferproto.model.units import readable_size

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
        "it may be older than this xfer; ask its administrator",
    ),
    "bad-details": (
        "the depot does not accept these details",
        "its version may differ from this xfer's; ask its administrator",
    ),
    "bad-name": (
        "a depot can't store this name",
        "rename the file, or give another name (put: --name)",
    ),
    "bad-id": (
        "this is not an id: an id has 32 hexadecimal digits",
        "xfer ls -l shows the ids",
    ),
    "bad-range": (
        "the unfinished file here is not the beginning of the stored file",
        "remove the hidden .part file, and start over",
    ),
    "bad-token": (
        "the depot does not accept this resume token",
        "its version may differ from this xfer's; ask its administrator",
    ),
    "line-too-long": (
        "the request is longer than the depot accepts",
        "choose a shorter name",
    ),
    "no-such-file": (
        "the depot has no such file",
        "xfer ls lists the files that you may see",
    ),
    "too-large": (
        "the file is larger than the depot accepts",
        "send it in parts (split), or ask the depot's administrator for a larger limit",
    ),
    "no-space": (
        "the depot has no space for the file",
        "remove files there, or start the command again when its administrator has made space: it "
        "resumes",
    ),
    "collision": (
        "different content with the same MD5 is stored, and stays",
        "pack the file with gzip or tar, so that it has another MD5",
    ),
    "corrupt": (
        "the stored bytes are damaged",
        "put the file again to heal it, or remove it (xfer rm); and tell the depot's administrator",
    ),
    "busy": (
        "the depot is busy, or another connection is sending this file",
        "try again in a minute; if it stays busy, use fewer --jobs",
    ),
    "login-required": (
        "you may not do this without a login",
        "log in: give --user NAME, or put user into config.toml",
    ),
    "denied": (
        "you do not have the right to do this",
        "ask the depot's administrator for the right, or log in as another user (xfer login)",
    ),
    "insecure": (
        "others could read the password on its way",
        "connect with --tls",
    ),
    "quota-exceeded": (
        "the file would exceed your quota",
        "remove files there (xfer rm), or ask the depot's administrator for a larger quota",
    ),
    "timeout": (
        "the depot received nothing for too long",
        "start the command again: it resumes",
    ),
    "internal": (
        "the depot failed; its log says why",
        "try again later, or tell its administrator",
    ),
}
"""For every symbol: the cause, and what to do."""

NEEDED_RIGHTS = {
    "put": "write (with --replace: list and delete too)",
    "get": "list and read",
    "ls": "list",
    "stat": "list",
    "verify": "list and read",
    "rm": "list and delete",
    "sums": "list",
}
"""The rights that a subcommand needs, as C{xfer-depot users} calls them."""

LOGIN_ADVICE = "check --user and the password (xfer login); a depot without users accepts no login"

_ERRNO: dict[int, str] = {
    errno.ENOENT: "check the spelling",
    errno.EACCES: "ask its owner for access, or choose another place",
    errno.EPERM: "ask its owner for access, or choose another place",
    errno.ENOSPC: "free space on this disk, and start the command again",
    errno.EDQUOT: "free space within your quota on this disk, and start the command again",
    errno.EROFS: "choose another place (-o)",
    errno.EISDIR: "name a file, or choose another place (-o)",
    errno.ENOTDIR: "choose another place (-o)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "check this machine's disk",
    errno.EMFILE: "raise ulimit -n, or give fewer --jobs",
}


class Unreachable(XferError):
    """
    The depot can't be reached, and there is no use in trying again at once.

    @ivar reason: the system's error.
    """

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


class HungUp(XferError):
    """The server accepts a connection, and closes it without sending anything."""


class LocalRefusal(XferError):
    """
    A command refuses something, without asking the depot.

    @ivar cause: why: a clause, safe to show.
    @ivar advice: what to do: a clause.
    """

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(f"{cause}; {advice}")
        self.cause = cause
        self.advice = advice


def explain(error: BaseException, server: str, command: str | None = None) -> Explanation:
    """
    Explain a failure.

    @param server: what to call the depot.
    @param command: the subcommand that failed, if known.
    """
    if isinstance(error, RequestError):
        return _refused(error, command)
    if isinstance(error, Unreachable):
        if isinstance(error.reason, ValueError):
            cause = f"can't reach {server}: this is not a host name"
            return Explanation(None, cause, "check the host name (--host, -s)")
        return explain(error.reason, server, command)
    if isinstance(error, LocalRefusal):
        return Explanation(None, error.cause, error.advice)
    if isinstance(error, XferError):
        return Explanation(None, *_own(error, server))
    return Explanation(None, *(_network(error, server) or _system(error)))


def _refused(error: RequestError, command: str | None) -> Explanation:
    known = REFUSALS.get(error.symbol)
    said = _clause(error.text)
    if known is None or isinstance(error, UnknownRequestError):
        return Explanation(
            escaped(error.symbol), said, "this xfer may be older than the depot; update it"
        )
    cause, advice = known
    if isinstance(error, LoginFailed):
        return Explanation(error.symbol, said, LOGIN_ADVICE)
    if isinstance(error, Denied | LoginRequired) and command in NEEDED_RIGHTS:
        cause = f"{cause}: xfer {command} needs the right to {NEEDED_RIGHTS[command]}"
    # A server's text differs from the table's only if it knows more.
    if error.text not in {kind.advice for kind in REQUEST_ERRORS.values()}:
        cause = said
    return Explanation(error.symbol, cause, advice)


def _clause(text: str) -> str:
    """Return a server's sentence without its advice, which is for people who type the protocol."""
    clause = text.partition("; ")[0].strip().removesuffix(".")
    return _lower(escaped(clause[:LONGEST]) or "no reason given")


def _lower(text: str) -> str:
    """Return a sentence as a clause: in lower case, unless it begins with an abbreviation."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _own(error: XferError, server: str) -> tuple[str, str]:
    text = _clause(str(error)) if str(error) else type(error).__name__
    if isinstance(error, HashMismatch):
        return (
            f"the hashes differ: {error.ours} here, {escaped(error.theirs)} at the depot",
            "try again; if it happens again, one of the two machines has bad memory or a bad disk",
        )
    if isinstance(error, SourceChanged):
        return "the file changed while it was sent", "put it again when no program writes to it"
    if isinstance(error, TargetIsNoFile):
        return (
            "the target is not a regular file, and is never replaced",
            "choose another place with -o; -o - writes into a pipe",
        )
    if isinstance(error, TargetExists):
        return "the target exists, and was not replaced", "give --replace, or another place with -o"
    if isinstance(error, TLSFailed):  # most of them say what to do
        cause, _, advice = escaped(str(error)).removesuffix(".").partition("; ")
        usual = f"check that {server} is the right depot, and --tls, --ca, --fingerprint"
        return _lower(cause), advice or usual
    if isinstance(error, CertificateError):
        return _lower(escaped(str(error)).removesuffix(".")), "check --ca, --cert and --key"
    if isinstance(error, HungUp):
        return (
            f"the server at {server} closes the connection without an answer",
            "if it speaks TLS, give --tls; else check host and port",
        )
    if isinstance(error, AnswerTooLong):
        return (
            f"the answer of {server} is too long to be kept in memory",
            "ask for fewer names at a time: a directory, or a longer prefix",
        )
    if isinstance(error, UnexpectedReply):
        return (
            f"the server at {server} does not speak xfer's protocol ({text})",
            "check host and port, and whether it needs --tls",
        )
    if isinstance(error, ConnectionCut):
        return (
            text,
            "start the command again: it resumes; if this happens at once, check port and --tls",
        )
    return text, "see xfer -h"


def _network(error: BaseException, server: str) -> tuple[str, str] | None:
    """Explain an error of the network; None if the error is another one."""
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
        return "it was stopped", "start the command again: it resumes"
    if isinstance(error, DNSLookupError):
        return f"{reach}unknown host", "check the host name (--host, -s)"
    if isinstance(error, TimeoutError | TCPTimedOutError):
        return f"{reach}no answer", "check the address and the network, or try again later"
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{reach}connection refused",
            "check host and port (-s, --host, -p), and whether the depot runs",
        )
    if isinstance(error, NoRouteError):
        return f"{reach}no route to it", "check the address and the network"
    if isinstance(error, ConnectError):
        number = error.osError
        reason = os.strerror(number) if isinstance(number, int) else escaped(str(error))
        return f"{reach}{_clause(reason)}", "check host and port (-s, --host, -p), or try again"
    if isinstance(error, ConnectionClosed):
        return _clause(str(error)), "start the command again: it resumes"
    return None


def _system(error: BaseException) -> tuple[str, str]:
    """Explain an error of this machine."""
    if isinstance(error, OSError) and error.errno is not None:
        reason = _clause(error.strerror or os.strerror(error.errno))
        name = error.filename
        if isinstance(name, bytes):
            name = os.fsdecode(name)
        where = f" ({escaped(str(name))})" if isinstance(name, str | os.PathLike) else ""
        advice = _ERRNO.get(error.errno, "fix that, and start the command again")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice += _kept_part(error.filename2)
        return reason + where, advice
    if isinstance(error, OSError) and error.strerror:  # of our own, with what to do
        cause, _, advice = escaped(error.strerror).partition("; ")
        return _lower(cause), advice or "check the arguments; see xfer COMMAND -h"
    if isinstance(error, ValueError | OSError) and str(error):
        return _clause(str(error)), "check the arguments; see xfer COMMAND -h"
    text = escaped(str(error))[:LONGEST]
    return (
        f"this should not have happened ({type(error).__name__}{': ' + text if text else ''})",
        "report it, with the traceback that XFER_DEBUG=1 prints",
    )


def _kept_part(path: object) -> str:
    """Name the file that keeps the part of a download, for a disk that is full."""
    if not isinstance(path, str):
        return ""
    try:
        size = Path(path).stat().st_size
    except OSError:
        return ""
    return f", or remove {escaped(path)} ({readable_size(size)}), which keeps the received part"
