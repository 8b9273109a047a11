"""Begin, count and expire the uploads under tokens of a local store."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from xferproto.files.staged_file import StagedFile
from xferproto.model.entry import Digests, PartialStatus, UploadStatus
from xferproto.model.errors import BadToken
from xferproto.model.identity import View
from xferproto.model.names import is_token
from xferproto.store.interface import FLAT_COST, Claiming
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.contents import Contents
from xferproto.store.local.objects import Objects
from xferproto.store.local.partial_files import PartialFiles
from xferproto.store.local.publish import Publisher
from xferproto.store.local.schema import Content
from xferproto.store.local.space import Reservation, Space
from xferproto.store.local.token_leases import TokenCount, TokenLeases
from xferproto.store.local.upload import Declared, LocalPartial
from xferproto.threads.executor import Executor
from xferproto.threads.pending import PendingWork

log = Logger("xfer")


class ResumableUploads:
    """
    Begins uploads under tokens, counts them, and lets them expire.

    @param partials: their files and rows.
    @param objects: the object files.
    @param catalogue: knows their rows.
    @param contents: the bytes of all contents.
    @param space: keeps account of the room on the disk.
    @param publisher: makes them contents.
    @param pending: runs their commits.
    @param files: runs what touches files.
    @ivar leases: the tokens of those that run.
    """

    def __init__(
        self,
        partials: PartialFiles,
        objects: Objects,
        catalogue: Catalogue,
        contents: Contents,
        space: Space,
        publisher: Publisher,
        pending: PendingWork,
        files: Executor,
    ) -> None:
        self._partials = partials
        self._objects = objects
        self._catalogue = catalogue
        self._contents = contents
        self._space = space
        self._publisher = publisher
        self._pending = pending
        self._files = files
        self.leases = TokenLeases()

    async def resume(
        self,
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        view: View,
        claim: Claiming | None,
    ) -> LocalPartial:
        """Begin an upload under a token, or go on with one, as C{IStore.resume} does."""
        declared = Declared(name, size, _owned(token, view), view)
        lease = self.leases.take(declared.token)
        try:
            # Asked now that no other upload can change it: what was known before is no use.
            row = await self._catalogue.uploads.get(lease.token)
            held = 0
            if row is not None and row.id is None:
                held = await self._partials.held(lease.token)
            lease.count(held)
            counted = 0 if row is None else held + FLAT_COST
            known = await self._known(declared, sha256)
            flat = FLAT_COST if known is not None and row is None else 2 * FLAT_COST
            if claim is not None and size + flat > counted:  # what makes less of it always may
                await claim(size + flat - counted)
            opened: tuple[StagedFile | None, Reservation]
            if known is None:
                opened = await self._partials.open(name, size, lease.token)
            else:
                opened = None, self._space.reserve(0)
        except BaseException:
            lease.release()
            raise
        return LocalPartial(
            self._files,
            self._publisher,
            self._pending,
            self._partials,
            lease,
            declared,
            opened,
            None if known is None else Digests(known.id, known.sha256),
            counted,
        )

    async def _known(self, declared: Declared, sha256: str | None) -> Content | None:
        """The content that is stored already under a token or a SHA-256, of this size, and seen."""
        owner_filter = declared.view.owner_filter
        if sha256 is not None:
            # It alone opens nothing: the content is looked for among what the owner sees.
            known = await self._catalogue.contents.by_sha256(sha256, owner_filter)
        else:
            known = await self._catalogue.contents.by_token(declared.token, owner_filter)
        if known is None or known.size != declared.size:
            return None
        return known if await self._contents.has(known) else None

    async def status(self, token: str, view: View) -> UploadStatus | None:
        """Look up what came under a token, as C{IStore.upload_status} does."""
        token = _owned(token, view)
        row = await self._catalogue.uploads.get(token)
        if row is None:
            return None
        if row.id is None:
            held = await self._partials.held(token)
        else:
            known = await self._catalogue.contents.by_token(token, view.owner_filter)
            if known is None or not await self._contents.has(known):
                return None
            held = known.size
        running = self.leases.is_taken(token)
        return UploadStatus(row.name, row.size, held, row.started, row.idle, row.id, running)

    async def usage(self, owner: str | None) -> int:
        """How many bytes count as an owner's, or in all, as C{IStore.usage} says."""
        with self.leases.counting() as count:
            counted, tokens = await self._catalogue.uploads.usage(owner)
            return counted + await self._files.run(self._counted, tokens, count)

    def _counted(self, tokens: Sequence[str], count: TokenCount) -> int:
        """The bytes that unfinished uploads hold, of running ones those before. Blocks."""
        total = 0
        for token in tokens:
            held = count.bytes(token)
            total += self._objects.partial_size(token) if held is None else held
        return total

    async def all(self) -> Sequence[PartialStatus]:
        """The ones that lack bytes, the longest idle first."""
        rows = [row for row in await self._catalogue.uploads.all() if row.id is None]
        sizes = [await self._partials.held(row.token) for row in rows]
        return [
            PartialStatus(row.token, row.name, row.size, held, row.started, row.idle)
            for row, held in zip(rows, sizes, strict=True)
        ]

    async def age(self, seconds: float, ttl: float) -> None:
        """Let time pass, and remove those that were idle for longer than C{ttl}; in seconds."""
        await self._files.run(self._objects.check)
        await self._catalogue.uploads.age(seconds, self.leases.taken())
        for partial in await self._catalogue.uploads.all():
            if partial.idle <= ttl:
                break
            if not self.leases.is_taken(partial.token):
                lease = self.leases.take(partial.token)
                try:
                    await self._partials.remove(partial.token)
                finally:
                    lease.release()
                log.info("partial {name} expired", name=partial.token)


def _owned(token: str, view: View) -> str:
    """
    Make the key of a token in the catalogue: each owner has tokens of their own.

    @raise BadToken: it is not of the form of tokens; one with a slash could be another owner's.
    """
    if not is_token(token):
        raise BadToken()
    return f"{view.owner}/{token}" if view.owner else token
