"""Uploads into a local store: new ones, and ones that go on where an earlier try ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from xferproto.files.staged_file import IncomingFile
from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision
from xferproto.model.identity import View
from xferproto.store.interface import FLAT_COST, IPartial, IUpload
from xferproto.store.local.space import Reservation, translated

if TYPE_CHECKING:
    from xferproto.store.local.store import LocalStore


@implementer(IUpload)
class LocalUpload:
    """An upload that begins with nothing, and leaves nothing when it fails."""

    def __init__(
        self,
        store: LocalStore,
        incoming: IncomingFile,
        reservation: Reservation,
        name: str,
        size: int,
        owner: str,
    ) -> None:
        self._store = store
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
            await self._store.store(self._incoming, entry, digests, None, self._owner)
        except BaseException:
            await self._abort()
            raise
        self._reservation.release()
        return entry

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return self._store.finish(self._commit(digests))

    async def _abort(self) -> None:
        self._reservation.release()
        await self._store.files.run(self._incoming.discard)

    def abort(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._abort())


@implementer(IPartial)
class LocalPartial:
    """
    An upload under a token.

    @param incoming: its file; None where the whole content is stored already.
    @param view: whose it is.
    @param counted: the bytes that C{IStore.usage} counted for it before, with those of its token.
    @ivar known: the hashes of the whole content, where it is stored already; else None.
    """

    def __init__(
        self,
        store: LocalStore,
        incoming: IncomingFile | None,
        reservation: Reservation,
        name: str,
        size: int,
        token: str,
        view: View,
        known: Digests | None,
        counted: int,
    ) -> None:
        self._store = store
        self._incoming = incoming
        self._reservation = reservation
        self._name = name
        self._size = size
        self._token = token
        self._view = view
        self._counted = counted
        self._ended = self._stored = False
        self.known = known

    @property
    def offset(self) -> int:
        return self._size if self._incoming is None else self._incoming.size

    @property
    def grown(self) -> int:
        held = 0 if self._incoming is None else self._incoming.size
        return max(0, held + FLAT_COST - self._counted) if held else 0

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        assert self._incoming is not None
        return self._store.files.run(self._incoming.read, offset, length)

    def write(self, blocks: Sequence[bytes]) -> None:
        assert self._incoming is not None
        _write(self._incoming, self._reservation, blocks)

    async def _restart(self) -> None:
        self.known = None
        if self._incoming is not None:
            await self._store.files.run(self._incoming.close)
        self._reservation.release()
        self._incoming, self._reservation = await self._store.tokens.open(
            self._name, self._size, self._token, anew=True
        )

    def restart(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._restart())

    async def _commit(self, digests: Digests) -> Entry:
        entry = Entry(digests.md5, self._name, self._size)
        try:
            if self._incoming is None:
                await self._store.name_known(entry, digests, self._token, self._view)
            else:
                try:
                    await self._store.store(
                        self._incoming, entry, digests, self._token, self._view.owner
                    )
                    self._stored = True
                except Collision:  # however often it is tried
                    await self._store.tokens.forget(self._token)
                    await self._store.files.run(self._incoming.discard)
                    raise
                await self._store.files.run(self._incoming.discard)
        finally:
            await self._suspend()
        return entry

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return self._store.finish(self._commit(digests))

    async def _suspend(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._reservation.release()
        try:
            if self._incoming is not None:
                await self._store.files.run(self._incoming.close)
                if self._incoming.size == 0 and not self._stored:
                    await self._store.tokens.forget_empty(self._token)
        finally:
            self._store.tokens.ended(self._token)

    def abort(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._suspend())


def _write(incoming: IncomingFile, reservation: Reservation, blocks: Sequence[bytes]) -> None:
    reservation.take(sum(map(len, blocks)))
    before = incoming.size
    try:
        translated(incoming.write, blocks)
    finally:
        reservation.wrote(incoming.size - before)
