"""Take one upload from its declaration to its acknowledgement."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from xferproto.depot.admission import Slot
from xferproto.depot.depot import Depot
from xferproto.depot.quota import Reservation
from xferproto.depot.uploader import Uploader
from xferproto.model.entry import Entry
from xferproto.model.errors import BadDetails, BadRange, ConnectionCut
from xferproto.store.interface import IPartial, IUpload
from xferproto.transfer.hashing import ContentDigest
from xferproto.transfer.verified import VerifiedUpload


class Lease:
    """
    Hold a token for one upload, so that others that want it can have its sender probed.

    @param owner: whose token it is.
    """

    def __init__(self, depot: Depot, owner: str, token: str, uploader: Uploader) -> None:
        self._tokens = depot.tokens
        self._key = owner, token
        self._held = True
        self._tokens[self._key] = uploader

    def end(self) -> None:
        """Let go of the token; may be called more than once."""
        if self._held:
            self._held = False
            del self._tokens[self._key]


class Upload:
    """
    Take one file into the store: count, hash and write its bytes, then commit it or give it up.

    Owns what it needs for that: the store's upload, the reservation of the quota, the slot of the
    admission and the lease of the token. Ends once: what comes after that does nothing.

    One under a token begins with L{resume}, which says from where on bytes come.

    @param incoming: the store's upload.
    @param partial: the same, where it is one under a token.
    @param digest: the hashes of the bytes that C{partial} holds.
    @ivar name: of the file.
    @ivar size: bytes that it will have.
    @ivar resumable: whether it is one under a token: what came is kept when it is aborted.
    @ivar known: whether the depot has the whole content already, and records the name alone.
    """

    def __init__(
        self,
        depot: Depot,
        name: str,
        size: int,
        incoming: IUpload,
        reservation: Reservation,
        slot: Slot,
        uploader: Uploader,
        partial: IPartial | None = None,
        digest: ContentDigest | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.name = name
        self.size = size
        self.resumable = partial is not None
        self.known = partial is not None and partial.known is not None
        self._depot = depot
        self._incoming = incoming
        self._reservation = reservation
        self._slot = slot
        self._uploader = uploader
        self._partial = partial
        self._digest = digest
        self._lease = lease
        self._verified: VerifiedUpload | None = None
        self._held_back: list[bytes] = []
        self._growing = False
        self._grown: Deferred[None] | None = None
        self._resuming = False
        self._over = False
        if partial is None:
            self._receive(size)

    @property
    def offset(self) -> int:
        """The number of bytes that the depot holds already; all where it knows the content."""
        if self._partial is None:
            return 0
        return self.size if self.known else self._partial.offset

    @property
    def held_md5(self) -> str | None:
        """The MD5 of the L{offset} bytes that the depot holds; None without a token."""
        if self._partial is not None and self._partial.known is not None:
            return self._partial.known.md5
        return None if self._digest is None else self._digest.md5.hex()

    # The bytes

    def resume(self, offset: int) -> Deferred[None]:
        """
        Begin to take the bytes of an upload under a token; once.

        @param offset: of the first byte that will come: L{offset}, or 0 to start over.
        @raise BadRange: it is another one; the upload can still be resumed, or aborted.
        @raise NoSpace: there is no room to start over; the upload has ended.
        @raise ConnectionCut: it was aborted.
        """
        if self._over or self._resuming or self._verified is not None:
            return fail(ConnectionCut("The upload has begun or ended."))
        if offset not in (0, self.offset):
            return fail(BadRange(f"Go on from {self.offset}, or from 0 to start over."))
        self._resuming = True
        return self._depot.start(self._resume(offset))

    async def _resume(self, offset: int) -> None:
        partial = self._partial
        assert partial is not None
        if not self.known or offset != self.size:  # else nothing is missing
            if self.known or offset != partial.offset:
                try:
                    await partial.restart()
                except BaseException:
                    self._over = True
                    await self._give_up()
                    raise
                self._digest, self.known = ContentDigest(), False
            if self._over:
                await self._give_up()
                raise ConnectionCut("The upload was given up.")
            self._receive(self.size - offset)
        self._resuming = False

    def _receive(self, count: int) -> None:
        self._reservation.expect(count)
        self._verified = VerifiedUpload(
            self._incoming,
            self.name,
            count,
            self._depot.workers,
            self._depot.incoming,
            self._drained,
            self._failed,
            digest=self._digest,
            keep=self._partial is not None,
        )

    @property
    def remaining(self) -> int:
        """Bytes still to come."""
        if self._verified is None:
            return 0
        if self._held_back:
            return self._verified.remaining - sum(map(len, self._held_back))
        return self._verified.remaining

    @property
    def block(self) -> int:
        """The number of bytes that are worth taking at once."""
        return 0 if self._verified is None else self._verified.block

    @property
    def full(self) -> bool:
        """Whether the sender should be held back now, until its C{drained} is called."""
        return self._growing or (self._verified is not None and self._verified.full)

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most L{remaining}."""
        verified = self._verified
        if self._over or verified is None:
            return
        self._slot.came += len(data)
        if not self._growing and self._reservation.came(len(data)):
            verified.write(data)
            return
        self._held_back.append(data)
        if not self._growing:
            self._growing = True
            self._depot.start(self._grow(verified))

    async def _grow(self, verified: VerifiedUpload) -> None:
        """Find room for bytes that came so late that it was not kept for them."""
        try:
            while self._held_back:
                if self._reservation.came(len(self._held_back[0])):
                    verified.write(self._held_back.pop(0))
                else:
                    await self._reservation.grow(len(self._held_back[0]))
        except Exception as error:
            if self._held_back:  # else it was aborted
                verified.refuse(error)
        finally:
            self._held_back.clear()
            self._growing = False
            if self._grown is not None:
                self._grown.callback(None)
        if not verified.failed:
            self._drained()

    def _drained(self) -> None:
        if not self._over and not self.full:
            self._uploader.drained()

    def _failed(self) -> None:
        if not self._over:
            self._uploader.failed()

    # The end

    def finish(self) -> Deferred[Entry]:
        """
        Store what came: fires with the entry once it would survive a power cut.

        @raise BadDetails: not all declared bytes came.
        @raise ConnectionCut: the upload was aborted or finished before.
        @raise RequestError: the store refuses it.
        @raise Exception: what writing failed with.
        """
        if self._over or self._resuming:
            return fail(ConnectionCut("The upload has ended."))
        self._over = True
        self._slot.leave()
        return self._depot.start(self._finish())

    async def _finish(self) -> Entry:
        try:
            if self._growing:
                self._grown = Deferred()
                await self._grown
            entry = await self._commit()
        except BaseException:
            self._end(0 if self._partial is None else self._partial.grown)
            raise
        self._end()
        return entry

    async def _commit(self) -> Entry:
        partial, verified = self._partial, self._verified
        if verified is not None and (verified.failed or not verified.remaining):
            return await verified.finish()
        if verified is None and partial is not None and partial.known is not None:
            try:
                return await partial.commit(partial.known)
            except BaseException:
                await partial.abort()
                raise
        came = self.size - self.remaining
        await (self._incoming if verified is None else verified).abort()
        raise BadDetails(f"Only {came} of {self.size} declared bytes came.")

    def abort(self) -> Deferred[None]:
        """
        Give up: nothing of it stays, but for what came under a token.

        Fires when that is known; at once where the upload has ended before.
        """
        if self._over:
            return succeed(None)
        self._over = True
        self._held_back.clear()
        self._slot.leave()
        if self._lease is not None:
            self._lease.end()
        if self._resuming:  # which gives up when the store is through
            return succeed(None)
        return self._depot.start(self._give_up())

    async def _give_up(self) -> None:
        try:
            await (self._incoming if self._verified is None else self._verified).abort()
        finally:
            self._end(0 if self._partial is None else self._partial.grown)

    def _end(self, stored: int | None = None) -> None:
        """
        Give back what it owns.

        @param stored: how many bytes more the store counts now; all that are reserved where None.
        """
        if self._lease is not None:
            self._lease.end()
        self._reservation.end(stored)
