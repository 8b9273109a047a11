"""Count, hash and store the bytes of an upload as they come."""

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
    Receive the payload of an upload into a store.

    MD5 is one step; SHA-256, which processors accelerate, shares the other with the writing.

    @param upload: the store's upload.
    @param name: the name of the file.
    @param size: the number of bytes still to come.
    @param workers: where they are hashed and written.
    @param budget: limits the bytes that wait.
    @param drained: called when L{full} is true no longer.
    @param failed: called when hashing or writing has failed; L{finish} raises the error.
    @param digest: the hashes of the bytes before, if there are any.
    @param keep: whether an abort keeps the bytes that came; they are written then.
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
        """The most bytes worth reading at once."""
        return self._receiver.block

    @property
    def full(self) -> bool:
        """Whether to pause the peer."""
        return self._receiver.full

    @property
    def failed(self) -> bool:
        """Whether hashing or writing has failed, or it was refused."""
        return self._receiver.failure is not None

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most L{remaining}."""
        self._receiver.write(data)

    def refuse(self, error: Exception) -> None:
        """Drop further bytes; L{finish} raises this error."""
        self._receiver.refuse(error)

    async def finish(self) -> Entry:
        """
        Commit the bytes, and return the entry once it is durable. This ends the upload in any case.

        @raise RequestError: the store refuses the upload.
        @raise Exception: what writing failed with.
        """
        try:
            await self._receiver.finish()
        except Exception:
            await self._upload.abort()
            raise
        return await self._upload.commit(self._digest.digests())

    async def abort(self) -> None:
        """End the upload; its bytes are removed, unless they are to be kept."""
        if self._keep:
            # The client sends again what the disk did not take.
            with contextlib.suppress(Exception):
                await self._receiver.finish()
        else:
            await self._receiver.stop()
        await self._upload.abort()
