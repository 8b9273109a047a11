"""
The catalogue: which contents a store has, under which names. SQLite, in WAL mode.

Only a row here makes a file listed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from twisted.internet.defer import Deferred

from xferproto.entry import Digests, Entry, Status
from xferproto.errors import Corrupt, NoSuchFile, StorageUnavailable
from xferproto.executor import Executor
from xferproto.store.changes import CONTENT, add_content, add_name, delete_names
from xferproto.store.commits import SharedCommits
from xferproto.store.pages import index_damaged, page_of
from xferproto.store.schema import Content, Partial, open_database

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Found:
    """
    A content as one who asks for it needs it.

    @ivar entry: under the oldest of its names.
    @ivar small: its row among the small contents; None where it has an object file.
    @ivar damaged: whether the stored bytes were found to be wrong.
    """

    entry: Entry
    small: int | None
    damaged: bool


CACHE = 32 * 1024
"""
KiB of pages kept for writing: ids are random, and so are the pages they change. Who reads does with
the 2 MiB that SQLite takes by itself.
"""

PAGE = 4000
"""Entries on a page of a listing: some 250 KB of text, and 2 ms of the reader's thread."""

SMALLEST_PAGE = 64
"""Entries on a page however many listings run."""

FULL_PAGES = 4
"""How many listings may run with full pages."""

_PARTIAL = "token, name, size, started, idle, id"


class Catalogue:
    """
    The table of contents of one store.

    @param path: the SQLite file; made when it is not there.
    @param writer: runs the commits, one at a time.
    @param reader: runs the queries.
    @param leave: told on the writer's thread, before the commit, of each row among the small
        contents that a content has no more then.
    @raise StorageUnavailable: the file can't be made or read, or is no catalogue of this version.
    @ivar listings: the ones that are under way.
    @ivar writing: the connection for writing, for who else commits to it on the writer's thread.
    """

    def __init__(
        self,
        path: Path,
        writer: Executor,
        reader: Executor,
        leave: Callable[[int], object] = lambda number: None,
    ) -> None:
        self._leave = leave
        self._reader = reader
        self.listings: WeakSet[object] = WeakSet()
        try:
            self.writing = open_database(path)
            self.writing.execute(f"PRAGMA cache_size = {-CACHE}")
            self._reading = open_database(path)
            index_damaged(self.writing)
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"The catalogue {path} can't be opened: {error}.") from error
        self._commits = SharedCommits(self.writing, writer)

    def has_file(self, id: str) -> bool:
        """Whether a content has an object file. Blocks: for the start, before anything runs."""
        content = self._content(id)
        return content is not None and content.small is None

    def small(self, id: str) -> int | None:
        """A content's row among the small ones. Blocks: for the start, before anything runs."""
        content = self._content(id)
        return None if content is None else content.small

    def partial_tokens(self) -> list[str]:
        """The tokens of uploads that lack bytes. Blocks: for the start, before anything runs."""
        return [partial.token for partial in self._partials() if partial.id is None]

    def content(self, id: str) -> Deferred[Content | None]:
        """What the catalogue has of a content, damaged or not."""
        return self._reader.run(self._content, id)

    def by_sha256(self, sha256: str) -> Deferred[Content | None]:
        """The undamaged content with this SHA-256."""
        return self._reader.run(self._by_sha256, sha256)

    def add(
        self,
        entry: Entry,
        digests: Digests,
        now: float,
        token: str | None = None,
        owner: str = "",
    ) -> Deferred[int | None]:
        """
        Record a content that has an object file, and a name of it; fires when both are durable.
        With its row among the small contents, where it had one so far.

        A content that was damaged is listed again, under all its names: its bytes are good now.

        @param token: of the partial that it was, which from now on stands for this content.
        @param owner: of the name.
        @raise Collision: another content has the id.
        """
        return self._commits.write(
            lambda connection: add_content(
                connection, entry, digests, now, token, owner, self._leave
            )
        )

    def add_name(self, entry: Entry, now: float, token: str, owner: str = "") -> Deferred[None]:
        """
        Record one more name of a content that is there; fires when it is durable.

        @param token: which from now on stands for this content.
        """
        return self._commits.write(
            lambda connection: add_name(connection, entry, now, token, owner)
        )

    def usage(self, owner: str | None) -> Deferred[int]:
        """How many bytes all files of an owner have, or of all; with partials as declared."""
        return self._reader.run(self._usage, owner)

    def sees(self, id: str, only: str | None) -> Deferred[bool]:
        """Whether one who sees the names of one owner only, or of all, sees a content."""
        return self._reader.run(self._sees, id, only)

    def delete(
        self, id: str, name: str | None, only: str | None = None
    ) -> Deferred[Content | None]:
        """
        Remove one name of a content, or all: the content, where it has none left and is gone.

        @param only: the owner whose names are removed, or None for all.

        @raise NoSuchFile: there is no such content, or it has no such name.
        """
        return self._commits.write(
            lambda connection: delete_names(connection, id, name, only, self._leave)
        )

    def verified(self, id: str, now: float) -> Deferred[None]:
        """Record that the stored bytes were found to be right."""
        return self._execute("UPDATE content SET verified = ? WHERE id = ?", now, id)

    def damaged(self, content: Content, now: float) -> Deferred[bool]:
        """
        Record that the stored bytes were found to be wrong: the content is listed no more.

        Fires with false, and changes nothing, where they lie elsewhere by now: others are there.
        """

        def change(connection: sqlite3.Connection) -> bool:
            found = connection.execute(
                "UPDATE content SET damaged = ? WHERE id = ? AND small IS ?",
                (now, content.id, content.small),
            )
            if found.rowcount:
                connection.execute("UPDATE entry SET listed = 0 WHERE id = ?", (content.id,))
            return bool(found.rowcount)

        return self._commits.write(change)

    def least_recently_verified(
        self, now: float, besides: Collection[str]
    ) -> Deferred[tuple[str, float] | None]:
        """
        The undamaged content that was verified longest ago: its id, and when; None if empty.

        A time after C{now} is one of a clock that was wrong: it comes before all others.

        @param besides: the ids that are passed over.
        """
        return self._reader.run(self._least_recently_verified, now, tuple(besides))

    def partial(self, token: str) -> Deferred[Partial | None]:
        """What is known of an upload under this token."""
        return self._reader.run(self._partial, token)

    def partials(self) -> Deferred[list[Partial]]:
        """Every upload under a token that is not forgotten yet, the longest idle first."""
        return self._reader.run(self._partials)

    def begin_partial(self, partial: Partial) -> Deferred[None]:
        """Record an upload under a token, or that one goes on."""
        return self._execute(
            "INSERT INTO partial VALUES (?, ?, ?, ?, 0, NULL) ON CONFLICT DO UPDATE"
            " SET name = excluded.name, size = excluded.size, idle = 0, id = NULL",
            partial.token,
            partial.name,
            partial.size,
            partial.started,
        )

    def age_partials(self, seconds: float, active: Collection[str]) -> Deferred[None]:
        """Add to the idle time of all uploads under tokens, except those that are active."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE partial SET idle = idle + ?", (seconds,))
            connection.executemany(
                "UPDATE partial SET idle = 0 WHERE token = ?", [(token,) for token in active]
            )

        return self._commits.write(change)

    def forget_partial(self, token: str) -> Deferred[None]:
        """Forget an upload under a token."""
        return self._execute("DELETE FROM partial WHERE token = ?", token)

    def _execute(self, statement: str, *parameters: object) -> Deferred[None]:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute(statement, parameters)

        return self._commits.write(change)

    def page(
        self,
        prefix: str,
        after: tuple[str, str] | None,
        only: str | None = None,
        damaged: bool = False,
    ) -> Deferred[bytes]:
        """
        At most L{PAGE} entries with this prefix, in name order, each a line C{id;name;size}; fewer
        where many listings run, so that those which nobody reads don't fill the memory.

        @param after: name and id of the entry behind which the page begins.
        @param only: the owner whose entries are wanted, or None for all.
        @param damaged: whether those of damaged contents are wanted, or those of all others.
        """
        entries = min(PAGE, max(SMALLEST_PAGE, FULL_PAGES * PAGE // max(1, len(self.listings))))
        return self._reader.run(page_of, self._reading, prefix, after, only, entries, damaged)

    def status(self, id: str, only: str | None = None) -> Deferred[Status]:
        """
        All that is known of one content.

        @param only: the owner whose names are wanted, or None for all.

        @raise NoSuchFile: there is none with that id.
        """
        return self._reader.run(self._status, id, only)

    def oldest(self, ids: Collection[str], only: str | None = None) -> dict[str, Found]:
        """
        Contents, each under the oldest of its names, by their ids. Blocks: for the reader.

        @param only: the owner whose names are wanted, or None for all.
        """
        rows = self._reading.execute(
            "SELECT id, size, small, damaged IS NOT NULL,"
            " (SELECT name FROM entry e WHERE e.id = c.id"
            + ("" if only is None else " AND owner = ?")
            + " ORDER BY stored, name LIMIT 1)"
            " FROM content c WHERE id IN (SELECT value FROM json_each(?))",
            (*(() if only is None else (only,)), json.dumps(list(ids))),
        )
        return {
            id: Found(Entry(id, name, size), small, bool(damaged))
            for id, size, small, damaged, name in rows.fetchall()
            if name is not None
        }

    def _usage(self, owner: str | None) -> int:
        if owner is None:
            usage, partials = "SELECT sum(bytes) FROM usage", "SELECT sum(size) FROM partial WHERE"
            keys: tuple[str, ...] = ()
        else:
            usage = "SELECT bytes FROM usage WHERE owner = ?"
            partials = "SELECT sum(size) FROM partial WHERE token GLOB ? AND"
            keys = (f"{owner}/*",)
        row = self._reading.execute(usage, () if owner is None else (owner,)).fetchone()
        (held,) = self._reading.execute(f"{partials} id IS NULL", keys).fetchone()
        return (row[0] or 0 if row else 0) + (held or 0)

    def _sees(self, id: str, only: str | None) -> bool:
        if only is None:
            return True
        row = self._reading.execute(
            "SELECT 1 FROM entry WHERE id = ? AND owner = ? LIMIT 1", (id, only)
        )
        return row.fetchone() is not None

    async def close(self) -> None:
        """Finish the commits and queries that wait, then close the file."""
        await self._commits.when_idle()
        await self._reader.run(lambda: None)  # behind the last query
        self._reading.close()
        self.writing.close()

    def _content(self, id: str) -> Content | None:
        return self._one(Content, f"SELECT {CONTENT} FROM content WHERE id = ?", id)

    def _by_sha256(self, sha256: str) -> Content | None:
        return self._one(
            Content,
            f"SELECT {CONTENT} FROM content WHERE sha256 = ? AND damaged IS NULL",
            sha256,
        )

    def _least_recently_verified(
        self, now: float, besides: Collection[str]
    ) -> tuple[str, float] | None:
        for condition in ("verified > ?", "verified <= ?"):  # each by the index
            row: tuple[str, float] | None = self._reading.execute(
                "SELECT id, verified FROM content WHERE damaged IS NULL"
                f" AND {condition} AND id NOT IN (SELECT value FROM json_each(?))"
                " ORDER BY verified LIMIT 1",
                (now, json.dumps(besides)),
            ).fetchone()
            if row is not None:
                return row
        return None

    def _partial(self, token: str) -> Partial | None:
        return self._one(Partial, f"SELECT {_PARTIAL} FROM partial WHERE token = ?", token)

    def _partials(self) -> list[Partial]:
        rows = self._reading.execute(f"SELECT {_PARTIAL} FROM partial ORDER BY idle DESC, token")
        return [Partial(*row) for row in rows]

    def _one(self, kind: Callable[..., R], statement: str, key: str) -> R | None:
        row = self._reading.execute(statement, (key,)).fetchone()
        return None if row is None else kind(*row)

    def _status(self, id: str, only: str | None) -> Status:
        # One statement, so that both tables are read at one moment.
        rows = self._reading.execute(
            "SELECT e.id, e.name, e.size, c.sha256, c.stored, c.verified, c.damaged"
            " FROM content c JOIN entry e USING (id) WHERE id = ?"
            + ("" if only is None else " AND e.owner = ?")
            + " GROUP BY e.name ORDER BY e.name",
            (id, *(() if only is None else (only,))),
        ).fetchall()
        if not rows:
            raise NoSuchFile()
        if rows[0][6] is not None:
            raise Corrupt()
        return Status(tuple(Entry(*row[:3]) for row in rows), *rows[0][3:6])
