"""Parse and format sizes and times as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

SIZE_LIMIT = 2**63
"""A size is below this (the range of a signed 64-bit C{off_t})."""

_SIZE = re.compile(r"([0-9]{1,19})\s*(?:([KMGT])(?:iB|B)?|B)?", re.IGNORECASE)


def size(value: str) -> int:
    """
    Parse a number of bytes, as in C{500}, C{64K}, C{10G} or C{1TiB}; units are powers of 1024.

    @raise ValueError: the text is not a size, or the size is not below 2^63.
    """
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value} is not a size; write a number with K, M, G or T, as in 10G")
    number: int = int(match[1]) * 1024 ** ("KMGT".index(match[2].upper()) + 1 if match[2] else 0)
    if number >= SIZE_LIMIT:
        raise ValueError(f"{value} is too large; sizes are below 2^63 bytes")
    return number


def format_size(number: int) -> str:
    """Return the shortest form that L{size} parses as this number: C{10G}, C{1500}."""
    for power, unit in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if number and number % 1024**power == 0:
            return f"{number // 1024**power}{unit}"
    return str(number)


def seconds(value: str) -> float:
    """
    Parse a time in seconds, as in C{90}, C{30m}, C{12h} or C{7d}.

    @raise ValueError: the text is not a time.
    """
    match = re.fullmatch("([0-9]{1,9})([smhd]?)", value.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"{value} is not a time; write a number with s, m, h or d, as in 12h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2].lower() or "s"]


def readable_size(number: int) -> str:
    """Format a number of bytes for people, to about three digits: C{39.1 MiB}, C{1 byte}."""
    if number < 1024:
        return "1 byte" if number == 1 else f"{number} bytes"
    power = 1
    while number >= 1000 * 1024**power:
        power += 1
    amount, unit = number / 1024**power, f"{'KMGTPE'[power - 1]}iB"
    return f"{amount:.3g} {unit}" if amount < 100 else f"{amount:.0f} {unit}"


def duration(seconds: float) -> str:
    """Format a time for people: C{45 s}, C{12 min}, C{3 h 5 min}, C{2 d 4 h}."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s" if seconds >= 1 or not seconds else f"{seconds:.1f} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def iso_time(seconds: float) -> str:
    """Format seconds since the epoch in ISO 8601, UTC: C{2001-02-03T04:05:06.789Z}."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
