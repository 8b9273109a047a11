"""Decide when a file that was seen is complete, so that it can be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.model.errors import BadName
from xferproto.model.escape import quoted
from xferproto.model.names import check_name
from xferproto.threads.batcher import Batcher
from xferproto.watch.context import WatchContext
from xferproto.watch.disposition import Disposition
from xferproto.watch.failure_policy import decide
from xferproto.watch.inotify import Sign
from xferproto.watch.journal import Row, State
from xferproto.watch.open_writers import OpenWriters, Writing
from xferproto.watch.options import Done
from xferproto.watch.queue import Item, NotHeld, Stage
from xferproto.watch.reason_file import is_reason
from xferproto.watch.settle_time import SettleTimer
from xferproto.watch.walk import SLICE, Found, Identity, look

log = Logger()


@dataclass(slots=True)
class _Check:
    """
    A file that has not changed for long enough; the rest is checked on the disk.

    @ivar patient: whether it has been stable for C{settle_unclosed}.
    @ivar reason: whether it is the reason file of another file; it was deleted then.
    @ivar writing: whether a process has it open for writing.
    """

    item: Item
    patient: bool = False
    reason: bool = False
    writing: Writing = Writing.UNKNOWN


class StabilityTracker:
    """
    Follow files from when they are seen until they are complete, and queue them then.

    @param disposition: gets the files that need not be sent.
    """

    def __init__(self, context: WatchContext, disposition: Disposition) -> None:
        self._clock = context.clock
        self._now = context.now
        self._disk = context.disk
        self._directory = context.directory
        self._journal = context.journal
        self._queue = context.queue
        self._failed = context.failed
        self._done = context.settings.done
        self._prefix = context.settings.prefix
        self._returned = context.returned
        settings = context.settings
        self._settling = SettleTimer(settings.settle)
        # Files that have settled, and whose writers are not known, for the rest of their time.
        self._unclosed = SettleTimer(max(0.0, settings.settle_unclosed - settings.settle))
        self._disposition = disposition
        self._writers = OpenWriters(context.clock.seconds)
        self._checks: Batcher[_Check] = Batcher(
            context.disk,
            self._check,
            self._checked,
            lambda failure, checks: self._fail(failure),
        )
        self._call: IDelayedCall | None = None
        self._looking = False
        self._look_ended: Deferred[None] | None = None

    @property
    def settling(self) -> int:
        """The number of files that are not stable yet."""
        return len(self._settling) + len(self._unclosed)

    def stop(self) -> None:
        """Stop following files."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        if self._look_ended is not None:
            self._look_ended.cancel()

    def take(self, file: Found, row: Row | None, not_held: NotHeld, sign: Sign = Sign.SEEN) -> None:
        """
        Note that a file was seen.

        @param row: the journal's row of its path.
        @param not_held: counts the file, if it waits and is not held.
        @param sign: the event by which it was seen.
        """
        item = self._queue.items.get(file.path)
        if item is not None and item.identity == file.identity and item.stage is Stage.READY:
            return
        if item is not None and item.stage in (Stage.SENDING, Stage.FINISHING):
            return  # the disposition finds out whether it has changed
        row = row if row is not None and row.is_about(file.identity) else None
        if item is None and row is not None and self._known(file, row, not_held):
            return
        if item is None or item.identity != file.identity:
            if item is None and self._queue.full:
                not_held.add(file)
                not_held.left_out = True
                return
            if item is None:
                self._queue.not_held.take(file)
            item = self._queue.hold(file, Stage.SETTLING, doubtful=row is not None)
            if row is not None and row.state is State.LATER:
                item.doubtful, item.tries = False, row.tries
        self._settle(item, sign)

    def _settle(self, item: Item, sign: Sign) -> None:
        file, now, wall = item.file, self._now(), self._clock.seconds()
        inode = (file.identity.device, file.identity.inode)
        if sign is Sign.RENAMED and inode in self._returned:
            sign = Sign.SEEN  # this process has moved it back, because it had changed
        if sign is not Sign.SEEN:
            item.closed = True
            self._unclosed.drop(file.path)
        if sign is Sign.RENAMED:
            self._settling.drop(file.path)
            self._check_soon(item)
        elif sign is Sign.CLOSED:  # some writers open and close a file for each row
            self._settling.begin(file, now)
            self._schedule()
        elif self._unclosed.holds(file):
            if self._unclosed.settled(file, now, wall):
                self._check_soon(item, patient=True)
        elif self._settling.settled(file, now, wall):
            self._check_soon(item)
        else:
            self._unclosed.drop(file.path)
            self._schedule()

    def _known(self, file: Found, row: Row, not_held: NotHeld) -> bool:
        """Whether the journal says that this file need not be sent now."""
        if row.state is State.LATER and row.due > self._clock.seconds():
            not_held.add_refused(file)
            return True
        # A file whose bytes were changed, and its time set back, has another ctime.
        if row.state not in (State.SENT, State.FAILED) or row.changed != file.identity.changed:
            return False
        if row.state is State.FAILED or self._done is not Done.LEAVE:
            if self._queue.full:
                not_held.left_out = True
            else:
                self._disposition.again(self._queue.hold(file, Stage.FINISHING), row)
        return True

    def _check_soon(self, item: Item, patient: bool = False) -> None:
        item.stage = Stage.READY
        self._checks.put(_Check(item, patient))

    def _check(self, checks: list[_Check]) -> None:
        """Check files on the disk. Called on a thread."""
        for check in checks:
            path = self._directory.path / check.item.path
            if is_reason(path):
                path.unlink(missing_ok=True)
                check.reason = True
            else:
                check.writing = self._writers.of(path, check.item.identity)

    def _fail(self, failure: Failure) -> None:
        error = failure.value
        self._failed(error if isinstance(error, Exception) else RuntimeError(error))

    def _checked(self, checks: list[_Check]) -> None:
        for check in checks:
            item = check.item
            if self._queue.items.get(item.path) is not item:
                continue  # it has changed meanwhile
            if check.reason:  # it was moved back together with its file
                self._queue.drop(item.path)
                log.info(
                    "deleted {name}, the reason file of an earlier failure", name=quoted(item.path)
                )
            elif check.writing is Writing.SOMEBODY:
                item.stage = Stage.SETTLING
                self._settling.begin(item.file, self._now())
                self._schedule()
            elif self._is_complete(check):
                self._returned.discard((item.identity.device, item.identity.inode))
                self._ready(item)
            else:
                item.stage = Stage.SETTLING
                self._schedule()

    def _is_complete(self, check: _Check) -> bool:
        """Whether a file that has settled is complete; if not, it has to settle for longer."""
        item = check.item
        if check.patient or item.closed or check.writing is Writing.NOBODY:
            return True
        return self._unclosed.settled(item.file, self._now(), self._clock.seconds())

    def _ready(self, item: Item) -> None:
        try:
            check_name(self._prefix + item.path)
        except BadName as error:
            self._disposition.failed(item, decide(error))
        else:
            self._queue.put(item)

    # Checking files again

    async def look(self, signs: Mapping[str, Sign]) -> None:
        """Look at files that these events were reported of."""
        for path, identity, row in await self._disk.run(self._look, list(signs)):
            if identity is not None:
                self.take(Found(path, identity), row, NotHeld(), signs[path])
                continue
            self._settling.drop(path)
            self._unclosed.drop(path)
            item = self._queue.items.get(path)
            if item is not None and item.stage is Stage.SETTLING:
                self._queue.drop(path)

    def _look(self, paths: list[str]) -> list[tuple[str, Identity | None, Row | None]]:
        self._directory.check()
        rows = self._journal.rows(paths)
        return [(path, look(self._directory.path, path), rows.get(path)) for path in paths]

    def _schedule(self) -> None:
        dues = [settling.next_due() for settling in (self._settling, self._unclosed)]
        due = min((due for due in dues if due is not None), default=None)
        if due is not None and self._call is None and not self._looking:
            self._call = self._clock.callLater(max(0.0, due - self._now()), self._look_again)

    def _look_again(self) -> None:
        self._call = None
        self._looking = True
        self._look_ended = Deferred.fromCoroutine(self._look_at_due())

    async def _look_at_due(self) -> None:
        try:
            await self._look_at_all_due()
        except CancelledError:
            return
        except Exception as error:
            self._failed(error)
            return
        self._looking = False
        self._schedule()

    async def _look_at_all_due(self) -> None:
        for settling in (self._settling, self._unclosed):
            while paths := settling.due(self._now(), SLICE):
                await self.look(dict.fromkeys(paths, Sign.SEEN))
