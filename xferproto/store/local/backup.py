"""Copy the catalogue, for the case that it is damaged or lost."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from xferproto.files.staged_file import FILE_MODE, sync_path
from xferproto.store.local.preflight import is_used
from xferproto.store.local.schema import BACKUP, CATALOGUE


class Backup:
    """
    Makes the copy.

    @param root: the storage directory.
    @param writing: the connection that all changes of the catalogue go through.
    """

    def __init__(self, root: Path, writing: sqlite3.Connection) -> None:
        self._root = root
        self._writing = writing
        self._copied: int | None = None  # the changes that are in the copy

    def make(self) -> int:
        """
        Copy the catalogue: the bytes of the copy, 0 where nothing was changed since the last one,
        or no file was ever stored. Blocks.

        @raise OSError: the copy can't be written.
        @raise sqlite3.Error: so says the database, or the catalogue can't be read.
        """
        changes = self._writing.total_changes
        if changes == self._copied or not is_used(self._root / CATALOGUE):
            return 0
        size = _copy(self._root / CATALOGUE, self._root / BACKUP)
        self._copied = changes
        return size


def _copy(path: Path, copy: Path) -> int:
    """
    Copy a catalogue that is in use, while it is used: the bytes of the copy. Blocks for as long as
    that takes.

    The copy replaces an older one when it is complete, sound and on the disk.
    """
    part = copy.with_suffix(".part")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    part.unlink(missing_ok=True)
    try:
        part.touch(mode=FILE_MODE)  # names are nobody else's business, whatever the umask
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as old,
            contextlib.closing(sqlite3.connect(part)) as new,
        ):
            # One transaction: else each commit meanwhile lets the copying begin again.
            old.execute("BEGIN")
            old.execute("SELECT 1 FROM sqlite_schema").fetchone()
            old.backup(new, pages=1024, sleep=0.005)
            _check(new)
        sync_path(part)
        size = part.stat().st_size
        part.rename(copy)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_path(copy.parent)
    return size


def _check(copy: sqlite3.Connection) -> None:
    """
    Keep the damage of a catalogue out of its copy.

    @raise sqlite3.DatabaseError: it is damaged.
    """
    (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    # SQLite 3.40 finds NULL in sound tables without rowids; what it finds in pages comes before.
    if found != "ok" and not str(found).startswith("NULL value in "):
        raise sqlite3.DatabaseError(f"the catalogue is damaged: {str(found).splitlines()[-1]}")
