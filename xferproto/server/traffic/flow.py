"""Whether, and in what pieces, a connection reads from its peer."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

LINE_BUFFER = 64 * 1024
"""Bytes read from a socket at once in line mode, where every line is split off the whole."""

RAW_BUFFER = 1024 * 1024
"""Bytes read from a socket at once in raw mode."""


class Hold(Enum):
    """A reason to read nothing for now."""

    STATE = auto()
    """A request is worked on, or answered."""

    STOPPING = auto()
    """The server stops, and begins no further request."""

    OUTPUT = auto()
    """The peer does not read what it is sent."""

    UPLOAD = auto()
    """The disk does not follow, or the quota has to be looked at."""

    BANDWIDTH = auto()
    """More bytes went, either way, than this second allows."""

    REPLIES = auto()
    """The replies that are owed take too much memory."""


class Flow:
    """
    Hold the reading from a peer for as long as there is any reason to.

    @param pause: called when the first reason comes up.
    @param resume: called when the last one is gone.
    """

    __slots__ = ("_ended", "_largest", "_pause", "_reasons", "_resume", "_socket")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._reasons: set[Hold] = set()
        self._ended = False
        self._socket: Any = None
        self._largest = RAW_BUFFER

    def regulate(self, socket: object, largest: int | None) -> None:
        """
        Set how much is read at once from now on, where that can be set.

        @param socket: the lowest transport; L{twisted.internet.tcp.Connection} has a C{bufferSize}.
        @param largest: the most bytes, where the bandwidth is limited.
        """
        self._socket = socket if hasattr(socket, "bufferSize") else None
        if largest is not None:
            self._largest = largest

    def expect(self, count: int) -> None:
        """So many bytes of a payload are worth reading at once; 0 for lines."""
        if self._socket is not None:
            size = max(LINE_BUFFER, min(RAW_BUFFER, count))
            self._socket.bufferSize = min(size, self._largest)

    @property
    def held(self) -> bool:
        """Whether there is any reason now."""
        return bool(self._reasons)

    def holds(self, reason: Hold) -> bool:
        """Whether this is a reason now."""
        return reason in self._reasons

    def set(self, reason: Hold, held: bool) -> None:
        """Hold the reading for a reason, or no longer."""
        reasons = self._reasons
        if held:
            if reason not in reasons and not self._ended:
                reasons.add(reason)
                if len(reasons) == 1:
                    self._pause()
        elif reason in reasons:
            reasons.discard(reason)
            if not reasons:
                self._resume()

    def open(self) -> None:
        """Read on from now on, whatever comes up: what is read is dropped."""
        self._ended = True
        if self._reasons:
            self._reasons.clear()
            self._resume()

    def end(self) -> None:
        """Pause and resume no more: the connection is lost."""
        self._ended = True
        self._reasons.clear()
