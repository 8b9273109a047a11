"""
Detect peers that hang up while nothing is read from them.

A paused transport does not notice that its peer is gone, so the system is asked: poll(2).
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from xferproto.net.peer import is_encrypted, keep_alive, socket_of

KEEP_ALIVE = (60, 10, 6)
"""
When the system asks a silent peer whether it is there, in seconds: after so many, again after so
many, so often. So a machine that is gone is noticed within two minutes, in every state.
"""

KEEP_ALIVE_ENDED = (5, 5, 6)
"""
The same for a peer that sends no more. A system whose program has closed both halves says that it
knows nothing of the connection when it has forgotten it, after a minute.
"""


class Sign(Enum):
    """What the system knows about the peer of a connection."""

    THERE = auto()
    """It is connected, as far as the system knows."""

    ENDED = auto()
    """
    It has half-closed: it sends no more. It may still read; a peer that has closed both halves of
    TCP looks the same at first.
    """

    GONE = auto()
    """The connection is lost, so that nobody reads an answer."""


def signs(transports: Sequence[object]) -> list[Sign]:
    """Return the sign of each peer, with one call of poll(2); THERE for those without a socket."""
    found = [Sign.THERE] * len(transports)
    if not hasattr(select, "poll"):  # not on every system
        return found
    ended = getattr(select, "POLLRDHUP", 0)
    places: dict[int, int] = {}
    poll = select.poll()
    for place, transport in enumerate(transports):
        socket = socket_of(transport)
        if socket is not None and (descriptor := socket.fileno()) >= 0:
            places[descriptor] = place
            poll.register(descriptor, ended)
    if not places:
        return found
    for descriptor, event in poll.poll(0):
        gone = event & (select.POLLERR | select.POLLHUP)
        found[places[descriptor]] = Sign.GONE if gone else Sign.ENDED
    return found


def sign_of(transport: object) -> Sign:
    """Return the sign of one peer."""
    return signs([transport])[0]


class Presence:
    """
    Know whether the peer of one connection is there.

    @ivar transport: that of the connection, once it is made.
    """

    __slots__ = ("_end_seen", "transport")

    transport: Any

    def __init__(self) -> None:
        self._end_seen = False

    def sign(self, working: bool, input_ended: bool) -> Sign:
        """
        Return whether the peer is there, as far as is known now.

        @param working: whether a request is worked on, of which nothing was answered yet.
        @param input_ended: whether the end of what the peer sends was read.
        """
        sign = self._meant(sign_of(self.transport), working)
        return Sign.ENDED if sign is Sign.THERE and input_ended else sign

    def hung_up(self, sign: Sign, working: bool) -> None:
        """The peer has hung up, as C{sign} says, while nothing was read from it."""
        if self._meant(sign, working) is Sign.GONE:
            self.transport.abortConnection()
        elif not self._end_seen:
            self._end_seen = True
            keep_alive(self.transport, *KEEP_ALIVE_ENDED)

    def _meant(self, sign: Sign, working: bool) -> Sign:
        if sign is Sign.ENDED and working and is_encrypted(self.transport):
            return Sign.GONE  # no half of a TLS connection can be closed
        return sign
