"""Put a new database in the place of the current one, which is kept beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from xferproto.files.staged_file import sync_path

_LOG = "-wal"
_SUFFIXES = (_LOG, "-shm", "-journal")
"""What SQLite appends to the name of a database for the files beside it."""


class Replacement:
    """
    A new database, made under another name.

    @param root: the storage directory.
    @param name: of the database in it that is to be replaced.
    @ivar part: where the new one is made; what an earlier try has left there is removed.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._old = root / name
        self.part = root / f"{self._old.stem}.rebuild.part"
        self.discard()

    def discard(self) -> None:
        """Remove the new database."""
        for path in (self.part, *_beside(self.part)):
            path.unlink(missing_ok=True)

    def retire(self) -> Path | None:
        """
        Keep the old database under another name, where that is returned, and remove it: from here
        to L{install} there is none, so that no server takes an old one for the latest.
        """
        aside = self._keep()
        if aside is not None and self._is_no_file():
            self._old.rename(aside)
        self._old.unlink(missing_ok=True)
        sync_path(self._root)
        self._remove_beside()
        return aside

    def install(self) -> Path | None:
        """
        Give the new database, which is closed, its name; the name under which the old one is kept.
        """
        sync_path(self.part)
        if self._has_log() or self._is_no_file():
            # SQLite would take the old one's log for the new one's.
            aside = self.retire()
        else:
            aside = self._keep()
            self._remove_beside()
        self.part.rename(self._old)
        sync_path(self._root)
        return aside

    def _is_no_file(self) -> bool:
        return os.path.lexists(self._old) and not self._old.is_file()

    def _has_log(self) -> bool:
        log = self._old.with_name(self._old.name + _LOG)
        return log.is_file() and log.stat().st_size > 0

    def _keep(self) -> Path | None:
        """Another name for the old database and its log, of which neither is lost in a crash."""
        if not os.path.lexists(self._old) and not self._has_log():
            return None
        for aside in self._root.glob(f"{self._old.stem}.*.damaged"):
            if not self._has_log() and self._old.is_file() and aside.samefile(self._old):
                return aside  # of a rebuild that was stopped
        now = time.time()
        while True:
            when = time.strftime("%Y%m%dT%H%M%S", time.localtime(now))
            aside = self._root / f"{self._old.stem}.{when}.damaged"
            if not any(map(os.path.lexists, (aside, aside.with_name(aside.name + _LOG)))):
                break
            now += 1
        if self._has_log():
            _link(self._old.with_name(self._old.name + _LOG), aside.with_name(aside.name + _LOG))
        if self._old.is_file():
            _link(self._old, aside)
        sync_path(self._root)
        return aside

    def _remove_beside(self) -> None:
        for path in _beside(self._old):
            path.unlink(missing_ok=True)
        sync_path(self._root)


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _SUFFIXES]


def _link(path: Path, other: Path) -> None:
    """A second name for a file, or a copy of it where the file system has no second names."""
    with contextlib.suppress(OSError):
        os.link(path.resolve(), other)
        return
    shutil.copy2(path, other)
    sync_path(other)
