"""Finish files, many at a time: note them in the journal, move or delete them, log them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from xferproto.model.escape import quoted
from xferproto.threads.batcher import Batcher
from xferproto.watch.context import WatchContext
from xferproto.watch.directory import DirectoryGone
from xferproto.watch.failure_policy import Decision, FailureKind
from xferproto.watch.journal import Row, State
from xferproto.watch.moves import End, Mover, Outcome
from xferproto.watch.queue import Item, Stage
from xferproto.watch.reason_file import reason_text
from xferproto.watch.walk import Found

AGAIN = 10.0
"""Seconds until the journal is written again, if the disk of this machine refuses it."""

log = Logger()


@dataclass(slots=True)
class FinishedFile:
    """
    A file that was sent, or has failed for good.

    @ivar id: the id that it was stored under, if it was.
    @ivar failure: why it was not stored, else None.
    @ivar sent: how many bytes were sent.
    @ivar seconds: how long that took.
    @ivar again: whether it was logged and counted before, and only could not be moved away.
    @ivar logged: the reason that was logged for that.
    @ivar outcome: whether it was moved, deleted or left.
    """

    item: Item
    id: str = ""
    failure: Decision | None = None
    sent: int = 0
    seconds: float = 0.0
    again: bool = False
    logged: str | None = None
    outcome: Outcome | None = None


class Disposition:
    """
    Finish files that were sent, or have failed for good.

    @param mover: moves the files.
    @param changed: called with the path of a file that has changed meanwhile.
    """

    def __init__(
        self, context: WatchContext, mover: Mover, changed: Callable[[str], object]
    ) -> None:
        self._clock = context.clock
        self._directory = context.directory
        self._journal = context.journal
        self._queue = context.queue
        self._counters = context.counters
        self._fail = context.failed
        self._mover = mover
        self._changed = changed
        self._stopped = False
        self._batcher: Batcher[FinishedFile] = Batcher(
            context.disk, self._work, self._worked, self._failed
        )

    def sent(self, item: Item, id: str, sent: int, seconds: float) -> None:
        """
        Finish a file that the depot has verified.

        @param sent: how many bytes were sent.
        @param seconds: how long it took.
        """
        self._put(FinishedFile(item, id, None, sent, seconds))

    def failed(self, item: Item, decision: Decision) -> None:
        """Finish a file that can't be stored."""
        self._put(FinishedFile(item, failure=decision))

    def again(self, item: Item, row: Row) -> None:
        """Finish a file that the journal knows as sent or failed, but that is still there."""
        if row.state is State.SENT:
            self._put(FinishedFile(item, row.id or "", again=True, logged=row.reason))
        else:
            cause, _, advice = (row.reason or "").partition("\n")
            failure = Decision(FailureKind.PERMANENT, cause, advice)
            self._put(FinishedFile(item, failure=failure, again=True))

    def _put(self, ended: FinishedFile) -> None:
        ended.item.stage = Stage.FINISHING
        self._batcher.put(ended)

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires when all files are finished, as far as the disk allows."""
        return self._batcher.when_idle()

    def stop(self) -> None:
        """Leave files that the journal does not take to the next start."""
        self._stopped = True

    # On a thread

    def _work(self, batch: list[FinishedFile]) -> None:
        self._directory.check()
        sent = [(ended.item.path, _sent(ended)) for ended in batch if ended.failure is None]
        if sent:
            self._journal.write(sent)
        for ended in batch:
            file = ended.item.file
            if ended.failure is None:
                ended.outcome = self._mover.sent(file, ended.id)
            else:
                ended.outcome = self._mover.failed(file, self._reason(file, ended.failure))
        if any(ended.outcome.end is End.VANISHED for ended in batch if ended.outcome):
            self._directory.check()  # with it, all would seem to have vanished
        self._mover.sync()
        stuck = [
            (ended.item.path, _stuck(ended, ended.outcome.reason))
            for ended in batch
            if ended.outcome and ended.outcome.end is End.STUCK
        ]
        doubtful = [
            (ended.outcome.where, self._moved(ended))
            for ended in batch
            if ended.outcome and ended.outcome.doubtful and ended.outcome.end is End.MOVED
        ]
        if stuck or doubtful:
            self._journal.write(stuck + doubtful)
        self._journal.forget(
            ended.item.path
            for ended in batch
            if ended.outcome and ended.outcome.end not in (End.LEFT, End.STUCK)
        )

    def _moved(self, ended: FinishedFile) -> Row:
        """Return the journal's row of a moved file that a process may still write to."""
        row = _sent(ended)
        return row._replace(due=self._clock.seconds(), reason=ended.item.path)

    def _reason(self, file: Found, failure: Decision) -> str:
        return reason_text(
            self._directory.path, file.path, failure.cause, failure.advice, self._clock.seconds()
        )

    # On the reactor's thread

    def _worked(self, batch: list[FinishedFile]) -> None:
        self._counters.no_trouble()
        for ended in batch:
            assert ended.outcome is not None
            self._queue.drop(ended.item.path)
            self._count(ended, ended.outcome)
            self._log(ended, ended.outcome)
            if ended.outcome.end is End.CHANGED:
                self._changed(ended.item.path)

    def _count(self, ended: FinishedFile, outcome: Outcome) -> None:
        if ended.again:
            return
        if ended.failure is None:
            self._counters.sent(ended.item.path, ended.id, ended.item.size)
        elif outcome.end in (End.MOVED, End.STUCK):
            self._counters.failed(ended.item.path, ended.failure.cause, ended.item.size)

    def _log(self, ended: FinishedFile, outcome: Outcome) -> None:
        name = quoted(ended.item.path)
        stuck = outcome.end is End.STUCK
        if stuck and ended.again and (ended.failure is not None or outcome.reason == ended.logged):
            return
        then = {
            End.MOVED: f"moved to {quoted(outcome.where)}",
            End.DELETED: "deleted here",
            End.LEFT: "left here",
            End.CHANGED: "it has changed since, and is sent again",
            End.VANISHED: "it is gone",
            End.STUCK: f"but it can't be moved away: {outcome.reason}",
        }[outcome.end]
        level = LogLevel.warn if stuck or ended.failure is not None else LogLevel.info
        if ended.failure is not None:
            cause = ended.failure.cause.rstrip(".")
            log.emit(level, "failed {name}: {cause}; {then}", name=name, cause=cause, then=then)
        elif ended.again:
            log.emit(level, "sent {name} before; {then}", name=name, then=then)
        else:
            log.emit(
                level,
                "sent {name} size={size} id={id} bytes={sent} seconds={seconds:.3f}; {then}",
                name=name,
                size=ended.item.size,
                id=ended.id,
                sent=ended.sent,
                seconds=ended.seconds,
                then=then,
            )

    def _failed(self, failure: Failure, batch: list[FinishedFile]) -> None:
        error = failure.value
        if isinstance(error, DirectoryGone):
            self._fail(error)
        elif not self._stopped:
            self._counters.trouble(f"the journal can't be written: {error}")
            self._clock.callLater(AGAIN, self._once_more, batch)

    def _once_more(self, batch: list[FinishedFile]) -> None:
        for ended in batch:
            if not self._stopped:
                self._batcher.put(ended)


def _sent(ended: FinishedFile) -> Row:
    identity = ended.item.identity
    return Row(identity.fingerprint, identity.changed, State.SENT, ended.id)


def _stuck(ended: FinishedFile, reason: str) -> Row:
    identity = ended.item.identity
    if ended.failure is None:
        return Row(identity.fingerprint, identity.changed, State.SENT, ended.id, reason=reason)
    why = f"{ended.failure.cause}\n{ended.failure.advice}"
    return Row(identity.fingerprint, identity.changed, State.FAILED, reason=why)
