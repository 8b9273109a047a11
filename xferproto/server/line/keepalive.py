"""Send WAIT lines while a long piece of work keeps a client waiting."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from xferproto.wire import codec

INTERVAL = 5.0
"""Seconds between two WAIT lines, and before the first."""


class KeepAlive:
    """
    Send WAIT lines while in this context, from the first L{progressed} on.

    @param clock: times them.
    @param send: sends a line.
    @param what: what is being done, in a word or two.
    """

    def __init__(self, clock: IReactorTime, send: Callable[[bytes], None], what: str) -> None:
        self._send = send
        self._what = what
        self._done = self._total = 0
        self._ended = False
        self._call = LoopingCall(self._tell)
        self._call.clock = clock

    def __enter__(self) -> KeepAlive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        if self._call.running:
            self._call.stop()

    def progressed(self, done: int, total: int) -> None:
        """C{done} bytes of C{total} are through."""
        self._done, self._total = done, total
        if not self._call.running and not self._ended:
            self._call.start(INTERVAL, now=False)

    def _tell(self) -> None:
        percent = 100 * self._done // self._total if self._total else 100
        self._send(codec.format_wait(percent, self._what))
