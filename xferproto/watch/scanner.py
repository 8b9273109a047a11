"""Scans of the watched directory: as a whole from time to time, and what has changed."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from xferproto.model.escape import printable, quoted
from xferproto.watch.context import WatchContext
from xferproto.watch.directory import FAILED, SENT, DirectoryGone
from xferproto.watch.inotify import Changes, Inotify, Sign
from xferproto.watch.journal import Row
from xferproto.watch.queue import HELD, NotHeld
from xferproto.watch.stability import StabilityTracker
from xferproto.watch.walk import SLICE, Found, Ignored, Walk

REST = 10
"""A scan of the whole directory may take one part in so many of the time."""

DAY = 86400.0
"""Seconds after which rows of files that are gone are removed from the journal."""

SHORTLY = 1.0
"""Seconds between two scans that were asked for."""

PATIENCE = 5.0
"""Seconds without a finished file after which a scan stops waiting for room, and only counts."""

log = Logger()


class Scanner:
    """
    Find files, and pass them to the stability tracker.

    @param poll: seconds between two scans of the whole directory.
    @ivar others: how many links and special files the last scan has passed over.
    @ivar closed: the directories that it could not enter, and why.
    """

    def __init__(self, context: WatchContext, stability: StabilityTracker, poll: float) -> None:
        self.others = 0
        self.closed: dict[str, str] = {}
        self._clock = context.clock
        self._now = context.now
        self._disk = context.disk
        self._directory = context.directory
        self._journal = context.journal
        self._queue = context.queue
        self._breaker = context.breaker
        self._counters = context.counters
        self._failed = context.failed
        self._ignored = Ignored(context.settings.ignored)
        self._stability = stability
        self._poll = poll
        self._inotify: Inotify | None = None
        self._refused = False
        self._found = 0
        self._pruned: float | None = None
        self._tasks: list[Deferred[None]] = []
        self._everything = False
        self._pause: Deferred[None] | None = None
        self._changed: dict[str, Sign] = {}
        self._entered: dict[str, None] = {}
        self._more: Deferred[None] | None = None

    def start(self, inotify: Inotify | None) -> None:
        """
        Scan now and from time to time, and follow changes.

        @param inotify: reports to L{changed}; None if the system reports no changes.
        """
        self._inotify = inotify
        for task in (self._walk_often(), self._follow_changes()):
            self._tasks.append(Deferred.fromCoroutine(self._guarded(task)))

    def stop(self) -> None:
        """Stop scanning."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()

    async def _guarded(self, task: Coroutine[Deferred[Any], Any, None]) -> None:
        try:
            await task
        except CancelledError:
            pass
        except Exception as error:
            self._failed(error)

    # Scans of the whole directory

    async def _walk_often(self) -> None:
        while True:
            began = self._now()
            self._everything = False
            not_held = await self._walk("")
            due = self._pruned is None or self._now() - self._pruned >= DAY
            # Where it has no lock file, an empty directory may be one that is not mounted.
            if due and (self._found or self._directory.has_file):
                self._pruned = self._now()
                await self._prune()
            if self._everything:  # another scan was asked for meanwhile
                await deferLater(self._clock, SHORTLY)
                continue
            pause = max(self._poll, REST * (self._now() - began))
            asked: Deferred[None] = Deferred()
            self._pause = asked
            if not_held.left_out:
                self._queue.room().addCallback(lambda _: self.look_everywhere())
            await self._until(asked, pause)

    def look_everywhere(self) -> None:
        """Scan the whole directory soon."""
        self._everything = True
        pause, self._pause = self._pause, None
        if pause is not None and not pause.called:
            pause.callback(None)

    async def _until(self, event: Deferred[None], seconds: float) -> None:
        """Wait for an event, at most this long."""

        def end() -> None:
            if not event.called:
                event.callback(None)

        call = self._clock.callLater(seconds, end)
        try:
            await event
        finally:
            if call.active():
                call.cancel()

    async def _walk(self, start: str) -> NotHeld:
        inotify = self._inotify
        enter = inotify.enter if inotify is not None else lambda path: None
        if inotify is not None and not start:
            inotify.begin_round()
        walk = Walk(self._directory.path, self._directory.device, self._ignored, enter, start)
        not_held, patient = NotHeld(), True
        try:
            while (seen := await self._disk.run(self._next, walk)) is not None:
                for file, row in seen:
                    self._stability.take(file, row, not_held)
                if not start and not_held.files > self._queue.not_held.files:
                    self._queue.not_held = replace(not_held)
                patient = patient and await self._room_was_made()
        finally:
            self._disk.run(walk.close)
        if not start:
            await self._disk.run(self._directory.check)
            self._walked(walk, not_held)
        return not_held

    def _next(self, walk: Walk) -> list[tuple[Found, Row | None]] | None:
        """Return the next files, each with its row of the journal. Called on a thread."""
        self._directory.check()
        try:
            found = walk.more()
        except OSError as error:
            self._directory.check()
            raise DirectoryGone(
                f"{self._directory.path} can't be read: {error.strerror}."
            ) from None
        if found is None:
            return None
        rows = self._journal.rows([file.path for file in found])
        return [(file, rows.get(file.path)) for file in found]

    async def _room_was_made(self) -> bool:
        """Wait for room while files are finished, and return whether there is room."""
        while self._queue.full and self._queue.ready and self._breaker.up is not False:
            before = self._counters.sent_files + self._counters.failed_files
            await self._until(self._queue.room(), PATIENCE)
            if before == self._counters.sent_files + self._counters.failed_files:
                return False
        return True

    def _walked(self, walk: Walk, not_held: NotHeld) -> None:
        self._queue.not_held = not_held
        self._found = walk.files
        if walk.others > self.others:
            log.warn(
                "passed over: {count} symbolic links or special files, {first} the first",
                count=walk.others,
                first=quoted(walk.first_other or ""),
            )
        self.others = walk.others
        for path, reason in walk.closed.items():
            if self.closed.get(path) != reason:
                log.error("can't enter {path}: {reason}", path=quoted(path), reason=reason)
        self.closed = walk.closed
        self._counters.changed()
        if self._inotify is not None:
            self._inotify.end_round()
            if self._inotify.refused is not None and not self._refused:
                self._refused = True
                log.warn(
                    "not all directories can be watched ({reason}; the limit is in "
                    "/proc/sys/fs/inotify/max_user_watches): the others are scanned every "
                    "{seconds:.0f} s",
                    reason=printable(str(self._inotify.refused.strerror)),
                    seconds=self._poll,
                )

    async def _prune(self) -> None:
        """Remove the rows of files that are gone from the journal."""
        number = 0
        while (last := await self._disk.run(self._prune_some, number)) is not None:
            number = last

    def _prune_some(self, number: int) -> int | None:
        """Check some rows; return the last one's number, None at the end. Called on a thread."""
        rows = self._journal.after(number, SLICE)
        if not rows:
            return None
        missing = []
        for _, path in rows:
            try:
                (self._directory.path / path).lstat()
            except (FileNotFoundError, NotADirectoryError):
                missing.append(path)
            except OSError:
                pass
        self._directory.check()
        if missing:
            self._journal.forget(missing)
        return rows[-1][0]

    # Changes

    def changed(self, changes: Changes) -> None:
        """Note what may have changed."""
        if len(self._changed) > HELD:
            changes.everything = True
        else:
            for path, sign in changes.files.items():
                if not self._ignored(path):
                    self._changed[path] = sign
            for path in changes.directories:
                if path not in (SENT, FAILED) and not self._ignored(path):
                    self._entered[path] = None
        if changes.everything:
            self.look_everywhere()
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)

    def look_at(self, path: str) -> None:
        """Note that one file may have changed."""
        self.changed(Changes(files={path: self._changed.get(path, Sign.SEEN)}))

    async def _follow_changes(self) -> None:
        while True:
            while self._changed:
                paths = list(self._changed)[:SLICE]
                await self._stability.look({path: self._changed.pop(path) for path in paths})
            while self._entered:
                path = next(iter(self._entered))
                del self._entered[path]
                await self._walk(path)
            if not self._changed:
                self._more = Deferred()
                await self._more
