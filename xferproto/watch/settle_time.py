"""Which files have stopped changing."""

from __future__ import annotations

from xferproto.watch.walk import Found, Identity

LONG_AGO = 60.0
"""
Seconds, beside the time to settle, after which a file that was not changed need not be observed:
its own times tell. Clocks of file servers may differ by less.
"""

_NS = 1e9


class SettleTimer:
    """
    Files that were seen, until they have not changed for a while.

    @param seconds: that while.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # In order of the times, because each file that is new or has changed is put at the end.
        self._files: dict[str, tuple[Identity, float]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def settled(self, file: Found, now: float, wall: float) -> bool:
        """
        A file was seen: whether it has settled. If so, it is one of these no more.

        @param now: a time that only goes forward, in seconds.
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
        """A file has to settle from now on."""
        self._files.pop(file.path, None)
        self._files[file.path] = (file.identity, now)

    def holds(self, file: Found) -> bool:
        """Whether a file is one of these, as it is."""
        known = self._files.get(file.path)
        return known is not None and known[0] == file.identity

    def due(self, now: float, most: int) -> list[str]:
        """Files that are to be looked at now, at most so many."""
        found: list[str] = []
        for path, (_, since) in self._files.items():
            if now - since < self._seconds or len(found) == most:
                break
            found.append(path)
        return found

    def next_due(self) -> float | None:
        """When one is to be looked at; None where there are none."""
        for _, since in self._files.values():
            return since + self._seconds
        return None

    def drop(self, path: str) -> None:
        """It is not to be looked at any more."""
        self._files.pop(path, None)
