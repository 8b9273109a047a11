"""What both plugins need of twistd: options and failures told in one line, and an exit status."""

from __future__ import annotations

import atexit
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from twisted.logger import Logger
from twisted.python import usage

from xferproto.model.errors import XferError

log = Logger("xfer")


class Options(usage.Options):
    """
    Options whose errors are one line on standard error, not the whole help and a line below; none
    is empty, as a variable that is not set would have it.
    """

    command: str

    def postOptions(self) -> None:
        for name, value in self.items():
            if value == "":
                raise usage.UsageError(f"--{name} is empty")
            if isinstance(value, list) and "" in value:  # of one that may be repeated
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
    A TCP port.

    @raise ValueError: it is no number from 0 to 65535.
    """
    if not re.fullmatch("[0-9]{1,5}", value) or int(value) > 65535:
        raise ValueError(f"{value} is no port; ports are 0 to 65535")
    return int(value)


port.coerceDoc = "Must be 0 to 65535."  # type: ignore[attr-defined]  # shown by usage.Options


def tell_failed_start(command: str) -> None:
    """
    From now on, an L{XferError} that ends the process is told in one line, without a traceback.

    twistd lets what a service's start raises end the process, after it has removed its pid file and
    told the waiting parent of a daemon: only the printing has to change.
    """
    usual = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, XferError):
            print(f"{command}: {error}", file=sys.__stderr__)
            if is_nowhere(sys.__stderr__):  # that of a daemon; its parent says to look at the log
                log.critical("{error}", error=error)
        else:
            usual(kind, error, traceback)

    sys.excepthook = hook


def is_nowhere(stream: TextIO | None) -> bool:
    """Whether what is written to a stream goes to the null device, or there is none."""
    try:
        return stream is None or os.path.samestat(
            os.fstat(stream.fileno()), Path(os.devnull).stat()
        )
    except (OSError, ValueError):
        return False


class ExitStatus:
    """
    The status that the process ends with.

    twistd ends with 0 whenever the reactor was stopped. What runs last, after its own clean-up, are
    the functions registered with atexit, and the one registered first is the last of them: make one
    of these early.

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
