"""What a depot has already under the names of files that are to be sent."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable

from xferproto.client.retry import RetryingClient
from xferproto.console.damage import each_damaged
from xferproto.entry import Entry

LISTINGS = 32
"""The most listings that are asked for; beyond them, one of what all names begin with."""


class Known:
    """The entries of some names; none before they are looked for."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}
        self._damaged: dict[str, list[Entry]] = {}

    async def look_for(
        self, client: RetryingClient, names: Container[str], prefixes: Iterable[str]
    ) -> None:
        """
        List what the depot has of these names.

        @param prefixes: every name begins with one of them.
        @raise Denied: we may not list.
        @raise LoginRequired: strangers may not.
        """
        listed = sorted(set(prefixes))
        if len(listed) > LISTINGS:
            listed = [os.path.commonprefix(listed)]  # noqa: RUF071 (of names, no paths)
        found: dict[str, list[Entry]] = defaultdict(list)

        def take(entry: Entry) -> None:
            if entry.name in names and entry not in found[entry.name]:
                found[entry.name].append(entry)

        damaged: dict[str, list[Entry]] = defaultdict(list)

        def take_damaged(entry: Entry) -> None:
            if entry.name in names and entry not in damaged[entry.name]:
                damaged[entry.name].append(entry)

        for prefix in listed:
            await client.each_file(prefix, take)
            await each_damaged(client, prefix, take_damaged)
        self._entries, self._damaged = dict(found), dict(damaged)

    def of_size(self, name: str, size: int) -> list[Entry]:
        """The contents of a name that have this size."""
        return [entry for entry in self._entries.get(name, ()) if entry.size == size]

    def besides(self, entry: Entry) -> list[Entry]:
        """The other contents of an entry's name, damaged ones too."""
        named = [*self._entries.get(entry.name, ()), *self._damaged.get(entry.name, ())]
        return [one for one in named if one.id != entry.id]
