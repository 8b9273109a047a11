"""Directories that are made so that they survive a power cut."""

from __future__ import annotations

import contextlib
from pathlib import Path

from xferproto.files.staged_file import sync_path


def sync_directory(path: Path) -> None:
    """
    Make the names in a directory durable, as far as they can be. Blocks.

    Some file systems have no such thing, and a user with the right to write to a directory may lack
    the one to open it.
    """
    with contextlib.suppress(OSError):
        sync_path(path)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """
    Make a directory, durably. Blocks.

    @param mode: the permissions that it gets, less the process's umask.
    @raise FileExistsError: something has its name.
    """
    path.mkdir(mode=mode)
    sync_directory(path.parent)


def make_directories(path: Path, mode: int = 0o777) -> None:
    """
    Make a directory, durably, with those above it that are not there either. Blocks.

    @param mode: the permissions that the last one gets, less the process's umask.
    @raise FileExistsError: something else than a directory has its name.
    """
    try:
        make_directory(path, mode)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_directories(path.parent)
        make_directories(path, mode)
    except OSError:  # it is there, or can't be made
        if not path.is_dir():
            raise
