"""Read the listings of a catalogue: of stored and of damaged contents. All of it blocks."""

from __future__ import annotations

import contextlib
import sqlite3

from xferproto.model.entry import DamageSummary, Entry, StoredEntry
from xferproto.store.local.page_length import Page

_INDEX = "CREATE INDEX IF NOT EXISTS entry_damaged ON entry (name, id) WHERE listed = 0"
"""
Finds the damaged entries among any number of others. It belongs to no version of the tables: an
xfer that does not know it keeps it up like any other index.
"""


def index_damaged(connection: sqlite3.Connection) -> None:
    """
    Let the damaged entries of a catalogue be found fast. The first time it reads all entries.

    Where there is no room for that, they are found all the same, slowly.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute(_INDEX)


def page_of(
    connection: sqlite3.Connection,
    prefix: str,
    after: tuple[str, str] | None,
    owner_filter: str | None,
    entries: int,
    most: int,
    damaged: bool = False,
) -> Page:
    """
    The next entries with this prefix, in name order, each a line C{id;name;size}.

    @param after: name and id of the entry behind which the page begins.
    @param owner_filter: the owner whose entries are wanted, or None for all.
    @param entries: how many there are at most.
    @param most: how many bytes they have at most, but for one.
    @param damaged: whether those of damaged contents are wanted, or those of all others.
    """
    end = _behind(prefix)
    # By the index of the owner's entries, unless there is a shorter one: of the damaged.
    owner = " AND +owner = ?" if damaged else _of_owner(owner_filter)
    # SQLite makes the text: five times as fast as rows made into Python's objects first, and
    # other threads run meanwhile. The inner query's order is kept: with a LIMIT it
    # can't be left out.
    (text,) = connection.execute(
        "SELECT CAST(group_concat(line, '') AS BLOB) FROM ("
        " SELECT id || ';' || name || ';' || size || char(10) AS line FROM entry"
        f" WHERE listed = {0 if damaged else 1} AND (name, id) > (?, ?)"
        + (" AND name < ?" if end else "")
        + (" GROUP BY name, id" if owner_filter is None else owner)
        + " ORDER BY name, id LIMIT ?)",
        (
            *(after or (prefix, "")),
            *((end,) if end else ()),
            *(() if owner_filter is None else (owner_filter,)),
            entries,
        ),
    ).fetchone()
    text = text or b""
    return Page.of(text, text.count(b"\n") == entries, most)


def list_entries(
    connection: sqlite3.Connection,
    prefix: str,
    after: tuple[str, str] | None,
    limit: int,
    owner_filter: str | None,
) -> list[StoredEntry]:
    """
    List entries with this prefix in the order of their names and ids, damaged ones among them.

    @param after: name and id of the entry behind which they begin, or None.
    @param owner_filter: the owner whose entries are wanted, or None for all.
    """
    end = _behind(prefix)
    start = (prefix, "")  # in code point order, as in the index: after it or after the last page
    of = _STORED_OF_ALL if owner_filter is None else _STORED_OF_OWNER
    rows = connection.execute(
        f"SELECT {of} FROM entry WHERE (name, id) > (?, ?)"
        + (" AND name < ?" if end else "")
        + _of_owner(owner_filter)
        + (" GROUP BY name, id" if owner_filter is None else "")
        + " ORDER BY name, id LIMIT ?",
        (
            *(start if after is None else max(start, after)),
            *((end,) if end else ()),
            *(() if owner_filter is None else (owner_filter,)),
            limit,
        ),
    )
    return [_stored_entry(*row) for row in rows]


FEW_OF_NAME = 16
"""So many entries of one name are sorted where the fast queries run; more are sorted elsewhere."""


def find_few(
    connection: sqlite3.Connection, name: str, owner_filter: str | None
) -> list[StoredEntry] | None:
    """Find the entries of exactly this name, the youngest first; None where they are many."""
    rows = connection.execute(
        "SELECT id, name, size, stored, listed, owner FROM entry WHERE name = ? LIMIT ?",
        (name, FEW_OF_NAME + 1),
    ).fetchall()
    if len(rows) > FEW_OF_NAME:
        return None
    found: dict[str, StoredEntry] = {}
    for *values, owner in sorted(rows, key=lambda row: row[3], reverse=True):
        if owner_filter in (None, owner):  # of several owners' the oldest counts
            found[values[0]] = _stored_entry(*values)
    return sorted(found.values(), key=lambda one: (-one.stored, one.entry.id))


def find_many(
    connection: sqlite3.Connection, name: str, limit: int, owner_filter: str | None
) -> list[StoredEntry]:
    """Find entries of exactly this name, the youngest first, however many there are."""
    of = _STORED_OF_ALL if owner_filter is None else _STORED_OF_OWNER
    rows = connection.execute(
        f"SELECT {of} FROM entry WHERE name = ?"
        + _of_owner(owner_filter)
        + (" GROUP BY id" if owner_filter is None else "")
        + " ORDER BY 4 DESC, id LIMIT ?",
        (name, *(() if owner_filter is None else (owner_filter,)), limit),
    )
    return [_stored_entry(*row) for row in rows]


def summarize_damage(connection: sqlite3.Connection, most: int) -> DamageSummary:
    """Count the entries of damaged contents, and give the names of the first."""
    damaged = "SELECT DISTINCT name, id FROM entry WHERE listed = 0"
    (count,) = connection.execute(f"SELECT count(*) FROM ({damaged})").fetchone()
    names = connection.execute(f"{damaged} ORDER BY name, id LIMIT ?", (most,)).fetchall()
    return DamageSummary(count, tuple(name for name, _ in names))


_STORED_OF_OWNER = "id, name, size, stored, listed"
_STORED_OF_ALL = "id, name, size, min(stored), listed"
"""The columns of a L{StoredEntry}, where the entries of one owner are looked at, or of all."""


def _stored_entry(id: str, name: str, size: int, stored: float, listed: int) -> StoredEntry:
    return StoredEntry(Entry(id, name, size), stored, not listed)


def _of_owner(owner_filter: str | None) -> str:
    """The condition that finds an owner's entries by their own index."""
    if owner_filter is None:
        return ""
    return " AND owner = ?" + (" AND owner <> ''" if owner_filter else "")


def _behind(prefix: str) -> str | None:
    """The least text that is greater, in code point order, than all that begin with C{prefix}."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # surrogates are no characters
        following = 0xE000
    return stem[:-1] + chr(following)
