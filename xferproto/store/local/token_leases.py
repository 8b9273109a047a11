"""
Leases of tokens: while an upload runs under a token, no other upload may use it.

A lease lasts as long as the upload that holds it: only one process has the storage directory, so
that no lease outlives its holder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xferproto.model.errors import Busy


class TokenLeases:
    """The tokens of the uploads that run, and how many bytes count for each meanwhile."""

    def __init__(self) -> None:
        self._held: dict[str, int | None] = {}
        self._counts: list[TokenCount] = []

    def take(self, token: str) -> TokenLease:
        """
        Take a token.

        @raise Busy: it is taken.
        """
        if token in self._held:
            raise Busy()
        self._held[token] = None
        return TokenLease(self, token)

    def taken(self) -> tuple[str, ...]:
        """List the tokens that are taken."""
        return tuple(self._held)

    def is_taken(self, token: str) -> bool:
        """Whether an upload runs under a token."""
        return token in self._held

    def count(self, token: str, bytes: int) -> None:
        """Let so many bytes count for a token as long as it is taken."""
        self._held[token] = bytes

    def release(self, token: str) -> None:
        """Give a token back. Does nothing where it is not taken."""
        bytes = self._held.get(token)
        if bytes is not None:
            for count in self._counts:
                count.ended.setdefault(token, bytes)
        self._held.pop(token, None)

    @contextmanager
    def counting(self) -> Iterator[TokenCount]:
        """Remember which leases end while something is counted."""
        count = TokenCount(self._held)
        self._counts.append(count)
        try:
            yield count
        finally:
            self._counts = [one for one in self._counts if one is not count]


class TokenCount:
    """
    What counts for tokens while something is counted; to be asked on any thread.

    @ivar ended: the bytes that counted for leases that have ended since.
    """

    def __init__(self, held: dict[str, int | None]) -> None:
        self._held = held
        self.ended: dict[str, int] = {}

    def bytes(self, token: str) -> int | None:
        """
        Say how many bytes count for a token that is taken, or was when the count began; None for
        others, whose files tell. The file of an upload that ended is gone where it was stored.
        """
        bytes = self._held.get(token)
        # In this order: it is among those that ended before it is taken no more.
        return self.ended.get(token) if bytes is None else bytes


class TokenLease:
    """
    One token, taken.

    @ivar token: which.
    """

    __slots__ = ("_leases", "_released", "token")

    def __init__(self, leases: TokenLeases, token: str) -> None:
        self._leases = leases
        self._released = False
        self.token = token

    def count(self, bytes: int) -> None:
        """Let so many bytes count for the token until it is given back."""
        self._leases.count(self.token, bytes)

    def release(self) -> None:
        """Give the token back; once, however often it is called."""
        if not self._released:
            self._released = True
            self._leases.release(self.token)
