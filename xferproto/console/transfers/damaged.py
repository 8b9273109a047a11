"""What of a depot is known to be damaged: it is in no listing but one of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from xferproto.client.lines import KeptEntries
from xferproto.model.entry import Entry
from xferproto.model.errors import BadCommand


class DamageDepot(Protocol):
    """What is asked of a client."""

    def list_files(self, prefix: str = "") -> Awaitable[list[Entry]]:
        """The entries whose names begin so."""

    def list_damaged(self, prefix: str = "") -> Awaitable[list[Entry]]:
        """The damaged entries whose names begin so."""

    def each_damaged(self, prefix: str, on_entry: Callable[[Entry], object]) -> Awaitable[None]:
        """Tell the damaged entries whose names begin so."""


async def each_damaged(
    client: DamageDepot, prefix: str, on_entry: Callable[[Entry], object]
) -> None:
    """
    Call a function with each damaged entry whose name begins so.

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
    """The entries of a damaged content, in name order; none where the depot is too old to say."""
    found = KeptEntries()

    def take(entry: Entry) -> None:
        if entry.id == id.lower():
            found.add(entry)

    await each_damaged(client, "", take)
    return found.entries


async def list_all(client: DamageDepot, prefix: str) -> tuple[list[Entry], set[Entry]]:
    """
    The entries whose names begin so, in name order, with the damaged ones; and which these are.

    What is found damaged, or is healed, while one asks is not missed.
    """
    before = await damaged_entries(client, prefix)
    listed = await client.list_files(prefix)
    damaged = {*before, *await damaged_entries(client, prefix)}
    damaged.difference_update(listed)
    if not damaged:
        return listed, damaged
    return sorted([*listed, *damaged], key=lambda entry: (entry.name, entry.id)), damaged
