"""Maintain a store in memory: record damage, let unfinished uploads expire."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from xferproto.model.entry import DamageSummary, Digests, PartialStatus
from xferproto.store.interface import IContent, IMaintenance
from xferproto.store.memory.catalogue import MemoryCatalogue
from xferproto.store.memory.uploads import MemoryUploads


@implementer(IMaintenance)
class MemoryMaintenance:
    """Records damage and lets unfinished uploads expire; there is no directory to look after."""

    def __init__(self, catalogue: MemoryCatalogue, uploads: MemoryUploads) -> None:
        self._catalogue = catalogue
        self._uploads = uploads

    def _oldest_check(self, besides: Collection[str]) -> tuple[str, float] | None:
        now = self._catalogue.now()
        checks = [
            (content.verified <= now, content.verified, id)
            for id, content in self._catalogue.contents.items()
            if not content.damaged and id not in besides
        ]
        if not checks:
            return None
        _, verified, id = min(checks)
        return id, verified

    def oldest_check(self, besides: Collection[str] = ()) -> Deferred[tuple[str, float] | None]:
        return execute(self._oldest_check, besides)

    def _checked(self, id: str, found: Digests | None, content: IContent | None) -> bool | None:
        stored = self._catalogue.contents.get(id)
        if stored is None:  # deleted meanwhile
            return True
        if found == Digests(id, stored.sha256):
            stored.verified = self._catalogue.now()
            return True
        if not stored.damaged:
            if content is not None and content.identity != stored.identity and stored.whole:
                return None
            stored.damaged = True
        return False

    def checked(
        self, id: str, found: Digests | None, content: IContent | None = None
    ) -> Deferred[bool | None]:
        return execute(self._checked, id, found, content)

    def _missed(self, id: str) -> bool | None:
        stored = self._catalogue.contents.get(id)
        if stored is None:
            return True
        if stored.whole and not stored.damaged:
            return None
        stored.damaged = True
        return False

    def missed(self, id: str) -> Deferred[bool | None]:
        return execute(self._missed, id)

    def damaged(self, most: int) -> Deferred[DamageSummary]:
        names = [one.entry.name for one in self._catalogue.entries("", None, None) if one.damaged]
        return succeed(DamageSummary(len(names), tuple(names[:most])))

    def partials(self) -> Deferred[Sequence[PartialStatus]]:
        return succeed(self._uploads.unfinished())

    def age_partials(self, seconds: float, ttl: float) -> Deferred[None]:
        return execute(self._uploads.age, seconds, ttl)

    def tend(self) -> Deferred[None]:
        return succeed(None)

    def check(self) -> Deferred[None]:
        return succeed(None)

    def foreign(self) -> Deferred[Sequence[str]]:
        return succeed([])

    def backup(self) -> Deferred[int]:
        return succeed(0)
