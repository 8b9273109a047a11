"""The log of Twisted while a subcommand runs: only unexpected errors are shown."""

from __future__ import annotations

import os
import sys

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogBeginner
from zope.interface import implementer


@implementer(ILogObserver)
class MistakeObserver:
    """Print unexpected errors: in one line, or in full if C{XFER_DEBUG} is set."""

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") is not LogLevel.critical:
            return
        text = eventAsText(event).strip()
        if not os.environ.get("XFER_DEBUG"):
            text = text.rpartition("\n")[2]
        print(f"xfer: this should not have happened: {text}", file=sys.stderr)


def begin_log() -> None:
    """Begin to show unexpected errors only."""
    globalLogBeginner.beginLoggingTo(
        [MistakeObserver()], discardBuffer=True, redirectStandardIO=False
    )
