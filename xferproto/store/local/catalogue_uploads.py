"""Record the uploads under tokens in a catalogue, and count what their owners have."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from twisted.internet.defer import Deferred

from xferproto.store.local.catalogue_database import CatalogueDatabase
from xferproto.store.local.catalogue_usage import begin_partial, usage
from xferproto.store.local.schema import Partial

_PARTIAL = "token, name, size, started, idle, id"


class UploadTable:
    """
    Records uploads under tokens.

    @param database: the catalogue's.
    """

    def __init__(self, database: CatalogueDatabase) -> None:
        self._database = database

    def unfinished_tokens(self) -> list[str]:
        """The tokens of uploads that lack bytes. Blocks: for the start, before anything runs."""
        return [partial.token for partial in self._partials() if partial.id is None]

    def get(self, token: str) -> Deferred[Partial | None]:
        """What is known of an upload under this token."""
        return self._database.read(self._partial, token)

    def all(self) -> Deferred[list[Partial]]:
        """Every upload under a token that is not forgotten yet, the longest idle first."""
        return self._database.read(self._partials)

    def begin(self, partial: Partial, most: int) -> Deferred[None]:
        """
        Record an upload under a token, or that one goes on.

        @param most: how many tokens its owner may have.
        @raise QuotaExceeded: there are so many.
        """
        return self._database.write(lambda connection: begin_partial(connection, partial, most))

    def age(self, seconds: float, active: Collection[str]) -> Deferred[None]:
        """Add to the idle time of all uploads under tokens, except those that are active."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE partial SET idle = idle + ?", (seconds,))
            connection.executemany(
                "UPDATE partial SET idle = 0 WHERE token = ?", [(token,) for token in active]
            )

        return self._database.write(change)

    def forget(self, token: str) -> Deferred[None]:
        """Forget an upload under a token."""
        return self._database.execute("DELETE FROM partial WHERE token = ?", token)

    def forget_unfinished(self, token: str) -> Deferred[None]:
        """Forget an upload under a token, unless it has become a content."""
        return self._database.execute("DELETE FROM partial WHERE token = ? AND id IS NULL", token)

    def usage(self, owner: str | None) -> Deferred[tuple[int, list[str]]]:
        """
        Count what an owner has, or all, as
        L{usage<xferproto.store.local.catalogue_usage.usage>} does.
        """
        return self._database.read(usage, self._database.reading, owner)

    def _partial(self, token: str) -> Partial | None:
        row = self._database.reading.execute(
            f"SELECT {_PARTIAL} FROM partial WHERE token = ?", (token,)
        ).fetchone()
        return None if row is None else Partial(*row)

    def _partials(self) -> list[Partial]:
        rows = self._database.reading.execute(
            f"SELECT {_PARTIAL} FROM partial ORDER BY idle DESC, token"
        )
        return [Partial(*row) for row in rows]
