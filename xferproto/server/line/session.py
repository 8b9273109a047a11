"""
Keep the state of one client's session, and the replies that it is owed.

docs/protocol.md says what goes over the wire; the states and their table stand in L{State}.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.depot.depot import Depot
from xferproto.depot.request import Request
from xferproto.depot.upload import Upload
from xferproto.model.errors import (
    BadDetails,
    BadId,
    BadName,
    BadRange,
    BadToken,
    ConnectionCut,
    OtherProtocol,
    RequestError,
    Scope,
)
from xferproto.net.tls import error_text
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.failures import FailureReport
from xferproto.server.limits import Limits
from xferproto.server.line.client import Client
from xferproto.server.line.payload import Payload
from xferproto.server.line.port import Line
from xferproto.server.line.refusal_log import described
from xferproto.server.line.replies import CommandLine, Reply, ReplyQueue, Transferred
from xferproto.server.line.transfer_log import TransferLog
from xferproto.server.traffic.bandwidth import Bandwidth
from xferproto.server.traffic.closing import Closing
from xferproto.server.traffic.flow import Flow, Hold
from xferproto.server.traffic.sending import make_sender
from xferproto.server.transfer_log import cut_short
from xferproto.transfer.sender import Sender
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.states import HELD, RAW, State

log = Logger("xfer")

R = TypeVar("R")

DISCARD_LIMIT = 16 * 1024 * 1024
"""The longest refused payload that is taken away, in bytes; a longer one closes the connection."""

MALFORMED = (BadDetails, BadId, BadName, BadRange, BadToken)
"""The errors of arguments that are of none of our forms."""


class LineSession:
    """
    Serve one connection: what its commands, each a function of the session, stand on.

    @param bandwidth: of the server.
    @ivar line: the protocol that holds it.
    @ivar transport: that of the connection, once it is made.
    @ivar number: counts the connections; the log's lines begin with it.
    @ivar depot: what is served.
    @ivar authenticator: lets users in.
    @ivar limits: what the connection may not exceed.
    @ivar client: who is at the other end.
    @ivar state: where it stands; L{enter} alone changes it.
    @ivar flow: whether it is read from.
    @ivar closing: closes it.
    @ivar replies: what is owed for pipelined requests.
    @ivar transfers: logs what is stored and sent.
    @ivar payload: what is being received, or None.
    @ivar discarding: how many bytes of a refused payload are still to come.
    @ivar offered: an upload under a token whose offset the peer is to choose, or None.
    @ivar sender: sends what is being sent, or None.
    @ivar request: the command at hand and its argument, or None for a line that is no command.
    @ivar asked: gets the argument that was asked for.
    @ivar prompted: whether the argument of the command at hand was asked for.
    @ivar signature: whether the last line is another protocol's, if it is of no form of ours.
    @ivar stopping: whether the server stops.
    @ivar lost: whether the connection is lost.
    """

    line: Line
    transport: Any
    flow: Flow
    asked: Callable[[bytes], None]

    def __init__(
        self,
        number: int,
        depot: Depot,
        authenticator: Authenticator,
        limits: Limits,
        bandwidth: Bandwidth,
        failures: FailureReport,
    ) -> None:
        self.number = number
        self.depot = depot
        self.authenticator = authenticator
        self.limits = limits
        self.client = Client(authenticator, number)
        self.state = State.COMMAND
        self.closing = Closing(depot.clock, self._closing_begun)
        self.replies = ReplyQueue(depot.small)
        self.transfers = TransferLog(number, depot.clock)
        self.payload: Payload | None = None
        self.discarding = 0
        self.offered: Upload | None = None
        self.sender: Sender | None = None
        self.request: CommandLine | None = None
        self.prompted = self.signature = self.stopping = self.lost = False
        self.up, self.down = bandwidth.of_connection(self._freed)
        self._failures = failures
        self._waits = Request()
        self._serving = False
        self._errors = 0

    def attach(self, line: Line) -> None:
        """Serve over this protocol."""
        self.line = line
        self.flow = Flow(line.hold, line.let_come)

    def connected(self) -> None:
        """The connection is made."""
        self.transport = self.closing.transport = self.line.transport
        self.client.attach(self.transport)
        self.flow.regulate(self.line.lowest, None if self.up is None else self.up.block)

    # States

    def enter(self, state: State) -> None:
        """Change the state, and with it line or raw mode, the size of reads, and the flow."""
        if self.state is State.CLOSING:
            return
        self.state = state
        self.line.set_mode(state in RAW)
        flow = self.flow
        if state is State.CLOSING:
            flow.open()
            return
        if state is State.COMMAND and self.stopping and not self.replies:
            self.closing.close()
            return
        if state in HELD:  # before any other reason goes
            flow.set(Hold.STATE, True)
        self.pace()
        self.regulate_upload()
        flow.set(Hold.STOPPING, self.stopping and self.state is State.COMMAND)
        if self.state not in HELD:  # as it may be by now: what was let come is looked at at once
            flow.set(Hold.STATE, False)

    def pace(self) -> None:
        """Hold the input where more bytes went, either way, than this second allows."""
        up, down = self.up, self.down
        if up is not None or down is not None:
            held = (up is not None and up.held) or (down is not None and down.held)
            self.flow.set(Hold.BANDWIDTH, held)

    def _freed(self) -> None:
        """The bandwidth lets more bytes go."""
        if self.replies:
            self._pay()
        else:
            self.pace()

    def regulate_upload(self) -> None:
        """Hold the input where the upload that comes is full, and read as much as it can take."""
        if self.payload is None:
            self.flow.expect(0)
            self.flow.set(Hold.UPLOAD, False)
        else:
            self.flow.expect(self.payload.upload.block)
            self.flow.set(Hold.UPLOAD, self.payload.upload.full)

    # Requests

    def start(self, work: Coroutine[Deferred[Any], Any, None], skip: int | None = 0) -> None:
        """
        Work on a request, the input held back meanwhile.

        @param skip: what follows when it fails, as for L{refuse}.
        """
        self.enter(State.WORKING)
        self.depot.start(work).addErrback(self._failed, skip)

    def _failed(self, failure: Failure, skip: int | None) -> None:
        if isinstance(failure.value, ConnectionCut):
            log.warn("#{number} cut off by its peer", number=self.number)
            return
        error = self._failures.error_of(failure, self.number)
        if self.state is State.SENDING:
            # Neither padding nor a line can follow part of a file: nothing is left but to cut off.
            log.error("#{number} cut off: {text}", number=self.number, text=error.text)
            self.closing.cut_off()
        elif not self.lost:
            self.refuse(error, skip)

    async def unless_lost(self, waiting: Deferred[R]) -> R:
        """
        Wait for something that can be cancelled; the wait ends with the connection.

        @raise ConnectionCut: the connection is lost.
        """
        return await self._waits.wait(waiting)

    def ask(self, then: Callable[[bytes], None]) -> None:
        """Wait for one more line, and give it to C{then}, whatever it says."""
        self.asked = then
        self.enter(State.ARGUMENT)

    def unasked(self) -> int | None:
        """
        What to skip when a prompted upload is refused: None, which closes the connection, where
        bytes came unasked: they are no command.
        """
        return None if self.line.buffered else 0

    async def send(self, read: Callable[[], Deferred[bytes]]) -> None:
        """Send all that C{read} gives, as fast as the peer takes it."""
        self.sender = make_sender(self.transport, read, self.down, self.flow, self.lost)
        self.enter(State.SENDING)
        try:
            await self.sender.run()
        finally:
            self.sender = None

    # Pipelined requests: taken in before the ones before them are answered

    def in_turn(self, request: Callable[[], None]) -> None:
        """Begin a request when all before it are answered; the input is held back until then."""
        if self.replies:
            self.replies.wait(request, self.request)
            self.enter(State.WORKING)
        else:
            request()

    def owe(self, command: Command, held: int, work: Deferred[Reply]) -> None:
        """
        Owe the reply that C{work} fires with, and take more requests of this kind meanwhile.

        @param held: how many bytes of memory that may take.
        """
        pending = self.replies.owe(command, held, self.request)
        self._serving = False  # where it waited for its turn, it has its place in the queue now
        if self.replies.full:
            self.flow.set(Hold.REPLIES, True)
        if self.state is not State.COMMAND:
            self.enter(State.COMMAND)

        def known(reply: Reply) -> None:
            pending.reply = reply
            if self.lost and command is Command.UPLOAD and isinstance(reply, Transferred):
                self.transfers.log("stored", reply.entry, reply.count, reply.started)
            self._pay()

        def failed(failure: Failure) -> None:
            known(self._failures.error_of(failure, self.number))

        work.addCallbacks(known, failed)

    def _pay(self) -> None:
        """Send the replies that are known, in order, up to a request whose turn it is."""
        replies, down = self.replies, self.down
        while not self._serving and self.state is not State.CLOSING:
            if down is not None and down.held:
                break
            reply = replies.next()
            if reply is None:
                break
            if isinstance(reply, Transferred):
                self._errors = 0
                self.transfers.add(replies.command, reply)
                self.transport.write(reply.answer)
                if down is not None:
                    down.spend(len(reply.answer))
            elif isinstance(reply, RequestError):
                if self._tell(reply, replies.request):
                    self.closing.close()
            else:
                self.transfers.flush()
                self._serving, self.request = True, replies.request
                try:
                    reply()
                except RequestError as error:
                    self.refuse(error)
        if not replies:
            self.transfers.flush()
        if self.stopping and not replies and self.state is State.COMMAND:
            self.closing.close()
        else:
            self.pace()
            self.flow.set(Hold.REPLIES, replies.full)

    def answer(self, *lines: bytes) -> None:
        """Answer a command in full, and wait for the next one."""
        self._errors = 0
        self.transport.write(b"".join(line + b"\n" for line in lines))
        self._next()

    def say(self, line: bytes) -> None:
        """Send a line that is not the last one of an answer."""
        self.transport.write(line + b"\n")

    def refuse(self, error: RequestError, skip: int | None = 0) -> None:
        """
        Answer with an error, and close the connection if the error is of that scope.

        @param skip: bytes of payload that follow the refused request and must not be read as
            commands; None if their number is not known, which closes the connection.
        """
        if self.signature and isinstance(error, MALFORMED):
            error = OtherProtocol()
        if self._tell(error, self.request, skip is None or skip > DISCARD_LIMIT):
            self.closing.close()
        elif skip:
            self.discarding = skip
            self._serving = False
            self.enter(State.DISCARDING)
        else:
            self._next()

    def _tell(self, error: RequestError, request: CommandLine | None, unread: bool = False) -> bool:
        """Send an error, and return whether the connection is to be closed."""
        self._errors += 1
        cuts = error.scope is Scope.CONNECTION  # which its text says, and what came last is served
        closes = unread or self._errors >= self.limits.errors
        what = described(None if cuts else request)
        self._failures.refused(self.number, error, what, self.client.user)
        self.say(codec.format_error(error, closes and not cuts))
        return closes or cuts

    def _next(self) -> None:
        """A request is answered: on with what is owed, then with what comes."""
        self._serving = False
        self.enter(State.WORKING if self.replies.waiting else State.COMMAND)
        if self.replies:
            self._pay()

    # The end

    def cut_short(self) -> str:
        """Give up the upload that is coming: how far it came, and what becomes of it."""
        payload, self.payload = self.payload, None
        assert payload is not None
        return cut_short(self.number, payload.upload)

    def _closing_begun(self) -> None:
        self.enter(State.CLOSING)
        self.replies.drop()

    def stop(self) -> None:
        """The server stops: close now, or when the transfer that runs is through."""
        self.stopping = True
        if self.state in (State.COMMAND, State.ARGUMENT) and not self.replies:
            self.closing.disconnect()
        else:
            self.flow.set(Hold.STOPPING, self.state is State.COMMAND)

    def end(self, reason: Failure | None) -> None:
        """The connection is lost."""
        self.lost = True
        self.flow.end()
        # Before the connection counts as closed: a server that stops waits for what has begun.
        if self.offered is not None:
            self.offered.abort()
        self._waits.abandon()
        self.transfers.flush()
        self.closing.end()
        for limit in (self.up, self.down):
            if limit is not None:
                limit.stop()
        if self.sender is not None:
            self.sender.stopProducing()
        if self.payload is not None:
            self.cut_short()
        self.replies.drop()
        self.state = State.CLOSING
        if (text := error_text(reason)) is not None:
            log.info("#{number} TLS failed: {text}", number=self.number, text=text)
