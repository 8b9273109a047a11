"""
Rebuild a lost or damaged catalogue from the stored contents.

Ids, sizes and both hashes come from the contents, objects and small ones: every byte is hashed.
Names, owners and times come from the readable part of the old catalogue, then from its last copy
and from the catalogues that earlier rebuilds have set aside. A content without a known name gets
the name C{recovered/ID}.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xferproto.files.staged_file import sync_path
from xferproto.model.escape import quoted
from xferproto.store.local.database_swap import Replacement
from xferproto.store.local.layout import (
    ID_LENGTH,
    QUARANTINE,
    UNNAMED,
    is_id,
    object_files,
    own_files,
)
from xferproto.store.local.objects import DIRECTORY_MODE, Objects
from xferproto.store.local.packed import SMALL, PackedContents
from xferproto.store.local.quarantine import Quarantine
from xferproto.store.local.salvage import RECOVERED, RECOVERED_OWNER, known, small_rows
from xferproto.store.local.schema import CATALOGUE, Content, open_database


@dataclass
class Rebuilt:
    """
    Count the results of a rebuild.

    @ivar contents: the contents that are listed now.
    @ivar entries: their names.
    @ivar nameless: the names of the form C{recovered/ID}.
    @ivar missing: the contents of the old catalogue whose bytes are missing.
    @ivar quarantined: the objects and rows that did not hash to their ids, and were set aside.
    @ivar unread: the objects that could not be read.
    @ivar damaged: whether the database of small contents was damaged; rows of it may be missing.
    """

    contents: int = 0
    entries: int = 0
    nameless: int = 0
    missing: int = 0
    quarantined: int = 0
    unread: int = 0
    damaged: bool = False


class _Rebuild:
    """
    Run one rebuild.

    @param root: the storage directory.
    @param notify: called with a line about each thing that can't be listed.
    """

    def __init__(self, root: Path, notify: Callable[[str], None]) -> None:
        self._root = root
        self._notify = notify
        self._objects = Objects(root)
        self._quarantine = Quarantine(root, self._objects)
        self._known = known(root)
        self._listed: set[str] = set()
        self._found: set[str] = set()
        self._result = Rebuilt()
        self._catalogue = Replacement(root, CATALOGUE)
        self._new_small = Replacement(root, SMALL)

    def run(self) -> Rebuilt:
        """Make the new catalogue, and put it in place."""
        self._take_back()
        try:
            self._make()
        finally:
            self._catalogue.discard()
            self._new_small.discard()
        for id in list(self._objects.marked()):
            self._objects.confirm(id)
        return self._result

    def _take_back(self) -> None:
        """Restore objects that were set aside because the catalogue had no name of them."""
        for path in own_files(self._root, QUARANTINE):
            place = self._objects.path(path.name[:ID_LENGTH])
            if path.name.endswith(UNNAMED) and not os.path.lexists(place):
                place.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
                sync_path(place.parent.parent)
                path.rename(place)
                sync_path(place.parent)

    def _make(self) -> None:
        with contextlib.ExitStack() as opened:
            small, small_in_place = self._small()
            if small is not None:
                opened.enter_context(contextlib.closing(small))
            needless = self._fill(small)
            if small is not None and not small_in_place:
                _clean(small, needless)
        if not small_in_place:
            # No server starts without a catalogue: none starts until both databases are in place.
            self._notify_kept(self._catalogue.retire(), CATALOGUE)
            self._notify_kept(self._new_small.install(), SMALL)
        self._notify_kept(self._catalogue.install(), CATALOGUE)
        if small_in_place and (self._root / SMALL).exists():
            with contextlib.closing(PackedContents(self._root)) as small:
                _clean(small, needless)

    def _fill(self, small: PackedContents | None) -> list[tuple[int, str]]:
        """Fill the new catalogue; return the rows of small contents that it does not need."""
        with contextlib.closing(open_database(self._catalogue.part)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._list_objects(connection)
            needless = [] if small is None else self._list_small(connection, small)
            for id in sorted(self._known.expected - self._listed):
                if id not in self._found:
                    names = ", ".join(quoted(name) for name, _ in self._known.names[id])
                    self._notify(f"the bytes of {id} are missing; its names were {names}")
                    self._result.missing += 1
                self._list_damaged(connection, id)
            connection.executemany(
                "INSERT INTO partial (token, name, size, started, idle) VALUES (?, ?, ?, ?, ?)",
                [
                    (one.token, one.name, one.size, one.started, one.idle)
                    for one in self._known.partials
                ],
            )
            connection.execute("COMMIT")
        return needless

    def _notify_kept(self, aside: Path | None, name: str) -> None:
        if aside is not None:
            self._notify(f"the old {name} is kept as {aside.name}")

    def _list_objects(self, connection: sqlite3.Connection) -> None:
        for path in object_files(self._root, self._skip):
            id = path.name
            try:
                size, md5, sha256 = _hashed(path)
                stored = path.stat().st_mtime
            except OSError as error:
                self._notify(f"{self._shown(path)} can't be read: {error.strerror}; skipped")
                self._result.unread += 1
                self._found.add(id)
                continue
            self._found.add(id)
            if md5 == id:
                self._list(connection, Content(id, sha256, size, False, None), stored)
            else:
                self._quarantine.add(id, time.time())
                self._count_damaged(id)

    def _skip(self, path: Path) -> None:
        self._notify(f"{self._shown(path)} is not the depot's, or can't be read; skipped")

    def _shown(self, path: Path) -> str:
        return quoted(os.fsencode(path.relative_to(self._root)))

    def _list_small(
        self, connection: sqlite3.Connection, small: PackedContents
    ) -> list[tuple[int, str]]:
        """List the small contents that are no objects; return the rows that are not needed."""
        needless = []
        for number, id, content in small.all():
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if md5 == id and id not in self._listed:
                sha256 = hashlib.sha256(content).hexdigest()
                row = Content(id, sha256, len(content), False, number)
                self._list(connection, row, time.time())
                continue
            needless.append((number, id))
            if md5 != id:
                # An id that is damaged itself must not become the name of a file.
                name = id if is_id(id) else md5
                self._quarantine.add_bytes(name, time.time(), content)
                self._count_damaged(quoted(id) if name == md5 else id)
            self._found.add(id)
        return needless

    def _list(self, connection: sqlite3.Connection, content: Content, stored: float) -> None:
        id = content.id
        self._found.add(id)
        self._listed.add(id)
        names = self._known.names.get(id) or {(RECOVERED + id, RECOVERED_OWNER): stored}
        connection.execute(
            "INSERT INTO content (id, sha256, size, stored, verified, small)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (id, content.sha256, content.size, min(names.values()), time.time(), content.small),
        )
        connection.executemany(
            "INSERT INTO entry (name, id, size, stored, owner) VALUES (?, ?, ?, ?, ?)",
            [(name, id, content.size, when, owner) for (name, owner), when in names.items()],
        )
        self._result.contents += 1
        self._result.entries += len(names)
        self._result.nameless += id not in self._known.names or id in self._known.nameless

    def _list_damaged(self, connection: sqlite3.Connection, id: str) -> None:
        """Record a content as damaged, if the old catalogue has its size and hashes."""
        if (known := self._known.records.get(id)) is None:
            return
        damaged = known.damaged or time.time()
        connection.execute(
            "INSERT INTO content (id, sha256, size, stored, verified, damaged)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (id, known.sha256, known.size, known.stored, known.verified, damaged),
        )
        names = self._known.names[id].items()
        connection.executemany(
            "INSERT INTO entry (name, id, size, stored, listed, owner) VALUES (?, ?, ?, ?, 0, ?)",
            [(name, id, known.size, when, owner) for (name, owner), when in names],
        )

    def _count_damaged(self, id: str) -> None:
        self._notify(f"{id} is damaged; its bytes were moved to quarantine")
        self._result.quarantined += 1

    def _small(self) -> tuple[PackedContents | None, bool]:
        """
        Open the small contents, and return whether their database stays in place. A damaged one is
        replaced by a new one with the readable rows.
        """
        path = self._root / SMALL
        if not path.is_file() or not path.stat().st_size:
            return None, True
        problem = None
        try:
            small = PackedContents(self._root)
            problem = small.problem()
            if problem is None:
                return small, True
            small.close()
        except sqlite3.Error as error:
            problem = str(error)
        self._notify(f"{SMALL} is damaged: {problem}")
        self._result.damaged = True
        new = PackedContents(self._root, self._new_small.part.name)
        for rows in small_rows(path):
            new.add(rows)
        return new, False


def rebuild(root: Path, notify: Callable[[str], None]) -> Rebuilt:
    """
    Replace the catalogue by a new one; the old one is kept beside it. Blocks.

    The new one is staged: until it is complete, only damaged objects are moved to quarantine, and
    after an interruption, even a kill, another run starts over. The caller holds the lock of the
    directory, so that no server uses it.

    @param root: the storage directory.
    @param notify: called with a line about each content that can't be listed.
    @raise OSError: an object can't be read, or the directory can't be written.
    """
    return _Rebuild(root, notify).run()


def _clean(small: PackedContents, needless: Sequence[tuple[int, str]]) -> None:
    """Remove the rows that the new catalogue does not need, and confirm the others."""
    small.remove(needless)
    small.confirm_all()


def _hashed(path: Path) -> tuple[int, str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := file.read(1024 * 1024):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return size, md5.hexdigest(), sha256.hexdigest()
