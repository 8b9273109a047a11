"""
A client's connection without its requests: turns, lines, payloads, flow in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet import tcp
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from xferproto.client.lines import Lines
from xferproto.client.patience import Patience
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    ConnectionCut,
    RequestError,
    TLSFailed,
    UnexpectedReply,
    XferError,
)
from xferproto.model.escape import printable, quoted
from xferproto.net.tls import failure_of
from xferproto.transfer.sender import Sender
from xferproto.wire import codec
from xferproto.wire.commands import Command

if TYPE_CHECKING:
    from xferproto.client.factory import XferClientFactory

R = TypeVar("R")

Progress = Callable[[int, int], None]
"""Called with the bytes that are through, and the bytes in all."""

Waited = Callable[[int, str], None]
"""
Called with how much of the server's work is done, 0 to 100, and what the work is, while the answer
has to wait for it. The text is the server's: it is to be escaped before it is shown.
"""

ALERT = b"\x15\x03"
"""What begins with this is TLS: an alert, as bytes of something else are answered with."""

SPEAKS_TLS = "What is there speaks TLS; connect with TLS (--tls)."

RAW_BUFFER = 1024 * 1024
"""Bytes read from a socket at once in raw mode."""


class Payload(Protocol):
    """
    What takes the bytes that follow a line.

    @ivar remaining: how many are still to come.
    @ivar full: whether the server should be held back now.
    """

    remaining: int
    full: bool

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most C{remaining}."""


class ClientConnection(LineReceiver):
    """
    What an L{XferClientProtocol<xferproto.client.protocol.XferClientProtocol>} stands on: requests
    are coroutines that take turns, send lines, and wait for lines or for a payload.

    @ivar factory: what made it.
    @ivar hung_up: whether the server has closed it, and never said a word.
    """

    transport: tcp.Connection
    delimiter = b"\n"
    MAX_LENGTH = codec.MAX_LINE

    def __init__(self, factory: XferClientFactory) -> None:
        self.factory: XferClientFactory = factory
        self._turn = DeferredLock()
        self._waiting: Deferred[bytes] | None = None
        self._receiver: Payload | None = None
        self._received: Deferred[None] | None = None
        self._progress: Callable[[], None] | None = None
        self._waited: Waited | None = None
        self._sender: Sender | None = None
        self._in_step = True
        self._lost: XferError | None = None
        self._aborted = False
        self._heard = False
        self.hung_up = False
        self._patience = Patience(factory, self._stalled)
        self._closed: list[Deferred[None]] = []

    @property
    def usable(self) -> bool:
        """Whether a request made now may be answered: the connection is there, and in step."""
        return self._lost is None and not self._aborted

    # The steps that they are made of

    def _request(
        self, work: Coroutine[Deferred[Any], Any, R], waited: Waited | None = None
    ) -> Deferred[R]:
        async def in_turn() -> R:
            try:
                await self._turn.acquire()
            except BaseException:
                work.close()
                raise
            try:
                if not self.usable:
                    work.close()
                    raise self._lost or ConnectionCut("The connection was closed.")
                self._waited = waited
                return await work
            finally:
                self._waited = None
                if not self._in_step and self._lost is None:
                    # What comes next on this connection belongs to nobody.
                    self._abort()
                self._patience.stop()
                self._regulate()
                self._turn.release()

        return Deferred.fromCoroutine(in_turn())

    async def _ask(
        self,
        command: Command,
        argument: bytes,
        prompted: bool | None = None,
        shown: bytes | None = None,
    ) -> None:
        """
        Send a command with its argument: at the server's prompt or on the same line.

        @param shown: what the trace is told instead of the argument.
        """
        word = command.spellings[0].encode("ascii")
        if self.factory.prompted if prompted is None else prompted:
            assert command.prompt is not None
            self._send_line(word)
            await self._expect(command.prompt)
            self._send_line(argument, shown)
        else:
            self._send_line(word + b" " + argument)

    def _send_line(self, line: bytes, shown: bytes | None = None) -> None:
        self._step_out()
        self.factory.trace(">", line if shown is None else shown)
        self.sendLine(line)

    def _step_out(self) -> None:
        """Something is to be sent that wants an answer."""
        if self._lost is not None:
            raise self._lost
        if self._in_step and self._buffer:
            # It would be taken for the answer to what is asked now.
            self._give_up(UnexpectedReply(f"The server says {quoted(self._buffer)} unasked."))
            raise UnexpectedReply("The server said something unasked.")
        self._in_step = False
        self._patience.start()

    async def _expect(self, expected: bytes) -> None:
        line = await self._line()
        if line != expected:
            raise UnexpectedReply(f"Expected {quoted(expected)}, the server says {quoted(line)}.")

    async def _line(self) -> bytes:
        """The next line; an error that it tells of is raised."""
        return self._checked(await self._next_line())

    def _checked(self, line: bytes) -> bytes:
        if (error := codec.parse_error(line)) is not None:
            self._in_step = True
            raise error
        return line

    def _next_line(self) -> Deferred[bytes]:
        waiting: Deferred[bytes] = Deferred(lambda _: self._abort())
        if self._lost is not None:
            waiting.errback(self._lost)
        else:
            self._waiting = waiting
            self._regulate()
        return waiting

    async def _receive(self, receiver: Payload, size: int, progress: Progress | None) -> None:
        """Feed a receiver all the bytes it wants."""
        if self._lost is not None:
            raise self._lost
        self._receiver = receiver
        received: Deferred[None] = Deferred(lambda _: self._abort())
        self._received = received
        self._progress = progress and (lambda: progress(size - receiver.remaining, size))
        buffer = getattr(self.transport, "bufferSize", None)
        if buffer is not None:
            self.transport.bufferSize = min(RAW_BUFFER, max(buffer, size))
        self.setRawMode()
        self._regulate()
        try:
            await received
        finally:
            self._progress = None
            if buffer is not None:  # each line is split off all that was read with it
                self.transport.bufferSize = buffer

    async def _take_lines(self, take: Callable[[bytes], None]) -> None:
        """
        Have each line told up to C{DONE}.

        @raise UnexpectedReply: what C{take} raised.
        """

        def told(line: bytes) -> None:
            self.factory.trace("<", line)
            take(line)

        lines = Lines(told, self._give_up)
        await self._receive(lines, 0, None)
        self.factory.trace("<", codec.DONE)
        if lines.rest:
            self._unasked(lines.rest.partition(b"\n")[0])

    # Events of the transport

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def dataReceived(self, data: bytes) -> None:
        if data:
            self._heard = True
            self._patience.moved(len(data))
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._aborted:
            return
        line = line.removesuffix(b"\r")
        self.factory.trace("<", line)
        if line.startswith(b"WAIT "):  # no answer, and no part of one
            self._hear_wait(line)
            return
        self._patience.progressed()
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            # Nothing was asked: all that a server may say then is why it closes.
            self._unasked(line)
            return
        if self._sender is not None:  # before its end, an answer can only be a refusal
            self._sender.stopProducing()
        waiting.callback(line)
        self._regulate()

    def _hear_wait(self, line: bytes) -> None:
        wait = codec.parse_wait(line)
        if wait is not None:
            self._patience.waits(wait[0])
        if wait is None or self._waited is None or self._waiting is None:
            return
        try:
            self._waited(*wait)
        except Exception:  # the request fails with it, like with what any other callback raises
            waiting, self._waiting = self._waiting, None
            if self._sender is not None:
                self._sender.stopProducing()
            waiting.errback()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._give_up(UnexpectedReply("The server sent a line that is too long."))

    def rawDataReceived(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None or self._aborted:
            return
        count = receiver.remaining
        rest = data[count:]
        receiver.write(data[:count] if rest else data)
        if self._progress is not None:
            self._progress()
        if receiver.remaining:
            self._regulate()
            return
        self._patience.progressed()
        self._receiver = None
        self.setLineMode(rest)
        received, self._received = self._received, None
        if received is not None:
            received.callback(None)
        self._regulate()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._patience.stop()
        self.hung_up = not (self._heard or self._aborted)
        self._lost = (
            self._lost
            or failure_of(reason)
            or (TLSFailed(SPEAKS_TLS) if self._buffer.startswith(ALERT) else None)
            or ConnectionCut("The connection was lost before the answer was complete.")
        )
        if self._sender is not None:
            self._sender.stopProducing()
        for waiting in (self._waiting, self._received):
            if waiting is not None and not waiting.called:  # as it is when it was cancelled
                waiting.errback(self._lost)
        self._waiting = self._received = None
        closed, self._closed = self._closed, []
        for waiter in closed:
            waiter.callback(None)

    def _stalled(self) -> None:
        self._give_up(
            ConnectionCut(f"The server has made no progress for {self.factory.patience:.0f} s.")
        )

    def _abort(self) -> None:
        self._aborted = True
        self.transport.abortConnection()

    def _unasked(self, line: bytes) -> None:
        error = codec.parse_error(line)
        if error is None:
            self._give_up(ConnectionCut(f"The server says {quoted(line)} unasked."))
        else:
            self._give_up(ConnectionCut(f"The server closes: {printable(error.text)}"))

    def _give_up(self, reason: XferError) -> None:
        self._lost = self._lost or reason
        self._abort()

    def _regulate(self) -> None:
        """Read on while somebody waits for what may come, or nobody has asked for anything."""
        hold = self._receiver.full if self._receiver else not (self._waiting or self._in_step)
        if hold and not self.paused:
            self.pauseProducing()
        elif not hold and self.paused and self._lost is None:
            self.resumeProducing()


def to_wire(text: str) -> bytes:
    """As it would go over the wire; what is no UTF-8 is left for the grammar to refuse."""
    return text.encode("utf-8", "surrogateescape")


def to_entry(line: bytes) -> Entry:
    """
    The entry that a line announces.

    @raise UnexpectedReply: it announces none.
    """
    try:
        return codec.parse_entry(line)
    except RequestError as error:
        raise UnexpectedReply(f"Expected id;name;size, the server says {quoted(line)}.") from error
