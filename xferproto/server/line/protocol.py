"""Cut lines and payloads out of what comes over one connection."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.model.errors import LineTooLong
from xferproto.server.connections import Connections
from xferproto.server.line.command_reader import CommandReader
from xferproto.server.line.receiving import end_input, take_bytes
from xferproto.server.line.session import LineSession
from xferproto.server.line.stall import StallWatch
from xferproto.server.traffic.flow import Hold
from xferproto.server.traffic.hangup import Sign
from xferproto.server.traffic.transport import prepare_transport
from xferproto.wire import codec
from xferproto.wire.states import HELD, State


@implementer(IHalfCloseableProtocol)
class LineProtocol(LineReceiver):
    """
    Hand the lines and the payloads of one connection to its session.

    @ivar session: what comes of them.
    @ivar lowest: the transport below all that wrap it.
    @ivar received: how many bytes have come.
    @ivar lines: how many lines.
    """

    transport: tcp.Connection  # or one over TLS, which can't close one half
    delimiter = b"\n"
    MAX_LENGTH = codec.MAX_LINE
    _busy = False

    def __init__(
        self, session: LineSession, reader: CommandReader, connections: Connections
    ) -> None:
        self.session = session
        self._stall = StallWatch(session, self)
        self.lowest: Any = None
        self.received = self.lines = 0
        self._reader = reader
        self._connections = connections
        session.attach(self)

    @property
    def number(self) -> int:
        return self.session.number

    @property
    def state(self) -> State:
        return self.session.state

    @property
    def held(self) -> bool:
        return self.state in HELD

    def look(self, now: float, elapsed: float) -> None:
        self._stall.look(now, elapsed)

    def hung_up(self, sign: Sign) -> None:
        self.session.client.presence.hung_up(sign, self.state is State.WORKING)

    def stop(self) -> None:
        """The server stops."""
        self.session.stop()

    def connectionMade(self) -> None:
        self.lowest = prepare_transport(self.transport)
        self.session.connected()
        self.transport.registerProducer(self, True)
        self._connections.opened(self)

    # What comes

    def dataReceived(self, data: bytes) -> None:
        if self._busy:
            super().dataReceived(data)  # puts it behind what is being looked at
            return
        session = self.session
        self.received += len(data)
        self._busy = True
        try:
            super().dataReceived(data)
            while session.closing.input_ended and not self.paused and not session.lost:
                if not self._input_exhausted():
                    break
                super().dataReceived(b"")
        finally:
            self._busy = False
        if session.up is not None and data and session.up.spend(len(data)):
            session.pace()

    def lineReceived(self, line: bytes) -> None:
        self.lines += 1
        self._reader.line_received(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.session.in_turn(lambda: self.session.refuse(LineTooLong()))

    def rawDataReceived(self, data: bytes) -> None:
        rest = take_bytes(self.session, data)
        if rest:
            self.dataReceived(rest)  # commands again; they wait until this call is through

    def readConnectionLost(self) -> None:
        self.session.closing.input_ended = True
        self.dataReceived(b"")

    def _input_exhausted(self) -> bool:
        """The peer sends no more, and all it sent has been looked at: whether to look again."""
        if self.state in (State.COMMAND, State.ARGUMENT) and (line := self.clearLineBuffer()):
            self.lineReceived(line)  # an unfinished last line counts as ended
            return True
        end_input(self.session)
        return False

    def writeConnectionLost(self) -> None:
        self.session.closing.half_closed()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.session.end(reason)
        self._connections.closed(self)

    # What the session wants of the line

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def take(self, count: int) -> bytes:
        came: bytes = self.clearLineBuffer()
        self._buffer = came[count:]  # before anything can look for the next line
        return came[:count]

    def set_mode(self, raw: bool) -> None:
        if raw:
            self.setRawMode()
        else:
            self.setLineMode()

    def hold(self) -> None:
        super().pauseProducing()

    def let_come(self) -> None:
        if self.session.closing.input_ended:  # nothing to read any more, but perhaps to look at
            self.paused = False
            self.dataReceived(b"")
        else:
            super().resumeProducing()

    # The producer that the transport knows: what the peer doesn't read holds everything back

    def pauseProducing(self) -> None:
        self.session.flow.set(Hold.OUTPUT, True)
        if self.session.sender is not None:
            self.session.sender.pauseProducing()

    def resumeProducing(self) -> None:
        self.session.flow.set(Hold.OUTPUT, False)
        if self.session.sender is not None:
            self.session.sender.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone; L{connectionLost} follows."""
