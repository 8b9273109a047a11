"""Look at a catalogue from outside, also while a server uses it. All of it blocks."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from xferproto.store.local.schema import Partial


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        yield connection


def ids_with_files(path: Path, folder: str) -> set[str]:
    """
    Read the ids that begin with two hex digits, of contents with object files.

    @param path: the file of the catalogue.
    @raise sqlite3.Error: it can't be read.
    """
    with _reading(path) as connection:
        rows = connection.execute(
            "SELECT id FROM content WHERE id >= ? AND id < ? AND small IS NULL",
            (folder, folder + "g"),  # which comes behind all hex digits
        )
        return {id for (id,) in rows}


def damaged_rows(path: Path) -> Iterator[tuple[str, str, int, str, float]]:
    """
    Read id, name, size, owner and time of the find of each name of a damaged content, in order.

    @raise sqlite3.Error: the catalogue can't be read.
    """
    with _reading(path) as connection:
        yield from connection.execute(
            "SELECT e.id, e.name, e.size, e.owner, c.damaged FROM entry e JOIN content c USING (id)"
            " WHERE e.listed = 0 ORDER BY e.name, e.id, e.owner"
        )


def unfinished_rows(path: Path) -> list[Partial]:
    """
    Read the uploads under tokens that lack bytes, the longest idle first.

    @raise sqlite3.Error: the catalogue can't be read.
    """
    with _reading(path) as connection:
        rows = connection.execute(
            "SELECT token, name, size, started, idle FROM partial WHERE id IS NULL"
            " ORDER BY idle DESC, token"
        ).fetchall()
    return [Partial(*row) for row in rows]
