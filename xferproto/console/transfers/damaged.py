"""Listings of damaged entries, which are in no other listing."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from xferproto.client.lines import KeptEntries
from xferproto.model.entry import Entry
from xferproto.model.errors import BadCommand


class DamageDepot(Protocol):
    """The requests of a client that this needs."""

    def list_files(self, prefix: str = "") -> Awaitable[list[Entry]]:
        """Return the entries whose names begin with a prefix."""

    def list_damaged(self, prefix: str = "") -> Awaitable[list[Entry]]:
        """Return the damaged entries whose names begin with a prefix."""

    def each_damaged(self, prefix: str, on_entry: Callable[[Entry], object]) -> Awaitable[None]:
        """Call a function with each damaged entry whose name begins with a prefix."""


async def each_damaged(
    client: DamageDepot, prefix: str, on_entry: Callable[[Entry], object]
) -> None:
    """
    Call a function with each damaged entry whose name begins with a prefix.

    A depot that is older than this request is taken for one without damage.
    """
    with contextlib.suppress(BadCommand):
        await client.each_damaged(prefix, on_entry)


async def damaged_entries(client: DamageDepot, prefix: str) -> list[Entry]:
    """The damaged entries whose names begin so; none where the depot is too old to say."""
    try:
        return await client.list_damaged(prefix)
    except BadCommand:
        return []


async def damaged_names(client: DamageDepot, id: str) -> list[Entry]:
    """Return the entries of a damaged content, in name order; none if the depot is too old."""
    found = KeptEntries()

    def take(entry: Entry) -> None:
        if entry.id == id.lower():
            found.add(entry)

    await each_damaged(client, "", take)
    return found.entries


async def list_all(client: DamageDepot, prefix: str) -> tuple[list[Entry], set[Entry]]:
    """
    Return the entries whose names begin with a prefix, in name order, including damaged ones; and
    the damaged ones alone.

    An entry that is found damaged, or is healed, between the requests is not missed.
    """
    before = await damaged_entries(client, prefix)
    listed = await client.list_files(prefix)
    damaged = {*before, *await damaged_entries(client, prefix)}
    damaged.difference_update(listed)
    if not damaged:
        return listed, damaged
    return sorted([*listed, *damaged], key=lambda entry: (entry.name, entry.id)), damaged
