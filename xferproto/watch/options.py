"""The options of C{--watch}."""

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
"""Seconds between two scans of the whole directory, if the system reports changes."""

POLL_ALONE = 5.0
"""The same if it does not."""


class Done(Enum):
    """What to do with a stored file."""

    MOVE = "move"
    DELETE = "delete"
    LEAVE = "leave"


@dataclass(frozen=True)
class WatchSettings:
    """
    The settings of a watched directory.

    @ivar directory: the absolute path.
    @ivar done: what to do with stored files.
    @ivar settle: seconds for which a file must not change before it is taken.
    @ivar settle_unclosed: the same for a file if it is not known that its writer has closed it.
    @ivar poll: seconds between two scans of the whole directory; None for the default.
    @ivar inotify: whether to use the system's reports of changes.
    @ivar prefix: goes in front of the names, as it is.
    @ivar ignored: further patterns of files that are not sent.
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
    Parse what to do with stored files.

    @raise ValueError: the text is none of the three.
    """
    try:
        return Done(value)
    except ValueError:
        raise ValueError(f"{value} is not move, delete or leave") from None


settle = units.seconds

SETTLE = 10.0
SETTLE_UNCLOSED = 30.0
"""Seconds that the command line takes by default."""


def poll(value: str) -> float:
    """
    Parse the time between two scans.

    @raise ValueError: the text is not a time, or is too short.
    """
    seconds = units.seconds(value)
    if not seconds:
        raise ValueError("--poll is at least a second")
    return seconds


def prefix(value: str) -> str:
    """
    Check a prefix of names.

    @raise ValueError: no name can begin with it.
    """
    try:
        check_name(f"{value}name")
    except BadName as error:
        raise ValueError(f"a name can't begin with that prefix: {error.text}") from None
    return value


class WatchOptions(usage.Options):
    """The options of C{twistd xfer-client} for a watched directory."""

    optParameters: list[Any] = [
        [
            "watch",
            "w",
            None,
            "Send the files that appear in this directory, until stopped.",
        ],
        [
            "done",
            None,
            None,
            "What to do with stored files: move (to sent/), delete, leave [move].",
            done,
        ],
        ["settle", None, None, "How long a file must not change before it is sent [10s].", settle],
        [
            "settle-unclosed",
            None,
            None,
            "The same if its writer may still have it open [30s, or --settle].",
            settle,
        ],
        [
            "poll",
            None,
            None,
            "Time between scans of the directory [60s; 5s without inotify].",
            poll,
        ],
        [
            "prefix",
            None,
            None,
            "Goes in front of the names as it is: end it with a /, or not.",
            prefix,
        ],
        ["state", None, None, f"Journal of files that are under way or sent [DIR/{STATE}]."],
        ["status", None, None, f"Status file, in JSON [DIR/{STATUS}]."],
    ]

    optFlags = [["no-inotify", None, "Only scan (--poll), do not use the system's reports."]]

    def __init__(self) -> None:
        super().__init__()
        self["ignore"] = []

    def opt_ignore(self, pattern: str) -> None:
        """Do not send files and directories that match, as *.log; may be given many times."""
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
            raise usage.UsageError("--watch needs a directory")

    def watch_settings(self) -> WatchSettings:
        """Return the settings of the watched directory."""
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
