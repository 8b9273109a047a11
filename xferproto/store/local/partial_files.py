"""Open and forget the files and rows of uploads under tokens, and reserve room for them."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from xferproto.files.staged_file import StagedFile
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.objects import Objects
from xferproto.store.local.schema import Partial
from xferproto.store.local.space import Reservation, Space, translated
from xferproto.threads.executor import Executor

log = Logger("xfer")


class PartialFiles:
    """
    Opens, measures and forgets what came under tokens.

    @param objects: has the files.
    @param catalogue: has the rows.
    @param space: keeps account of the room on the disk.
    @param files: runs what touches files.
    @param now: the time, seconds since the epoch.
    @param most: how many tokens an owner may have.
    """

    def __init__(
        self,
        objects: Objects,
        catalogue: Catalogue,
        space: Space,
        files: Executor,
        now: Callable[[], float],
        most: int,
    ) -> None:
        self._objects = objects
        self._catalogue = catalogue
        self._space = space
        self._files = files
        self._now = now
        self._most = most

    def held(self, token: str) -> Deferred[int]:
        """How many bytes came so far under a token."""
        return self._files.run(self._objects.partial_size, token)

    async def open(
        self, name: str, size: int, token: str, anew: bool = False
    ) -> tuple[StagedFile, Reservation]:
        """
        Open the file of an upload, perhaps emptied, and reserve room for what it lacks.

        @param token: which is taken.
        @raise NoSpace: there is no room.
        @raise QuotaExceeded: the owner has as many unfinished uploads as the store takes.
        """
        if not await self.held(token):
            await self._files.run(translated, self._check_files)
        incoming = await self._files.run(translated, self._objects.partial, token)
        reservation = None
        try:
            shared = await self._files.run(incoming.is_shared)
            if shared and (anew or await self._is_object(incoming, size, token)):
                await self._files.run(translated, incoming.replace)
            elif anew or incoming.size > size:  # of another file that had the token
                await self._files.run(incoming.empty)
            reservation = self._space.reserve(size - incoming.size)
            await self._files.run(translated, self._space.check)
            partial = Partial(token, name, size, self._now())
            await self._catalogue.uploads.begin(partial, self._most)
        except BaseException:
            if reservation is not None:
                reservation.release()
            await self._files.run(incoming.close if incoming.size else incoming.discard)
            raise
        return incoming, reservation

    def _check_files(self) -> None:
        self._objects.check()  # before anything is asked of a directory that may be gone
        self._space.check_files()

    async def _is_object(self, incoming: StagedFile, size: int, token: str) -> bool:
        """
        Whether a file of another size may be an object too: a commit that failed has left both.
        """
        partial = await self._catalogue.uploads.get(token)
        return partial is not None and partial.size == incoming.size != size

    async def forget_empty(self, token: str) -> None:
        """Forget an upload that has ended without a byte, and its file."""
        try:
            await self._catalogue.uploads.forget_unfinished(token)
            await self._files.run(self._objects.remove_partial, token)
        except Exception:  # it is forgotten when its time is up
            log.failure("partial {name} can't be forgotten", name=token)

    def forget(self, token: str) -> Deferred[None]:
        """Forget an upload whose file is gone."""
        return self._catalogue.uploads.forget(token)

    async def remove(self, token: str) -> None:
        """Remove what came under a token, and forget it."""
        await self._files.run(self._objects.remove_partial, token)
        await self._catalogue.uploads.forget(token)
