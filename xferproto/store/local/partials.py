"""A look at the unfinished uploads of a storage directory from outside, also while it is in use."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from xferproto.model.entry import PartialStatus
from xferproto.store.local.objects import partial_path
from xferproto.store.local.schema import CATALOGUE


def stored_partials(root: Path) -> list[PartialStatus]:
    """
    The uploads under tokens that lack bytes, the longest idle first. Blocks.

    @param root: the storage directory.
    @raise sqlite3.Error: its catalogue can't be read.
    """
    uri = f"{(root / CATALOGUE).absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute(
            "SELECT token, name, size, started, idle FROM partial WHERE id IS NULL"
            " ORDER BY idle DESC, token"
        ).fetchall()
    partials = []
    for token, name, size, started, idle in rows:
        path = partial_path(root, token)
        held = path.stat().st_size if path.exists() else 0
        partials.append(PartialStatus(token, name, size, held, started, idle))
    return partials
