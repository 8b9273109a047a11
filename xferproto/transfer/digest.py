"""The hashes of a content, as it comes by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence


class Digest:
    """
    One running hash. L{update} may be called on any thread, but not on two at once.

    @param algorithm: a constructor of hashlib.
    """

    def __init__(self, algorithm: Callable[..., hashlib._Hash]) -> None:
        # The hash names content here; it guards no secret (and FIPS builds ask to be told).
        self._hash = algorithm(usedforsecurity=False)

    def update(self, blocks: Sequence[bytes]) -> None:
        """Add bytes. hashlib lets other threads run while it works on a block above 2 KiB."""
        for block in blocks:
            self._hash.update(block)

    def hex(self) -> str:
        """The hash of all bytes so far, in lower-case hex digits."""
        return self._hash.hexdigest()


def md5() -> Digest:
    return Digest(hashlib.md5)


def sha256() -> Digest:
    return Digest(hashlib.sha256)
