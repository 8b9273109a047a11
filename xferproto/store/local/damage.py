"""List the damaged files of a storage directory from outside, also while a server uses it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xferproto.model.entry import Entry
from xferproto.store.local.catalogue_inspection import damaged_rows
from xferproto.store.local.schema import CATALOGUE


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """
    A name of a content whose stored bytes are known to be damaged.

    @ivar entry: what it was.
    @ivar owner: the user who stored it; empty for a stranger.
    @ivar found: when the damage was, seconds since the epoch.
    """

    entry: Entry
    owner: str
    found: float


def damaged_entries(root: Path) -> Iterator[DamagedEntry]:
    """
    The names of damaged contents, in order; one after the other, however many there are. Blocks.

    @param root: the storage directory.
    @raise sqlite3.Error: its catalogue can't be read.
    """
    for id, name, size, owner, found in damaged_rows(root / CATALOGUE):
        yield DamagedEntry(Entry(id, name, size), owner, found)
