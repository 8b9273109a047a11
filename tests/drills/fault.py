"""What can go wrong on one connection."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a fault does."""

    CUT = "cut"  # both sides see an orderly end
    RESET = "reset"  # both sides see a reset
    STALL = "stall"  # nothing moves for a while, then all goes on
    HALF_OPEN = "half-open"  # what is sent is lost, both ways, and a reset comes much later
    SPLIT = "split"  # bytes come three at a time
    DELAY = "delay"  # everything comes late
    FLIP = "flip"  # one bit is turned over


class Way(enum.Enum):
    """A direction."""

    UP = "client to server"
    DOWN = "server to client"


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What is to go wrong on one connection.

    @ivar kind: what.
    @ivar way: in which direction its position is counted; a split, delay or flip affects it alone.
    @ivar at: how many bytes go through before it strikes; a flip is in the byte behind them.
    @ivar seconds: how long a stall or half-open connection lasts, or how late bytes come.
    @ivar bit: which bit is flipped, 0 to 7.
    """

    kind: Kind
    way: Way
    at: int
    seconds: float = 0.0
    bit: int = 0
