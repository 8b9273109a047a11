"""Whether somebody has a file open for writing, where the system tells."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

from xferproto.client.watch.walk import Identity

GIVEN = 600.0
"""
Seconds without a change after which it does not count any more that a file is open: a program may
hold it for ever, and on some network file systems every file seems to be open.
"""


class Writers:
    """
    Asks Linux for a read lease (fcntl(2), F_SETLEASE), which it gives for a file that nobody has
    open for writing, and gives it back at once. It tells that to the owner of the file alone, and
    to root; of other files, and on other systems, nothing is known.

    @param wall: the time of day, in seconds since the epoch.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall

    def has(self, path: Path, identity: Identity) -> bool:
        """Whether a file has any, and was changed not long ago. Blocks."""
        latest = max(identity.modified, identity.changed) / 1e9
        return self._wall() - latest < GIVEN and is_open_for_writing(path)


def is_open_for_writing(path: Path) -> bool:
    """Whether it is, for all one can know. Blocks."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # Who opens it while we have the lease has us sent a signal: not the one that kills.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(fd)
    return False
