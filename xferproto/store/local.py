"""
The store on a local disk: object files and a catalogue in one directory.

An upload goes through these steps, and a crash between any two of them loses nothing that was
acknowledged and lists nothing that was not:

 1. its bytes are written to a file in C{incoming/};
 2. that file is synced, a mark set, the file renamed to its id, the directory synced;
 3. the catalogue row is committed: from here on the file is listed;
 4. the mark is removed.

The next start removes what is in C{incoming/}, and a marked object that has no row.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from xferproto.entry import Digests, Entry, Status
from xferproto.errors import Collision, NoSpace, StorageUnavailable
from xferproto.executor import Executor
from xferproto.store.catalogue import Catalogue
from xferproto.store.interface import IContent, IListing, IStore, IUpload
from xferproto.store.objects import DIRECTORY_MODE, FILE_MODE, IncomingFile, Objects, read_exactly

P = ParamSpec("P")
R = TypeVar("R")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@implementer(IStore)
class LocalStore:
    """
    A store in a directory of this machine, which no other store may use at the same time.

    Making one blocks: it opens the directory and tidies up what a crash left.

    @param root: the storage directory; made when it is not there.
    @param files: runs what reads and writes object files; may do several things at once.
    @param writer: runs the catalogue's commits; one at a time.
    @param reader: runs the catalogue's queries; one at a time.
    @param now: the time, seconds since the epoch.
    @raise StorageUnavailable: the directory can't be made, locked, read or written.
    """

    def __init__(
        self,
        root: Path,
        files: Executor,
        writer: Executor,
        reader: Executor,
        now: Callable[[], float],
    ) -> None:
        self._files = files
        self._now = now
        self._id_locks: dict[str, DeferredLock] = {}
        self._lock = _lock_directory(root)
        try:
            self._catalogue = Catalogue(root / "catalogue.sqlite", writer, reader)
            self._objects = Objects(root)
            self._tidy_up()
        except OSError as error:
            os.close(self._lock)
            raise StorageUnavailable(
                f"The storage directory {root} can't be used: {error.strerror or error}."
            ) from error
        except StorageUnavailable:
            os.close(self._lock)
            raise

    def _tidy_up(self) -> None:
        for id in self._objects.marked():
            if self._catalogue.has(id):
                self._objects.confirm(id)
            else:
                self._objects.remove(id)
        self._objects.clean()

    async def _create(self, name: str, size: int) -> IUpload:
        incoming = await self._files.run(_translated, self._objects.new)
        return LocalUpload(self, incoming, name, size)

    def create(self, name: str, size: int) -> Deferred[IUpload]:
        return Deferred.fromCoroutine(self._create(name, size))

    def list(self, prefix: str) -> IListing:
        return LocalListing(self._catalogue, prefix)

    def status(self, id: str) -> Deferred[Status]:
        return self._catalogue.status(id)

    async def _open(self, id: str) -> IContent:
        entry = await self._catalogue.oldest(id)
        fd = await self._files.run(self._objects.open, id, entry.size)
        return LocalContent(self._files, entry, fd)

    def open(self, id: str) -> Deferred[IContent]:
        return Deferred.fromCoroutine(self._open(id))

    async def _close(self) -> None:
        await self._catalogue.close()
        os.close(self._lock)

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def store(self, incoming: IncomingFile, entry: Entry, digests: Digests) -> Entry:
        """Steps 2 to 4 for a file whose bytes are all written and whose hashes are known."""
        lock = self._id_locks.setdefault(entry.id, DeferredLock())
        await lock.acquire()
        try:
            known = await self._catalogue.sha256(entry.id)
            if known not in (None, digests.sha256):
                raise Collision()
            # Bytes that are gone, though their row is there, are put back by who has them.
            there = known is not None and await self._files.run(
                self._objects.has, entry.id, entry.size
            )
            if not there:
                await self._files.run(_translated, self._objects.publish, incoming, entry.id)
            try:
                await self._catalogue.add(entry, digests, self._now())
            except NoSpace:
                if known is None:
                    await self._files.run(self._objects.remove, entry.id)
                raise
            # After any other failure the row may yet be there: the mark stays, and the next start
            # looks.
            if not there:
                await self._files.run(self._objects.confirm, entry.id)
        finally:
            lock.release()
            if not lock.waiting and not lock.locked:
                self._id_locks.pop(entry.id, None)
        return entry

    def discard(self, incoming: IncomingFile) -> Deferred[None]:
        return self._files.run(incoming.discard)


@implementer(IUpload)
class LocalUpload:
    """An upload into a L{LocalStore}."""

    def __init__(self, store: LocalStore, incoming: IncomingFile, name: str, size: int) -> None:
        self._store = store
        self._incoming = incoming
        self._name = name
        self._size = size

    def write(self, blocks: Sequence[bytes]) -> None:
        _translated(self._incoming.write, blocks)

    async def _commit(self, digests: Digests) -> Entry:
        try:
            entry = Entry(digests.md5, self._name, self._size)
            return await self._store.store(self._incoming, entry, digests)
        finally:
            await self.abort()

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return Deferred.fromCoroutine(self._commit(digests))

    def abort(self) -> Deferred[None]:
        return self._store.discard(self._incoming)


@implementer(IContent)
class LocalContent:
    """An object file, open."""

    def __init__(self, files: Executor, entry: Entry, fd: int) -> None:
        self.entry = entry
        self._files = files
        self._fd = fd

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return self._files.run(read_exactly, self._fd, offset, length)

    def close(self) -> None:
        os.close(self._fd)


@implementer(IListing)
class LocalListing:
    """The pages of a catalogue."""

    def __init__(self, catalogue: Catalogue, prefix: str) -> None:
        self._catalogue = catalogue
        self._prefix = prefix
        self._last: Entry | None = None

    async def _read(self) -> list[Entry]:
        page = await self._catalogue.page(self._prefix, self._last)
        if page:
            self._last = page[-1]
        return page

    def read(self) -> Deferred[list[Entry]]:
        return Deferred.fromCoroutine(self._read())


def _lock_directory(root: Path) -> int:
    """Make the directory and take it for this process: a file descriptor that holds the lock."""
    try:
        root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise StorageUnavailable(
            f"The storage directory {root} can't be used: {error.strerror}."
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise StorageUnavailable(
            f"The storage directory {root} is in use by another server."
        ) from error
    return fd


def _translated(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return work(*args, **kwargs)
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace() from error
        raise
