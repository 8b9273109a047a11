"""Define the limits of connections, and the options that set them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from xferproto.depot.depot import NO_LIMITS, DepotLimits
from xferproto.model.units import seconds, size
from xferproto.twistd import Options as OneLineOptions

MAX_ERRORS = 20
"""Errors in a row that close a connection, by default."""


BACKLOG = 1024
"""Connections that may wait to be accepted, by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Hold the limits of the connections of one server; 0 means no limit, except for counts.

    @ivar connections: the most connections open at once.
    @ivar per_peer: the most of them from one client network; loopback is not counted.
    @ivar idle: seconds that a client may wait with its next line.
    @ivar stall: seconds that a transfer may make no progress because of its client.
    @ivar minimum_rate: the least bytes a second of a transfer while it waits for its client.
    @ivar minimum_over: the seconds over which that rate is averaged.
    @ivar login_time: seconds that a client without rights has to log in.
    @ivar errors: errors in a row that close a connection.
    @ivar rate: the most bytes a second of each connection, in each direction.
    @ivar total_rate: the most bytes a second of all connections together, in each direction.
    """

    connections: int = 10_000
    per_peer: int = 1_000
    idle: float = 600.0
    stall: float = 60.0
    minimum_rate: int = 100
    minimum_over: float = 300.0
    login_time: float = 60.0
    errors: int = MAX_ERRORS
    rate: int = 0
    total_rate: int = 0


DEFAULTS = Limits()
"""The limits of a server without options."""


def count(value: str) -> int:
    """
    Parse a count.

    @raise ValueError: the text is not a whole number above 0.
    """
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) == 0:
        raise ValueError(f"{value} is not a whole number above 0")
    return int(value)


class LimitOptions(OneLineOptions):
    """Parse the options that set L{Limits}."""

    optParameters = [
        [
            "max-connections",
            None,
            DEFAULTS.connections,
            "Most connections at once; lowered to what the system's limit of open files allows.",
            count,
        ],
        [
            "max-per-peer",
            None,
            DEFAULTS.per_peer,
            "Most connections at once from one address; loopback addresses do not count.",
            count,
        ],
        [
            "backlog",
            None,
            BACKLOG,
            "Most connections that wait to be accepted; lowered to the system's limit.",
            count,
        ],
        [
            "idle-timeout",
            None,
            DEFAULTS.idle,
            "Longest wait for a client's next command, as in 90s or 10m; 0 for no limit.",
            seconds,
        ],
        [
            "stall-timeout",
            None,
            DEFAULTS.stall,
            "Longest time that a transfer waits for its client without progress; 0 for no limit.",
            seconds,
        ],
        [
            "min-rate",
            None,
            DEFAULTS.minimum_rate,
            "Least bytes a second of a transfer, averaged over 5 minutes; 0 for no minimum.",
            size,
        ],
        [
            "login-timeout",
            None,
            DEFAULTS.login_time,
            "Longest wait for the login of a client without rights; 0 for no limit.",
            seconds,
        ],
        ["max-errors", None, DEFAULTS.errors, "Errors in a row that close a connection.", count],
        [
            "quota",
            None,
            None,
            "Most bytes of all files together, as in 1T; no limit by default.",
            size,
        ],
        ["max-tokens", None, NO_LIMITS.tokens, "Most resume tokens of each user.", count],
        [
            "rate",
            None,
            0,
            "Most bytes a second of a connection, in each direction; 0 for no limit.",
            size,
        ],
        [
            "total-rate",
            None,
            0,
            "Most bytes a second of all connections together, in each direction; 0 for no limit.",
            size,
        ],
    ]


def limits_of(options: Any) -> Limits:
    """Return the limits of connections from the options."""
    return Limits(
        connections=options["max-connections"],
        per_peer=options["max-per-peer"],
        idle=options["idle-timeout"],
        stall=options["stall-timeout"],
        minimum_rate=options["min-rate"],
        login_time=options["login-timeout"],
        errors=options["max-errors"],
        rate=options["rate"],
        total_rate=options["total-rate"],
    )


def depot_limits_of(options: Any) -> DepotLimits:
    """Return the limits of the depot from the options."""
    return DepotLimits(
        file_size=options["max-file-size"],
        quota=options["quota"],
        tokens=options["max-tokens"],
    )
