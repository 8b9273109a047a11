"""How long a client waits for a server: as long as its answer makes progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Terms(Protocol):
    """
    What a client has to say of it.

    @ivar patience: seconds without progress, after which a connection is given up; None for any.
    @ivar clock: counts them.
    """

    patience: float | None
    clock: IReactorTime | None


MIN_RATE = 100
"""
Bytes a second, over the time of patience, that are progress; fewer are not, so that a server which
sends a byte now and then holds nobody. The server asks the same of its clients (C{--min-rate}).
"""

LONGEST_WAIT = 1800.0
"""Seconds for which WAIT lines count as progress though none tells of more percent than before."""


class Patience:
    """
    Gives a connection up when the server makes no progress.

    Progress is a line of an answer, L{MIN_RATE} bytes a second in either direction, or a WAIT line,
    as long as the percentage grows at least every L{LONGEST_WAIT} seconds.

    @param terms: looked at when an answer is awaited.
    @param given_up: called when there was none for so long.
    """

    def __init__(self, terms: Terms, given_up: Callable[[], object]) -> None:
        self._terms = terms
        self._given_up = given_up
        self._call: IDelayedCall | None = None
        self._bytes = 0
        self._percent = -1
        self._percent_since = 0.0

    def start(self) -> None:
        """An answer is awaited from now on."""
        seconds, clock = self._terms.patience, self._terms.clock
        if self._call is None and seconds is not None and clock is not None:
            self._call = clock.callLater(seconds, self._end)
            self._percent = -1
        self.progressed()

    def stop(self) -> None:
        """Nothing is awaited, or not from the server."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def progressed(self) -> None:
        """The answer is further than it was."""
        self._bytes = 0
        if self._call is not None and self._terms.patience is not None:
            self._call.reset(self._terms.patience)

    def moved(self, count: int) -> None:
        """So many bytes went, or came."""
        self._bytes += count
        seconds = self._terms.patience
        if seconds is not None and self._bytes >= MIN_RATE * seconds:
            self.progressed()

    def waits(self, percent: int) -> None:
        """A WAIT line came."""
        if self._terms.clock is None:
            return
        now = self._terms.clock.seconds()
        if percent > self._percent:
            self._percent, self._percent_since = percent, now
        if now - self._percent_since < LONGEST_WAIT:
            self.progressed()

    def _end(self) -> None:
        self._call = None
        self._given_up()
