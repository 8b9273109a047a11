"""
A server's connection without its commands: states, framing, flow in both directions, closing.

docs/protocol.md says what goes over the wire; the states and their table stand in L{State}.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, ITCPTransport
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto import grammar
from xferproto.command import Command
from xferproto.entry import Entry
from xferproto.errors import BadDetails, ConnectionCut, Internal, LineTooLong, RequestError
from xferproto.escape import quoted
from xferproto.server.answers import Answer, Answers, Transferred
from xferproto.server.state import HELD, RAW, State
from xferproto.transfer.sender import Sender
from xferproto.transfer.small import SmallUpload
from xferproto.transfer.verified import VerifiedUpload

if TYPE_CHECKING:
    from xferproto.server.factory import XferServerFactory

log = Logger("xfer")

MAX_ERRORS = 20
"""So many errors in a row close the connection."""

DISCARD_LIMIT = 16 * 1024 * 1024
"""The longest refused payload that is taken away, in bytes; a longer one closes the connection."""

LINGER = 2.0
"""
Seconds for which a server still reads, once its last line is on its way: closing with bytes unread
makes a reset, and that would take the line away from the peer.
"""

LOGGED_TOGETHER = 256
"""The most small files that share one event of the log, each a line of it."""

CLOSE_TIMEOUT = 60.0
"""Seconds that a peer has to read what it is sent before the server closes."""

LINE_BUFFER = 64 * 1024
"""Bytes read from a socket at once in line mode, where every line is split off the whole."""

RAW_BUFFER = 1024 * 1024
"""Bytes read from a socket at once in raw mode."""


@implementer(IHalfCloseableProtocol)
class Connection(LineReceiver):
    """
    What a L{XferServerProtocol<xferproto.server.protocol.XferServerProtocol>} stands on.

    @ivar factory: what all connections share.
    @ivar number: counts the connections; the log's lines begin with it.
    @ivar state: where it stands; L{_enter} alone changes it.
    """

    transport: tcp.Connection  # or one over TLS, which can't close one half

    delimiter = b"\n"
    MAX_LENGTH = grammar.MAX_LINE

    def __init__(self, factory: XferServerFactory, number: int) -> None:
        self.factory: XferServerFactory = factory
        self.number = number
        self.state = State.COMMAND
        self._asked: Callable[[bytes], None] = self.lineReceived
        self._upload: VerifiedUpload | SmallUpload | None = None
        self._answers = Answers(factory.small)
        self._transferred: list[Transferred] = []
        self._serving = False
        self._sender: Sender | None = None
        self._errors = 0
        self._discarding = 0
        self._output_full = False
        self._input_ended = False
        self._in_data_received = False
        self._stopping = False
        self._lost = False
        self._closing: IDelayedCall | None = None

    # Events of the transport

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)
        self.factory.opened(self)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._in_turn(lambda: self._refuse(LineTooLong(), skip=None))

    def rawDataReceived(self, data: bytes) -> None:
        rest = b""
        if self.state is State.RECEIVING:
            assert self._upload is not None
            count = self._upload.remaining
            rest = data[count:]
            self._upload.write(data[:count] if rest else data)
            if len(data) < count:
                self._regulate()
            elif self.state is State.RECEIVING:  # it is not when writing failed there and then
                self._payload_received(self._upload)
        elif self.state is State.DISCARDING:
            rest = data[self._discarding :]
            self._discarding -= len(data) - len(rest)
            if self._discarding == 0:
                self._enter(State.COMMAND)
        if rest:
            self.dataReceived(rest)  # commands again; they wait until this call is through

    def dataReceived(self, data: bytes) -> None:
        if self._in_data_received:
            super().dataReceived(data)  # puts it behind what is being looked at
            return
        self._in_data_received = True
        try:
            super().dataReceived(data)
            while self._input_ended and not self.paused and not self._lost:
                if not self._input_exhausted():
                    break
                super().dataReceived(b"")
        finally:
            self._in_data_received = False

    def readConnectionLost(self) -> None:
        self._input_ended = True
        self.dataReceived(b"")

    def writeConnectionLost(self) -> None:
        """All is sent, and the half that L{_close} wanted closed is."""
        self._close_in(LINGER, self.transport.loseConnection)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = True
        self._close_in(None)
        if self._sender is not None:
            self._sender.stopProducing()
        if self.state is State.RECEIVING:
            self._cut_short()
        self._log_transferred()
        self._answers.drop()
        self.state = State.CLOSING
        self.factory.closed(self)

    def _input_exhausted(self) -> bool:
        """The peer sends no more, and all it sent has been looked at: whether to look again."""
        if self.state is State.RECEIVING:
            error = BadDetails(f"The input ended after {self._cut_short()}.")
            self._in_turn(lambda: self._refuse(error, skip=None))
        elif self.state in (State.COMMAND, State.ARGUMENT):
            line = self.clearLineBuffer()
            if line:  # an unfinished last line counts as ended
                self.lineReceived(line)
                return True
        self._in_turn(self._disconnect)
        return False

    # For the commands to define

    def _payload_received(self, upload: VerifiedUpload | SmallUpload) -> None:
        """All bytes of the upload have come."""
        raise NotImplementedError

    def _cut_short(self) -> str:
        """Give up the upload that was coming: how far it came, and what becomes of it."""
        raise NotImplementedError

    # States

    def _enter(self, state: State) -> None:
        """Change the state, and with it line or raw mode, the size of reads, and the flow."""
        if self.state is State.CLOSING:
            return
        self.state = state
        if state in RAW:
            self.setRawMode()
        else:
            self.setLineMode()
        large = self._upload is not None and self._upload.remaining > RAW_BUFFER
        if hasattr(self.transport, "bufferSize"):
            self.transport.bufferSize = RAW_BUFFER if large else LINE_BUFFER
        if state is State.COMMAND and self._stopping and not self._answers:
            self._close()
        else:
            self._regulate()

    def _regulate(self) -> None:
        """Hold the input back or let it come: as the state, the disk and the peer allow."""
        hold = self.state is not State.CLOSING and (
            self.state in HELD
            or self._output_full
            or self._answers.full
            or (self._upload is not None and self._upload.full)
        )
        if hold and not self.paused:
            super().pauseProducing()
        elif self.paused and not hold and not self._lost:
            if self._input_ended:  # nothing to read any more, but perhaps to look at
                self.paused = False
                self.dataReceived(b"")
            else:
                super().resumeProducing()

    # The producer that the transport knows: what the peer doesn't read holds everything back

    def pauseProducing(self) -> None:
        self._output_full = True
        if self._sender is not None:
            self._sender.pauseProducing()
        self._regulate()

    def resumeProducing(self) -> None:
        self._output_full = False
        if self._sender is not None:
            self._sender.resumeProducing()
        self._regulate()

    def stopProducing(self) -> None:
        """The transport is gone; L{connectionLost} follows."""

    # Answers

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
        self.factory.start(work).addErrback(self._failed, skip)

    def _error_of(self, failure: Failure) -> RequestError:
        """What a peer is told of a failure; the log has the rest."""
        if isinstance(failure.value, RequestError):
            return failure.value
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

        def known(answer: Answer) -> None:
            owed.answer = answer
            self._pay()

        def failed(failure: Failure) -> None:
            known(self._error_of(failure))

        work.addCallbacks(known, failed)

    def _pay(self) -> None:
        """Send the answers that are known, in order, up to a request whose turn it is."""
        while not self._serving and not self._lost:
            answer = self._answers.next()
            if answer is None:
                break
            if isinstance(answer, Transferred):
                self._errors = 0
                self._transferred.append(answer)
                self.transport.write(answer.answer)
            elif isinstance(answer, RequestError):
                self._tell(answer)
                if self._errors >= MAX_ERRORS:
                    self._close()
            else:
                self._serving = True
                try:
                    answer()
                except RequestError as error:
                    self._refuse(error)
        if not self._answers or len(self._transferred) >= LOGGED_TOGETHER:
            self._log_transferred()
        if self._stopping and not self._answers and self.state is State.COMMAND:
            self._close()
        else:
            self._regulate()

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
        seconds = self.factory.clock.seconds() - started
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
        if skip is None or skip > DISCARD_LIMIT or self._errors >= MAX_ERRORS:
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
        self.sendLine(grammar.format_error(error))

    # Closing

    def _close(self) -> None:
        """Close when the peer has the last line; what it still sends is dropped."""
        if self.state is State.CLOSING:
            return
        # A TLS transport can't close one half, though it passes the attribute on.
        one_half = hasattr(self.transport, "loseWriteConnection") and not hasattr(
            self.transport, "getPeerCertificate"
        )
        if not one_half or self._input_ended:
            self._disconnect()
            return
        self._enter(State.CLOSING)
        self.transport.unregisterProducer()
        self._close_in(CLOSE_TIMEOUT, self.transport.abortConnection)
        self.transport.loseWriteConnection()

    def _disconnect(self) -> None:
        """Close once the last line is on its way: the peer has nothing more to say."""
        if self.state is not State.CLOSING:
            self._enter(State.CLOSING)
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _close_in(self, seconds: float | None, close: Callable[[], None] | None = None) -> None:
        """Close after some time, instead of when that was to be before; never where it is None."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if seconds is not None and close is not None and not self._lost:
            self._closing = self.factory.clock.callLater(seconds, close)

    def _cut_off(self) -> None:
        """Close with a reset: the peer must not take what it got for the whole."""
        self._enter(State.CLOSING)
        self.transport.abortConnection()

    def stop(self) -> None:
        """The server stops: close now, or when the transfer that runs is through."""
        self._stopping = True
        if self.state in (State.COMMAND, State.ARGUMENT) and not self._answers:
            self._disconnect()
