"""List the unfinished uploads of a storage directory from outside, also while a server uses it."""

from __future__ import annotations

from pathlib import Path

from xferproto.model.entry import PartialStatus
from xferproto.store.local.catalogue_inspection import unfinished_rows
from xferproto.store.local.objects import partial_path
from xferproto.store.local.schema import CATALOGUE


def stored_partials(root: Path) -> list[PartialStatus]:
    """
    The uploads under tokens that lack bytes, the longest idle first. Blocks.

    @param root: the storage directory.
    @raise sqlite3.Error: its catalogue can't be read.
    """
    partials = []
    for row in unfinished_rows(root / CATALOGUE):
        path = partial_path(root, row.token)
        held = path.stat().st_size if path.exists() else 0
        partials.append(PartialStatus(row.token, row.name, row.size, held, row.started, row.idle))
    return partials
