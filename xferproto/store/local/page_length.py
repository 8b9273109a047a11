"""
Limit the length of the pages of listings: many listings that nobody reads, with long names, must
not fill the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakSet

PAGE = 4000
"""Entries on a page: some 250 KB of text, and 2 ms of the reader's thread."""

LARGEST_PAGE = 256 * 1024
"""Bytes of a page, but for one line."""

SMALLEST_PAGE = 4 * 1024
"""Bytes that a page may have, however many listings run."""

FULL_PAGES = 8
"""How many listings may run with full pages."""

LONGEST = 32 + 1 + 1024 + 1 + 19 + 1
"""Bytes of the longest line: id, name, size, and what parts them."""


def cut(text: bytes, most: int) -> bytes:
    """The first lines of C{text}: as many as C{most} bytes hold, but one in any case."""
    if len(text) <= most:
        return text
    end = text.rfind(b"\n", 0, most) + 1
    return text[: end or text.index(b"\n") + 1]


@dataclass(frozen=True, slots=True)
class Page:
    """
    Entries of a listing.

    @ivar text: a line each, C{id;name;size}.
    @ivar last: whether there are no more; where it is not, that shows by an empty one.
    """

    text: bytes
    last: bool

    @classmethod
    def of(cls, text: bytes, full: bool, most: int) -> Page:
        """
        As much of C{text} as C{most} bytes hold.

        @param full: whether there may be more behind it.
        """
        part = cut(text, most)
        return cls(part, not full and len(part) == len(text))


class Paging:
    """The pages of all listings of a store that are under way."""

    def __init__(self) -> None:
        self._running: WeakSet[PageSize] = WeakSet()

    def begin(self) -> PageSize:
        """One more listing: how long its pages are, as long as that is kept."""
        size = PageSize(self)
        self._running.add(size)
        return size

    @property
    def most(self) -> int:
        """Bytes that a page may have now."""
        share = FULL_PAGES * LARGEST_PAGE // max(1, len(self._running))
        return min(LARGEST_PAGE, max(SMALLEST_PAGE, share))


class PageSize:
    """
    How long the next page of one listing is.

    @ivar most: in bytes; what is longer is to be L{cut}.
    @ivar entries: in entries, by the length of those on the page before.
    """

    def __init__(self, paging: Paging) -> None:
        self._paging = paging
        self._length = LONGEST

    @property
    def most(self) -> int:
        return self._paging.most

    @property
    def entries(self) -> int:
        return max(1, min(PAGE, self.most // self._length))

    def learn(self, page: bytes) -> None:
        """A page was read."""
        self._length = max(1, len(page) // max(1, page.count(b"\n")))
