"""Count the names and tokens of an owner, and limit the tokens."""

from __future__ import annotations

import sqlite3

from xferproto.model.errors import QuotaExceeded
from xferproto.store.interface import FLAT_COST
from xferproto.store.local.schema import Partial

OWNED = "substr(token, 1, instr(token, '/'))"
"""Of a token in the catalogue: its owner and a slash, or nothing where a stranger has it."""


def begin_partial(connection: sqlite3.Connection, partial: Partial, most: int) -> None:
    """
    Record an upload under a token, or that one goes on.

    @param most: how many tokens an owner may have. One more takes the place of the one that stood
        for a stored content longest unused.
    @raise QuotaExceeded: there are so many, and none stands for a content.
    """
    # Counted also where the token is known: that it is must not show in what is done.
    owned = partial.token[: partial.token.find("/") + 1]
    query = f"SELECT count(*) FROM partial WHERE {OWNED} = ?"
    (count,) = connection.execute(query, (owned,)).fetchone()
    known = connection.execute("SELECT 1 FROM partial WHERE token = ?", (partial.token,))
    if known.fetchone() is None and count >= most:
        gone = connection.execute(
            "DELETE FROM partial WHERE token IN (SELECT token FROM partial"
            f" WHERE {OWNED} = ? AND id IS NOT NULL ORDER BY idle DESC, started LIMIT ?)",
            (owned, count - most + 1),
        )
        if gone.rowcount <= count - most:
            raise QuotaExceeded(
                f"There are {most} unfinished uploads under tokens already; finish some, or "
                "ask for more."
            )
    connection.execute(
        "INSERT INTO partial VALUES (?, ?, ?, ?, 0, NULL) ON CONFLICT DO UPDATE"
        " SET name = excluded.name, size = excluded.size, idle = 0, id = NULL",
        (partial.token, partial.name, partial.size, partial.started),
    )


def usage(connection: sqlite3.Connection, owner: str | None) -> tuple[int, list[str]]:
    """
    How many bytes all files of an owner have, or of all, and L{FLAT_COST} for each name and token;
    and the tokens of unfinished uploads, whose bytes are not among them.
    """
    names, tokens = "", ""
    whose: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()
    if owner is not None:
        names, whose = "WHERE owner = ?", (owner,)
        tokens, owned = f"WHERE {OWNED} = ?", (f"{owner}/" if owner else "",)
    used, count = connection.execute(
        f"SELECT coalesce(sum(bytes), 0), coalesce(sum(names), 0) FROM usage {names}", whose
    ).fetchone()
    rows = connection.execute(f"SELECT token, id IS NULL FROM partial {tokens}", owned).fetchall()
    unfinished = [token for token, lacking in rows if lacking]
    return used + FLAT_COST * (count + len(rows)), unfinished
