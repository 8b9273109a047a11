"""Keep contents and their names in memory."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from xferproto.model.entry import Digests, Entry, StoredEntry
from xferproto.model.errors import Collision, NoSuchFile
from xferproto.store.interface import FLAT_COST

Name = tuple[str, str, str]
"""Name, id and owner of an entry; sorted so, as listings are."""

_LAST = "\U0010ffff" * 8
"""Comes behind every id and owner."""


@dataclass(slots=True)
class Content:
    """
    A content.

    @ivar sha256: 64 lower-case hex digits.
    @ivar size: its length in bytes.
    @ivar data: its bytes.
    @ivar stored: when it was first stored, seconds since the epoch.
    @ivar verified: when its bytes were last right, seconds since the epoch.
    @ivar identity: another one each time it is stored.
    @ivar damaged: whether its bytes were found to be wrong.
    @ivar names: its entries.
    """

    sha256: str
    size: int
    data: bytes
    stored: float
    verified: float
    identity: int
    damaged: bool = False
    names: set[Name] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        """Whether bytes of its length are there."""
        return len(self.data) == self.size


class MemoryCatalogue:
    """
    Contents and entries.

    @param now: the time, seconds since the epoch.
    @ivar contents: the contents, by their ids.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.contents: dict[str, Content] = {}
        self._stored: dict[Name, float] = {}  # when
        self._sorted: list[Name] = []
        self._identities = itertools.count(1)

    def store(self, entry: Entry, digests: Digests, data: bytes, owner: str) -> None:
        """
        Store a content and a name of it. One that was damaged is right again.

        @raise Collision: another content has the id.
        """
        now = self.now()
        content = self.contents.get(entry.id)
        if content is None:
            content = Content(digests.sha256, entry.size, data, now, now, next(self._identities))
            self.contents[entry.id] = content
        elif content.sha256 != digests.sha256:
            raise Collision()
        else:
            content.data, content.identity = data, next(self._identities)
            if content.damaged:
                content.damaged, content.verified = False, now
        self.add_name(entry, owner)

    def add_name(self, entry: Entry, owner: str) -> None:
        """Record a name of a content that is there; nothing changes where it has it already."""
        name = entry.name, entry.id, owner
        if name not in self._stored:
            self._stored[name] = self.now()
            insort(self._sorted, name)
            self.contents[entry.id].names.add(name)

    def remove(self, id: str, name: str | None, only: str | None) -> bool:
        """
        Remove one name of a content, or all: whether the content is gone with them.

        @param only: the owner whose names are removed, or None for all.
        @raise NoSuchFile: there are none.
        """
        gone = [one for one in self.names(id, only) if name in (None, one[0])]
        if not gone:
            raise NoSuchFile()
        content = self.contents[id]
        for one in gone:
            content.names.discard(one)
            del self._stored[one]
            del self._sorted[bisect_left(self._sorted, one)]
        if content.names:
            return False
        del self.contents[id]
        return True

    def names(self, id: str, only: str | None) -> list[Name]:
        """The names of a content that are seen, the oldest first."""
        content = self.contents.get(id)
        seen = [one for one in content.names if only in (None, one[2])] if content else []
        return sorted(seen, key=lambda one: (self._stored[one], one[0]))

    def visible(self, id: str, only: str | None) -> tuple[Content, Entry, float]:
        """
        A content that is seen, under the oldest name that is seen, and when that was stored.

        @raise NoSuchFile: it is not there, or not seen.
        """
        names = self.names(id, only)
        if not names:
            raise NoSuchFile()
        content = self.contents[id]
        return content, Entry(id, names[0][0], content.size), self._stored[names[0]]

    def by_sha256(self, sha256: str) -> str | None:
        """The id of the content with this SHA-256, if there is one."""
        found = (id for id, content in self.contents.items() if content.sha256 == sha256)
        return next(found, None)

    def entries(
        self, prefix: str, after: tuple[str, str] | None, only: str | None
    ) -> Iterator[StoredEntry]:
        """
        The entries that are seen, each name and content once, in the order of names and ids.

        @param after: name and id behind which they begin, or None.
        """
        start = bisect_left(self._sorted, (prefix, "", ""))
        if after is not None:
            start = max(start, bisect_right(self._sorted, (*after, _LAST)))
        seen = (one for one in self._sorted[start:] if only in (None, one[2]))
        begin = itertools.takewhile(lambda one: one[0].startswith(prefix), seen)
        for (name, id), same in itertools.groupby(begin, key=lambda one: one[:2]):
            content = self.contents[id]
            stored = min(self._stored[one] for one in same)
            yield StoredEntry(Entry(id, name, content.size), stored, content.damaged)

    def usage(self, owner: str | None) -> int:
        """How many bytes all names of an owner count, or those of all."""
        names = [one for one in self._sorted if owner in (None, one[2])]
        return sum(self.contents[id].size + FLAT_COST for _, id, _ in names)
