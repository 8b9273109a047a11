"""Look up and change the contents of a catalogue, and the names that make them listed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred

from xferproto.model.entry import ContentStatus, Digests, Entry
from xferproto.store.local import catalogue_views
from xferproto.store.local.catalogue_changes import (
    CONTENT,
    Deletion,
    add_content,
    add_name,
    delete_names,
    thin_out,
)
from xferproto.store.local.catalogue_database import CatalogueDatabase
from xferproto.store.local.schema import Content


class ContentTable:
    """
    Looks up and changes contents.

    @param database: the catalogue's.
    @param leave: called on the writer's thread, before the commit, with each row among the small
        contents that a content has no more then.
    """

    def __init__(self, database: CatalogueDatabase, leave: Callable[[int], object]) -> None:
        self._database = database
        self._leave = leave

    def has_file(self, id: str) -> bool:
        """Whether a content has an object file. Blocks: for the start, before anything runs."""
        content = self._get(id)
        return content is not None and content.small is None

    def small(self, id: str) -> int | None:
        """A content's row among the small ones. Blocks: for the start, before anything runs."""
        content = self._get(id)
        return None if content is None else content.small

    def get(self, id: str) -> Deferred[Content | None]:
        """What the catalogue has of a content, damaged or not."""
        return self._database.read(self._get, id)

    def by_sha256(self, sha256: str, owner_filter: str | None) -> Deferred[Content | None]:
        """
        The undamaged content with this SHA-256.

        @param owner_filter: the owner who must have a name of it, or None for anyone.
        """
        return self._database.read(
            catalogue_views.known_content,
            self._database.reading,
            catalogue_views.BY_SHA256,
            sha256,
            owner_filter,
        )

    def by_token(self, token: str, owner_filter: str | None) -> Deferred[Content | None]:
        """
        The undamaged content that a token stands for.

        @param owner_filter: the owner who must have a name of it, or None for anyone.
        """
        return self._database.read(
            catalogue_views.known_content,
            self._database.reading,
            catalogue_views.BY_TOKEN,
            token,
            owner_filter,
        )

    def sees(self, id: str, owner_filter: str | None) -> Deferred[bool]:
        """Whether one who sees the names of one owner only, or of all, sees a content."""
        return self._database.read(catalogue_views.sees, self._database.reading, id, owner_filter)

    def status(self, id: str, owner_filter: str | None) -> Deferred[ContentStatus]:
        """
        All that is known of one content, its names aside.

        @param owner_filter: the owner whose names and times count, or None for all.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are damaged.
        """
        return self._database.read(catalogue_views.status, self._database.reading, id, owner_filter)

    def oldest(
        self, ids: Collection[str], owner_filter: str | None
    ) -> dict[str, catalogue_views.Found]:
        """
        Contents, each under the oldest of its names, by their ids. Blocks: for the reader.

        @param owner_filter: the owner whose names are wanted, or None for all.
        """
        return catalogue_views.oldest(self._database.reading, ids, owner_filter)

    def add(
        self,
        entry: Entry,
        digests: Digests,
        now: float,
        token: str | None,
        owner: str,
    ) -> Deferred[int | None]:
        """
        Record a content that has an object file, and a name of it; fires when both are durable.
        With its row among the small contents, where it had one so far.

        A content that was damaged is listed again, under all its names: its bytes are good now.

        @param token: of the partial that it was, which from now on stands for this content.
        @param owner: of the name.
        @raise Collision: another content has the id.
        """
        return self._database.write(
            lambda connection: add_content(
                connection, entry, digests, now, token, owner, self._leave
            )
        )

    def add_name(self, entry: Entry, now: float, token: str, owner: str) -> Deferred[None]:
        """
        Record one more name of a content that is there; fires when it is durable.

        @param token: which from now on stands for this content.
        """
        return self._database.write(
            lambda connection: add_name(connection, entry, now, token, owner)
        )

    def deletion(self, id: str, name: str | None, owner_filter: str | None) -> Deferred[Deletion]:
        """
        What is to be removed where one name of a content is deleted, or all that it has now.

        @param owner_filter: the owner whose names are removed, or None for all.

        @raise NoSuchFile: there is no such content, or it has no such name.
        """
        return self._database.read(
            catalogue_views.deletion, self._database.reading, id, name, owner_filter
        )

    def thin_out(self, deletion: Deletion) -> Deferred[Deletion]:
        """Remove some of many names, and let others have their turn: what is left to be done."""
        return self._database.write(lambda connection: thin_out(connection, deletion))

    def delete(self, deletion: Deletion) -> Deferred[Content | None]:
        """
        Remove the names that are left: the content, where it has none left and is gone.

        @raise NoSuchFile: there were none, now and before.
        """
        return self._database.write(
            lambda connection: delete_names(connection, deletion, self._leave)
        )

    def verified(self, id: str, now: float) -> Deferred[None]:
        """Record that the stored bytes were found to be right."""
        return self._database.execute("UPDATE content SET verified = ? WHERE id = ?", now, id)

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

        return self._database.write(change)

    def least_recently_verified(
        self, now: float, besides: Collection[str]
    ) -> Deferred[tuple[str, float] | None]:
        """
        The undamaged content that was verified longest ago: its id, and when; None if empty.

        A time after C{now} is one of a clock that was wrong: it comes before all others.

        @param besides: the ids that are passed over.
        """
        return self._database.read(self._least_recently_verified, now, tuple(besides))

    def _get(self, id: str) -> Content | None:
        row = self._database.reading.execute(
            f"SELECT {CONTENT} FROM content WHERE id = ?", (id,)
        ).fetchone()
        return None if row is None else Content(*row)

    def _least_recently_verified(
        self, now: float, besides: Collection[str]
    ) -> tuple[str, float] | None:
        for condition in ("verified > ?", "verified <= ?"):  # each by the index
            row: tuple[str, float] | None = self._database.reading.execute(
                "SELECT id, verified FROM content WHERE damaged IS NULL"
                f" AND {condition} AND id NOT IN (SELECT value FROM json_each(?))"
                " ORDER BY verified LIMIT 1",
                (now, json.dumps(besides)),
            ).fetchone()
            if row is not None:
                return row
        return None
