"""The pages of a catalogue's listings: of what is stored, and of what is damaged."""

from __future__ import annotations

import contextlib
import sqlite3

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
    only: str | None,
    entries: int,
    most: int,
    damaged: bool = False,
) -> Page:
    """
    The next entries with this prefix, in name order, each a line C{id;name;size}.

    @param after: name and id of the entry behind which the page begins.
    @param only: the owner whose entries are wanted, or None for all.
    @param entries: how many there are at most.
    @param most: how many bytes they have at most, but for one.
    @param damaged: whether those of damaged contents are wanted, or those of all others.
    """
    end = _behind(prefix)
    # By the index of the owner's entries, unless there is a shorter one: of the damaged.
    if damaged:
        owner = " AND +owner = ?"
    else:
        owner = " AND owner = ?" + (" AND owner <> ''" if only else "")
    # SQLite makes the text: five times as fast as rows made into Python's objects first, and
    # other threads run meanwhile. The inner query's order is kept: with a LIMIT it
    # can't be left out.
    (text,) = connection.execute(
        "SELECT CAST(group_concat(line, '') AS BLOB) FROM ("
        " SELECT id || ';' || name || ';' || size || char(10) AS line FROM entry"
        f" WHERE listed = {0 if damaged else 1} AND (name, id) > (?, ?)"
        + (" AND name < ?" if end else "")
        + (" GROUP BY name, id" if only is None else owner)
        + " ORDER BY name, id LIMIT ?)",
        (
            *(after or (prefix, "")),
            *((end,) if end else ()),
            *(() if only is None else (only,)),
            entries,
        ),
    ).fetchone()
    text = text or b""
    return Page.of(text, text.count(b"\n") == entries, most)


def _behind(prefix: str) -> str | None:
    """The least text that is greater, in code point order, than all that begin with C{prefix}."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # surrogates are no characters
        following = 0xE000
    return stem[:-1] + chr(following)
