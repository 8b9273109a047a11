"""What no one may exceed: the limits of a server, and the options that set them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from xferproto.depot.depot import NO_LIMITS, DepotLimits
from xferproto.model.units import seconds, size
from xferproto.twistd import Options as OneLineOptions

MAX_ERRORS = 20
"""So many errors in a row close the connection, unless the operator says otherwise."""


BACKLOG = 1024
"""So many connections may wait to be accepted, unless the operator says otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The limits of one server; where C{None} or 0 is allowed, it is no limit.

    @ivar connections: how many may be open at once.
    @ivar per_peer: how many of them from one address; this machine's own are not counted.
    @ivar idle: seconds that a peer has for its next line.
    @ivar stall: seconds for which no byte of a payload may come, or none be taken; 0 for ever.
    @ivar minimum_rate: bytes a second that a transfer must move while it waits for its peer.
    @ivar minimum_over: seconds over which that is counted.
    @ivar login_time: seconds in which one who may do nothing must have logged in.
    @ivar errors: so many errors in a row close the connection.
    @ivar rate: bytes a second, each way, for each connection.
    @ivar total_rate: bytes a second, each way, for all connections together.
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
"""The limits of a server whose operator says nothing."""


def count(value: str) -> int:
    """
    How many of something.

    @raise ValueError: it is no number above 0.
    """
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) == 0:
        raise ValueError(f"{value} is no number above 0")
    return int(value)


class LimitOptions(OneLineOptions):
    """The options that set L{Limits}."""

    optParameters = [
        [
            "max-connections",
            None,
            DEFAULTS.connections,
            "Connections at once, in all, as far as the system lets one have so many files open.",
            count,
        ],
        [
            "max-per-peer",
            None,
            DEFAULTS.per_peer,
            "Connections at once from one address; this machine's own are not counted.",
            count,
        ],
        [
            "backlog",
            None,
            BACKLOG,
            "Connections that may wait to be accepted, as far as the system lets so many.",
            count,
        ],
        [
            "idle-timeout",
            None,
            DEFAULTS.idle,
            "How long a client may wait with its next command, as in 90s or 10m; 0 for ever.",
            seconds,
        ],
        [
            "stall-timeout",
            None,
            DEFAULTS.stall,
            "How long a transfer may stand still for its client; 0 for ever.",
            seconds,
        ],
        [
            "min-rate",
            None,
            DEFAULTS.minimum_rate,
            "Bytes a second that a transfer must move over 5 minutes; 0 for any.",
            size,
        ],
        [
            "login-timeout",
            None,
            DEFAULTS.login_time,
            "How long a client that may do nothing has to log in; 0 for ever.",
            seconds,
        ],
        ["max-errors", None, DEFAULTS.errors, "Errors in a row that close a connection.", count],
        ["quota", None, None, "The most bytes of all files together; if not given, any.", size],
        ["max-tokens", None, NO_LIMITS.tokens, "Uploads under tokens, of each user.", count],
        ["rate", None, 0, "Bytes a second, each way, for a connection; 0 for any.", size],
        ["total-rate", None, 0, "Bytes a second, each way, for all together; 0 for any.", size],
    ]


def limits_of(options: Any) -> Limits:
    """The limits that L{LimitOptions} have come to."""
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
    """The limits of what is stored that the options of the server have come to."""
    return DepotLimits(
        file_size=options["max-file-size"],
        quota=options["quota"],
        tokens=options["max-tokens"],
    )
