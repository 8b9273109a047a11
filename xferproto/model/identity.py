"""Describe users, their rights and the files that they see."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Right(Enum):
    """The rights of a user; the values are their names in files and options."""

    LIST = "list"
    """Read names: LIST_FILES, STAT and LIST_DAMAGED."""

    READ = "read"
    """Read bytes: DOWNLOAD and VERIFY."""

    WRITE = "write"
    """Store files: UPLOAD and RESUME."""

    DELETE = "delete"
    """Remove files: DELETE."""


ALL_RIGHTS = frozenset(Right)


def parse_right(word: str) -> Right:
    """
    Parse the name of a right.

    @raise ValueError: there is no such right.
    """
    try:
        return Right(word)
    except ValueError:
        words = ", ".join(right.value for right in Right)
        raise ValueError(f"{word!r} is not a right; the rights are {words}") from None


@dataclass(frozen=True, slots=True)
class View:
    """
    Say whose files a user stores, and whose files the user sees.

    @ivar owner: the owner of what is stored; empty for strangers.
    @ivar all: whether the files of all owners are visible, or the owner's alone.
    """

    owner: str = ""
    all: bool = True

    @property
    def owner_filter(self) -> str | None:
        """The owner to whom a store restricts a request, or None for the files of all owners."""
        return None if self.all else self.owner


EVERYTHING = View()
"""The view where nobody logs in: all files."""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Describe a user or a stranger: rights, view and quota.

    @ivar name: the name of the user; empty for a stranger.
    @ivar rights: the rights.
    @ivar view: the visible files.
    @ivar quota: the most bytes of all files of the user together, or None for no limit.
    """

    name: str = ""
    rights: frozenset[Right] = ALL_RIGHTS
    view: View = field(default=EVERYTHING)
    quota: int | None = None


ANYONE = Identity()
"""A stranger with all rights."""

NOBODY = Identity(rights=frozenset(), view=View(all=False))
"""A stranger without rights."""
