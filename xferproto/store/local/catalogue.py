"""
The catalogue: which contents a store has, under which names. SQLite, in WAL mode.

Only a row here makes a file listed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred

from xferproto.model.entry import ContentStatus, DamageSummary, Digests, Entry, StoredEntry
from xferproto.model.errors import StorageUnavailable
from xferproto.store.local import visible
from xferproto.store.local.changes import (
    CONTENT,
    Deletion,
    add_content,
    add_name,
    delete_names,
    thin_out,
)
from xferproto.store.local.content_names import Names
from xferproto.store.local.group_commit import SharedCommits
from xferproto.store.local.page_length import Page, PageSize, Paging
from xferproto.store.local.pages import (
    find_few,
    find_many,
    index_damaged,
    list_entries,
    page_of,
    summarize_damage,
)
from xferproto.store.local.schema import Content, Partial, open_database
from xferproto.store.local.usage import begin_partial, usage
from xferproto.threads.executor import Executor

R = TypeVar("R")


CACHE = 32 * 1024
"""
KiB of pages kept for writing: ids are random, and so are the pages they change. Who reads does with
the 2 MiB that SQLite takes by itself.
"""

_PARTIAL = "token, name, size, started, idle, id"


class Catalogue:
    """
    The table of contents of one store.

    @param path: the SQLite file; made when it is not there.
    @param writer: runs the commits, one at a time.
    @param reader: runs the queries.
    @param leave: told on the writer's thread, before the commit, of each row among the small
        contents that a content has no more then.
    @param scans: runs the queries that may look at many rows; the reader where it is None.
    @raise StorageUnavailable: the file can't be made or read, or is no catalogue of this version.
    @ivar paging: how long the pages of listings are.
    @ivar names: of one content.
    @ivar writing: the connection for writing, for who else commits to it on the writer's thread.
    """

    def __init__(
        self,
        path: Path,
        writer: Executor,
        reader: Executor,
        leave: Callable[[int], object] = lambda number: None,
        scans: Executor | None = None,
    ) -> None:
        self._leave = leave
        self._reader = reader
        self._scans = reader if scans is None else scans
        self.paging = Paging()
        try:
            self.writing = open_database(path)
            self.writing.execute(f"PRAGMA cache_size = {-CACHE}")
            self._reading = open_database(path)
            self._scanning = open_database(path)
            index_damaged(self.writing)
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"The catalogue {path} can't be opened: {error}.") from error
        self._commits = SharedCommits(self.writing, writer)
        self.names = Names(self._scanning, self._reading, reader, self._scans, self.paging)

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

    def by_sha256(self, sha256: str, only: str | None = None) -> Deferred[Content | None]:
        """
        The undamaged content with this SHA-256.

        @param only: the owner who must have a name of it, or None for anyone.
        """
        return self._reader.run(
            visible.known_content, self._reading, visible.BY_SHA256, sha256, only
        )

    def by_token(self, token: str, only: str | None = None) -> Deferred[Content | None]:
        """
        The undamaged content that a token stands for.

        @param only: the owner who must have a name of it, or None for anyone.
        """
        return self._reader.run(visible.known_content, self._reading, visible.BY_TOKEN, token, only)

    def sees(self, id: str, only: str | None) -> Deferred[bool]:
        """Whether one who sees the names of one owner only, or of all, sees a content."""
        return self._reader.run(visible.sees, self._reading, id, only)

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

    def usage(self, owner: str | None) -> Deferred[tuple[int, list[str]]]:
        """
        What counts for an owner, or for all, as L{usage<xferproto.store.local.usage.usage>} says.
        """
        return self._reader.run(usage, self._reading, owner)

    def deletion(self, id: str, name: str | None, only: str | None = None) -> Deferred[Deletion]:
        """
        What is to be removed where one name of a content is deleted, or all that it has now.

        @param only: the owner whose names are removed, or None for all.

        @raise NoSuchFile: there is no such content, or it has no such name.
        """
        return self._reader.run(visible.deletion, self._reading, id, name, only)

    def thin_out(self, deletion: Deletion) -> Deferred[Deletion]:
        """Remove some of many names, and let others have their turn: what is left to be done."""
        return self._commits.write(lambda connection: thin_out(connection, deletion))

    def delete(self, deletion: Deletion) -> Deferred[Content | None]:
        """
        Remove the names that are left: the content, where it has none left and is gone.

        @raise NoSuchFile: there were none, now and before.
        """
        return self._commits.write(
            lambda connection: delete_names(connection, deletion, self._leave)
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

    def begin_partial(self, partial: Partial, most: int) -> Deferred[None]:
        """
        Record an upload under a token, or that one goes on.

        @param most: how many tokens its owner may have.
        @raise QuotaExceeded: there are so many.
        """
        return self._commits.write(lambda connection: begin_partial(connection, partial, most))

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

    def forget_unfinished(self, token: str) -> Deferred[None]:
        """Forget an upload under a token, unless it has become a content."""
        return self._execute("DELETE FROM partial WHERE token = ? AND id IS NULL", token)

    def _execute(self, statement: str, *parameters: object) -> Deferred[None]:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute(statement, parameters)

        return self._commits.write(change)

    def page(
        self,
        prefix: str,
        after: tuple[str, str] | None,
        size: PageSize,
        only: str | None = None,
        damaged: bool = False,
    ) -> Deferred[Page]:
        """
        Entries with this prefix, in name order, each a line C{id;name;size}.

        @param after: name and id of the entry behind which the page begins.
        @param size: how long it is.
        @param only: the owner whose entries are wanted, or None for all.
        @param damaged: whether those of damaged contents are wanted, or those of all others.
        """
        # Further pages wait for one another, and who asks for little does not wait for them.
        executor, connection = (
            (self._reader, self._reading) if after is None else (self._scans, self._scanning)
        )
        return executor.run(
            page_of, connection, prefix, after, only, size.entries, size.most, damaged
        )

    def entries(
        self, prefix: str, after: tuple[str, str] | None, limit: int, only: str | None
    ) -> Deferred[Sequence[StoredEntry]]:
        """List entries with this prefix, damaged ones among them, in name order."""
        executor, connection = (
            (self._reader, self._reading) if after is None else (self._scans, self._scanning)
        )
        return executor.run(list_entries, connection, prefix, after, limit, only)

    async def find(self, name: str, limit: int, only: str | None) -> Sequence[StoredEntry]:
        """Find the entries of exactly this name, the youngest first."""
        found = await self._reader.run(find_few, self._reading, name, only)
        if found is not None:
            return found[:limit]
        return await self._scans.run(find_many, self._scanning, name, limit, only)

    def summarize_damage(self, most: int) -> Deferred[DamageSummary]:
        """Count the entries of damaged contents, and give the names of the first."""
        return self._scans.run(summarize_damage, self._scanning, most)

    def status(self, id: str, only: str | None = None) -> Deferred[ContentStatus]:
        """
        All that is known of one content, its names aside.

        @param only: the owner whose names and times count, or None for all.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are damaged.
        """
        return self._reader.run(visible.status, self._reading, id, only)

    def oldest(self, ids: Collection[str], only: str | None = None) -> dict[str, visible.Found]:
        """
        Contents, each under the oldest of its names, by their ids. Blocks: for the reader.

        @param only: the owner whose names are wanted, or None for all.
        """
        return visible.oldest(self._reading, ids, only)

    async def close(self) -> None:
        """Finish the commits and queries that wait, then close the file."""
        await self._commits.when_idle()
        for executor in (self._reader, self._scans):
            await executor.run(lambda: None)  # behind the last query
        self._scanning.close()
        self._reading.close()
        self.writing.close()

    def _content(self, id: str) -> Content | None:
        return self._one(Content, f"SELECT {CONTENT} FROM content WHERE id = ?", id)

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
