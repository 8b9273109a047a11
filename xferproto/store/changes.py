"""The changes of a catalogue that take several statements; each runs within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from xferproto.entry import Digests, Entry
from xferproto.errors import Collision, NoSuchFile
from xferproto.store.schema import Content

CONTENT = "id, sha256, size, damaged IS NOT NULL, small"
"""The columns of a L{Content}, in its order."""


def add_content(
    connection: sqlite3.Connection,
    entry: Entry,
    digests: Digests,
    now: float,
    token: str | None,
    owner: str,
    leave: Callable[[int], object],
) -> int | None:
    """
    Record a content that has an object file, and a name of it: its row among the small contents so
    far, where it had one.

    @param leave: told of that row before the commit.
    @raise Collision: another content has the id.
    """
    known = connection.execute(
        "SELECT sha256, damaged, small FROM content WHERE id = ?", (entry.id,)
    ).fetchone()
    small: int | None = None
    if known is None:
        connection.execute(
            "INSERT INTO content VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            (digests.md5, digests.sha256, entry.size, now, now),
        )
    elif known[0] != digests.sha256:
        raise Collision()
    else:
        small = known[2]
        if small is not None:
            leave(small)
            connection.execute("UPDATE content SET small = NULL WHERE id = ?", (entry.id,))
        if known[1] is not None:
            connection.execute(
                "UPDATE content SET damaged = NULL, verified = ? WHERE id = ?", (now, entry.id)
            )
            connection.execute("UPDATE entry SET listed = 1 WHERE id = ?", (entry.id,))
    add_name(connection, entry, now, token, owner)
    return small


def add_name(
    connection: sqlite3.Connection, entry: Entry, now: float, token: str | None, owner: str
) -> None:
    """Record a name of a content, and that a token stands for it now."""
    connection.execute(
        "INSERT INTO entry VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING",
        (entry.name, entry.id, entry.size, now, owner),
    )
    if token is not None:
        connection.execute("UPDATE partial SET id = ?, idle = 0 WHERE token = ?", (entry.id, token))


def delete_names(
    connection: sqlite3.Connection,
    id: str,
    name: str | None,
    only: str | None,
    leave: Callable[[int], object],
) -> Content | None:
    """
    Remove names of a content: the content, where it has none left and is gone.

    @param leave: told, before the commit, of the row among the small contents that it had.
    @raise NoSuchFile: there is none to remove.
    """
    removed = connection.execute(
        "DELETE FROM entry WHERE id = ?1 AND (?2 IS NULL OR name = ?2)"
        " AND (?3 IS NULL OR owner = ?3)",
        (id, name, only),
    )
    if not removed.rowcount:
        raise NoSuchFile()
    if connection.execute("SELECT 1 FROM entry WHERE id = ? LIMIT 1", (id,)).fetchone():
        return None
    row = connection.execute(f"SELECT {CONTENT} FROM content WHERE id = ?", (id,)).fetchone()
    content = Content(*row)
    if content.small is not None:
        leave(content.small)
    connection.execute("DELETE FROM content WHERE id = ?", (id,))
    connection.execute("DELETE FROM partial WHERE id = ?", (id,))
    return content
