"""Where a download is written: aside, until it is proven."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from xferproto.errors import TargetExists
from xferproto.store.objects import IncomingFile, sync_directory


class PartFile:
    """
    A download on its way, in a hidden file beside the one it will become.

    All methods block.

    @param target: the final path.
    @param replace: whether a file that is there already may be replaced.
    @raise TargetExists: it may not.
    @raise OSError: the directory can't be written to.
    """

    def __init__(self, target: Path, replace: bool) -> None:
        self._target = target
        self._replace = replace
        self._check()
        self._file = IncomingFile(target.with_name(f".{secrets.token_hex(8)}.part"), 0o666)

    def _check(self) -> None:
        if self._target.is_dir() or (not self._replace and os.path.lexists(self._target)):
            raise TargetExists(f"{self._target} is there already; nothing was written.")

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append bytes."""
        self._file.write(blocks)

    def publish(self) -> None:
        """
        Give the proven bytes their final name, durably.

        @raise TargetExists: another file took the name meanwhile.
        """
        self._file.sync()
        if self._replace:
            self._file.path.rename(self._target)
        else:
            try:
                os.link(self._file.path, self._target)  # unlike a rename, it never replaces
            except FileExistsError:
                raise TargetExists(f"{self._target} is there already.") from None
            self._file.path.unlink()
        sync_directory(self._target.parent)

    def discard(self) -> None:
        """Remove what was written; does nothing once it is published."""
        self._file.discard()


def local_name(name: str) -> str:
    """
    The file name to use for a stored name: its last component.

    The grammar has refused C{..}, absolute paths and the like; the other components are dropped, so
    that no name from a server decides on a directory.
    """
    return name.rpartition("/")[2]
