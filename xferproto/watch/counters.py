"""Count what the unattended client has done since its start, and note its troubles."""

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
    @ivar text: its id, or why it failed.
    @ivar size: in bytes.
    @ivar time: seconds since the epoch.
    """

    path: str
    text: str
    size: int
    time: float


class Counters:
    """
    Count the files that were sent or have failed.

    @param now: returns seconds since the epoch.
    @ivar started: when the client was started.
    @ivar sent_files: how many files were sent and verified.
    @ivar sent_bytes: how many bytes they have.
    @ivar failed_files: how many could not be stored.
    @ivar troubled: what keeps the client from working on this machine; None if nothing does.
    @ivar watcher: called when anything has changed that the status shows.
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
        """Note that something has changed that the status shows."""
        self.watcher()

    def sent(self, path: str, id: str, size: int) -> None:
        """Count a file that was sent."""
        self.sent_files += 1
        self.sent_bytes += size
        self.last_sent = Last(path, id, size, self._now())
        self.changed()

    def failed(self, path: str, cause: str, size: int) -> None:
        """Count a file that can't be stored."""
        self.failed_files += 1
        self.last_failed = Last(path, cause, size, self._now())
        self.changed()

    def trouble(self, what: str) -> None:
        """Note and log a trouble of this machine, once."""
        if self.troubled is None:
            log.critical("{what}", what=what)
            self.troubled = what
            self.changed()

    def no_trouble(self) -> None:
        """Note that the trouble is over."""
        if self.troubled is not None:
            log.info("no longer: {what}", what=self.troubled)
            self.troubled = None
            self.changed()
