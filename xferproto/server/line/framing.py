"""
A server's connection without its answers: states, framing, flow in both directions, closing.

docs/protocol.md says what goes over the wire; the states and their table stand in L{State}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, ITCPTransport
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload
from xferproto.model.errors import BadDetails, LineTooLong, RequestError
from xferproto.net.peer import is_encrypted, keep_alive
from xferproto.net.tls import error_text
from xferproto.server.line.replies import Answers
from xferproto.server.traffic.hangup import Sign, sign_of
from xferproto.transfer.sender import Sender
from xferproto.wire import codec
from xferproto.wire.states import HELD, RAW, State

if TYPE_CHECKING:
    from xferproto.server.factory import XferServerFactory

log = Logger("xfer")

LINGER = 2.0
"""
Seconds for which a server still reads, once its last line is on its way: closing with bytes unread
makes a reset, and that would take the line away from the peer.
"""

CLOSE_TIMEOUT = 60.0
"""Seconds that a peer has to read what it is sent before the server closes."""

LINE_BUFFER = 64 * 1024
"""Bytes read from a socket at once in line mode, where every line is split off the whole."""

RAW_BUFFER = 1024 * 1024
"""Bytes read from a socket at once in raw mode."""


KEEP_ALIVE = (60, 10, 6)
"""
When the system asks a silent peer whether it is there, in seconds: after so many, again after so
many, so often. So a machine that is gone is noticed within two minutes, in every state.
"""

KEEP_ALIVE_ENDED = (5, 5, 6)
"""
The same for one that sends no more: a system whose program has closed both halves says that it
knows nothing of the connection when it has forgotten it, after a minute.
"""


@implementer(IHalfCloseableProtocol)
class FramedConnection(LineReceiver):
    """
    What a L{Connection<xferproto.server.line.connection.Connection>} stands on.

    @ivar factory: what all connections share.
    @ivar number: counts the connections; the log's lines begin with it.
    @ivar state: where it stands; L{_enter} alone changes it.
    @ivar peer: what counts as its peer, or None.
    """

    transport: tcp.Connection  # or one over TLS, which can't close one half

    delimiter = b"\n"
    MAX_LENGTH = codec.MAX_LINE

    def __init__(self, factory: XferServerFactory, number: int) -> None:
        self.factory: XferServerFactory = factory
        self.number = number
        self.peer: str | None = None
        self.state = State.COMMAND
        self._asked: Callable[[bytes], None] = self.lineReceived
        self._upload: Upload | SmallUpload | None = None
        self._answers = Answers(factory.depot.small)
        self._sender: Sender | None = None
        self._up, self._down = factory.bandwidth.of_connection(self._freed)
        self._received = 0
        self._lines = 0
        self._discarding = 0
        self._output_full = False
        self._input_ended = False
        self._end_seen = False
        self._in_data_received = False
        self._stopping = False
        self._lost = False
        self._closing: IDelayedCall | None = None
        self._socket: Any = None

    # Events of the transport

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
            keep_alive(self.transport, *KEEP_ALIVE)
        # Reads through wrappers, but what is set there stays there.
        self._socket = self.transport
        while isinstance(self._socket, ProtocolWrapper):
            self._socket = self._socket.transport
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
        self._received += len(data)
        self._in_data_received = True
        try:
            super().dataReceived(data)
            while self._input_ended and not self.paused and not self._lost:
                if not self._input_exhausted():
                    break
                super().dataReceived(b"")
        finally:
            self._in_data_received = False
        if self._up is not None and data and self._up.spend(len(data)):
            self._regulate()

    def readConnectionLost(self) -> None:
        self._input_ended = True
        self.dataReceived(b"")

    def writeConnectionLost(self) -> None:
        """All is sent, and the half that L{_close} wanted closed is."""
        self._close_in(LINGER, self.transport.loseConnection)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = True
        self._close_in(None)
        for limit in (self._up, self._down):
            if limit is not None:
                limit.stop()
        if self._sender is not None:
            self._sender.stopProducing()
        if self.state is State.RECEIVING:
            self._cut_short()
        self._answers.drop()
        self.state = State.CLOSING
        if (text := error_text(reason)) is not None:
            log.info("#{number} TLS failed: {text}", number=self.number, text=text)
        self.factory.closed(self)

    def hung_up(self, sign: Sign) -> None:
        """The input is held back, and its peer has hung up as C{sign} says."""
        if self._meant(sign) is Sign.GONE:
            self.transport.abortConnection()
        elif not self._end_seen:
            self._end_seen = True
            keep_alive(self.transport, *KEEP_ALIVE_ENDED)

    def _meant(self, sign: Sign) -> Sign:
        """What a sign of the system means, where a request is worked on."""
        if sign is Sign.ENDED and self.state is State.WORKING and is_encrypted(self.transport):
            return Sign.GONE  # no half of a TLS connection can be closed
        return sign

    def _sign(self) -> Sign:
        """Whether the peer is there, as far as is known now."""
        sign = self._meant(sign_of(self.transport))
        return Sign.ENDED if sign is Sign.THERE and self._input_ended else sign

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

    # For the layers above to define

    def _in_turn(self, request: Callable[[], None]) -> None:
        """Begin a request when all before it are answered."""
        raise NotImplementedError

    def _refuse(self, error: RequestError, skip: int | None = 0) -> None:
        """Answer with an error."""
        raise NotImplementedError

    def look(self, now: float, elapsed: float) -> None:
        """See whether the peer goes on."""
        raise NotImplementedError

    def _payload_received(self, upload: Upload | SmallUpload) -> None:
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
        if state is State.COMMAND and self._stopping and not self._answers:
            self._close()
        else:
            self._regulate()

    def _regulate(self) -> None:
        """Hold the input back or let it come: as the state, the disk and the peer allow."""
        hold = self.state is not State.CLOSING and (
            self.state in HELD
            or (self._stopping and self.state is State.COMMAND)  # no request is begun any more
            or self._output_full
            or self._held_by_pace
            or self._answers.full
            or (self._upload is not None and self._upload.full)
        )
        if hasattr(self._socket, "bufferSize"):
            block = 0 if self._upload is None else self._upload.block
            buffer = max(LINE_BUFFER, min(RAW_BUFFER, block))
            self._socket.bufferSize = buffer if self._up is None else min(buffer, self._up.block)
        if hold and not self.paused:
            super().pauseProducing()
        elif self.paused and not hold and not self._lost:
            if self._input_ended:  # nothing to read any more, but perhaps to look at
                self.paused = False
                self.dataReceived(b"")
            else:
                super().resumeProducing()

    @property
    def _held_by_pace(self) -> bool:
        """Whether more bytes went, either way, than this second allows."""
        up, down = self._up, self._down
        return (up is not None and up.held) or (down is not None and down.held)

    def _freed(self) -> None:
        """More bytes may go."""
        self._regulate()

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
        self._answers.drop()
        self.transport.unregisterProducer()
        self._close_in(CLOSE_TIMEOUT, self.transport.abortConnection)
        self.transport.loseWriteConnection()

    def _disconnect(self) -> None:
        """Close once the last line is on its way: the peer has nothing more to say."""
        if self.state is not State.CLOSING:
            self._enter(State.CLOSING)
            self._answers.drop()
            self.transport.unregisterProducer()
            if hasattr(self.transport, "getPeerCertificate"):  # whose peer has to agree
                self._close_in(CLOSE_TIMEOUT, self.transport.abortConnection)
        self.transport.loseConnection()

    def _close_in(self, seconds: float | None, close: Callable[[], None] | None = None) -> None:
        """Close after some time, instead of when that was to be before; never where it is None."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if seconds is not None and close is not None and not self._lost:
            self._closing = self.factory.depot.clock.callLater(seconds, close)

    def _cut_off(self) -> None:
        """Close with a reset: the peer must not take what it got for the whole."""
        self._enter(State.CLOSING)
        self.transport.abortConnection()

    def stop(self) -> None:
        """The server stops: close now, or when the transfer that runs is through."""
        self._stopping = True
        if self.state in (State.COMMAND, State.ARGUMENT) and not self._answers:
            self._disconnect()
        else:
            self._regulate()
