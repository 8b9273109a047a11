"""Serve one user of a depot, or a stranger: the use cases, with their rights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from xferproto.depot.depot import Depot
from xferproto.depot.download import Download
from xferproto.depot.opening import Progress, ResumableOpening, open_small, open_upload
from xferproto.depot.request import Request
from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload
from xferproto.depot.uploader import PATIENT, Uploader
from xferproto.model.entry import ContentStatus, Entry, StoredEntry, UploadStatus
from xferproto.model.errors import Corrupt, Denied, LoginRequired, TooLarge
from xferproto.model.identity import Identity, Right, View
from xferproto.store.interface import FLAT_COST, ITextListing
from xferproto.transfer.stored_check import verify


class IAccount(Interface):
    """The avatar of whoever uses a depot: L{Account} has all of it."""

    name: str = Attribute("Of the user; empty for a stranger.")

    identity: Identity = Attribute("What they may do now: it changes with the users file.")


def _no_progress(done: int, total: int) -> None:
    """Report progress to nobody."""


@implementer(IAccount)
class Account:
    """
    Serve one user of a depot, or a stranger.

    Each method looks up what its user may do when it is called, and keeps to that until it is done.
    All fail at once, before anything is waited for, with L{LoginRequired} where a stranger, and
    with L{Denied} where a user may not do that. Deferreds that wait for others may be cancelled,
    as when a connection is lost: then nothing is left of the request.

    @param name: of the user; empty for a stranger.
    @param identity: what they may do now.
    @ivar name: the same.
    """

    def __init__(self, depot: Depot, name: str, identity: Callable[[], Identity]) -> None:
        self.name = name
        self._depot = depot
        self._identity = identity

    @property
    def identity(self) -> Identity:
        return self._identity()

    def require(self, right: Right) -> Identity:
        """
        See whether something may be done now; what does it asks this itself.

        @raise LoginRequired: strangers may not.
        @raise Denied: this user may not.
        """
        identity = self._identity()
        if right not in identity.rights:
            raise Denied() if identity.name else LoginRequired()
        return identity

    # Names

    def list(
        self, prefix: str, after: tuple[str, str] | None, limit: int
    ) -> Deferred[Sequence[StoredEntry]]:
        """
        List entries whose names begin with C{prefix}, those of damaged contents among them.

        @param after: name and id of the entry behind which the page begins; None for the first one.
        @param limit: how many to give; where fewer come, there are no more.
        @raise ValueError: the limit is below 1 or above
            L{MOST_LISTED<xferproto.store.interface.MOST_LISTED>}.
        """
        return self._depot.store.list(prefix, after, limit, self.require(Right.LIST).view)

    def find(self, name: str, limit: int) -> Deferred[Sequence[StoredEntry]]:
        """
        Look up the entries of exactly this name, the youngest first.

        @param limit: how many to give.
        @raise ValueError: the limit is below 1 or above
            L{MOST_LISTED<xferproto.store.interface.MOST_LISTED>}.
        """
        return self._depot.store.find(name, limit, self.require(Right.LIST).view)

    def list_text(self, prefix: str) -> ITextListing:
        """
        List the entries whose names begin with C{prefix} as the text of the line protocol, as fast
        as the store can; without those of contents that are known to be damaged.
        """
        return self._depot.store.list_text(prefix, self.require(Right.LIST).view)

    def list_damaged_text(self, prefix: str) -> ITextListing:
        """List the entries whose names begin with C{prefix} and whose contents are damaged."""
        return self._depot.store.list_damaged_text(prefix, self.require(Right.LIST).view)

    def status(self, id: str) -> Deferred[ContentStatus]:
        """
        All that is known of a content, its names aside.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are known to be damaged.
        """
        return self._depot.store.status(id, self.require(Right.LIST).view)

    def names_text(self, id: str) -> ITextListing:
        """List the entries of one content; none where there is none with that id."""
        return self._depot.store.names_text(id, self.require(Right.LIST).view)

    # Bytes out

    def get(self, id: str) -> Deferred[tuple[Entry, bytes | None]]:
        """
        A content's entry and, where it is a small one, its bytes; else None: L{open} it.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are damaged or gone.
        """
        depot = self._depot
        return depot.start(depot.store.get(id, self.require(Right.READ).view))

    def open(self, id: str) -> Deferred[Download]:
        """
        Read one content. May be cancelled.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are damaged or gone.
        """
        view = self.require(Right.READ).view
        return self._depot.serve(lambda request: self._open(id, view, request))

    async def _open(self, id: str, view: View, request: Request) -> Download:
        content = await self._depot.store.open(id, view)
        if request.abandoned:
            content.close()
        request.check()
        return Download(self._depot, content)

    def verify(self, id: str, progress: Progress = _no_progress) -> Deferred[None]:
        """
        Hash the stored bytes of a content again, when it is their turn. May be cancelled.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: they are not what was stored.
        """
        view = self.require(Right.READ).view
        return self._depot.serve(lambda request: self._verify(id, view, progress, request))

    async def _verify(self, id: str, view: View, progress: Progress, request: Request) -> None:
        depot = self._depot
        size = (await depot.store.status(id, view)).size
        request.check()
        turn = depot.turns.turn(size, lambda: request.abandoned)
        progress(0, size)

        async def checkpoint(done: int) -> None:
            if not request.abandoned:
                progress(done, size)
            await turn.progressed(done)

        async with turn:
            good = await verify(depot.store, id, depot.executor, checkpoint, view)
        if not good:
            raise Corrupt()

    # Bytes in

    def begin_now(self, name: str, size: int) -> SmallUpload | None:
        """
        Begin to store a small file, where nothing has to be waited for; else None: L{begin} it.

        @raise TooLarge: it is too large, whether small or not.
        """
        identity = self._storing(size)
        if size > self._depot.store.small:
            return None
        quota, view = self._depot.quota, identity.view
        reservation = quota.reserve_now(view.owner, identity.quota, size + FLAT_COST)
        if reservation is None:
            return None
        return SmallUpload(self._depot, view, name, size, reservation)

    def begin(
        self, name: str, size: int, uploader: Uploader = PATIENT
    ) -> Deferred[Upload | SmallUpload]:
        """
        Begin to store a file, when it is its turn. May be cancelled.

        @raise TooLarge: it is too large.
        @raise QuotaExceeded: it would exceed the quota.
        @raise NoSpace: there is no room.
        """
        identity = self._storing(size)
        return self._depot.serve(
            lambda request: self._begin(identity, name, size, uploader, request)
        )

    async def _begin(
        self, identity: Identity, name: str, size: int, uploader: Uploader, request: Request
    ) -> Upload | SmallUpload:
        if size <= self._depot.store.small:
            return await open_small(self._depot, identity, name, size, request)
        return await open_upload(self._depot, identity, name, size, uploader, request)

    def resume(
        self,
        name: str,
        size: int,
        token: str,
        sha256: str | None = None,
        uploader: Uploader = PATIENT,
        progress: Progress = _no_progress,
    ) -> Deferred[Upload]:
        """
        Begin to store a file under a token, or go on: fires with an upload that says from where on
        its bytes are missing, to be resumed there. May be cancelled.

        @param token: what the sender calls the upload.
        @param sha256: of the content, where the sender knows it.
        @param progress: called while what is held is hashed.
        @raise TooLarge: it is too large.
        @raise Busy: another sender has the token, and is there.
        @raise QuotaExceeded: it would exceed the quota, or there are too many tokens.
        @raise NoSpace: there is no room.
        """
        identity = self._storing(size)
        if Right.READ not in identity.rights:
            sha256 = None  # without that right, nobody gets a proof that others have the content
        return self._depot.serve(
            lambda request: ResumableOpening(
                self._depot, identity, name, size, token, sha256, uploader, progress, request
            ).open()
        )

    def upload_status(self, token: str) -> Deferred[UploadStatus | None]:
        """
        Look up what came under a token, also while an upload under it runs; None for nothing.

        @raise BadToken: it is not of the form of tokens.
        """
        return self._depot.store.upload_status(token, self.require(Right.WRITE).view)

    def put(self, name: str, content: bytes) -> Deferred[Entry]:
        """
        Store a content that is in memory; fails as L{begin} and L{Upload.finish} do. May be
        cancelled; once its bytes are taken, it is stored all the same.
        """
        identity = self._storing(len(content))

        async def stored(request: Request) -> Entry:
            upload = await self._begin(identity, name, len(content), PATIENT, request)
            if content:
                upload.write(content)
            return await upload.finish()

        return self._depot.serve(stored)

    def _storing(self, size: int) -> Identity:
        """Look up the user, and check that so many bytes may be stored."""
        identity = self.require(Right.WRITE)
        limit = self._depot.limits.file_size
        if limit is not None and size > limit:
            raise TooLarge(f"This server takes files of at most {limit} bytes; send a smaller one.")
        return identity

    def delete(self, id: str, name: str | None = None) -> Deferred[None]:
        """
        Remove one name of a content, or all.

        @raise NoSuchFile: there is no such content, or it has no such name.
        """
        view = self.require(Right.DELETE).view
        return self._depot.start(self._delete(id, name, view))

    async def _delete(self, id: str, name: str | None, view: View) -> None:
        await self._depot.store.delete(id, name, view)
        self._depot.quota.deleted()
