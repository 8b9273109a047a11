"""How a connection is closed, so that its peer gets the last line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LINGER = 2.0
"""
Seconds for which a server still reads, once its last line is on its way: closing with bytes unread
makes a reset, and that would take the line away from the peer.
"""

CLOSE_TIMEOUT = 60.0
"""Seconds that a peer has to read what it is sent before the server closes."""


class Closing:
    """
    Close one connection.

    @param on_begin: called once, before anything else, when it begins to be closed.
    @ivar transport: that of the connection, once it is made.
    @ivar input_ended: whether the peer sends no more.
    """

    __slots__ = ("_begun", "_clock", "_lost", "_on_begin", "_timer", "input_ended", "transport")

    transport: Any

    def __init__(self, clock: IReactorTime, on_begin: Callable[[], None]) -> None:
        self.input_ended = False
        self._clock = clock
        self._on_begin = on_begin
        self._timer: IDelayedCall | None = None
        self._begun = self._lost = False

    @property
    def begun(self) -> bool:
        """Whether the connection is being closed, or is lost."""
        return self._begun

    def close(self) -> None:
        """Close when the peer has the last line; what it still sends is dropped."""
        if self._begun:
            return
        # A TLS transport can't close one half, though it passes the attribute on.
        one_half = hasattr(self.transport, "loseWriteConnection") and not self._encrypted
        if not one_half or self.input_ended:
            self.disconnect()
            return
        self._begin()
        self.transport.unregisterProducer()
        self._after(CLOSE_TIMEOUT, self.transport.abortConnection)
        self.transport.loseWriteConnection()

    def disconnect(self) -> None:
        """Close once the last line is on its way: the peer has nothing more to say."""
        if not self._begun:
            self._begin()
            self.transport.unregisterProducer()
            if self._encrypted:  # whose peer has to agree
                self._after(CLOSE_TIMEOUT, self.transport.abortConnection)
        self.transport.loseConnection()

    def cut_off(self) -> None:
        """Close with a reset: the peer must not take what it got for the whole."""
        if not self._begun:
            self._begin()
        self.transport.abortConnection()

    def half_closed(self) -> None:
        """All is sent, and our half is closed: read on for a moment."""
        self._after(LINGER, self.transport.loseConnection)

    def end(self) -> None:
        """The connection is lost."""
        self._begun = self._lost = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _begin(self) -> None:
        self._begun = True
        self._on_begin()

    @property
    def _encrypted(self) -> bool:
        return hasattr(self.transport, "getPeerCertificate")

    def _after(self, seconds: float, close: Callable[[], None]) -> None:
        """Close after some time, instead of when that was to be before."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self._lost:
            self._timer = self._clock.callLater(seconds, close)
