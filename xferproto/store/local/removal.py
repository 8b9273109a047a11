"""Remove names of a content, and its bytes with the last name."""

from __future__ import annotations

from functools import partial

from twisted.logger import Logger

from xferproto.model.errors import NoSpace
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.content_locks import ContentLocks
from xferproto.store.local.contents import Contents
from xferproto.store.local.group_commit import CommitInDoubt
from xferproto.store.local.objects import Objects
from xferproto.store.local.space import translated
from xferproto.store.local.upkeep import Upkeep
from xferproto.threads.executor import Executor

log = Logger("xfer")


class Remover:
    """
    Deletes, also on a full disk.

    @param objects: the object files.
    @param contents: the bytes of all contents.
    @param catalogue: their names.
    @param files: runs what touches files.
    @param upkeep: has room where there is none.
    @param locks: those of the contents.
    """

    def __init__(
        self,
        objects: Objects,
        contents: Contents,
        catalogue: Catalogue,
        files: Executor,
        upkeep: Upkeep,
        locks: ContentLocks,
    ) -> None:
        self._objects = objects
        self._contents = contents
        self._catalogue = catalogue
        self._files = files
        self._upkeep = upkeep
        self._locks = locks

    async def delete(self, id: str, name: str | None, owner_filter: str | None) -> None:
        """
        Remove one name of a content, or all of them, as C{IStore.delete} does.

        @param owner_filter: the owner whose names are seen, or None for all.
        """
        await self._files.run(self._objects.check)
        # Before anything else: what is not seen takes no other way than what is not there.
        deletion = await self._catalogue.contents.deletion(id, name, owner_filter)
        while deletion.many:  # at least one name stays, and so do the bytes
            deletion = await self._upkeep.with_room(
                partial(self._catalogue.contents.thin_out, deletion)
            )
        async with self._locks.held(id):
            # A file is marked first, for the case that the server is killed before it is removed.
            known = await self._catalogue.contents.get(id)
            marked = known is not None and known.small is None and await self._mark(id)
            try:
                gone = await self._upkeep.with_room(
                    lambda: self._catalogue.contents.delete(deletion)
                )
            except BaseException as error:
                if marked and not isinstance(error, CommitInDoubt):  # else the next start looks
                    await self._files.run(self._objects.confirm, id)
                raise
            try:
                if marked and (gone is None or gone.small is not None):  # stored anew meanwhile
                    await self._files.run(self._objects.confirm, id)
                if gone is not None:
                    await self._contents.remove(id, gone.small)
            except Exception:  # it is deleted all the same; the next start looks for what is left
                log.failure("not all of {id} could be removed", id=id)

    async def _mark(self, id: str) -> bool:
        """Whether an object could be marked; what a kill leaves without is found by C{tend}."""
        try:
            await self._upkeep.with_room(
                lambda: self._files.run(translated, self._objects.mark, id)
            )
        except NoSpace:
            return False
        return True
