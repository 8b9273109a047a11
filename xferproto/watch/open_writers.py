"""Find out whether a process has a file open for writing, if the system reports it."""

from __future__ import annotations

import enum
import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

from xferproto.watch.walk import Identity

GIVEN = 600.0
"""
Seconds without a change after which an open file no longer counts as open: a program may never
close it, and on some network file systems every file seems to be open.
"""


class Writing(enum.Enum):
    """
    Whether a file is open for writing.

    @cvar NOBODY: nobody has it open.
    @cvar SOMEBODY: at least one process has it open.
    @cvar UNKNOWN: the system does not say, or the file has been open unchanged for L{GIVEN}.
    """

    NOBODY = "nobody"
    SOMEBODY = "somebody"
    UNKNOWN = "unknown"


class OpenWriters:
    """
    Ask Linux for a read lease (fcntl(2), F_SETLEASE), which it grants for a file that no process
    has open for writing, and give it back at once. Linux grants it to the owner of the file and
    root only; of other files, and on other systems, nothing is known.

    @param wall: returns the time of day, in seconds since the epoch.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall

    def of(self, path: Path, identity: Identity) -> Writing:
        """Whether a file is open for writing. Blocks."""
        writing = writers_of(path)
        latest = max(identity.modified, identity.changed) / 1e9
        if writing is Writing.SOMEBODY and self._wall() - latest >= GIVEN:
            return Writing.UNKNOWN
        return writing


def writers_of(path: Path) -> Writing:
    """Whether a regular file is open for writing. Blocks."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return Writing.UNKNOWN
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return Writing.UNKNOWN
    try:
        # If a process opens the file during the lease, this one gets a signal: not the deadly one.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return Writing.SOMEBODY if error.errno == errno.EAGAIN else Writing.UNKNOWN
    finally:
        os.close(fd)
    return Writing.NOBODY
