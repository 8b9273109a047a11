"""
Set bytes aside: damaged ones, for an investigation, and objects that nothing names.

Everything here blocks.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from xferproto.files.staged_file import FILE_MODE, sync_path
from xferproto.store.local.layout import QUARANTINE, UNNAMED, own_files
from xferproto.store.local.objects import Objects

_UNNAMED_NAME = re.compile(rf"[0-9a-f]{{32}}\.([0-9]+){re.escape(UNNAMED)}")


class Quarantine:
    """
    Sets bytes aside in a storage directory.

    @param root: the storage directory.
    @param objects: its object files.
    """

    def __init__(self, root: Path, objects: Objects) -> None:
        self._root = root
        self._objects = objects

    def add(self, id: str, now: float) -> None:
        """Put an object aside whose bytes are wrong."""
        self._objects.check()
        path = self._objects.path(id)
        with contextlib.suppress(FileNotFoundError):
            path.rename(self._place(id, now))
            sync_path(path.parent)

    def add_bytes(self, id: str, now: float, content: bytes) -> None:
        """Put bytes aside that had no file of their own."""
        self._objects.check()
        fd = os.open(self._place(id, now), os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(content)

    def add_unnamed(self, id: str, now: float) -> None:
        """Put an object aside that nothing names, for a while; with its mark, if it has one."""
        with contextlib.suppress(FileNotFoundError):
            self._objects.path(id).rename(self._place(id, now, UNNAMED))
        self._objects.confirm(id)

    def remove_unnamed(self, before: float) -> None:
        """Remove what was put aside so before a time, in seconds since the epoch."""
        for path in own_files(self._root, QUARANTINE):
            match = _UNNAMED_NAME.fullmatch(path.name)
            if match and float(match[1]) < before:
                path.unlink(missing_ok=True)

    def _place(self, id: str, now: float, suffix: str = "") -> Path:
        """A place in the quarantine where nothing is yet."""
        while os.path.lexists(path := self._root / QUARANTINE / f"{id}.{now:.0f}{suffix}"):
            now += 1
        return path
