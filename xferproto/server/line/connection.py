"""
A server's connection without its commands: answers, in order, and what follows them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.model.entry import Entry
from xferproto.model.errors import Busy, ConnectionCut, Internal, RequestError
from xferproto.model.escape import quoted
from xferproto.server.line.replies import Answer, Transferred
from xferproto.server.traffic.stall import WatchedConnection
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.states import State

if TYPE_CHECKING:
    from xferproto.server.factory import XferServerFactory

log = Logger("xfer")

R = TypeVar("R")

DISCARD_LIMIT = 16 * 1024 * 1024
"""The longest refused payload that is taken away, in bytes; a longer one closes the connection."""

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

LOGGED_TOGETHER = 256
"""The most small files that share one event of the log, each a line of it."""


class Connection(WatchedConnection):
    """
    What a L{XferServerProtocol<xferproto.server.line.protocol.XferServerProtocol>} stands on.
    """

    def __init__(self, factory: XferServerFactory, number: int) -> None:
        super().__init__(factory, number)
        self._transferred: list[Transferred] = []
        self._serving = False
        self._errors = 0
        self._awaited: Deferred[Any] | None = None

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = True
        if self._awaited is not None:
            self._awaited.cancel()
        self._log_transferred()
        super().connectionLost(reason)

    async def _unless_lost(self, waiting: Deferred[R]) -> R:
        """
        What is waited for; the wait ends with the connection. To be used wherever a request waits
        for others, in a queue or for the time to pass.

        @param waiting: gives back what it holds when it is cancelled.
        @raise ConnectionCut: the connection is lost.
        """
        if self._lost:
            waiting.cancel()
        self._awaited = waiting
        try:
            return await waiting
        except CancelledError:
            raise ConnectionCut("The connection was lost.") from None
        finally:
            self._awaited = None

    def _ask(self, then: Callable[[bytes], None]) -> None:
        """Wait for one more line, and give it to C{then}, whatever it says."""
        self._asked = then
        self._enter(State.ARGUMENT)

    def _start(self, work: Coroutine[Deferred[Any], Any, None], skip: int | None = 0) -> None:
        """
        Let the store work, the input held back meanwhile.

        @param skip: what follows when it fails, as for L{_refuse}.
        """
        self._enter(State.WORKING)
        self.factory.depot.start(work).addErrback(self._failed, skip)

    def _error_of(self, failure: Failure) -> RequestError:
        """What a peer is told of a failure; the log has the rest."""
        if isinstance(failure.value, RequestError):
            return failure.value
        if isinstance(failure.value, OSError) and failure.value.errno in _NO_DESCRIPTOR:
            self.factory.no_descriptor_log.happened()
            return Busy("The server has too many files open; try again later.")
        log.failure("#{number} failed", failure, number=self.number)
        return Internal()

    def _failed(self, failure: Failure, skip: int | None) -> None:
        if isinstance(failure.value, ConnectionCut):
            log.warn("#{number} cut off by its peer", number=self.number)
            return
        error = self._error_of(failure)
        if self.state is State.SENDING:
            # Neither padding nor a line can follow part of a file: nothing is left but to cut off.
            log.error("#{number} cut off: {text}", number=self.number, text=error.text)
            self._cut_off()
        elif not self._lost:
            self._refuse(error, skip)

    # Pipelined requests: taken in before the ones before them are answered

    def _in_turn(self, request: Callable[[], None]) -> None:
        """Begin a request when all before it are answered; the input is held back until then."""
        if self._answers:
            self._answers.wait(request)
            self._enter(State.WORKING)
        else:
            request()

    def _owe(self, command: Command, held: int, work: Deferred[Answer]) -> None:
        """
        Owe the answer that C{work} fires with, and take more requests of this kind meanwhile.

        @param held: how many bytes of memory that may take.
        """
        owed = self._answers.owe(command, held)
        self._serving = False  # where it waited for its turn, it has its place in the queue now
        if self.state is not State.COMMAND:
            self._enter(State.COMMAND)
        elif self._answers.full:
            self._regulate()

        def known(answer: Answer) -> None:
            owed.answer = answer
            if self._lost and command is Command.UPLOAD and isinstance(answer, Transferred):
                self._log_transfer("stored", answer.entry, answer.count, answer.started)
            self._pay()

        def failed(failure: Failure) -> None:
            known(self._error_of(failure))

        work.addCallbacks(known, failed)

    def _pay(self) -> None:
        """Send the answers that are known, in order, up to a request whose turn it is."""
        down = self._down
        while not self._serving and self.state is not State.CLOSING:
            if down is not None and down.held:
                break
            answer = self._answers.next()
            if answer is None:
                break
            if isinstance(answer, Transferred):
                self._errors = 0
                self._transferred.append(answer)
                if len(self._transferred) >= LOGGED_TOGETHER:
                    self._log_transferred()
                self.transport.write(answer.answer)
                if down is not None:
                    down.spend(len(answer.answer))
            elif isinstance(answer, RequestError):
                self._tell(answer)
                if self._errors >= self.factory.limits.errors:
                    self._close()
            else:
                self._log_transferred()
                self._serving = True
                try:
                    answer()
                except RequestError as error:
                    self._refuse(error)
        if not self._answers:
            self._log_transferred()
        if self._stopping and not self._answers and self.state is State.COMMAND:
            self._close()
        else:
            self._regulate()

    def _freed(self) -> None:
        if self._answers:
            self._pay()
        else:
            super()._freed()

    def _next(self) -> None:
        """A request is answered: on with what is owed, then with what comes."""
        self._serving = False
        self._enter(State.WORKING if self._answers.waiting else State.COMMAND)
        if self._answers:
            self._pay()

    def _log_transferred(self) -> None:
        """Log the small files that went since the last time, many in one event."""
        transferred, self._transferred = self._transferred, []
        what = "stored" if self._answers.command is Command.UPLOAD else "sent"
        if len(transferred) < 2:
            for one in transferred:
                self._log_transfer(what, one.entry, one.count, one.started)
            return
        log.info(
            "#{number} {what} {files} files, {count} bytes:\n{lines}",
            number=self.number,
            what=what,
            files=len(transferred),
            count=sum(one.count for one in transferred),
            lines="\n".join(
                f"{quoted(one.entry.name)} size={one.entry.size} id={one.entry.id}"
                for one in transferred
            ),
        )

    def _log_transfer(self, what: str, entry: Entry, count: int, started: float) -> None:
        seconds = self.factory.depot.clock.seconds() - started
        log.info(
            "#{number} {what} {name} size={size} id={id} bytes={count} seconds={seconds:.3f} "
            "rate={rate:.1f}MiB/s",
            number=self.number,
            what=what,
            name=quoted(entry.name),
            size=entry.size,
            id=entry.id,
            count=count,
            seconds=seconds,
            rate=count / max(seconds, 1e-6) / 2**20,
        )

    def _answer(self, *lines: bytes) -> None:
        """Answer a command in full, and wait for the next one."""
        self._errors = 0
        self.transport.write(b"".join(line + b"\n" for line in lines))
        self._next()

    def _refuse(self, error: RequestError, skip: int | None = 0) -> None:
        """
        Answer with an error.

        @param skip: bytes of payload that follow the refused request and must not be read as
            commands; None where nobody knows how many, which closes the connection.
        """
        self._tell(error)
        too_many = self._errors >= self.factory.limits.errors
        if skip is None or skip > DISCARD_LIMIT or too_many:
            self._close()
        elif skip:
            self._discarding = skip
            self._serving = False
            self._enter(State.DISCARDING)
        else:
            self._next()

    def _tell(self, error: RequestError) -> None:
        self._errors += 1
        log.info(
            "#{number} refused: {symbol} {text}",
            number=self.number,
            symbol=error.symbol,
            text=error.text,
        )
        self.sendLine(codec.format_error(error))
