"""The uploads under tokens of a local store: what came of them, and for how long it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from xferproto.files.staged_file import IncomingFile
from xferproto.model.entry import Digests, PartialStatus
from xferproto.model.errors import Busy
from xferproto.model.identity import View
from xferproto.store.interface import FLAT_COST, MOST_TOKENS, Claiming
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.contents import Contents
from xferproto.store.local.schema import Content, Partial
from xferproto.store.local.space import Reservation, Space, translated
from xferproto.store.local.upload import LocalPartial

if TYPE_CHECKING:
    from xferproto.store.local.store import LocalStore

log = Logger("xfer")


class Tokens:
    """
    Which uploads under tokens there are.

    @param store: whose they are.
    @param catalogue: its catalogue.
    @param contents: its stored bytes.
    @param space: keeps account of the room on its disk.
    @param now: the time, seconds since the epoch.
    @param most: how many an owner may have.
    """

    def __init__(
        self,
        store: LocalStore,
        catalogue: Catalogue,
        contents: Contents,
        space: Space,
        now: Callable[[], float],
        most: int = MOST_TOKENS,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._contents = contents
        self._space = space
        self._now = now
        self._most = most
        self._active: dict[str, int | None] = {}  # and the bytes that count for it meanwhile
        self._counting: list[dict[str, int]] = []  # what has ended while usage is counted

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
        token = _owned(token, view)
        if token in self._active:
            raise Busy()
        self._active[token] = None
        try:
            # Asked now that no other connection can change it: what was known before is no use.
            row = await self._catalogue.partial(token)
            held = 0
            if row is not None and row.id is None:
                held = await self._held(token)
            self._active[token] = held
            counted = 0 if row is None else held + FLAT_COST
            known = await self._known(size, token, sha256, view.owner_filter)
            flat = FLAT_COST if known is not None and row is None else 2 * FLAT_COST
            if claim is not None and size + flat > counted:  # what makes less of it always may
                await claim(size + flat - counted)
            if known is not None:
                digests = Digests(known.id, known.sha256)
                room = self._space.reserve(0)
                return LocalPartial(
                    self._store, None, room, name, size, token, view, digests, counted
                )
            opened = await self.open(name, size, token)
            return LocalPartial(self._store, *opened, name, size, token, view, None, counted)
        except BaseException:
            self.ended(token)
            raise

    async def _known(
        self, size: int, token: str, sha256: str | None, only: str | None
    ) -> Content | None:
        """The content that is stored already under a token or a SHA-256, of this size, and seen."""
        if sha256 is not None:
            known = await self._catalogue.by_sha256(sha256, only)  # it alone opens nothing
        else:
            known = await self._catalogue.by_token(token, only)
        if known is None or known.size != size:
            return None
        return known if await self._contents.has(known) else None

    async def open(
        self, name: str, size: int, token: str, anew: bool = False
    ) -> tuple[IncomingFile, Reservation]:
        """The file of an upload under a token, perhaps emptied, and room for what it lacks."""
        if not await self._held(token):
            await self._store.files.run(translated, self._check_files)
        incoming = await self._store.files.run(translated, self._store.objects.partial, token)
        reservation = None
        try:
            shared = await self._store.files.run(incoming.is_shared)
            if shared and (anew or await self._is_object(incoming, size, token)):
                await self._store.files.run(translated, incoming.replace)
            elif anew or incoming.size > size:  # of another file that had the token
                await self._store.files.run(incoming.empty)
            reservation = self._space.reserve(size - incoming.size)
            await self._store.files.run(translated, self._space.check)
            partial = Partial(token, name, size, self._now())
            await self._catalogue.begin_partial(partial, self._most)
        except BaseException:
            if reservation is not None:
                reservation.release()
            await self._store.files.run(incoming.close if incoming.size else incoming.discard)
            raise
        return incoming, reservation

    def _check_files(self) -> None:
        self._store.objects.check()  # before anything is asked of a directory that may be gone
        self._space.check_files()

    async def usage(self, owner: str | None) -> int:
        """How many bytes count as an owner's, or in all, as C{IStore.usage} says."""
        ended: dict[str, int] = {}
        self._counting.append(ended)
        try:
            counted, tokens = await self._catalogue.usage(owner)
            return counted + await self._store.files.run(self._counted, tokens, ended)
        finally:
            self._counting = [one for one in self._counting if one is not ended]

    def _counted(self, tokens: Sequence[str], ended: dict[str, int]) -> int:
        """
        The bytes that unfinished uploads hold, of running ones those before. Blocks.

        @param ended: those before of uploads that have ended since the tokens were looked up: the
            file of one that is stored is gone, and the tokens' look-up did not see its content.
        """
        total = 0
        for token in tokens:
            held = self._active.get(token)
            if held is None:
                held = ended.get(token)  # in this order: it is there before it is active no more
            total += self._store.objects.partial_size(token) if held is None else held
        return total

    async def _held(self, token: str) -> int:
        return await self._store.files.run(self._store.objects.partial_size, token)

    async def _is_object(self, incoming: IncomingFile, size: int, token: str) -> bool:
        """
        Whether a file of another size may be an object too: a commit that failed has left both.
        """
        partial = await self._catalogue.partial(token)
        return partial is not None and partial.size == incoming.size != size

    def ended(self, token: str) -> None:
        """An upload under a token has ended, well or not."""
        held = self._active.get(token)
        if held is not None:
            for ended in self._counting:
                ended.setdefault(token, held)
        self._active.pop(token, None)

    async def forget_empty(self, token: str) -> None:
        """Forget an upload under a token that has ended without a byte, and its file."""
        try:
            await self._catalogue.forget_unfinished(token)
            await self._store.files.run(self._store.objects.remove_partial, token)
        except Exception:  # it is forgotten when its time is up
            log.failure("partial {name} can't be forgotten", name=token)

    def forget(self, token: str) -> Deferred[None]:
        """Forget an upload under a token; its file is gone."""
        return self._catalogue.forget_partial(token)

    async def all(self) -> Sequence[PartialStatus]:
        """The ones that lack bytes, the longest idle first."""
        rows = [row for row in await self._catalogue.partials() if row.id is None]
        sizes = [await self._held(row.token) for row in rows]
        return [
            PartialStatus(row.token, row.name, row.size, held, row.started, row.idle)
            for row, held in zip(rows, sizes, strict=True)
        ]

    async def age(self, seconds: float, ttl: float) -> None:
        """Let time pass, and remove those that were idle for longer than C{ttl}; in seconds."""
        await self._store.files.run(self._store.objects.check)
        await self._catalogue.age_partials(seconds, tuple(self._active))
        for partial in await self._catalogue.partials():
            if partial.idle <= ttl:
                break
            if partial.token not in self._active:
                self._active[partial.token] = None
                try:
                    await self._store.files.run(self._store.objects.remove_partial, partial.token)
                    await self._catalogue.forget_partial(partial.token)
                finally:
                    self.ended(partial.token)
                log.info("partial {name} expired", name=partial.token)


def _owned(token: str, view: View) -> str:
    """Each owner has tokens of their own; no token holds a slash."""
    return f"{view.owner}/{token}" if view.owner else token
