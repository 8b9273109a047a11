"""Keep the status file up to date: on changes, but at most once a second."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from xferproto.model.escape import printable
from xferproto.threads.executor import Executor
from xferproto.watch.circuit_breaker import CircuitBreaker
from xferproto.watch.counters import Counters, Last
from xferproto.watch.directory import DirectoryGone
from xferproto.watch.options import WatchSettings
from xferproto.watch.reason_file import timestamp
from xferproto.watch.status import FORMAT, write_status

if TYPE_CHECKING:
    from xferproto.watch.session import Session

INTERVAL = 1.0
"""The least seconds between two writes."""

SHOWN = 10
"""The most files being sent that are listed."""

log = Logger()


class Report:
    """
    Write the status file.

    @param clock: the reactor, or a clock of tests.
    @param disk: the thread that writes.
    @param settings: have the file's path.
    @param depot: the depot, as messages call it.
    @ivar session: the session of the directory; None while the directory is gone.
    """

    def __init__(
        self,
        clock: Any,
        disk: Executor,
        settings: WatchSettings,
        depot: str,
        breaker: CircuitBreaker,
        counters: Counters,
    ) -> None:
        self.session: Session | None = None
        self._clock = clock
        self._disk = disk
        self._path = settings.status
        self._directory = settings.directory
        self._depot = depot
        self._breaker = breaker
        self._counters = counters
        self._call: IDelayedCall | None = None
        self._written: float | None = None
        self._failed = False
        self._last: dict[str, Any] | None = None
        self._fields: dict[str, Any] = {}

    def changed(self) -> None:
        """Write the file soon, if anything has changed."""
        if self._call is None and self.session is not None:
            wait = 0.0
            if self._written is not None:
                wait = max(0.0, self._written + INTERVAL - self._clock.seconds())
            self._call = self._clock.callLater(wait, self._write)

    def _write(self) -> None:
        self._call = None
        fields = self._now("running")
        new = {**fields, "written": None}
        if new != self._last:
            self._last = new
            self._written = self._clock.seconds()
            self._disk.run(self._writing(fields)).addCallback(self._wrote)

    def _wrote(self, error: OSError | None) -> None:
        if error is not None and not self._failed:
            log.error(
                "the status file {path} can't be written: {reason}",
                path=printable(str(self._path)),
                reason=error.strerror,
            )
        if error is not None:
            self._last = None
        self._failed = error is not None

    def last(self, state: str) -> Callable[[], OSError | None]:
        """Return a function that writes the status a last time, and blocks."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._last = None
        return self._writing(self._now(state))

    @property
    def waiting(self) -> int:
        """The number of waiting files, as it was written last."""
        waiting: int = self._fields["waiting"]["files"]
        return waiting

    def _writing(self, fields: dict[str, Any]) -> Callable[[], OSError | None]:
        session = self.session
        within = self._path.is_relative_to(self._directory)

        def write() -> OSError | None:
            if within and session is None:
                return None
            try:
                if within and session is not None:
                    session.context.directory.check()  # never write into an empty mount point
                write_status(self._path, fields)
            except DirectoryGone:
                pass
            except OSError as error:
                return error
            return None

        return write

    def _now(self, state: str) -> dict[str, Any]:
        if self.session is not None:
            self._fields = _session_fields(self.session)
        breaker, counters = self._breaker, self._counters
        return {
            "format": FORMAT,
            "directory": str(self._directory),
            "state": state,
            "pid": os.getpid(),
            "started": timestamp(counters.started),
            "written": timestamp(self._clock.seconds()),
            "trouble": counters.troubled,
            "depot": {
                "name": self._depot,
                "up": breaker.up,
                "since": timestamp(breaker.since),
                "reason": breaker.reason,
                "next_try": None if breaker.next_try is None else timestamp(breaker.next_try),
            },
            **self._fields,
            "sent": {
                "files": counters.sent_files,
                "bytes": counters.sent_bytes,
                "last": _last(counters.last_sent, "id"),
            },
            "failed": {
                "files": counters.failed_files,
                "last": _last(counters.last_failed, "reason"),
            },
        }


def _session_fields(session: Session) -> dict[str, Any]:
    queue, scanner = session.context.queue, session.scanner
    return {
        "lock": str(session.context.directory.lock),
        "inotify": session.inotify is not None,
        "waiting": {
            "files": len(queue.items) + queue.not_held.files,
            "bytes": queue.bytes + queue.not_held.bytes,
            "settling": session.stability.settling,
            "refused": queue.not_held.refused,
        },
        "sending": [
            {"name": item.path, "size": item.size, "sent": item.sent}
            for item in session.sender.under_way[:SHOWN]
        ],
        "passed_over": scanner.others,
        "closed": scanner.closed,
    }


def _last(last: Last | None, what: str) -> dict[str, Any] | None:
    if last is None:
        return None
    return {"name": last.path, what: last.text, "size": last.size, "time": timestamp(last.time)}
