"""An upload whose bytes are counted, hashed and stored on their way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from xferproto.model.entry import Entry
from xferproto.store.interface import IUpload
from xferproto.threads.worker_pool import WorkerPool
from xferproto.transfer.budget import MemoryBudget
from xferproto.transfer.hashing import ContentDigest
from xferproto.transfer.receiver import Receiver


class VerifiedUpload:
    """
    Takes the payload of an upload into a store.

    MD5 is one step; SHA-256, which processors help with, shares the other with the writing.

    @param upload: where the bytes go.
    @param name: what the file is called.
    @param size: how many there will be from now on.
    @param workers: where they are hashed and written.
    @param budget: says how many bytes may wait.
    @param drained: called when L{full} is true no longer.
    @param failed: called when hashing or writing has failed; L{finish} then tells why.
    @param digest: the hashes of the bytes before these, where there are any.
    @param keep: whether what came is kept when it is given up: all of it is written then.
    """

    def __init__(
        self,
        upload: IUpload,
        name: str,
        size: int,
        workers: WorkerPool,
        budget: MemoryBudget,
        drained: Callable[[], None],
        failed: Callable[[], None],
        digest: ContentDigest | None = None,
        keep: bool = False,
    ) -> None:
        self.name = name
        self.size = size
        self._upload = upload
        self._digest = digest = digest or ContentDigest()
        self._keep = keep
        self._receiver = Receiver(
            size, [digest.md5.update, self._hash_and_write], workers, budget, drained, failed
        )

    def _hash_and_write(self, blocks: Sequence[bytes]) -> None:
        self._digest.sha256.update(blocks)
        self._upload.write(blocks)

    @property
    def remaining(self) -> int:
        """Bytes still to come."""
        return self._receiver.remaining

    @property
    def block(self) -> int:
        """How many bytes are worth taking at once."""
        return self._receiver.block

    @property
    def full(self) -> bool:
        """Whether the peer should be held back now."""
        return self._receiver.full

    @property
    def failed(self) -> bool:
        """Whether hashing or writing has failed, or it was refused."""
        return self._receiver.failure is not None

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most L{remaining}."""
        self._receiver.write(data)

    def refuse(self, error: Exception) -> None:
        """Take no more: L{finish} fails with this."""
        self._receiver.refuse(error)

    async def finish(self) -> Entry:
        """
        Commit what came: its entry, once it is durable. The upload is over, however this ends.

        @raise RequestError: the store refuses it.
        @raise Exception: what writing failed with.
        """
        try:
            await self._receiver.finish()
        except Exception:
            await self._upload.abort()
            raise
        return await self._upload.commit(self._digest.digests())

    async def abort(self) -> None:
        """Give up. Nothing of it stays, unless it is to be kept."""
        if self._keep:
            # What the disk refuses of it will be sent again.
            with contextlib.suppress(Exception):
                await self._receiver.finish()
        else:
            await self._receiver.stop()
        await self._upload.abort()
