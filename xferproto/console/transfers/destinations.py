"""The directories that fetched files are written to, all below one directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from xferproto.console.transfers.local_hashes import hash_small
from xferproto.console.ui.advice import LocalRefusal
from xferproto.files.directories import make_directories, sync_directory
from xferproto.model.errors import XferError
from xferproto.model.escape import quoted


class Destinations:
    """
    Make the directories that fetched files need. All methods block.

    @param root: the directory above all of them; made when the first file needs it.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._real = ""
        self._made: dict[str, Exception | None] = {}
        self._unsynced: set[str] = set()

    def make(self, relative: str) -> Exception | None:
        """
        Make the directories that a file needs.

        @param relative: the file, as the grammar has names.
        @return: why they can't be made; None if they are there.
        """
        above = relative.rpartition("/")[0]
        if above not in self._made:
            try:
                self._make(above)
                self._made[above] = None
            except (OSError, ValueError, XferError) as error:
                self._made[above] = error
        return self._made[above]

    def _make(self, above: str) -> None:
        if not self._real:
            make_directories(Path(self._root))
            self._real = os.path.realpath(self._root)
        path = self._real
        for component in above.split("/") if above else ():
            path = os.path.join(path, component)
            try:
                os.mkdir(path)
                self._unsynced.add(os.path.dirname(path))
            except FileExistsError:
                if not os.path.isdir(path):
                    text = "a file is in the place of a directory"
                    raise OSError(None, text, path) from None
                path = os.path.realpath(path)  # a link that stays inside may be used
                if os.path.commonpath([path, self._real]) != self._real:
                    raise LocalRefusal(
                        f"{quoted(above)} leads out of {self._root} through a symbolic link",
                        "choose another place with -o",
                    ) from None

    def sync(self) -> None:
        """Sync the directories that were made since the last call."""
        unsynced, self._unsynced = self._unsynced, set()
        for directory in unsynced:
            sync_directory(Path(directory))


def sizes(paths: Sequence[str]) -> list[int | None]:
    """Return the size of each regular file, None for anything else. Blocks."""
    found: list[int | None] = []
    for path in paths:
        try:
            status = os.lstat(path)
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append(status.st_size if stat.S_ISREG(status.st_mode) else None)
    return found


def small_hashes(paths: Sequence[str], largest: int) -> list[tuple[int | None, str | None]]:
    """Return the size of each file that is there, and the MD5 of the small ones. Blocks."""
    found = sizes(paths)
    small = [
        path
        for path, size in zip(paths, found, strict=True)
        if size is not None and size <= largest
    ]
    hashes = dict(zip(small, hash_small(small), strict=True))
    return [(size, hashes.get(path)) for path, size in zip(paths, found, strict=True)]
