"""Check files again that were moved while a process may have had them open."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.watch.context import WatchContext
from xferproto.watch.journal import Row
from xferproto.watch.moves import Mover
from xferproto.watch.walk import SLICE, look

PERIOD = 30.0
"""Seconds between two checks of all such files."""

LONGEST = 3600.0
"""Seconds after the move during which they are checked."""

log = Logger()


class Recheck:
    """
    Move files back from C{sent/} that were changed after they were sent, so that they are sent
    again. They are in the journal, so a restart continues with them.

    @param mover: moves them.
    @param again: called with the path of a file that is to be sent again.
    """

    def __init__(self, context: WatchContext, mover: Mover, again: Callable[[str], object]) -> None:
        self._clock = context.clock
        self._disk = context.disk
        self._directory = context.directory
        self._journal = context.journal
        self._fail = context.failed
        self._mover = mover
        self._again = again
        self._task: Deferred[None] | None = None

    def start(self) -> None:
        """Check from time to time."""
        self._task = Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                await deferLater(self._clock, PERIOD)
                await self._look_at_all()
        except CancelledError:
            pass
        except Exception as error:
            self._fail(error)

    async def _look_at_all(self) -> None:
        after: str | None = ""
        while after is not None:
            after, changed = await self._disk.run(self._look_at_some, after)
            for where, path in changed:
                log.warn(
                    "{where} has changed since it was sent: moved back to {path}, to be sent again",
                    where=quoted(where),
                    path=quoted(path),
                )
                self._again(path)

    def _look_at_some(self, after: str) -> tuple[str | None, list[tuple[str, str]]]:
        """
        Check some files. Called on a thread.

        @return: the last path that was checked, None at the end; and of each file that has changed,
            its former path and its path now.
        """
        rows = self._journal.moved(after, SLICE)
        if not rows:
            return None, []
        self._directory.check()
        done, changed = [], []
        for where, row in rows:
            now = look(self._directory.path, where)
            if now is not None and not row.is_about(now) and str(now.inode) == _inode(row):
                try:
                    changed.append((where, self._mover.bring_back(where, row.reason or where)))
                except OSError as error:
                    log.warn(
                        "{where} has changed since it was sent, and can't be moved back: {reason}",
                        where=quoted(where),
                        reason=error.strerror or str(error),
                    )
                done.append(where)
            elif now is None or not row.is_about(now) or self._is_old(row):
                done.append(where)
        self._mover.sync()
        if done:
            self._journal.forget(done)
        return rows[-1][0], changed

    def _is_old(self, row: Row) -> bool:
        return not 0 <= self._clock.seconds() - row.due < LONGEST


def _inode(row: Row) -> str:
    """Return the inode in a row's fingerprint (L{xferproto.watch.walk.Identity})."""
    return row.fingerprint.partition(" ")[0]
