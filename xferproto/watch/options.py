"""The options of C{--watch}, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from twisted.python import usage

from xferproto.model import units
from xferproto.model.errors import BadName
from xferproto.model.names import check_name
from xferproto.watch.directory import STATE, STATUS

POLL = 60.0
"""Seconds between two looks at the whole directory, where the system tells of changes."""

POLL_ALONE = 5.0
"""The same where it does not."""


class Done(Enum):
    """What becomes of a file that is stored."""

    MOVE = "move"
    DELETE = "delete"
    LEAVE = "leave"


@dataclass(frozen=True)
class WatchSettings:
    """
    How a directory is watched.

    @ivar directory: the absolute path.
    @ivar done: what becomes of a file that is stored.
    @ivar settle: seconds for which a file has to be unchanged before it is taken.
    @ivar settle_unclosed: the same for one of which it is not known whether its writer has closed
        it.
    @ivar poll: seconds between two looks at the whole directory; None for what is usual.
    @ivar inotify: whether the system is asked to tell of changes.
    @ivar prefix: goes before the names, as it is.
    @ivar ignored: further patterns of what is not carried.
    @ivar state: the journal's path.
    @ivar status: the status file's path.
    """

    directory: Path
    done: Done = Done.MOVE
    settle: float = 2.0
    settle_unclosed: float = 0.0
    poll: float | None = None
    inotify: bool = True
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    state: Path = Path()
    status: Path = Path()


def done(value: str) -> Done:
    """
    What becomes of a file that is stored.

    @raise ValueError: it is none of the three.
    """
    try:
        return Done(value)
    except ValueError:
        raise ValueError(f"{value} is none of move, delete and leave") from None


settle = units.seconds

SETTLE = 10.0
SETTLE_UNCLOSED = 30.0
"""Seconds that the command line takes where it is given none."""


def poll(value: str) -> float:
    """
    A time between two looks.

    @raise ValueError: it is none.
    """
    seconds = units.seconds(value)
    if not seconds:
        raise ValueError("--poll takes at least a second")
    return seconds


def prefix(value: str) -> str:
    """
    What goes before the names.

    @raise ValueError: no name begins so.
    """
    try:
        check_name(f"{value}name")
    except BadName as error:
        raise ValueError(f"a name can't begin with that prefix: {error.text}") from None
    return value


class WatchOptions(usage.Options):
    """What C{twistd xfer-client} takes for a directory that it watches."""

    optParameters: list[Any] = [
        ["watch", "w", None, "Carry what appears in this directory to the depot, for ever."],
        [
            "done",
            None,
            None,
            "What becomes of what is stored: move (to sent/), delete, leave.",
            done,
        ],
        ["settle", None, None, "How long a file must not change, to be taken [10s].", settle],
        [
            "settle-unclosed",
            None,
            None,
            "The same where nothing says that its writer has closed it [30s, or --settle].",
            settle,
        ],
        ["poll", None, None, "Time between looks at the whole directory [60s; 5s alone].", poll],
        [
            "prefix",
            None,
            None,
            "Goes before the names, as it is: end it with a /, or not.",
            prefix,
        ],
        ["state", None, None, f"Journal of what is under way and sent [DIR/{STATE}]."],
        ["status", None, None, f"File that tells what waits, in JSON [DIR/{STATUS}]."],
    ]

    optFlags = [["no-inotify", None, "Do not let the system tell of changes, only look (--poll)."]]

    def __init__(self) -> None:
        super().__init__()
        self["ignore"] = []

    def opt_ignore(self, pattern: str) -> None:
        """Do not carry files and directories of such names, as *.log; may be given many times."""
        self["ignore"].append(pattern)

    def postOptions(self) -> None:
        super().postOptions()
        if self["watch"] is None:
            for name in ("done", "settle", "settle-unclosed", "poll", "prefix", "state", "status"):
                if self[name] is not None:
                    raise usage.UsageError(f"--{name} goes with --watch")
            if self["ignore"]:
                raise usage.UsageError("--ignore goes with --watch")
            if self["no-inotify"]:
                raise usage.UsageError("--no-inotify goes with --watch")
        elif not self["watch"]:
            raise usage.UsageError("--watch takes a directory")

    def watch_settings(self) -> WatchSettings:
        """How the directory is to be watched."""
        directory = Path(self["watch"]).absolute()

        def given(name: str, otherwise: Any, convert: Callable[[Any], Any] = lambda _: _) -> Any:
            return otherwise if self[name] is None else convert(self[name])

        def path(value: str) -> Path:
            return Path(value).absolute()

        settle = given("settle", SETTLE)
        return WatchSettings(
            directory,
            given("done", Done.MOVE),
            settle,
            max(settle, given("settle-unclosed", SETTLE_UNCLOSED if settle else 0.0)),
            self["poll"],
            not self["no-inotify"],
            given("prefix", ""),
            tuple(self["ignore"]),
            given("state", directory / STATE, path),
            given("status", directory / STATUS, path),
        )
