"""A server's connection and the bytes that its upload has claimed of a quota."""

from __future__ import annotations

from xferproto.errors import ConnectionCut
from xferproto.server.login import VisitedConnection
from xferproto.server.quota import NO_CLAIM, Claim


class ClaimingConnection(VisitedConnection):
    """
    What an L{UploadConnection<xferproto.server.upload.UploadConnection>} stands on.

    A claim is made before the first byte, and ends as stored or dropped, once.
    """

    _claim: Claim = NO_CLAIM

    def _claim_now(self, size: int) -> bool:
        """Claim bytes by what is known; whether the store has not to be asked first."""
        who = self.identity
        claim = self.factory.quota.claim_now(who.view.owner, who.quota, size)
        if claim is None:
            return False
        self._claim = claim
        return True

    async def _claim_bytes(self, size: int) -> None:
        """
        Claim bytes.

        @raise QuotaExceeded: they would be too many.
        @raise ConnectionCut: the connection was lost meanwhile.
        """
        if self._claim_now(size):
            return
        who = self.identity
        claim = await self.factory.quota.claim(who.view.owner, who.quota, size)
        if self._lost:
            claim.drop()
            raise ConnectionCut("The connection was lost.")
        self._claim = claim

    async def _claim_resumed(self, size: int, token: str) -> None:
        """Claim what an upload under a token declares beyond what it has declared before."""
        who = self.identity
        if self.factory.quota.concerns(who.quota):
            declared = await self.factory.store.declared(token, who.view)
            await self._claim_bytes(max(0, size - declared))

    def _claim_stored(self) -> None:
        claim, self._claim = self._claim, NO_CLAIM
        claim.stored()

    def _claim_dropped(self) -> None:
        claim, self._claim = self._claim, NO_CLAIM
        claim.drop()
