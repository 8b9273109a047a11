"""Fit a service into twistd: one-line errors for options and failed starts, and an exit status."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python import usage

from xferproto.model.errors import XferError

log = Logger("xfer")


class Options(usage.Options):
    """
    Parse options, and report an error as one line on standard error, without the whole help.

    An empty value, such as that of an unset variable, is an error.
    """

    command: str

    def postOptions(self) -> None:
        for name, value in self.items():
            if value == "":
                raise usage.UsageError(f"--{name} is empty")
            if isinstance(value, list) and "" in value:  # an option that can be repeated
                raise usage.UsageError(f"--{name.removesuffix('s')} is empty")
        super().postOptions()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            text = str(error).removeprefix("Parameter type enforcement failed: ")
            hint = f"see twistd {self.command} --help"
            raise SystemExit(f"{self.command}: {text} ({hint})") from None


def port(value: str) -> int:
    """
    Parse a TCP port.

    @raise ValueError: the text is not a number from 0 to 65535.
    """
    if not re.fullmatch("[0-9]{1,5}", value) or int(value) > 65535:
        raise ValueError(f"{value} is not a port; ports are 0 to 65535")
    return int(value)


port.coerceDoc = "Must be 0 to 65535."  # type: ignore[attr-defined]  # shown by usage.Options


class StartReport:
    """
    Print an error that ends the start as one line, without a traceback: an L{XferError}, or a
    numeric C{--uid} without a user.

    twistd lets what a service's start raises end the process, after it has removed its pid file and
    notified the waiting parent of a daemon. That parent prints at most 100 bytes of the error, so a
    daemon keeps the standard error of its starter until it has started, and prints the line there.

    @param command: the name that the line begins with.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._starter = _duplicate(sys.__stderr__)
        self._reported: BaseException | None = None
        self._usual = sys.excepthook
        sys.excepthook = self._uncaught

    def of(self, service: Service) -> Service:
        """Return a service that starts and stops another one, and reports why it can't start."""
        return _ReportedService(service, self)

    def failed(self, error: BaseException) -> bool:
        """Print the line of an error, once; return whether it is one of those that have one."""
        text = _start_error(error)
        if text is None:
            return False
        if error is not self._reported:
            self._reported = error
            self._print(text)
        return True

    def started(self) -> None:
        """Let go of the starter's standard error: whoever reads it waits for its end."""
        if self._starter is not None:
            os.close(self._starter)
            self._starter = None

    def _print(self, text: str) -> None:
        line = f"{self._command}: {text}"
        if not is_nowhere(sys.__stderr__):
            print(line, file=sys.__stderr__)
            return
        log.critical("{error}", error=text)  # a daemon: its parent says to look at the log
        if self._starter is not None:
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(self._starter, f"{line}\n".encode(errors="backslashreplace"))

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not self.failed(error):
            self._usual(kind, error, traceback)


class _ReportedService(Service):
    """Start and stop a service, and report why it can't start before twistd's parent does."""

    def __init__(self, service: Service, report: StartReport) -> None:
        self._service = service
        self._report = report

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        with self._failure_reported():
            self._service.privilegedStartService()

    def startService(self) -> None:
        super().startService()
        with self._failure_reported():
            self._service.startService()
        self._report.started()

    def stopService(self) -> object:
        super().stopService()
        return self._service.stopService()

    @contextlib.contextmanager
    def _failure_reported(self) -> Iterator[None]:
        try:
            yield
        except XferError as error:
            self._report.failed(error)
            raise


def _duplicate(stream: TextIO | None) -> int | None:
    """Duplicate the descriptor of a stream, or return None if it has none."""
    try:
        return None if stream is None else os.dup(stream.fileno())
    except (OSError, ValueError):
        return None


def _start_error(error: BaseException) -> str | None:
    """Return the text of an error that needs no traceback, or None for any other."""
    if isinstance(error, XferError):
        return str(error)
    if isinstance(error, KeyError) and "getpwuid()" in str(error):  # twistd asks with --uid
        return f"there is no user for --uid ({error.args[0]})"
    return None


def is_nowhere(stream: TextIO | None) -> bool:
    """Return whether a stream is missing, or goes to the null device."""
    try:
        return stream is None or os.path.samestat(
            os.fstat(stream.fileno()), Path(os.devnull).stat()
        )
    except (OSError, ValueError):
        return False


class ExitStatus:
    """
    Set the exit status of the process.

    twistd exits with 0 whenever the reactor was stopped. After its own clean-up, the functions
    registered with atexit run, the one registered first as the last: make one of these early.

    @ivar code: the status, 0 unless it is set.
    """

    def __init__(self) -> None:
        self.code = 0
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code:
            for stream in (sys.__stdout__, sys.__stderr__):
                if stream is not None:
                    stream.flush()
            os._exit(self.code)
