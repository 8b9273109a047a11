"""Take uploads into a local store: new ones, and ones that continue an earlier try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from zope.interface import implementer

from xferproto.files.staged_file import StagedFile
from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision
from xferproto.model.identity import View
from xferproto.store.interface import FLAT_COST, IPartial, IUpload
from xferproto.store.local.partial_files import PartialFiles
from xferproto.store.local.publish import Publisher
from xferproto.store.local.space import Reservation, translated
from xferproto.store.local.token_leases import TokenLease
from xferproto.threads.executor import Executor
from xferproto.threads.pending import PendingWork


@implementer(IUpload)
class LocalUpload:
    """
    An upload that begins with nothing, and leaves nothing when it fails.

    @param files: runs what touches files.
    @param publisher: makes it a content.
    @param pending: runs its commit.
    @param incoming: its file.
    @param reservation: the room for its bytes.
    @param owner: of its name.
    """

    def __init__(
        self,
        files: Executor,
        publisher: Publisher,
        pending: PendingWork,
        incoming: StagedFile,
        reservation: Reservation,
        name: str,
        size: int,
        owner: str,
    ) -> None:
        self._files = files
        self._publisher = publisher
        self._pending = pending
        self._incoming = incoming
        self._reservation = reservation
        self._name = name
        self._size = size
        self._owner = owner

    def write(self, blocks: Sequence[bytes]) -> None:
        _write(self._incoming, self._reservation, blocks)

    async def _commit(self, digests: Digests) -> Entry:
        entry = Entry(digests.md5, self._name, self._size)
        try:
            await self._publisher.publish(self._incoming, entry, digests, None, self._owner)
        except BaseException:
            await self._abort()
            raise
        self._reservation.release()
        return entry

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return self._pending.run(self._commit(digests))

    async def _abort(self) -> None:
        self._reservation.release()
        await self._files.run(self._incoming.discard)

    def abort(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._abort())


@dataclass(frozen=True, slots=True)
class Declared:
    """
    What an upload under a token says of itself.

    @ivar name: the name it will have.
    @ivar size: its size in bytes.
    @ivar token: what the catalogue calls it.
    @ivar view: whose it is.
    """

    name: str
    size: int
    token: str
    view: View


@implementer(IPartial)
class LocalPartial:
    """
    An upload under a token.

    @param files: runs what touches files.
    @param publisher: makes it a content.
    @param pending: runs its commit.
    @param partials: has its file and row.
    @param lease: of its token; ends with it.
    @param opened: its file, None where the whole content is stored already, and the room for what
        it lacks.
    @param counted: the bytes that C{IStore.usage} counted for it before, with those of its token.
    @ivar known: the hashes of the whole content, where it is stored already; else None.
    """

    def __init__(
        self,
        files: Executor,
        publisher: Publisher,
        pending: PendingWork,
        partials: PartialFiles,
        lease: TokenLease,
        declared: Declared,
        opened: tuple[StagedFile | None, Reservation],
        known: Digests | None,
        counted: int,
    ) -> None:
        self._files = files
        self._publisher = publisher
        self._pending = pending
        self._partials = partials
        self._lease = lease
        self._declared = declared
        self._incoming, self._reservation = opened
        self._counted = counted
        self._ended = self._stored = False
        self.known = known

    @property
    def offset(self) -> int:
        return self._declared.size if self._incoming is None else self._incoming.size

    @property
    def grown(self) -> int:
        held = 0 if self._incoming is None else self._incoming.size
        return max(0, held + FLAT_COST - self._counted) if held else 0

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        assert self._incoming is not None
        return self._files.run(self._incoming.read, offset, length)

    def write(self, blocks: Sequence[bytes]) -> None:
        assert self._incoming is not None
        _write(self._incoming, self._reservation, blocks)

    async def _restart(self) -> None:
        self.known = None
        if self._incoming is not None:
            await self._files.run(self._incoming.close)
        self._reservation.release()
        declared = self._declared
        self._incoming, self._reservation = await self._partials.open(
            declared.name, declared.size, declared.token, anew=True
        )

    def restart(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._restart())

    async def _commit(self, digests: Digests) -> Entry:
        name, size, token, view = (
            self._declared.name,
            self._declared.size,
            self._declared.token,
            self._declared.view,
        )
        entry = Entry(digests.md5, name, size)
        try:
            if self._incoming is None:
                await self._publisher.add_name(entry, digests, token, view)
            else:
                try:
                    await self._publisher.publish(self._incoming, entry, digests, token, view.owner)
                    self._stored = True
                except Collision:  # however often it is tried
                    await self._partials.forget(token)
                    await self._files.run(self._incoming.discard)
                    raise
                await self._files.run(self._incoming.discard)
        finally:
            await self._suspend()
        return entry

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return self._pending.run(self._commit(digests))

    async def _suspend(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._reservation.release()
        try:
            if self._incoming is not None:
                await self._files.run(self._incoming.close)
                if self._incoming.size == 0 and not self._stored:
                    await self._partials.forget_empty(self._declared.token)
        finally:
            self._lease.release()

    def abort(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._suspend())


def _write(incoming: StagedFile, reservation: Reservation, blocks: Sequence[bytes]) -> None:
    reservation.take(sum(map(len, blocks)))
    before = incoming.size
    try:
        translated(incoming.write, blocks)
    finally:
        reservation.wrote(incoming.size - before)
