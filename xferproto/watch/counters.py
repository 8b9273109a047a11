"""What the unattended client has done since it was started, and what troubles it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger

log = Logger()


@dataclass(frozen=True)
class Last:
    """
    The last file that was sent, or has failed.

    @ivar path: relative to the directory.
    @ivar text: its id, or why it has failed.
    @ivar size: in bytes.
    @ivar time: seconds since the epoch.
    """

    path: str
    text: str
    size: int
    time: float


class Counters:
    """
    @param now: seconds since the epoch.
    @ivar started: when it was started.
    @ivar sent_files: how many files the depot has been sent, and has verified.
    @ivar sent_bytes: how many bytes they have.
    @ivar failed_files: how many could not be stored.
    @ivar troubled: what keeps it from its work on this machine.
    @ivar watcher: called when any of it has changed, or something else that the status tells.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.started = now()
        self.sent_files = 0
        self.sent_bytes = 0
        self.failed_files = 0
        self.last_sent: Last | None = None
        self.last_failed: Last | None = None
        self.troubled: str | None = None
        self.watcher: Callable[[], object] = lambda: None
        self._now = now

    def changed(self) -> None:
        """Something that the status tells has changed."""
        self.watcher()

    def sent(self, path: str, id: str, size: int) -> None:
        """The depot has a file."""
        self.sent_files += 1
        self.sent_bytes += size
        self.last_sent = Last(path, id, size, self._now())
        self.changed()

    def failed(self, path: str, cause: str) -> None:
        """A file can't be stored."""
        self.failed_files += 1
        self.last_failed = Last(path, cause, 0, self._now())
        self.changed()

    def trouble(self, what: str) -> None:
        """Something is wrong on this machine; told once."""
        if self.troubled is None:
            log.critical("{what}", what=what)
            self.troubled = what
            self.changed()

    def no_trouble(self) -> None:
        """It is well again."""
        if self.troubled is not None:
            log.info("no longer: {what}", what=self.troubled)
            self.troubled = None
            self.changed()
