"""Look up contents in batches: one query answers all that was asked during the query before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt, NoSuchFile
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.packed import PackedContents
from xferproto.threads.batcher import Batcher
from xferproto.threads.executor import Executor


@dataclass(frozen=True, slots=True)
class FoundContent:
    """
    A stored content.

    @ivar entry: what it is, under the oldest of its names.
    @ivar small: its row among the small contents, or None where it has an object file.
    @ivar content: its bytes, where it is a small one.
    """

    entry: Entry
    small: int | None = None
    content: bytes | None = None


@dataclass(slots=True)
class _Get:
    """A content that somebody waits for."""

    id: str
    owner_filter: str | None
    found: Deferred[FoundContent] = field(default_factory=Deferred)
    outcome: FoundContent | Failure | None = None


class BatchLookup:
    """
    Looks contents up, many at once, with the bytes of the small ones.

    @param catalogue: what there is.
    @param small: the bytes of the small ones.
    @param reader: runs the queries of both, one at a time.
    """

    def __init__(self, catalogue: Catalogue, small: PackedContents, reader: Executor) -> None:
        self._catalogue = catalogue
        self._small = small
        self._batcher: Batcher[_Get] = Batcher(reader, self._look_up, _answer, _refuse)

    def get(self, id: str, owner_filter: str | None = None) -> Deferred[FoundContent]:
        """
        Look a content up.

        @param owner_filter: the owner whose names count, or None for all.
        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are damaged, or not there.
        """
        get = _Get(id, owner_filter)
        self._batcher.put(get)
        return get.found

    def when_idle(self) -> Deferred[None]:
        """Fires when nobody waits."""
        return self._batcher.when_idle()

    def _look_up(self, batch: list[_Get]) -> None:
        groups: dict[str | None, list[_Get]] = {}
        for get in batch:
            groups.setdefault(get.owner_filter, []).append(get)
        for owner_filter, gets in groups.items():
            self._look_up_as(owner_filter, gets)

    def _look_up_as(self, owner_filter: str | None, batch: list[_Get]) -> None:
        waiting: Sequence[_Get] = batch
        # A content that was written anew between the two queries has another row then.
        for _ in range(3):
            known = self._catalogue.contents.oldest({get.id for get in waiting}, owner_filter)
            rows = {found.small: id for id, found in known.items() if found.small is not None}
            contents = self._small.read(rows) if rows else {}
            for get in waiting:
                found = known.get(get.id)
                if found is None:
                    get.outcome = Failure(NoSuchFile())
                elif found.damaged:
                    get.outcome = Failure(Corrupt())
                elif found.small is None:
                    get.outcome = FoundContent(found.entry)
                elif len(content := contents.get(found.small, b"")) == found.entry.size:
                    get.outcome = FoundContent(found.entry, found.small, content)
            waiting = [get for get in waiting if get.outcome is None]
            if not waiting:
                return
        for get in waiting:
            get.outcome = Failure(Corrupt())


def _answer(batch: list[_Get]) -> None:
    for get in batch:
        get.found.callback(get.outcome)  # type: ignore[arg-type]  # a failure goes the other way


def _refuse(failure: Failure, batch: list[_Get]) -> None:
    for get in batch:
        get.found.errback(failure)
