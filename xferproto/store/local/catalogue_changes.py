"""Change a catalogue by several statements; each function runs within a transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision, NoSuchFile
from xferproto.store.local.schema import Content

CONTENT = "id, sha256, size, damaged IS NOT NULL, small"
"""The columns of a L{Content}, in its order."""

STEP = 200
"""The most names that are removed in one transaction: others have their turn in between."""

STRIDE = 20
"""Names that are removed before the first look at the time."""

STEP_TIME = 0.01
"""Seconds in which they are removed; the commit takes about as long again."""


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


@dataclass(frozen=True, slots=True)
class Deletion:
    """
    Names of a content that are to be removed.

    @ivar name: the one, or None for all.
    @ivar owner_filter: the owner whose names they are, or None for all.
    @ivar until: when the last of them was stored: what comes later stays.
    @ivar many: whether there are more than L{STEP}.
    @ivar behind: time, name and owner of the last one that was removed; the others come after it.
    """

    id: str
    name: str | None
    owner_filter: str | None
    until: float
    many: bool = False
    behind: tuple[float, str, str] = (float("-inf"), "", "")

    @property
    def begun(self) -> bool:
        """Whether some are removed."""
        return bool(self.behind[1])


_LEFT = (
    "FROM entry WHERE id = ?1 AND (stored, name, owner) > (?2, ?3, ?4) AND stored <= ?5"
    " AND (?6 IS NULL OR owner = ?6)"
)


def thin_out(connection: sqlite3.Connection, deletion: Deletion) -> Deletion:
    """Remove some of many names, the oldest first, but never the last: what is left then."""
    rows = connection.execute(
        f"SELECT stored, name, owner {_LEFT} ORDER BY stored, name, owner LIMIT ?7",
        (deletion.id, *deletion.behind, deletion.until, deletion.owner_filter, STEP + 1),
    ).fetchall()
    if len(rows) <= STEP:
        return replace(deletion, many=False)
    until = time.monotonic() + STEP_TIME
    for end in range(STRIDE, STEP + 1, STRIDE):
        connection.executemany(
            "DELETE FROM entry WHERE name = ? AND id = ? AND owner = ?",
            [(name, deletion.id, owner) for _, name, owner in rows[end - STRIDE : end]],
        )
        if time.monotonic() >= until:
            break
    return replace(deletion, behind=rows[end - 1])


def delete_names(
    connection: sqlite3.Connection, deletion: Deletion, leave: Callable[[int], object]
) -> Content | None:
    """
    Remove the names that are left: the content, where it has none left and is gone.

    @param leave: told, before the commit, of the row among the small contents that it had.
    @raise NoSuchFile: there were none, now and before.
    """
    id, name, owner_filter = deletion.id, deletion.name, deletion.owner_filter
    if name is None:
        removed = connection.execute(
            f"DELETE {_LEFT}", (id, *deletion.behind, deletion.until, owner_filter)
        )
    else:
        removed = connection.execute(
            "DELETE FROM entry WHERE name = ?1 AND id = ?2 AND (?3 IS NULL OR owner = ?3)",
            (name, id, owner_filter),
        )
    if not removed.rowcount and not deletion.begun:
        raise NoSuchFile()
    if connection.execute("SELECT 1 FROM entry WHERE id = ? LIMIT 1", (id,)).fetchone():
        return None
    row = connection.execute(f"SELECT {CONTENT} FROM content WHERE id = ?", (id,)).fetchone()
    if row is None:  # another deletion has removed the rest
        return None
    content = Content(*row)
    if content.small is not None:
        leave(content.small)
    connection.execute("DELETE FROM content WHERE id = ?", (id,))
    connection.execute("DELETE FROM partial WHERE id = ?", (id,))
    return content
