"""How a written file becomes a content: it is published, then its row; or all of it goes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import Logger

from xferproto.files.staged_file import IncomingFile
from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision
from xferproto.store.local.catalogue import Catalogue
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
    @param files: runs what touches files.
    @param now: the time, seconds since the epoch.
    """

    def __init__(
        self,
        objects: Objects,
        contents: Contents,
        catalogue: Catalogue,
        files: Executor,
        now: Callable[[], float],
    ) -> None:
        self._objects = objects
        self._contents = contents
        self._catalogue = catalogue
        self._files = files
        self._now = now

    async def publish(
        self,
        incoming: IncomingFile,
        entry: Entry,
        digests: Digests,
        token: str | None,
        owner: str,
    ) -> None:
        """
        Make a file a content whose bytes are all written and whose hashes are known. Nobody else
        may do anything to this content meanwhile.

        Where that fails, for whatever reason, the file is where it was, and the store as before.
        """
        id = entry.id
        known = await self._catalogue.content(id)
        if known is not None and known.sha256 != digests.sha256:
            raise Collision()
        # Also where the content is known: who knows what has become of its bytes since.
        try:
            await self._files.run(translated, self._objects.publish, incoming, id)
            small = await self._catalogue.add(entry, digests, self._now(), token, owner)
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
        row = None if in_doubt else await self._catalogue.content(id)
        if in_doubt or (row is not None and row.small is None):
            if token is not None:
                await self._files.run(self._objects.share, id, path)
            if not in_doubt:
                await self._files.run(self._objects.confirm, id)
        else:
            await self._files.run(self._objects.take_back, id, path)
