"""A small file on its way in: kept in memory, hashed where it stands."""

from __future__ import annotations

import hashlib

from xferproto.model.entry import Digests


class SmallUpload:
    """
    The payload of a small upload.

    @ivar name: what the file is called.
    @ivar size: how many bytes it will have.
    @ivar remaining: bytes still to come.
    """

    full = False
    block = 0

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = self.remaining = size
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most L{remaining}."""
        self.remaining -= len(data)
        self._blocks.append(data)

    def content(self) -> tuple[bytes, Digests]:
        """What came, and its hashes: of a few KiB, so that no thread is worth the way to it."""
        content = self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)
        return content, Digests(
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            hashlib.sha256(content).hexdigest(),
        )

    async def abort(self) -> None:
        """Give up: it was nowhere but in memory."""
