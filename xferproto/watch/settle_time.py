"""Find out which files have stopped changing."""

from __future__ import annotations

from xferproto.watch.walk import Found, Identity

LONG_AGO = 60.0
"""
Seconds, beside the time to settle, after which an unchanged file need not be observed, because its
own times are old enough. Clocks of file servers may differ by less.
"""

_NS = 1e9


class SettleTimer:
    """
    Observe files until they have not changed for some time.

    @param seconds: that time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Ordered by time, because each file that is new or has changed is put at the end.
        self._files: dict[str, tuple[Identity, float]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def settled(self, file: Found, now: float, wall: float) -> bool:
        """
        Return whether a file has settled; if so, it is no longer observed.

        @param now: a monotonic time, in seconds.
        @param wall: the time of day, in seconds since the epoch.
        """
        path, identity = file
        known = self._files.get(path)
        same = known is not None and known[0] == identity
        since = known[1] if known is not None and same else now
        latest = max(identity.modified, identity.changed) / _NS
        if now - since >= self._seconds or wall - latest >= self._seconds + LONG_AGO:
            self._files.pop(path, None)
            return True
        if not same:
            self.begin(file, now)
        return False

    def begin(self, file: Found, now: float) -> None:
        """Observe a file from now on."""
        self._files.pop(file.path, None)
        self._files[file.path] = (file.identity, now)

    def holds(self, file: Found) -> bool:
        """Whether a file is observed, and unchanged."""
        known = self._files.get(file.path)
        return known is not None and known[0] == file.identity

    def due(self, now: float, most: int) -> list[str]:
        """Return files that have to be looked at now, at most this many."""
        found: list[str] = []
        for path, (_, since) in self._files.items():
            if now - since < self._seconds or len(found) == most:
                break
            found.append(path)
        return found

    def next_due(self) -> float | None:
        """Return when the next file has to be looked at; None if there is none."""
        for _, since in self._files.values():
            return since + self._seconds
        return None

    def drop(self, path: str) -> None:
        """Observe a file no longer."""
        self._files.pop(path, None)
