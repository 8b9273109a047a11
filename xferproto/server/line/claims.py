"""A server's connection and the bytes that its upload has claimed of a quota."""

from __future__ import annotations

from xferproto.depot.quota import NO_CLAIM, Claim
from xferproto.model.errors import ConnectionCut
from xferproto.server.line.login import VisitedConnection
from xferproto.store.interface import FLAT_COST, IPartial
from xferproto.transfer.verified import VerifiedUpload


class ClaimingConnection(VisitedConnection):
    """
    What an L{UploadConnection<xferproto.server.line.upload.UploadConnection>} stands on.

    A claim is made before the first byte, and ends with the upload, once.
    """

    _claim: Claim = NO_CLAIM

    def _claim_now(self, size: int) -> bool:
        """Claim a file and its name by what is known; whether the store has not to be asked."""
        return self._claim_known(size + FLAT_COST)

    def _claim_known(self, count: int) -> bool:
        who = self.identity
        claim = self.factory.quota.claim_now(who.view.owner, who.quota, count)
        if claim is None:
            return False
        self._claim = claim
        return True

    async def _claim_file(self, size: int) -> None:
        """Claim a file and its name, as L{_claim_bytes} does."""
        await self._claim_bytes(size + FLAT_COST)

    async def _claim_bytes(self, count: int) -> None:
        """
        Claim bytes.

        @raise QuotaExceeded: they would be too many.
        @raise ConnectionCut: the connection was lost meanwhile.
        """
        if self._claim_known(count):
            return
        who = self.identity
        claim = await self.factory.quota.claim(who.view.owner, who.quota, count)
        if self._lost:
            claim.end(0)
            raise ConnectionCut("The connection was lost.")
        self._claim = claim

    def _claim_ended(self, stored: int | None = None) -> None:
        """The upload has ended: so many bytes more are stored, or all that were claimed."""
        claim, self._claim = self._claim, NO_CLAIM
        claim.end(stored)

    async def _abandon(self, upload: VerifiedUpload | IPartial, partial: IPartial | None) -> None:
        """
        Give up an upload; its claim ends when it is known what is kept.

        @param partial: where it is one under a token.
        """
        claim, self._claim = self._claim, NO_CLAIM
        try:
            await upload.abort()
        finally:
            claim.end(0 if partial is None else partial.grown)

    # While the bytes come

    def _may_come(self, count: int) -> bool:
        """Whether so many bytes of a payload may be taken; else they are held back until then."""
        if not isinstance(self._upload, VerifiedUpload) or self._claim.came(count):
            return True
        self._growing = True
        self._regulate()
        self.factory.start(self._grow(self._upload, count))
        return False

    async def _grow(self, upload: VerifiedUpload, count: int) -> None:
        try:
            await self._claim.grow(self.factory.store, count)
        except Exception as error:
            if self._upload is upload:
                upload.refuse(error)
        finally:
            self._growing = False
            self._regulate()
