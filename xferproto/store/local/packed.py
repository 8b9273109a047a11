"""
Small contents: rows of one database, since a file for each would cost more than its bytes.

Every row can prove itself: it has the id, the MD5 of its bytes. Which rows stand for a content the
catalogue knows (C{content.small}); a row that it does not know is litter of a crash. Rows that may
be litter are marked, and the next start looks at those alone::

    small     number, id, bytes   a complete content
    unsure    first, last         these rows may be unknown to the catalogue

Everything here blocks: what changes rows runs on the catalogue's writer thread, L{read} on its
reader's.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from xferproto.store.local.group_commit import checkpoint
from xferproto.store.local.schema import open_durable

SMALL = "small.sqlite"
"""The name of the database in the storage directory."""

SMALL_SIZE = 16 * 1024
"""
Contents of at most so many bytes are kept here: a commit of many is faster than a file for each,
and that they are written twice (once to the write-ahead log) costs little yet.
"""

SMALL_APPLICATION_ID = 0x78666573
"""'xfes' in ASCII (SQLite's PRAGMA application_id)."""

_SCHEMA = """
CREATE TABLE small (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL,     -- MD5 of the bytes, 32 lower-case hex digits
    bytes  BLOB NOT NULL
) STRICT;
CREATE TABLE unsure (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL
) STRICT;
"""


@cache
def values(rows: int, columns: int) -> str:
    """A VALUES clause with a place for each value."""
    row = f"({', '.join('?' * columns)})"
    return "VALUES " + ", ".join([row] * rows)


def insert(
    connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]], behind: str = ""
) -> None:
    """
    Insert rows, many with each statement: the interpreter's lock changes hands once for each.

    @param into: the table.
    @param rows: of the same length.
    @param behind: what follows the values, as an upsert clause.
    """
    start, size = 0, 256  # a few sizes only, so that the statements stay prepared
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        part = rows[start : start + size]
        connection.execute(
            f"INSERT INTO {into} {values(size, len(part[0]))} {behind}",
            [value for row in part for value in row],
        )
        start += size


class PackedContents:
    """
    The small contents of one storage directory.

    @param root: the storage directory; it is there.
    @param name: of the database in it.
    @raise OSError: the database can't be made.
    @raise sqlite3.Error: it can't be read.
    """

    def __init__(self, root: Path, name: str = SMALL) -> None:
        self._writing = open_durable(root / name, SMALL_APPLICATION_ID, _SCHEMA, 1)
        self._reading = open_durable(root / name, SMALL_APPLICATION_ID, _SCHEMA, 1)
        (last,) = self._writing.execute("SELECT max(number) FROM small").fetchone()
        self._next: int = (last or 0) + 1
        self._sure: list[int] = []  # marks that the next transaction may take away
        self._gone: list[tuple[int, str]] = []  # rows that it may take away

    @property
    def next(self) -> int:
        """The number that the next row gets."""
        return self._next

    def add(self, rows: Sequence[tuple[str, bytes]], replaced: Sequence[int] = ()) -> None:
        """
        Add contents, each with its id, durably: numbered from L{next} on, and marked.

        @param replaced: rows that they take the place of; these are marked too.
        """
        if not rows:
            return
        first = self._next
        last = first + len(rows) - 1
        with self._transaction() as connection:
            numbered = [(first + place, *row) for place, row in enumerate(rows)]
            insert(connection, "small", numbered)
            connection.execute("INSERT INTO unsure VALUES (?, ?)", (first, last))
            _mark(connection, replaced)
        self._next = last + 1

    def mark(self, number: int) -> None:
        """From now on, and after a crash too, the catalogue may not know this row."""
        with self._transaction() as connection:
            _mark(connection, [number])

    def confirm(self, first: int) -> None:
        """The catalogue knows these rows: their mark goes with the next change."""
        self._sure.append(first)

    def confirm_all(self) -> None:
        """The catalogue knows every row that is there."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM unsure")

    def remove(self, rows: Sequence[tuple[int, str]]) -> None:
        """
        Remove rows that the catalogue does not know, with their marks.

        @param rows: their numbers and ids. Where the row of a number has another id, as one of a
            database that is younger than the catalogue may, it stays.
        """
        self._gone += rows  # should it fail, they go with the next change
        with self._transaction():
            pass

    def tidy_up(
        self, known: Callable[[str], int | None], firsts: Sequence[int] | None = None
    ) -> None:
        """
        Remove the marked rows that the catalogue does not know.

        @param known: the row that it has for an id.
        @param firsts: the first row of each mark that is looked at; all marks where it is None.
        """
        if not self._writing.execute("SELECT 1 FROM unsure LIMIT 1").fetchone():
            return
        these = ""
        value: tuple[str, ...] = ()
        if firsts is not None:
            these = "WHERE first IN (SELECT value FROM json_each(?))"
            value = (json.dumps(firsts),)
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT number, small.id FROM unsure JOIN small ON number BETWEEN first AND last"
                f" {these}",
                value,
            ).fetchall()
            for number, id in rows:
                if known(id) != number:
                    connection.execute("DELETE FROM small WHERE number = ?", (number,))
            connection.execute(f"DELETE FROM unsure {these}", value)

    def checkpoint(self) -> None:
        """As L{commits.checkpoint<xferproto.store.local.group_commit.checkpoint>}."""
        checkpoint(self._writing)

    def read(self, rows: Mapping[int, str]) -> dict[int, bytes]:
        """
        The bytes of the rows that are there.

        @param rows: their ids, by their numbers; a row with another id is not there.
        """
        found = self._reading.execute(
            "SELECT number, id, bytes FROM small WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(rows)),),
        )
        return {number: content for number, id, content in found.fetchall() if rows[number] == id}

    def all(self) -> Iterator[tuple[int, str, bytes]]:
        """Every row: number, id, bytes, in order of the numbers."""
        yield from self._reading.execute("SELECT number, id, bytes FROM small ORDER BY number")

    def problem(self) -> str | None:
        """What is wrong with the database as such, if anything is. Reads all of it."""
        try:
            (found,) = self._reading.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            return str(error)
        return None if found == "ok" else str(found).splitlines()[-1]

    def close(self) -> None:
        self._reading.close()
        self._writing.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._writing
        sure, self._sure = self._sure, []
        gone, self._gone = self._gone, []
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "DELETE FROM unsure WHERE first = ?", [(first,) for first in sure]
            )
            connection.executemany("DELETE FROM small WHERE number = ? AND id = ?", gone)
            connection.executemany(
                "DELETE FROM unsure WHERE first = ? AND last = first",
                [(number,) for number, _ in gone],
            )
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._sure += sure
            self._gone += gone
            if connection.in_transaction:
                connection.rollback()
            raise


def _mark(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    rows = [(number, number) for number in numbers]
    connection.executemany("INSERT OR IGNORE INTO unsure VALUES (?, ?)", rows)
