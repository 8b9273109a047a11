"""Compute MD5 and SHA-256 of a stream of blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence


class Digest:
    """
    Compute one running hash. L{update} may be called on any thread, but not on two at once.

    @param algorithm: a constructor of hashlib.
    """

    def __init__(self, algorithm: Callable[..., hashlib._Hash]) -> None:
        # The hash identifies content and protects no secret; FIPS builds insist on this argument.
        self._hash = algorithm(usedforsecurity=False)

    def update(self, blocks: Sequence[bytes]) -> None:
        """Add bytes. hashlib releases the GIL while it hashes a block above 2 KiB."""
        for block in blocks:
            self._hash.update(block)

    def hex(self) -> str:
        """Return the hash of all bytes so far, in lower-case hex digits."""
        return self._hash.hexdigest()


def md5() -> Digest:
    """Start an MD5."""
    return Digest(hashlib.md5)


def sha256() -> Digest:
    """Start a SHA-256."""
    return Digest(hashlib.sha256)
