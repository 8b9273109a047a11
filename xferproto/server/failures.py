"""What a peer is told of a failure; the log has the rest."""

from __future__ import annotations

import errno

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.model.errors import Busy, Internal, NoSpace, RequestError
from xferproto.model.escape import quoted
from xferproto.server.traffic.connection_limit import ThrottledLog

log = Logger("xfer")

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class FailureReport:
    """
    Turn failures of requests into errors for their clients.

    @param clock: that of the log of what happens often.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._no_descriptor_log = ThrottledLog(clock, _log_no_descriptor)
        self._no_space_log = ThrottledLog(clock, _log_no_space)

    def error_of(self, failure: Failure, number: int) -> RequestError:
        """
        Return the error to answer with, and log what is not the client's doing.

        @param number: of the connection; the log's line begins with it.
        """
        if isinstance(failure.value, RequestError):
            return failure.value
        if isinstance(failure.value, OSError) and failure.value.errno in _NO_DESCRIPTOR:
            self._no_descriptor_log.happened()
            return Busy("The server has too many files open; try again later.")
        log.failure("#{number} failed", failure, number=number)
        return Internal()

    def refused(self, number: int, error: RequestError, request: str = "", user: str = "") -> None:
        """
        Log that a request is refused, and above the level of requests if the disk is full.

        @param number: of the connection; the log's line begins with it.
        @param request: what was asked for, with names quoted; empty if that is not known.
        @param user: the user; empty for a stranger.
        """
        what = f"{f' {request}' if request else ''}{f' of {quoted(user)}' if user else ''}"
        log.info(
            "#{number} refused{what}: {symbol} {text}",
            number=number,
            what=what,
            symbol=error.symbol,
            text=error.text,
        )
        if isinstance(error, NoSpace):
            self._no_space_log.happened()


def _log_no_descriptor(count: int) -> None:
    log.error(
        "too many files are open: {count} requests were refused; let the process have more",
        count=count,
    )


def _log_no_space(count: int) -> None:
    log.error(
        "no-space: {count} requests were refused; make room on the disk of the storage directory",
        count=count,
    )
