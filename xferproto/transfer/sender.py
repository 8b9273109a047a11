"""
Send blocks from a source to a transport, no faster than it takes them.

Shared by the server's downloads and listings and the client's uploads.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITransport
from zope.interface import implementer

from xferproto.model.errors import ConnectionCut

BLOCK = 1024 * 1024
"""The most bytes of a block; there is one handoff between threads for each."""


@implementer(IPushProducer)
class Sender:
    """
    Write what C{read} returns until it is empty. One block is read ahead while one is sent.

    It does not register as a producer: the owner of the transport passes pauses on.

    @param transport: where the blocks go.
    @param read: returns the next block, empty at the end.
    @ivar written: the number of bytes written to the transport.
    """

    def __init__(self, transport: ITransport, read: Callable[[], Deferred[bytes]]) -> None:
        self._transport = transport
        self._read = read
        self.written = 0
        self._paused = False
        self._stopped = False
        self._resumed: Deferred[None] | None = None

    async def run(self) -> None:
        """
        Send everything; return when the transport has the last block and no read is under way.

        @raise ConnectionCut: L{stopProducing} was called.
        @raise Exception: what C{read} failed with; all blocks before it were sent.
        """
        ahead = self._read()
        while block := await ahead:
            while self._paused and not self._stopped:
                self._resumed = Deferred()
                await self._resumed
            if self._stopped:
                raise ConnectionCut("The connection was lost.")
            ahead = self._read()
            self.written += len(block)
            self._transport.write(block)
        if self._stopped:
            raise ConnectionCut("The connection was lost.")

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        self._stopped = True
        self.resumeProducing()
