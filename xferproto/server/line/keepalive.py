"""WAIT lines: what a client hears while a long piece of work keeps it waiting."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from xferproto.wire import codec

INTERVAL = 5.0
"""Seconds between two WAIT lines, and before the first."""


class Waiting:
    """
    A context in which WAIT lines are sent.

    @param clock: tells when.
    @param send: sends a line.
    @param what: what is being done, in a word or two.
    @param total: the bytes that it is done to.
    """

    def __init__(
        self, clock: IReactorTime, send: Callable[[bytes], None], what: str, total: int
    ) -> None:
        self._send = send
        self._what = what
        self._total = total
        self._done = 0
        self._call = LoopingCall(self._tell)
        self._call.clock = clock

    def __enter__(self) -> Waiting:
        self._call.start(INTERVAL, now=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call.stop()

    def progressed(self, done: int) -> None:
        """C{done} bytes of all are through."""
        self._done = done

    def _tell(self) -> None:
        percent = 100 * self._done // self._total if self._total else 100
        self._send(codec.format_wait(percent, self._what))
