"""The parts that work on a watched directory while it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from xferproto.client.retry import RetryingClient
from xferproto.model.escape import printable, quoted
from xferproto.threads.executor import Executor
from xferproto.watch.circuit_breaker import CircuitBreaker
from xferproto.watch.context import WatchContext
from xferproto.watch.counters import Counters
from xferproto.watch.directory import (
    FAILED,
    SENT,
    DirectoryUnusable,
    WatchedDirectory,
)
from xferproto.watch.disposition import Disposition
from xferproto.watch.inotify import Changes, Inotify
from xferproto.watch.journal import Journal
from xferproto.watch.moves import Mover
from xferproto.watch.open_writers import OpenWriters
from xferproto.watch.options import POLL, POLL_ALONE, Done, WatchSettings
from xferproto.watch.queue import Queue
from xferproto.watch.recheck import Recheck
from xferproto.watch.scanner import Scanner
from xferproto.watch.sender import FileSender
from xferproto.watch.stability import StabilityTracker

_MADE = {Done.MOVE: (SENT, FAILED), Done.DELETE: (FAILED,), Done.LEAVE: ()}
"""The directories that are made at the start."""

log = Logger()


def watched_directory(settings: WatchSettings) -> WatchedDirectory:
    """Make the directory of these settings, not yet open."""
    written = settings.done is not Done.LEAVE
    return WatchedDirectory(settings.directory, _MADE[settings.done], written)


class Session:
    """
    Send the files of a directory, from when it is open until it is gone or the service stops.

    Making one blocks.

    @param client: makes a client that tries each request once.
    @param directory: open.
    @ivar poll: seconds between two scans of the whole directory.
    @raise DirectoryUnusable: the journal can't be used, or is of another directory.
    """

    def __init__(
        self,
        clock: Any,
        now: Callable[[], float],
        client: Callable[[], RetryingClient],
        disk: Executor,
        settings: WatchSettings,
        directory: WatchedDirectory,
        breaker: CircuitBreaker,
        counters: Counters,
        failed: Callable[[Exception], object],
    ) -> None:
        journal = Journal(settings.state)
        self.context = context = WatchContext(
            clock,
            now,
            disk,
            settings,
            directory,
            journal,
            Queue(counters.changed),
            breaker,
            counters,
            failed,
        )
        try:
            _check_marker(settings, directory, journal)
            writers = OpenWriters(clock.seconds)
            mover = Mover(directory.path, settings.done, writers, context.returned)
            back = mover.recover(journal.was_sent)
            self.inotify = self._inotify() if settings.inotify else None
        except BaseException:
            journal.close()
            raise
        if back is not None:
            log.warn("put back {name}, which was never sent", name=quoted(back))
        self.poll = settings.poll or (POLL_ALONE if self.inotify is None else POLL)
        self._disposition = Disposition(context, mover, lambda path: self.scanner.look_at(path))
        self.stability = StabilityTracker(context, self._disposition)
        self.scanner = Scanner(context, self.stability, self.poll)
        self._recheck = Recheck(context, mover, self.scanner.look_at)
        self.sender = FileSender(context, client, self._disposition, self.scanner.look_at)

    def _inotify(self) -> Inotify | None:
        def changed(changes: Changes) -> None:
            self.scanner.changed(changes)

        try:
            return Inotify(self.context.directory.path, changed)
        except OSError as error:
            log.warn(
                "the system does not report changes ({reason}): the whole directory is scanned "
                "from time to time",
                reason=printable(str(error.strerror)),
            )
            return None

    def start(self) -> None:
        """Begin to work."""
        if self.inotify is not None:
            self.context.clock.addReader(self.inotify)
        self.scanner.start(self.inotify)
        self.sender.start()
        self._recheck.start()

    async def stop(self) -> None:
        """Stop; files that were acknowledged are still moved. The directory stays open."""
        self.scanner.stop()
        self.stability.stop()
        self._recheck.stop()
        self.sender.stop()
        self.context.breaker.stop()
        self._disposition.stop()
        await self._disposition.when_idle()
        if self.inotify is not None:
            self.context.clock.removeReader(self.inotify)
            self.inotify.close()
        await self.context.disk.run(self._close)

    def _close(self) -> None:
        with contextlib.suppress(Exception):  # its directory may be gone
            self.context.journal.close()


def _check_marker(settings: WatchSettings, directory: WatchedDirectory, journal: Journal) -> None:
    """
    Check that a journal, which may be elsewhere, belongs to this directory.

    @raise DirectoryUnusable: it does not: perhaps the directory is not mounted.
    """
    if (
        settings.done is Done.LEAVE
        and directory.marker != journal.marker
        and not journal.fresh
        and directory.has_file
        and journal.remembers_sent()
    ):
        raise DirectoryUnusable(
            f"The journal {settings.state} belongs to another directory than {settings.directory}: "
            "is that mounted? To send all files in it again, remove the journal."
        )
    directory.mark(journal.marker)
