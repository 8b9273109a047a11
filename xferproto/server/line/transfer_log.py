"""Log the files that a connection stores and sends."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from xferproto.model.entry import Entry
from xferproto.model.escape import quoted
from xferproto.server.line.replies import Transferred
from xferproto.server.transfer_log import log_transfer
from xferproto.wire.commands import Command

log = Logger("xfer")

LOGGED_TOGETHER = 256
"""The most small files that share one event of the log, each a line of it."""


class TransferLog:
    """
    Log one connection's transfers, many small ones in one event.

    @param number: of the connection; the log's lines begin with it.
    @param clock: times the transfers.
    """

    __slots__ = ("_clock", "_number", "_transferred", "_what")

    def __init__(self, number: int, clock: IReactorTime) -> None:
        self._number = number
        self._clock = clock
        self._what = ""
        self._transferred: list[Transferred] = []

    def add(self, command: Command | None, transferred: Transferred) -> None:
        """Log a small file, with others of its kind that go at about the same time."""
        self._what = "stored" if command is Command.UPLOAD else "sent"
        self._transferred.append(transferred)
        if len(self._transferred) >= LOGGED_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Log the small files that were added since the last time."""
        if not self._transferred:
            return
        transferred, self._transferred = self._transferred, []
        if len(transferred) == 1:
            (one,) = transferred
            self.log(self._what, one.entry, one.count, one.started)
            return
        log.info(
            "#{number} {what} {files} files, {count} bytes:\n{lines}",
            number=self._number,
            what=self._what,
            files=len(transferred),
            count=sum(one.count for one in transferred),
            lines="\n".join(
                f"{quoted(one.entry.name)} size={one.entry.size} id={one.entry.id}"
                for one in transferred
            ),
        )

    def log(self, what: str, entry: Entry, count: int, started: float) -> None:
        """
        Log one file.

        @param what: what was done with it.
        @param count: how many bytes of it went over the wire.
        @param started: when that began.
        """
        seconds = self._clock.seconds() - started
        log_transfer(self._number, what, entry, count, seconds)
