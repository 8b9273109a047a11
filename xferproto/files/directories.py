"""Create directories so that they survive a power cut."""

from __future__ import annotations

import contextlib
from pathlib import Path

from xferproto.files.staged_file import sync_path


def sync_directory(path: Path) -> None:
    """
    Make the names in a directory durable, if possible. Blocks.

    Some file systems do not support it, and a user who may write to a directory may not be allowed
    to open it.
    """
    with contextlib.suppress(OSError):
        sync_path(path)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """
    Create a directory durably. Blocks.

    @param mode: its permissions, less the umask of the process.
    @raise FileExistsError: the name is taken.
    """
    path.mkdir(mode=mode)
    sync_directory(path.parent)


def make_directories(path: Path, mode: int = 0o777) -> None:
    """
    Create a directory durably, with its missing parents. Blocks.

    @param mode: the permissions of the last one, less the umask of the process.
    @raise FileExistsError: something that is not a directory has the name.
    """
    try:
        make_directory(path, mode)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_directories(path.parent)
        make_directories(path, mode)
    except OSError:  # it exists, or can't be created
        if not path.is_dir():
            raise
