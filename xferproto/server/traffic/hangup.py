"""
Peers that hang up while nothing is read from them.

A transport that is paused tells nothing of its peer; the system is asked instead: poll(2).
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from enum import Enum, auto

from xferproto.net.peer import socket_of


class Sign(Enum):
    """What the system knows of a peer."""

    THERE = auto()
    """Nothing that says otherwise."""

    ENDED = auto()
    """
    It sends no more. It may read on: who closes both halves of TCP looks the same at first.
    """

    GONE = auto()
    """There is nobody to read an answer."""


def signs(transports: Sequence[object]) -> list[Sign]:
    """The sign of each peer, from one question to the system; THERE where there is no socket."""
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
    """The sign of one peer."""
    return signs([transport])[0]
