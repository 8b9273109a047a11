"""Hash bytes that are already stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred

from xferproto.model.entry import Digests
from xferproto.threads.executor import Executor
from xferproto.transfer.digest import Digest, md5, sha256

HASH_BLOCK = 1024 * 1024
"""Bytes read and hashed at a time."""

Checkpoint = Callable[[int], Awaitable[None]]
"""Awaited after each block with the number of bytes hashed; it may wait, or raise to stop."""


class ContentDigest:
    """
    Compute both hashes of one content.

    @ivar md5: the hash that identifies the content.
    @ivar sha256: the hash that distinguishes contents with the same MD5.
    """

    def __init__(self) -> None:
        self.md5: Digest = md5()
        self.sha256: Digest = sha256()

    def update(self, block: bytes) -> None:
        """Add bytes to both hashes. Blocks."""
        self.md5.update([block])
        self.sha256.update([block])

    def digests(self) -> Digests:
        """Return both hashes of the bytes so far."""
        return Digests(self.md5.hex(), self.sha256.hex())


async def hash_stored(
    read: Callable[[int, int], Deferred[bytes]],
    length: int,
    executor: Executor,
    checkpoint: Checkpoint,
) -> ContentDigest:
    """
    Hash the first C{length} bytes of a content, block by block.

    @param read: returns bytes, given an offset and their exact number.
    @raise Exception: what C{read} or C{checkpoint} failed with.
    """
    digest = ContentDigest()
    offset = 0
    while offset < length:
        count = min(HASH_BLOCK, length - offset)
        block = await read(offset, count)
        await executor.run(digest.update, block)
        offset += count
        await checkpoint(offset)
    return digest
