"""Who is at the other end of a connection, and what that one may do. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Right(Enum):
    """What one may do; the values are the words for it in files and options."""

    LIST = "list"
    """See names: LIST_FILES, STAT and LIST_DAMAGED."""

    READ = "read"
    """Get bytes: DOWNLOAD and VERIFY."""

    WRITE = "write"
    """Store: UPLOAD and RESUME."""

    DELETE = "delete"
    """Take away: DELETE."""


ALL_RIGHTS = frozenset(Right)


def parse_right(word: str) -> Right:
    """
    The right that a word stands for.

    @raise ValueError: it stands for none.
    """
    try:
        return Right(word)
    except ValueError:
        words = ", ".join(right.value for right in Right)
        raise ValueError(f"{word!r} is no right; there are {words}") from None


@dataclass(frozen=True, slots=True)
class View:
    """
    Whose files one stores, and whose one sees.

    @ivar owner: of what is stored; empty for strangers.
    @ivar all: whether the files of all owners are seen, or the owner's alone.
    """

    owner: str = ""
    all: bool = True

    @property
    def owner_filter(self) -> str | None:
        """The owner whose files alone are seen, or None where all are."""
        return None if self.all else self.owner


EVERYTHING = View()
"""What is seen where nobody logs in."""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    One who is served.

    @ivar name: of the user; empty for a stranger.
    @ivar rights: what they may do.
    @ivar view: whose files they see.
    @ivar quota: the most bytes that all their files together may have, or None for no limit.
    """

    name: str = ""
    rights: frozenset[Right] = ALL_RIGHTS
    view: View = field(default=EVERYTHING)
    quota: int | None = None


ANYONE = Identity()
"""A stranger to whom everything is open."""

NOBODY = Identity(rights=frozenset(), view=View(all=False))
"""A stranger to whom nothing is open."""
