"""Publish written files as contents: first the file, then its row; or all of it goes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import Logger

from xferproto.files.staged_file import StagedFile
from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision, Corrupt, NoSuchFile
from xferproto.model.identity import View
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.content_locks import ContentLocks
from xferproto.store.local.contents import Contents
from xferproto.store.local.group_commit import CommitInDoubt
from xferproto.store.local.objects import Objects
from xferproto.store.local.space import translated
from xferproto.threads.executor import Executor

log = Logger("xfer")


class Publisher:
    """
    Steps 2 to 4 of an upload (L{xferproto.store.local.store}).

    @param objects: where the file goes.
    @param contents: the bytes of all contents.
    @param catalogue: where the row goes.
    @param locks: those of the contents.
    @param files: runs what touches files.
    @param now: the time, seconds since the epoch.
    """

    def __init__(
        self,
        objects: Objects,
        contents: Contents,
        catalogue: Catalogue,
        locks: ContentLocks,
        files: Executor,
        now: Callable[[], float],
    ) -> None:
        self._objects = objects
        self._contents = contents
        self._catalogue = catalogue
        self._locks = locks
        self._files = files
        self._now = now

    async def publish(
        self,
        incoming: StagedFile,
        entry: Entry,
        digests: Digests,
        token: str | None,
        owner: str,
    ) -> None:
        """
        Make a file a content whose bytes are all written and whose hashes are known.

        Where that fails, for whatever reason, the file is where it was, and the store as before.

        @param token: under which it was sent, as the catalogue knows it; or None.
        @param owner: of the name.
        @raise Collision: other bytes with the same MD5 are stored already; they stay.
        @raise NoSpace: the disk is full.
        """
        async with self._locks.held(entry.id):
            await self._publish(incoming, entry, digests, token, owner)

    async def _publish(
        self,
        incoming: StagedFile,
        entry: Entry,
        digests: Digests,
        token: str | None,
        owner: str,
    ) -> None:
        id = entry.id
        known = await self._catalogue.contents.get(id)
        if known is not None and known.sha256 != digests.sha256:
            raise Collision()
        # Also where the content is known: who knows what has become of its bytes since.
        try:
            await self._files.run(translated, self._objects.publish, incoming, id)
            small = await self._catalogue.contents.add(entry, digests, self._now(), token, owner)
        except Exception as error:
            try:
                await self._give_back(id, incoming.path, token, isinstance(error, CommitInDoubt))
            except Exception:  # the mark stays, and the next start looks
                log.failure("{id} could not be taken back", id=id)
            raise
        self._objects.first = False
        try:
            await self._files.run(self._objects.confirm, id)
            if small is not None:
                await self._contents.remove(id, small)
        except Exception:  # it is stored all the same; the next start looks for what is left
            log.failure("the mark of {id} could not be removed", id=id)

    async def _give_back(self, id: str, path: Path, token: str | None, in_doubt: bool) -> None:
        """
        @param in_doubt: whether a crash may yet bring the row: then the object and its mark stay,
            and the next start looks.
        """
        row = None if in_doubt else await self._catalogue.contents.get(id)
        if in_doubt or (row is not None and row.small is None):
            if token is not None:
                await self._files.run(self._objects.share, id, path)
            if not in_doubt:
                await self._files.run(self._objects.confirm, id)
        else:
            await self._files.run(self._objects.take_back, id, path)

    async def add_name(self, entry: Entry, digests: Digests, token: str, view: View) -> None:
        """
        Record one more name of a content that is stored.

        @param token: which stands for the content from now on, as the catalogue knows it.
        @raise NoSuchFile: it is not stored any more, or C{view} does not see it.
        @raise Corrupt: its bytes are not right any more.
        """
        async with self._locks.held(entry.id):
            known = await self._catalogue.contents.get(entry.id)
            while True:
                if (
                    known is None
                    or known.sha256 != digests.sha256
                    or not await self._catalogue.contents.sees(entry.id, view.owner_filter)
                ):
                    raise NoSuchFile("The file was deleted meanwhile; send it again.")
                if not known.damaged and await self._contents.has(known):
                    break
                before, known = known, await self._catalogue.contents.get(entry.id)
                if known == before:  # it was not stored anew between the two questions
                    raise Corrupt()
            await self._catalogue.contents.add_name(entry, self._now(), token, view.owner)
            await self._files.run(self._objects.remove_partial, token)
