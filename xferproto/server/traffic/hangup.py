"""
Detect peers that hang up while nothing is read from them.

A paused transport does not notice that its peer is gone, so the system is asked: poll(2).
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from enum import Enum, auto

from xferproto.net.peer import socket_of


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
