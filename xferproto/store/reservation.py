"""
Reserve room for an upload before its bytes come, and keep less of it for a slow one.

Who declares much and sends little would keep the room from everybody else. So a promise covers all
of it for a while, and from then on what the pace of the upload shows that it will use soon.
"""

from __future__ import annotations

WINDOW = 120.0
"""Seconds over which a pace is counted; in the first of them all is kept."""

HORIZON = 3600.0
"""Seconds: what an upload will use in them, at its pace, is kept for it."""


class Promise:
    """
    Room of one upload.

    @param size: bytes that it will use.
    @param now: the time, in seconds of any clock.
    @ivar missing: how many of them it has not used yet.
    @ivar kept: how many of those are kept for it.
    """

    __slots__ = ("_came", "_pace", "_since", "kept", "missing")

    def __init__(self, size: int, now: float) -> None:
        self.missing = self.kept = size
        self._since = now
        self._came = 0
        self._pace: float | None = None

    def use(self, count: int) -> None:
        """So many bytes have come."""
        self.missing -= count
        self.kept = max(0, min(self.missing, self.kept - count))
        self._came += count

    def look(self, now: float) -> None:
        """Keep no more than the pace of the upload shows that it will use."""
        elapsed = now - self._since
        if elapsed >= WINDOW:
            self._pace = self._came / elapsed
            self._since, self._came = now, 0
            self.kept = min(self.kept, self._soon)

    @property
    def _soon(self) -> int:
        if self._pace is None:
            return self.missing
        return min(self.missing, int(self._pace * HORIZON))

    def grow(self, count: int, room: int) -> bool:
        """
        Keep at least C{count} bytes, and what the pace allows: whether they are there.

        @param room: bytes that there are for it, with those that it keeps.
        """
        if count > room:
            return False
        self.kept = max(self.kept, min(room, max(count, self._soon)))
        return True
