"""Give what comes over a connection to whoever waits for it: messages, and payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload
from xferproto.depot.uploader import Uploader
from xferproto.model.errors import BadDetails, ConnectionCut, LineTooLong
from xferproto.server.traffic.flow import Flow, Hold
from xferproto.server.traffic.stall import Wait

M = TypeVar("M")

LONGEST = 4096
"""The most bytes that are kept of what is not a whole message yet."""

Take = Callable[[bytes, bool], tuple[M, bytes] | None]
"""
Cuts a message off what has come: called with that, and whether no more will come soon. Returns the
message and what is behind it; None where it is not whole. Raises what is wrong with it.
"""


class Inbox(Uploader):
    """
    Let one reader at a time wait for what comes; while none does, nothing is read.

    @param flow: holds the reading.
    @param end: called when the peer sends no more, and nothing came that could be a message.
    @ivar messages: how many messages have come.
    """

    def __init__(self, clock: IReactorTime, flow: Flow, end: Callable[[], None]) -> None:
        self.messages = 0
        self._clock = clock
        self._flow = flow
        self._end = end
        self._come = b""
        self._take: Take[Any] | None = None
        self._silence = 0.0
        self._timer: IDelayedCall | None = None
        self._upload: Upload | SmallUpload | None = None
        self._waiting: Deferred[Any] | None = None
        self._ended = self._lost = False

    # For whoever reads

    async def read(self, take: Take[M], silence: float) -> M:
        """
        Wait for a message.

        @param silence: seconds after which no more will come soon.
        @raise LineTooLong: more than L{LONGEST} bytes have come, and it is not whole.
        @raise RequestError: something is wrong with it; or the peer does not go on.
        @raise ConnectionCut: the connection was lost.
        """
        self._take, self._silence = take, silence
        message: M = await self._wait(self._look)
        self.messages += 1
        return message

    async def receive(self, upload: Upload | SmallUpload) -> None:
        """
        Wait until all bytes of an upload have come, or it has failed: finishing it says so then.

        @raise BadDetails: the peer sends no more.
        @raise Timeout: too little comes.
        @raise ConnectionCut: the connection was lost.
        """
        self._upload = upload
        try:
            await self._wait(self._write)
        finally:
            self._upload = None
            self._flow.expect(0)
            self._flow.set(Hold.UPLOAD, False)

    async def _wait(self, look: Callable[[], None]) -> Any:
        """Wait for what C{look} finds in what came already, or what comes later."""
        waiting = self._waiting = Deferred()
        if self._lost:
            self.lose()
        else:
            look()
        if not waiting.called:
            self._flow.set(Hold.STATE, False)
        return await waiting

    def _found(self, outcome: object) -> None:
        """Let whoever waits go on, with a message or an error."""
        waiting, self._waiting = self._waiting, None
        self._stop_timer()
        if waiting is not None:
            self._take = None
            self._flow.set(Hold.STATE, True)
            if isinstance(outcome, Exception):
                waiting.errback(outcome)
            else:
                waiting.callback(outcome)

    # What comes

    def received(self, data: bytes) -> None:
        """Bytes have come."""
        self._come += data
        if self._upload is not None:
            self._write()
        elif self._take is not None:
            self._look()

    def _look(self, whole: bool = False) -> None:
        """See whether a message is there; what may belong to it is waited for, but not for long."""
        assert self._take is not None
        self._stop_timer()
        try:
            found = self._take(self._come, whole or self._ended)
        except Exception as error:
            self._found(error)
            return
        if found is not None:
            message, self._come = found
            self._found(message)
        elif self._ended:
            self._end()
        elif len(self._come) > LONGEST:  # as line ends are, which may be before a message
            self._found(LineTooLong(f"A message holds at most {LONGEST} bytes; connect again."))
        elif self._come and not whole:
            self._timer = self._clock.callLater(self._silence, self._look, True)

    def _write(self) -> None:
        upload = self._upload
        assert upload is not None
        count = upload.remaining
        part, self._come = self._come[:count], self._come[count:]
        if part:
            upload.write(part)
        if self._waiting is None:  # it failed there and then
            return
        if not upload.remaining:
            self._found(None)
        elif self._ended:
            self._found(BadDetails("The input ended before all declared bytes had come."))
        else:
            self._flow.expect(upload.block)
            self._flow.set(Hold.UPLOAD, upload.full)

    def ended(self) -> None:
        """The peer sends no more."""
        self._ended = True
        self.received(b"")

    def lose(self) -> None:
        """The connection is lost."""
        self._lost = True
        self._found(ConnectionCut("The connection was lost."))

    def fail(self, error: Exception) -> None:
        """Whoever waits shall wait no longer."""
        self._found(error)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    # What is asked from outside

    def waits_for(self) -> Wait:
        """Return what is waited for, where nothing is held back."""
        if self._waiting is None:
            return Wait.NOTHING
        return Wait.LINE if self._upload is None else Wait.PAYLOAD

    def drained(self) -> None:
        if self._upload is not None:
            self._flow.set(Hold.UPLOAD, self._upload.full)

    def failed(self) -> None:
        if self._upload is not None:
            self._found(None)

    def waits(self) -> bool:
        return not self._flow.held
