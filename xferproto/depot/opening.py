"""Open uploads: reserve the quota, wait for a turn or a token, hash what the depot holds."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import deferLater

from xferproto.depot.admission import Slot
from xferproto.depot.depot import Depot
from xferproto.depot.quota import NO_RESERVATION, Reservation
from xferproto.depot.request import Request
from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Lease, Upload
from xferproto.depot.uploader import Uploader
from xferproto.model.errors import Busy
from xferproto.model.identity import Identity
from xferproto.store.interface import FLAT_COST, IPartial
from xferproto.transfer.hashing import ContentDigest, hash_stored

PROBE = 5.0
"""Seconds in which a sender that is gone shows itself, once its connection is probed."""

Progress = Callable[[int, int], None]
"""Called with how many bytes of how many are done, first before anything is."""


async def open_small(
    depot: Depot, identity: Identity, name: str, size: int, request: Request
) -> SmallUpload:
    """
    Begin an upload that is kept in memory.

    @raise QuotaExceeded: it is too much.
    @raise ConnectionCut: the request was abandoned.
    """
    view = identity.view
    reservation = await depot.quota.reserve(view.owner, identity.quota, size + FLAT_COST)
    try:
        request.check()
    except BaseException:
        reservation.end(0)
        raise
    return SmallUpload(depot, view, name, size, reservation)


async def open_upload(
    depot: Depot, identity: Identity, name: str, size: int, uploader: Uploader, request: Request
) -> Upload:
    """
    Begin an upload.

    @raise QuotaExceeded: it is too much.
    @raise NoSpace: there is no room for it.
    @raise ConnectionCut: the request was abandoned.
    """
    view = identity.view
    reservation = await depot.quota.reserve(view.owner, identity.quota, size + FLAT_COST)
    slot = Slot()
    try:
        request.check()
        slot = await request.wait(depot.admission.enter(uploader.waits))
        request.check()
        incoming = await depot.store.create(name, size, view)
        if request.abandoned:
            await incoming.abort()
        request.check()
    except BaseException:
        slot.leave()
        reservation.end(0)
        raise
    return Upload(depot, name, size, incoming, reservation, slot, uploader)


class ResumableOpening:
    """
    Open an upload under a token.

    @param sha256: of the whole content, where the sender knows it and may learn that it is stored.
    @param progress: called while what the depot holds is hashed.
    """

    def __init__(
        self,
        depot: Depot,
        identity: Identity,
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        uploader: Uploader,
        progress: Progress,
        request: Request,
    ) -> None:
        self._depot = depot
        self._identity = identity
        self._name = name
        self._size = size
        self._token = token
        self._sha256 = sha256
        self._uploader = uploader
        self._progress = progress
        self._request = request
        self._reservation: Reservation = NO_RESERVATION

    async def open(self) -> Upload:
        """
        Wait for the token, and hash what the depot holds under it.

        @raise Busy: another sender has the token, and is there.
        @raise QuotaExceeded: the file, or one more token, is too much.
        @raise NoSpace: there is no room for it.
        @raise ConnectionCut: the request was abandoned.
        """
        depot, owner = self._depot, self._identity.view.owner
        try:
            partial = await self._take_token()
        except BaseException:
            self._reservation.end(0)
            raise
        try:
            digest = None if partial.known is not None else await self._hash_held(partial)
            self._request.check()
        except BaseException:
            try:
                await partial.abort()
            finally:
                self._reservation.end(partial.grown)
            raise
        return Upload(
            depot,
            self._name,
            self._size,
            partial,
            self._reservation,
            Slot(),
            self._uploader,
            partial,
            digest,
            Lease(depot, owner, self._token, self._uploader),
        )

    async def _reserve(self, count: int) -> None:
        view, own = self._identity.view, self._identity.quota
        self._reservation = await self._depot.quota.reserve(view.owner, own, count)
        self._request.check()

    async def _take_token(self) -> IPartial:
        """Take the token; where another upload has it, see whether its sender is gone."""
        depot, view = self._depot, self._identity.view
        deadline = depot.clock.seconds() + PROBE
        limited = depot.quota.concerns(self._identity.quota)
        while True:
            try:
                return await depot.store.resume(
                    self._name,
                    self._size,
                    self._token,
                    self._sha256,
                    view,
                    self._reserve if limited else None,
                )
            except Busy:
                if self._request.abandoned or depot.clock.seconds() >= deadline:
                    raise
            if (other := depot.tokens.get((view.owner, self._token))) is not None:
                other.probe()
            await self._request.wait(deferLater(depot.clock, PROBE / 20))

    async def _hash_held(self, partial: IPartial) -> ContentDigest:
        length, request = partial.offset, self._request
        turn = self._depot.turns.turn(length, lambda: request.abandoned, for_upload=True)
        self._progress(0, length)

        async def checkpoint(done: int) -> None:
            if not request.abandoned:
                self._progress(done, length)
            await turn.progressed(done)

        async with turn:
            return await hash_stored(partial.read, length, self._depot.executor, checkpoint)
