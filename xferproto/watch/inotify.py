"""
Receive Linux's reports of changes below a directory (inotify(7)).

Twisted's own C{twisted.internet.inotify} ends when a watched subdirectory is deleted, and reports
neither an overflow nor why a directory can't be watched; so this calls the C library itself.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_UNMOUNT = 0x2000
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_DONT_FOLLOW = 0x2000000
IN_EXCL_UNLINK = 0x4000000
IN_ISDIR = 0x40000000
"""From C{<sys/inotify.h>}."""

MASK = (
    *(IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE, IN_DELETE_SELF, IN_MOVE_SELF),
    *(IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK),
)

_HEAD = struct.Struct("=iIII")
"""Watch, mask, cookie and length of the name."""

_READ = 256 * 1024


class Sign(enum.Enum):
    """
    The event by which a file was seen.

    @cvar SEEN: it is there; nothing more is known.
    @cvar CLOSED: a process of any user has written and closed it.
    @cvar RENAMED: it was renamed to its path, and was complete before.
    """

    SEEN = "seen"
    CLOSED = "closed"
    RENAMED = "renamed"


@dataclass
class Changes:
    """
    The changes that were reported.

    @ivar files: paths of entries that appeared or were written, relative to the directory, each
        with its last event.
    @ivar directories: paths of directories that appeared.
    @ivar everything: whether reports were lost, so that a scan of the whole is needed.
    """

    files: dict[str, Sign] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    everything: bool = False


@implementer(IReadDescriptor)
class Inotify:
    """
    Watch directories, and report changes in them.

    @param root: the directory that all paths are relative to.
    @param on_changes: called with changes, on the reactor's thread.
    @ivar refused: why the last directory could not be watched, if so.
    @raise OSError: the system has no inotify, or too many instances are in use.
    """

    def __init__(self, root: Path, on_changes: Callable[[Changes], object]) -> None:
        self.refused: OSError | None = None
        self._root = os.fspath(root)
        self._on_changes = on_changes
        self._lock = threading.Lock()  # directories are entered on a thread
        self._paths: dict[int, tuple[str, int]] = {}
        self._round = 0
        library = ctypes.CDLL(None, use_errno=True)
        try:
            self._add = library.inotify_add_watch
            self._remove = library.inotify_rm_watch
            initialise = library.inotify_init1
        except AttributeError:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
        self._fd: int = initialise(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    # On a thread

    def begin_round(self) -> None:
        """Note that a scan of the whole begins."""
        self._round += 1

    def enter(self, path: str) -> None:
        """Watch a directory from now on."""
        whole = os.fsencode(f"{self._root}/{path}")
        with self._lock:  # no event may be read before its watch is in the table
            if self._fd < 0:
                return
            watch: int = self._add(self._fd, whole, ctypes.c_uint32(sum(MASK)))
            if watch >= 0:
                self._paths[watch] = (path, self._round)
                return
        number = ctypes.get_errno()
        if number in (errno.ENOSPC, errno.ENOMEM):
            self.refused = OSError(number, os.strerror(number))

    def end_round(self) -> None:
        """Stop watching directories that the scan has not seen."""
        with self._lock:
            old = [watch for watch, (_, seen) in self._paths.items() if seen != self._round]
            for watch in old:
                del self._paths[watch]
                if self._fd >= 0:
                    self._remove(self._fd, watch)

    # On the reactor's thread

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "inotify"

    def doRead(self) -> None:
        """Read the waiting events."""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        changes = Changes()
        with self._lock:
            start = 0
            while start < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, start)
                start += _HEAD.size
                name = os.fsdecode(data[start : start + length].rstrip(b"\0"))
                start += length
                self._take(watch, mask, name, changes)
        self._on_changes(changes)

    def _take(self, watch: int, mask: int, name: str, changes: Changes) -> None:
        if mask & (IN_Q_OVERFLOW | IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT):
            changes.everything = True
        if mask & IN_IGNORED:
            self._paths.pop(watch, None)
        elif name and (known := self._paths.get(watch)) is not None:
            path = f"{known[0]}/{name}" if known[0] else name
            if mask & IN_ISDIR:
                changes.directories.append(path)
            else:
                changes.files[path] = _sign(mask)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching."""
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def _sign(mask: int) -> Sign:
    if mask & IN_MOVED_TO:
        return Sign.RENAMED
    return Sign.CLOSED if mask & IN_CLOSE_WRITE else Sign.SEEN


def start_inotify(reactor: Any, root: Path, on_changes: Callable[[Changes], object]) -> Inotify:
    """
    Watch directories, and let the reactor read the events.

    @raise OSError: as for L{Inotify}.
    """
    inotify = Inotify(root, on_changes)
    reactor.addReader(inotify)
    return inotify
