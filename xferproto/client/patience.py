"""Give a connection up when the server makes no progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Terms(Protocol):
    """
    The settings of L{Patience}.

    @ivar patience: seconds without progress after which a connection is given up; None for no
        limit.
    @ivar clock: counts them.
    """

    patience: float | None
    clock: IReactorTime | None


MIN_RATE = 100
"""
The least bytes a second, over the time of patience, that count as progress, so that a server which
sends a byte now and then does not hold a client. The server has the same rule (C{--min-rate}).
"""

LONGEST_WAIT = 1800.0
"""Seconds for which WAIT lines count as progress although their percentage does not grow."""


class Patience:
    """
    Watch the progress of a server while an answer is awaited.

    Progress is a line of an answer, L{MIN_RATE} bytes a second in either direction, or a WAIT line,
    as long as the percentage grows at least every L{LONGEST_WAIT} seconds.

    @param terms: read when an answer is awaited.
    @param given_up: called when there was no progress for too long.
    """

    def __init__(self, terms: Terms, given_up: Callable[[], object]) -> None:
        self._terms = terms
        self._given_up = given_up
        self._call: IDelayedCall | None = None
        self._bytes = 0
        self._percent = -1
        self._percent_since = 0.0

    def start(self) -> None:
        """Begin to wait for an answer."""
        seconds, clock = self._terms.patience, self._terms.clock
        if self._call is None and seconds is not None and clock is not None:
            self._call = clock.callLater(seconds, self._end)
            self._percent = -1
        self.progressed()

    def stop(self) -> None:
        """Stop waiting for the server."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def progressed(self) -> None:
        """Note progress of the answer."""
        self._bytes = 0
        if self._call is not None and self._terms.patience is not None:
            self._call.reset(self._terms.patience)

    def moved(self, count: int) -> None:
        """Note that bytes were sent or received."""
        self._bytes += count
        seconds = self._terms.patience
        if seconds is not None and self._bytes >= MIN_RATE * seconds:
            self.progressed()

    def waits(self, percent: int) -> None:
        """Note a WAIT line."""
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
