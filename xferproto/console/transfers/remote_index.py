"""The entries that a depot has under the names of files to be sent."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable

from xferproto.client.lines import KeptEntries
from xferproto.client.retry import RetryingClient
from xferproto.console.transfers.damaged import each_damaged
from xferproto.model.entry import Entry

LISTINGS = 32
"""The most listings that are asked for; beyond them, one of what all names begin with."""


class RemoteIndex:
    """Keep the entries of some names; there are none before L{look_for}."""

    def __init__(self) -> None:
        self._listed = _Contents(())
        self._damaged = _Contents(())

    async def look_for(
        self, client: RetryingClient, names: Container[str], prefixes: Iterable[str]
    ) -> None:
        """
        List what the depot has of these names.

        @param prefixes: every name begins with one of them.
        @raise AnswerTooLong: it has more contents of them than can be kept.
        @raise Denied: the user may not list.
        @raise LoginRequired: nobody may list without a login.
        """
        beginnings = sorted(set(prefixes))
        if len(beginnings) > LISTINGS:
            beginnings = [os.path.commonprefix(beginnings)]  # noqa: RUF071 (of names, no paths)
        listed, damaged = _Contents(names), _Contents(names)
        for prefix in beginnings:
            await client.each_file(prefix, listed.take)
            await each_damaged(client, prefix, damaged.take)
        self._listed, self._damaged = listed, damaged

    def of_size(self, name: str, size: int) -> list[Entry]:
        """Return the contents of a name that have this size."""
        return [entry for entry in self._listed.of(name) if entry.size == size]

    def besides(self, entry: Entry) -> list[Entry]:
        """Return the other contents of an entry's name, including damaged ones."""
        named = [*self._listed.of(entry.name), *self._damaged.of(entry.name)]
        return [one for one in named if one.id != entry.id]


class _Contents:
    """
    Keep the contents of some names, each once.

    The first content of each name is always kept, as the names are in memory anyway. The number of
    the others depends on the depot, so it is limited.

    @param names: those that are kept.
    """

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self._first: dict[str, Entry] = {}
        self._others: dict[str, dict[Entry, None]] = {}
        self._kept = KeptEntries()

    def take(self, entry: Entry) -> None:
        """
        Keep an entry, if it has one of the names.

        @raise AnswerTooLong: there are too many.
        """
        if entry.name not in self._names or self._first.setdefault(entry.name, entry) == entry:
            return
        others = self._others.setdefault(entry.name, {})
        if entry not in others:
            self._kept.add(entry)
            others[entry] = None

    def of(self, name: str) -> list[Entry]:
        """Return the contents of a name, in the order in which they came."""
        if (first := self._first.get(name)) is None:
            return []
        return [first, *self._others.get(name, ())]
