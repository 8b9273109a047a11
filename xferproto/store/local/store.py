"""
The store on a local disk: object files, small contents and a catalogue in one directory.

An upload goes through these steps, and a crash between any two of them loses nothing that was
acknowledged and lists nothing that was not:

 1. its bytes are written to a file in C{incoming/}, or under a token in C{partial/};
 2. that file is synced, a mark set, the file renamed to its id, the directory synced;
 3. the catalogue row is committed: from here on the file is listed;
 4. the mark is removed.

Deleting removes all but the last of many names in commits of their own; then it sets the mark, then
removes the row, then the bytes, then the mark. The next start removes what is in C{incoming/}, and
a marked object that has no row. Small contents go the same way, many at once, as rows of a database
of their own instead of files. What can't be committed goes back, so that the store is as before and
an upload under a token can go on. No mark is synced: what a power cut leaves without one is found
by L{xferproto.store.local.upkeep}.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from xferproto.files.direct_io import WORTH_IT
from xferproto.files.staged_file import StagedFile
from xferproto.model.entry import ContentStatus, Digests, Entry, StoredEntry, UploadStatus
from xferproto.model.errors import StorageUnavailable
from xferproto.model.identity import View
from xferproto.store.interface import (
    MOST_TOKENS,
    Claiming,
    IContent,
    IPartial,
    IStore,
    ITextListing,
    IUpload,
    check_limit,
)
from xferproto.store.local.backup import Backup
from xferproto.store.local.batch_insert import BatchInsert
from xferproto.store.local.batch_lookup import BatchLookup
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.content import LocalContent, SmallContent
from xferproto.store.local.content_locks import ContentLocks
from xferproto.store.local.contents import Contents
from xferproto.store.local.lock import lock_directory
from xferproto.store.local.maintenance import LocalMaintenance
from xferproto.store.local.objects import Objects
from xferproto.store.local.packed import SMALL_SIZE, PackedContents
from xferproto.store.local.partial_files import PartialFiles
from xferproto.store.local.preflight import advice, check_whole, is_used
from xferproto.store.local.publish import Publisher
from xferproto.store.local.quarantine import Quarantine
from xferproto.store.local.removal import Remover
from xferproto.store.local.resumable import ResumableUploads
from xferproto.store.local.schema import CATALOGUE
from xferproto.store.local.space import Space, translated
from xferproto.store.local.spare_file import Spare
from xferproto.store.local.text_listings import LocalListing, LocalNames
from xferproto.store.local.upkeep import Upkeep
from xferproto.store.local.upload import LocalUpload
from xferproto.threads.executor import Executor
from xferproto.threads.pending import PendingWork

log = Logger("xfer")

R = TypeVar("R")


@implementer(IStore)
class LocalStore:
    """
    A store in a directory of this machine, which no other store may use at the same time.

    Making one blocks: it opens the directory and tidies up what a crash left.

    @param root: the storage directory; made when it is not there.
    @param files: runs what reads and writes object files; may do several things at once.
    @param writer: runs the catalogue's commits; one at a time.
    @param reader: runs the catalogue's queries; one at a time.
    @param scans: runs those that may take long; one at a time. The reader where it is None.
    @param now: the time, seconds since the epoch.
    @param space: keeps account of the room on the disk.
    @param small: the most bytes of a small content; -1 for none.
    @param tokens: how many tokens an owner may have.
    @raise StorageUnavailable: the directory can't be made, locked, read or written.
    """

    def __init__(
        self,
        root: Path,
        files: Executor,
        writer: Executor,
        reader: Executor,
        now: Callable[[], float],
        space: Space | None = None,
        small: int = SMALL_SIZE,
        tokens: int = MOST_TOKENS,
        scans: Executor | None = None,
    ) -> None:
        self._files = files
        self.small = small
        self._root = root
        self._space = space or Space(root)
        self._locks = ContentLocks()
        self._closed = False
        self._pending = PendingWork()
        self._lock = lock_directory(root)
        spare = Spare(root)
        spare.give_up_if_full()
        try:
            check_whole(root)
            self._small = PackedContents(root)
            # Marked first: should the server be killed, the next start removes what has no row.
            self._catalogue = Catalogue(
                root / CATALOGUE,
                writer,
                reader,
                lambda number: self._small.mark(number),
                scans,
            )
            self._puts = BatchInsert(
                self._small, self._catalogue.database.writing, writer, self._check, now
            )
            self._gets = BatchLookup(self._catalogue, self._small, reader)
            self.objects = Objects(root)
            self.objects.first = not is_used(root / CATALOGUE)
            quarantine = Quarantine(root, self.objects)
            self._contents = Contents(
                self.objects, quarantine, self._small, files, writer, reader, now
            )
            self._publisher = Publisher(
                self.objects, self._contents, self._catalogue, self._locks, files, now
            )
            self._upkeep = Upkeep(
                spare,
                self.objects,
                quarantine,
                self._catalogue,
                root / CATALOGUE,
                self._small,
                files,
                writer,
                now,
                self._locks,
            )
            self._remover = Remover(
                self.objects, self._contents, self._catalogue, files, self._upkeep, self._locks
            )
            self._partial_files = PartialFiles(
                self.objects, self._catalogue, self._space, files, now, tokens
            )
            self._resumable = ResumableUploads(
                self._partial_files,
                self.objects,
                self._catalogue,
                self._contents,
                self._space,
                self._publisher,
                self._pending,
                files,
            )
            self.maintenance = LocalMaintenance(
                root,
                self._lock,
                self.objects,
                self._contents,
                self._catalogue,
                self._locks,
                self._resumable,
                self._upkeep,
                Backup(root, self._catalogue.database.writing),
                self._pending,
                files,
                now,
            )
            self._upkeep.tidy_up()
        except (OSError, sqlite3.Error) as error:
            self._lock.close()
            reason = getattr(error, "strerror", None) or error
            raise StorageUnavailable(
                f"The storage directory {root} can't be used: {reason}.{advice(root, error)}"
            ) from error
        except StorageUnavailable:
            self._lock.close()
            raise

    # Uploads

    async def _create(self, name: str, size: int, owner: str) -> IUpload:
        reservation = self._space.reserve(size)
        try:
            incoming = await self._files.run(translated, self._new, size)
        except BaseException:
            reservation.release()
            raise
        return LocalUpload(
            self._files,
            self._publisher,
            self._pending,
            incoming,
            reservation,
            name,
            size,
            owner,
        )

    def _check(self) -> None:
        self.objects.check()  # before anything is asked of a directory that may be gone
        self._space.check()

    def _new(self, size: int) -> StagedFile:
        self._check()
        self._space.check_files()
        incoming = self.objects.new()
        if size >= WORTH_IT:
            incoming.pass_cache()
        return incoming

    def create(self, name: str, size: int, view: View) -> Deferred[IUpload]:
        return Deferred.fromCoroutine(self._create(name, size, view.owner))

    async def _put_as_file(
        self, entry: Entry, content: bytes, digests: Digests, owner: str
    ) -> Entry:
        upload = await self._create(entry.name, entry.size, owner)
        try:
            await self._files.run(upload.write, [content])
        except BaseException:
            await upload.abort()
            raise
        return await upload.commit(digests)

    def put(self, name: str, content: bytes, digests: Digests, view: View) -> Deferred[Entry]:
        entry = Entry(digests.md5, name, len(content))

        def put(stored: bool) -> Entry | Deferred[Entry]:
            if stored:
                return entry
            return self._pending.run(self._put_as_file(entry, content, digests, view.owner))

        if entry.size > self.small:
            return succeed(False).addCallback(put)
        return self._puts.put(entry, digests, content, view.owner).addCallback(put)

    def resume(
        self,
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        view: View,
        claim: Claiming | None = None,
    ) -> Deferred[IPartial]:
        return Deferred.fromCoroutine(
            self._resumable.resume(name, size, token, sha256, view, claim)
        )

    def upload_status(self, token: str, view: View) -> Deferred[UploadStatus | None]:
        return Deferred.fromCoroutine(self._resumable.status(token, view))

    # Entries

    def list(
        self, prefix: str, after: tuple[str, str] | None, limit: int, view: View
    ) -> Deferred[Sequence[StoredEntry]]:
        check_limit(limit)
        return self._catalogue.entries.list(prefix, after, limit, view.owner_filter)

    def find(self, name: str, limit: int, view: View) -> Deferred[Sequence[StoredEntry]]:
        check_limit(limit)
        return Deferred.fromCoroutine(self._catalogue.entries.find(name, limit, view.owner_filter))

    def list_text(self, prefix: str, view: View) -> ITextListing:
        return LocalListing(self._catalogue.entries, prefix, view.owner_filter)

    def list_damaged_text(self, prefix: str, view: View) -> ITextListing:
        return LocalListing(self._catalogue.entries, prefix, view.owner_filter, damaged=True)

    def names_text(self, id: str, view: View) -> ITextListing:
        return LocalNames(self._catalogue.entries.names, id, view.owner_filter)

    # Contents

    def status(self, id: str, view: View) -> Deferred[ContentStatus]:
        return self._catalogue.contents.status(id, view.owner_filter)

    def usage(self, owner: str | None) -> Deferred[int]:
        return Deferred.fromCoroutine(self._resumable.usage(owner))

    def get(self, id: str, view: View) -> Deferred[tuple[Entry, bytes | None]]:
        getting = self._gets.get(id, view.owner_filter)
        return getting.addCallback(lambda got: (got.entry, got.content))

    async def _open(self, id: str, view: View) -> IContent:
        got = await self._gets.get(id, view.owner_filter)
        if got.content is not None:
            return SmallContent(got.entry, got.content, got.small)
        fd = await self._files.run(self.objects.open, id, got.entry.size)
        return LocalContent(self._files, got.entry, fd)

    def open(self, id: str, view: View) -> Deferred[IContent]:
        return Deferred.fromCoroutine(self._open(id, view))

    def delete(self, id: str, name: str | None, view: View) -> Deferred[None]:
        return Deferred.fromCoroutine(self._remover.delete(id, name, view.owner_filter))

    # The whole

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._upkeep.stop()
        await self._puts.when_idle()
        await self._pending.when_idle()
        await self._gets.when_idle()
        await self._catalogue.close()
        self._small.close()
        self._lock.close()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())
