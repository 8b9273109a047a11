"""The client's end of the wire: lines, payloads, and flow control in both directions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from xferproto.client.callbacks import OnWait, Progress
from xferproto.client.patience import Patience
from xferproto.client.settings import Settings
from xferproto.model.errors import ConnectionCut, TLSFailed, UnexpectedReply, XferError
from xferproto.model.escape import printable, quoted
from xferproto.net.tls import failure_of
from xferproto.transfer.sender import Sender
from xferproto.wire import codec

ALERT = b"\x15\x03"
"""How a TLS alert begins: with one, a TLS server answers bytes that are not TLS."""

SPEAKS_TLS = "The server speaks TLS; connect with TLS (--tls)."

RAW_BUFFER = 1024 * 1024
"""Bytes read from a socket at once in raw mode."""


class Payload(Protocol):
    """
    A taker of the bytes that follow a line.

    @ivar remaining: how many are still to come.
    @ivar full: whether the server should be held back now.
    """

    remaining: int
    full: bool

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most C{remaining}."""


class Connection(LineReceiver):
    """
    Send lines and payloads to a server, and receive its lines and payloads.

    It knows no command. One request at a time uses it, between L{begin_request} and
    L{end_request}; within a request, each exchange of lines lasts from the first L{send_line} to
    L{end_exchange}.

    @ivar settings: of the factory that made it.
    @ivar patience: gives the connection up when the server makes no progress.
    @ivar awaits_answer: whether an answer is not complete yet.
    @ivar hung_up: whether the server has closed the connection without having sent anything.
    """

    transport: tcp.Connection
    delimiter = b"\n"
    MAX_LENGTH = codec.MAX_LINE

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.patience = Patience(settings, self._stalled)
        self.awaits_answer = False
        self.hung_up = False
        self._waiting: Deferred[bytes] | None = None
        self._receiver: Payload | None = None
        self._received: Deferred[None] | None = None
        self._progress: Callable[[], None] | None = None
        self._on_wait: OnWait | None = None
        self._sender: Sender | None = None
        self._lost: XferError | None = None
        self._aborted = False
        self._heard = False
        self._closed: list[Deferred[None]] = []

    # Requests

    @property
    def usable(self) -> bool:
        """Whether a request made now may be answered."""
        return self._lost is None and not self._aborted

    def begin_request(self, on_wait: OnWait | None) -> None:
        """
        Give the connection to a request.

        @param on_wait: called with what the server's WAIT lines say.
        @raise XferError: the connection has ended, or is to end.
        """
        if not self.usable:
            raise self._lost or ConnectionCut("The connection was closed.")
        self._on_wait = on_wait

    def end_request(self) -> None:
        """Take the connection from a request; close it if an answer is not complete."""
        self._on_wait = None
        if self.awaits_answer and self._lost is None:
            self.abort()  # what comes next would be taken for another request's answer
        self.patience.stop()
        self.regulate()

    def begin_exchange(self) -> None:
        """
        Note that something is sent that wants an answer.

        @raise XferError: the connection has ended, or the server has sent something unasked.
        """
        if self._lost is not None:
            raise self._lost
        if not self.awaits_answer and self._buffer:
            # It would be taken for the answer to what is asked now.
            self.give_up(UnexpectedReply(f"The server says {quoted(self._buffer)} unasked."))
            raise UnexpectedReply("The server said something unasked.")
        self.awaits_answer = True
        self.patience.start()

    def end_exchange(self) -> None:
        """Note that the answer is complete."""
        self.awaits_answer = False

    # Sending

    def send_line(self, line: bytes, shown: bytes | None = None) -> None:
        """
        Send a line that wants an answer.

        @param shown: what the trace gets instead of the line.
        @raise XferError: as for L{begin_exchange}.
        """
        self.begin_exchange()
        self.settings.trace(">", line if shown is None else shown)
        self.sendLine(line)

    @contextlib.contextmanager
    def sending(self, sender: Sender, until_reply: bool) -> Iterator[None]:
        """
        Let the transport regulate a sender within this context.

        @param until_reply: whether the sender is stopped when the server sends a line.
        """
        self._sender = sender if until_reply else None
        self.transport.registerProducer(sender, True)
        try:
            yield
        finally:
            self._sender = None
            self.transport.unregisterProducer()

    # Receiving

    def next_line(self) -> Deferred[bytes]:
        """Receive the next line; cancelling the Deferred closes the connection."""
        waiting: Deferred[bytes] = Deferred(lambda _: self.abort())
        if self._lost is not None:
            waiting.errback(self._lost)
        else:
            self._waiting = waiting
            self.regulate()
        return waiting

    async def receive(self, receiver: Payload, size: int, progress: Progress | None) -> None:
        """
        Feed a receiver all the bytes it wants.

        @param size: how many bytes the content has in all, for C{progress}.
        @raise XferError: the connection ended first.
        """
        if self._lost is not None:
            raise self._lost
        self._receiver = receiver
        received: Deferred[None] = Deferred(lambda _: self.abort())
        self._received = received
        self._progress = progress and (lambda: progress(size - receiver.remaining, size))
        buffer = getattr(self.transport, "bufferSize", None)
        if buffer is not None:
            self.transport.bufferSize = min(RAW_BUFFER, max(buffer, size))
        self.setRawMode()
        self.regulate()
        try:
            await received
        finally:
            self._progress = None
            if buffer is not None:  # each line is split off all that was read with it
                self.transport.bufferSize = buffer

    def take_buffered(self, size: int) -> bytes | None:
        """Take a payload that came together with the line before it; None if it did not."""
        if len(self._buffer) < size:
            return None
        content, self._buffer = self._buffer[:size], self._buffer[size:]
        return content

    def regulate(self) -> None:
        """Read from the transport while somebody wants what may come, or nothing was asked."""
        if self._receiver is not None:
            hold = self._receiver.full
        else:
            hold = self.awaits_answer and self._waiting is None
        if hold and not self.paused:
            self.pauseProducing()
        elif not hold and self.paused and self._lost is None:
            self.resumeProducing()

    # Ending

    def abort(self) -> None:
        """Close the connection at once."""
        self._aborted = True
        self.transport.abortConnection()

    def give_up(self, reason: XferError) -> None:
        """Close the connection at once; requests fail with this reason."""
        self._lost = self._lost or reason
        self.abort()

    def refuse_unasked(self, line: bytes) -> None:
        """Close the connection because the server sent a line that nothing asked for."""
        error = codec.parse_error(line)
        if error is None:
            self.give_up(ConnectionCut(f"The server says {quoted(line)} unasked."))
        else:
            self.give_up(ConnectionCut(f"The server closes: {printable(error.text)}"))

    def when_closed(self) -> Deferred[None]:
        """Return a Deferred that fires when the connection is closed."""
        closed: Deferred[None] = Deferred()
        if self._lost is not None:
            closed.callback(None)
        else:
            self._closed.append(closed)
        return closed

    def _stalled(self) -> None:
        self.give_up(
            ConnectionCut(f"The server has made no progress for {self.settings.patience:.0f} s.")
        )

    # Events of the transport

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def dataReceived(self, data: bytes) -> None:
        if data:
            self._heard = True
            self.patience.moved(len(data))
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._aborted:
            return
        line = line.removesuffix(b"\r")
        self.settings.trace("<", line)
        if line.startswith(b"WAIT "):  # no answer, and no part of one
            self._wait_received(line)
            return
        self.patience.progressed()
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            # Nothing was asked: all that a server may say then is why it closes.
            self.refuse_unasked(line)
            return
        if self._sender is not None:  # before its end, an answer can only be a refusal
            self._sender.stopProducing()
        waiting.callback(line)
        self.regulate()

    def _wait_received(self, line: bytes) -> None:
        wait = codec.parse_wait(line)
        if wait is not None:
            self.patience.waits(wait[0])
        if wait is None or self._on_wait is None or self._waiting is None:
            return
        try:
            self._on_wait(*wait)
        except Exception:  # the request fails with it, like with what any other callback raises
            waiting, self._waiting = self._waiting, None
            if self._sender is not None:
                self._sender.stopProducing()
            waiting.errback()

    def lineLengthExceeded(self, line: bytes) -> None:
        self.give_up(UnexpectedReply("The server sent a line that is too long."))

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
            self.regulate()
            return
        self.patience.progressed()
        self._receiver = None
        self.setLineMode(rest)
        received, self._received = self._received, None
        if received is not None:
            received.callback(None)
        self.regulate()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.patience.stop()
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
