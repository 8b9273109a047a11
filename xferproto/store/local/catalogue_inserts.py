"""Store small contents and their names in a catalogue, many to a commit. All of it blocks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from xferproto.store.local.group_commit import roll_back
from xferproto.store.local.packed import insert


@dataclass(slots=True)
class Inserts:
    """
    What a commit stores.

    @ivar new: rows of new contents: id, SHA-256, size, two times, row among the small contents.
    @ivar anew: of contents that are written anew: row among the small contents, time, id.
    @ivar healed: the ids of those of them that were damaged.
    @ivar entries: name, id, size, time and owner of each name.
    """

    new: list[tuple[str, str, int, float, float, int]] = field(default_factory=list)
    anew: list[tuple[int, float, str]] = field(default_factory=list)
    healed: list[tuple[str]] = field(default_factory=list)
    entries: list[tuple[str, str, int, float, str]] = field(default_factory=list)


def known_rows(
    connection: sqlite3.Connection, ids: Sequence[str]
) -> dict[str, tuple[str, int | None, bool]]:
    """
    Look up the contents that are known: of each its SHA-256, its row among the small contents, and
    whether it is damaged.
    """
    rows = connection.execute(
        "SELECT id, sha256, small, damaged IS NOT NULL FROM content"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    )
    return {id: (sha256, number, bool(damaged)) for id, sha256, number, damaged in rows.fetchall()}


def commit_inserts(connection: sqlite3.Connection, inserts: Inserts) -> None:
    """
    Store contents and names in a transaction of their own.

    @raise CommitInDoubt: it is not known whether they are stored after a crash.
    """
    committing = False
    try:
        if connection.in_transaction:  # what could not be rolled back when it failed
            connection.rollback()
        connection.execute("BEGIN IMMEDIATE")
        insert(
            connection, "content (id, sha256, size, stored, verified, small)", sorted(inserts.new)
        )
        for row in inserts.anew:
            connection.execute(
                "UPDATE content SET small = ?, damaged = NULL,"
                " verified = CASE WHEN damaged IS NULL THEN verified ELSE ? END WHERE id = ?",
                row,
            )
        # Of these alone: it takes a look at every name.
        connection.executemany("UPDATE entry SET listed = 1 WHERE id = ?", inserts.healed)
        insert(
            connection,
            "entry (name, id, size, stored, owner)",
            inserts.entries,
            "ON CONFLICT DO NOTHING",
        )
        committing = True
        connection.execute("COMMIT")
    except Exception as error:
        roll_back(connection, committing, error)
        raise
