"""Maintain a local store: record damage, let unfinished uploads expire, tidy up, back up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from xferproto.model.entry import DamageSummary, Digests, PartialStatus
from xferproto.store.interface import IContent, IMaintenance
from xferproto.store.local.backup import Backup
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.content_locks import ContentLocks
from xferproto.store.local.contents import Contents
from xferproto.store.local.layout import foreign
from xferproto.store.local.lock import DirectoryLock
from xferproto.store.local.objects import Objects
from xferproto.store.local.resumable import ResumableUploads
from xferproto.store.local.upkeep import Upkeep
from xferproto.threads.executor import Executor
from xferproto.threads.pending import PendingWork

log = Logger("xfer")


@implementer(IMaintenance)
class LocalMaintenance:
    """
    Keeps a storage directory in order.

    @param root: the directory.
    @param lock: keeps other stores from it.
    @param objects: the object files.
    @param contents: the bytes of all contents.
    @param catalogue: what there is.
    @param locks: those of the contents.
    @param resumable: the uploads under tokens.
    @param upkeep: what is done now and then.
    @param backup: copies the catalogue.
    @param pending: runs what a store that is closed waits for.
    @param files: runs what touches files.
    @param now: the time, seconds since the epoch.
    """

    def __init__(
        self,
        root: Path,
        lock: DirectoryLock,
        objects: Objects,
        contents: Contents,
        catalogue: Catalogue,
        locks: ContentLocks,
        resumable: ResumableUploads,
        upkeep: Upkeep,
        backup: Backup,
        pending: PendingWork,
        files: Executor,
        now: Callable[[], float],
    ) -> None:
        self._root = root
        self._lock = lock
        self._objects = objects
        self._contents = contents
        self._catalogue = catalogue
        self._locks = locks
        self._resumable = resumable
        self._upkeep = upkeep
        self._backup = backup
        self._pending = pending
        self._files = files
        self._now = now

    # Damage

    def oldest_check(self, besides: Collection[str] = ()) -> Deferred[tuple[str, float] | None]:
        return self._catalogue.contents.least_recently_verified(self._now(), besides)

    async def _checked(self, id: str, found: Digests | None, read: Hashable | None) -> bool | None:
        async with self._locks.held(id):
            row = await self._catalogue.contents.get(id)
            if row is None:  # deleted meanwhile
                return True
            if found == Digests(row.id, row.sha256):
                await self._catalogue.contents.verified(id, self._now())
                return True
            if row.damaged:  # its file may be there yet, where a crash came before the quarantine
                return False
            there = await self._contents.identity(row)
            if there is not None and read is not None and there != read:
                return None
            if not await self._catalogue.contents.damaged(row, self._now()):
                return None
            await self._contents.quarantine(row)
            log.error(
                "{id} is damaged: quarantined, and listed as damaged until it is stored again",
                id=id,
            )
            return False

    def checked(
        self, id: str, found: Digests | None, content: IContent | None = None
    ) -> Deferred[bool | None]:
        read = None if content is None else content.identity
        return Deferred.fromCoroutine(self._checked(id, found, read))

    def missed(self, id: str) -> Deferred[bool | None]:
        return Deferred.fromCoroutine(self._checked(id, None, (0, 0)))  # no file is that

    def damaged(self, most: int) -> Deferred[DamageSummary]:
        return self._catalogue.entries.summarize_damage(most)

    # Unfinished uploads

    def partials(self) -> Deferred[Sequence[PartialStatus]]:
        return Deferred.fromCoroutine(self._resumable.all())

    def age_partials(self, seconds: float, ttl: float) -> Deferred[None]:
        return Deferred.fromCoroutine(self._resumable.age(seconds, ttl))

    # The directory

    def tend(self) -> Deferred[None]:
        return self._pending.run(self._upkeep.tend())

    def check(self) -> Deferred[None]:
        return self._files.run(self._check_directory)

    def _check_directory(self) -> None:
        self._objects.check()
        try:
            self._lock.renew()
        except OSError as error:
            log.critical("{path} is not locked any more: {error}", path=self._root, error=error)

    def foreign(self) -> Deferred[Sequence[str]]:
        return self._files.run(_foreign, self._root)

    def backup(self) -> Deferred[int]:
        return self._files.run(self._backup.make)


def _foreign(root: Path) -> list[str]:
    return [str(path) for path in foreign(root)]
