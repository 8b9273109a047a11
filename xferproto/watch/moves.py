"""Move or delete finished files, if they are still the ones that were sent."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from xferproto.files.staged_file import sync_path
from xferproto.watch.directory import ASIDE, FAILED, SENT
from xferproto.watch.open_writers import OpenWriters, Writing
from xferproto.watch.options import Done
from xferproto.watch.reason_file import REASON, is_reason
from xferproto.watch.rename import make_directories, names, rename
from xferproto.watch.walk import Found, Identity, look

WRITTEN = ".xfer-watch.reason"
"""The temporary name of a reason file, in its final directory."""


WRITTEN_STILL = "a process has it open for writing"
"""Why a file stays for a while: bytes written after the move would not be sent."""


class End(enum.Enum):
    """
    The way in which a file was finished.

    @cvar MOVED: it was moved.
    @cvar DELETED: it was deleted.
    @cvar LEFT: it was left in place, as configured.
    @cvar CHANGED: another file, or other bytes, are there now; they were not touched.
    @cvar VANISHED: the file is gone.
    @cvar STUCK: it can't be moved or deleted.
    """

    MOVED = "moved"
    DELETED = "deleted"
    LEFT = "left"
    CHANGED = "changed"
    VANISHED = "vanished"
    STUCK = "stuck"


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of finishing a file.

    @ivar where: its path now, relative to the directory.
    @ivar reason: why it is stuck.
    @ivar doubtful: whether a process may have it open, and still write to it.
    """

    end: End
    where: str = ""
    reason: str = ""
    doubtful: bool = False


class Mover:
    """
    Move or delete finished files. All methods block, and are called on one thread at a time.

    A file is moved first and checked then, because another file could take its place between a
    check and a move. If it is another one, it is moved back.

    @param root: the watched directory.
    @param done: what to do with files that were sent.
    @param writers: finds out who has them open.
    @param returned: gets device and inode of files that are moved back.
    """

    def __init__(
        self,
        root: Path,
        done: Done,
        writers: OpenWriters,
        returned: set[tuple[int, int]] | None = None,
    ) -> None:
        self._returned = set() if returned is None else returned
        self._root = root
        self._writers = writers
        self._done = done
        self._touched: set[Path] = set()

    def sent(self, file: Found, id: str) -> Outcome:
        """
        Finish a file that was sent.

        @param id: the id that it was stored under.
        """
        now = look(self._root, file.path)
        if now is None:
            return Outcome(End.VANISHED)
        if not now.same_bytes(file.identity):
            return Outcome(End.CHANGED)
        if self._done is Done.LEAVE:
            return Outcome(End.LEFT)
        writing = self._writers.of(self._root / file.path, now)
        if writing is Writing.SOMEBODY:
            return Outcome(End.STUCK, reason=WRITTEN_STILL)
        if self._done is Done.MOVE:
            outcome = self._tried(file, lambda: self._move(file, SENT, id))
            return replace(outcome, doubtful=writing is Writing.UNKNOWN)
        return self._tried(file, lambda: self._delete(file))

    def failed(self, file: Found, reason: str) -> Outcome:
        """
        Move a file that can't be stored to L{FAILED}.

        @param reason: the text of its reason file.
        """
        now = look(self._root, file.path)
        if now is None:
            return Outcome(End.VANISHED)
        if not now.same_bytes(file.identity):
            return Outcome(End.CHANGED)
        return self._tried(file, lambda: self._move(file, FAILED, None, reason))

    def sync(self) -> None:
        """Make all moves durable, so that none is undone by a power cut."""
        touched, self._touched = self._touched, set()
        for directory in touched:
            with contextlib.suppress(OSError):  # some file systems have no such thing
                sync_path(directory)

    def _tried(self, file: Found, move: Callable[[], Outcome]) -> Outcome:
        try:
            return move()
        except OSError as error:
            if look(self._root, file.path) is None:
                return Outcome(End.VANISHED)
            return Outcome(End.STUCK, reason=error.strerror or str(error))

    def _move(self, file: Found, below: str, mark: str | None, reason: str = "") -> Outcome:
        parent, _, name = file.path.rpartition("/")
        directory = make_directories(self._root, f"{below}/{parent}" if parent else below)
        for candidate in names(name, mark, len(REASON) if reason else 0):
            target = directory / candidate
            if reason and not self._explained(target, reason):
                continue
            try:
                moved = self._moved(file, target)
            except FileExistsError:
                moved = None
            except OSError:
                self._unexplain(target, reason)
                raise
            if moved is None:
                self._unexplain(target, reason)
                continue
            if not moved:
                self._unexplain(target, reason)
                return Outcome(End.CHANGED)
            self._touched |= {(self._root / file.path).parent, directory}
            return Outcome(End.MOVED, str(target.relative_to(self._root)))
        raise AssertionError("there is always another name")

    def _explained(self, target: Path, reason: str) -> bool:
        """Write the reason file of a target, unless the target exists; return whether it was."""
        beside = target.with_name(target.name + REASON)
        if os.path.lexists(target) or (os.path.lexists(beside) and not is_reason(beside)):
            return False
        # Written aside, so that an incomplete reason file, which is not recognised, never exists.
        new = target.with_name(WRITTEN)
        new.unlink(missing_ok=True)
        with new.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(reason)
            file.flush()
            os.fsync(file.fileno())
        beside.unlink(missing_ok=True)
        try:
            rename(new, beside)
        except FileExistsError:
            return False
        return True

    def _unexplain(self, target: Path, reason: str) -> None:
        if reason and not os.path.lexists(target):
            target.with_name(target.name + REASON).unlink(missing_ok=True)

    def _moved(self, file: Found, target: Path) -> bool:
        """
        Move a file, and return whether it was the right one; if not, it was moved back.

        @raise FileExistsError: the target exists.
        """
        source = self._root / file.path
        rename(source, target)
        if Identity.of(target.lstat()).same_bytes(file.identity):
            return True
        self._back(target, source)  # a file that has just appeared must not be lost
        return False

    def _back(self, target: Path, source: Path) -> Path:
        """Move a file back to its path, or beside that, and return where it is."""
        status = target.lstat()
        self._returned.add((status.st_dev, status.st_ino))
        for name in names(source.name):
            with contextlib.suppress(FileExistsError):
                rename(target, source.with_name(name))
                return source.with_name(name)
        raise AssertionError("there is always another name")

    def bring_back(self, where: str, path: str) -> str:
        """
        Move a file back that was changed after it was moved.

        @param where: its path, relative to the directory.
        @param path: its former path.
        @return: its path then: the former one, or beside that.
        @raise OSError: it can't be moved.
        """
        parent, _, name = path.rpartition("/")
        directory = make_directories(self._root, parent)
        back = self._back(self._root / where, directory / name)
        self._touched |= {(self._root / where).parent, directory}
        return str(back.relative_to(self._root))

    def _delete(self, file: Found) -> Outcome:
        aside = make_directories(self._root, ASIDE)
        target = aside / "file"
        try:
            if not self._moved(file, target):
                return Outcome(End.CHANGED)
        except FileExistsError:
            return Outcome(End.STUCK, reason=f"{target} is in the way")
        target.unlink()
        self._touched.add((self._root / file.path).parent)
        return Outcome(End.DELETED)

    def recover(self, was_sent: Callable[[Identity], bool]) -> str | None:
        """
        Finish a deletion during which the process was killed: delete the file, or put it back.

        @param was_sent: whether the depot has a file.
        @return: where it was put back; None if it was not.
        """
        left = self._root / ASIDE / "file"
        identity = look(self._root, f"{ASIDE}/file")
        if identity is None:
            return None
        if was_sent(identity):
            left.unlink()
            return None
        for name in names("recovered"):
            with contextlib.suppress(FileExistsError):
                rename(left, self._root / name)
                return name
        return None
