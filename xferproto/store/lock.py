"""The lock on a storage directory: one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from xferproto.errors import StorageUnavailable
from xferproto.store.directories import make_directories
from xferproto.store.incoming import FILE_MODE
from xferproto.store.objects import DIRECTORY_MODE


def lock_directory(root: Path) -> int:
    """Make the directory and take it for this process: a file descriptor that holds the lock."""
    try:
        make_directories(root, DIRECTORY_MODE)
        fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise StorageUnavailable(
            f"The storage directory {root} can't be used: {error.strerror}."
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise StorageUnavailable(
            f"The storage directory {root} is in use by another server."
        ) from error
    return fd
