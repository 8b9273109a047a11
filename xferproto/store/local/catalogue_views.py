"""
Look up a content as one owner sees it, or as a user who sees the files of all owners.

Each answer takes one statement, the same whether there is no such content or one that is not seen:
the work done shows no difference between the two. All of it blocks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from xferproto.model.entry import ContentStatus, Entry
from xferproto.model.errors import Corrupt, NoSuchFile
from xferproto.store.local.catalogue_changes import CONTENT, STEP, Deletion
from xferproto.store.local.schema import Content

BY_SHA256 = "c.sha256 = ?"
BY_TOKEN = "c.id = (SELECT id FROM partial WHERE token = ?)"
"""How L{known_content} finds a content."""


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


def known_content(
    connection: sqlite3.Connection, by: str, key: str, owner_filter: str | None
) -> Content | None:
    """
    An undamaged content that is seen.

    @param by: L{BY_SHA256} or L{BY_TOKEN}.
    """
    row = connection.execute(
        f"SELECT {CONTENT} FROM content c WHERE {by} AND damaged IS NULL AND EXISTS"
        f" (SELECT 1 FROM entry e WHERE e.id = c.id{_of(owner_filter)})",
        (key, *_value(owner_filter)),
    ).fetchone()
    return None if row is None else Content(*row)


def sees(connection: sqlite3.Connection, id: str, owner_filter: str | None) -> bool:
    """Whether a content has a name that is seen."""
    row = connection.execute(
        f"SELECT 1 FROM entry WHERE id = ?{_of(owner_filter)} LIMIT 1", (id, *_value(owner_filter))
    ).fetchone()
    return row is not None


def status(connection: sqlite3.Connection, id: str, owner_filter: str | None) -> ContentStatus:
    """
    All that is known of a content, its names aside.

    @raise NoSuchFile: there is none that is seen.
    @raise Corrupt: its bytes are damaged.
    """
    times = "c.stored, c.verified" if owner_filter is None else "e.stored, e.stored"
    row = connection.execute(
        f"SELECT c.damaged, c.size, c.sha256, {times} FROM content c JOIN entry e USING (id)"
        f" WHERE id = ?{_of(owner_filter)} ORDER BY e.stored LIMIT 1",
        (id, *_value(owner_filter)),
    ).fetchone()
    if row is None:
        raise NoSuchFile()
    if row[0] is not None:
        raise Corrupt()
    return ContentStatus(*row[1:])


def oldest(
    connection: sqlite3.Connection, ids: Collection[str], owner_filter: str | None
) -> dict[str, Found]:
    """Contents that are seen, each under the oldest of its names, by their ids."""
    whose = _of(owner_filter)
    rows = connection.execute(
        "SELECT id, size, small, damaged IS NOT NULL,"
        f" (SELECT name FROM entry e WHERE e.id = c.id{whose} ORDER BY stored, name LIMIT 1)"
        " FROM content c WHERE id IN (SELECT value FROM json_each(?))",
        (*_value(owner_filter), json.dumps(list(ids))),
    )
    return {
        id: Found(Entry(id, name, size), small, bool(damaged))
        for id, size, small, damaged, name in rows.fetchall()
        if name is not None
    }


def deletion(
    connection: sqlite3.Connection, id: str, name: str | None, owner_filter: str | None
) -> Deletion:
    """
    What is to be removed where a name of a content is deleted, or all of them.

    @raise NoSuchFile: there is none that is seen.
    """
    # The last of the names is found at once: they are in order of their times.
    whose, owner = _of(owner_filter), _value(owner_filter)
    row = connection.execute(
        "SELECT (SELECT max(stored) FROM entry WHERE id = e.id),"
        f" (SELECT count(*) FROM (SELECT 1 FROM entry WHERE id = e.id{whose} LIMIT ?)) FROM"
        f" entry e WHERE id = ?{'' if name is None else ' AND name = ?'}{whose} LIMIT 1",
        (*owner, STEP + 1 if name is None else 0, id, *_value(name), *owner),
    ).fetchone()
    if row is None:
        raise NoSuchFile()
    last, count = row
    return Deletion(id, name, owner_filter, last, many=count > STEP)


def _of(owner_filter: str | None) -> str:
    return "" if owner_filter is None else " AND owner = ?"


def _value(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
