"""Store small contents in batches: one commit takes all that came during the commit before it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision, NoSpace
from xferproto.store.local.catalogue_inserts import Inserts, commit_inserts, known_rows
from xferproto.store.local.group_commit import is_full, settle
from xferproto.store.local.packed import PackedContents
from xferproto.threads.batcher import Batcher
from xferproto.threads.executor import Executor


@dataclass(slots=True)
class _Put:
    """
    A content that waits for its commit.

    @ivar outcome: whether it was stored; false where the content has an object file already, which
        must then be written anew.
    """

    entry: Entry
    sha256: str
    content: bytes
    owner: str
    committed: Deferred[bool] = field(default_factory=Deferred)
    outcome: bool | Failure = True


class BatchInsert:
    """
    Stores small contents, many to a commit: first the bytes, then what makes them listed.

    @param small: where the bytes go.
    @param catalogue: the catalogue's connection for writing.
    @param writer: runs both commits; one thing at a time, as it runs all that writes to either.
    @param check: called on the writer's thread before each commit.
    @param now: the time, seconds since the epoch.
    """

    def __init__(
        self,
        small: PackedContents,
        catalogue: sqlite3.Connection,
        writer: Executor,
        check: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._small = small
        self._catalogue = catalogue
        self._check = check
        self._now = now
        self._unsure: list[int] = []  # the first rows of marks that a commit which failed left
        self._batcher: Batcher[_Put] = Batcher(writer, self._commit, _answer, _refuse)

    def put(
        self, entry: Entry, digests: Digests, content: bytes, owner: str = ""
    ) -> Deferred[bool]:
        """
        Store a content: fires when it is durable. With false where it must be stored as a file.

        @param owner: of the name.
        @raise Collision: other bytes with the same MD5 are stored already; they stay.
        @raise NoSpace: the disk is full.
        """
        put = _Put(entry, digests.sha256, content, owner)
        self._batcher.put(put)
        return put.committed

    def when_idle(self) -> Deferred[None]:
        """Fires when nothing waits for its commit."""
        return self._batcher.when_idle()

    def _commit(self, batch: list[_Put]) -> None:
        try:
            self._check()
            self._tidy_up()
            try:
                self._store(batch)
            except BaseException:
                with contextlib.suppress(Exception):  # then the next commit does, or the next start
                    self._tidy_up()
                raise
        except sqlite3.Error as error:
            if is_full(error):
                raise NoSpace() from error
            raise

    def _tidy_up(self) -> None:
        """Remove the rows of a commit that failed."""
        if self._unsure:
            settle(self._catalogue)  # a crash must not bring its names back without them
            self._small.tidy_up(self._number_of, self._unsure)
            self._unsure = []

    def _store(self, batch: list[_Put]) -> None:
        now = self._now()
        known = known_rows(self._catalogue, [put.entry.id for put in batch])
        first = self._small.next
        written: set[str] = set()  # by this batch
        contents: list[tuple[str, bytes]] = []
        inserts = Inserts()
        replaced: list[tuple[int, str]] = []
        for put in batch:
            entry = put.entry
            sha256, number, damaged = known.get(entry.id, (put.sha256, -1, False))
            if sha256 != put.sha256:
                put.outcome = Failure(Collision())
                continue
            if number is None:
                put.outcome = False
                continue
            inserts.entries.append((entry.name, entry.id, entry.size, now, put.owner))
            if entry.id in written:
                continue
            written.add(entry.id)
            current = first + len(contents)
            contents.append((entry.id, put.content))
            known[entry.id] = (sha256, current, False)
            if number < 0:
                inserts.new.append((entry.id, sha256, entry.size, now, now, current))
            else:  # who knows what has become of its bytes since: they are written anew
                inserts.anew.append((current, now, entry.id))
                if damaged:
                    inserts.healed.append((entry.id,))
                if number != current:  # it is where its row was quarantined or lost
                    replaced.append((number, entry.id))
        self._small.add(contents, [number for number, _ in replaced])
        self._unsure = [first, *(number for number, _ in replaced)]
        commit_inserts(self._catalogue, inserts)
        self._unsure = []
        self._small.confirm(first)
        if replaced:
            with contextlib.suppress(sqlite3.Error):  # all is stored: they may go later
                self._small.remove(replaced)

    def _number_of(self, id: str) -> int | None:
        return known_rows(self._catalogue, [id]).get(id, ("", None, False))[1]


def _answer(batch: list[_Put]) -> None:
    for put in batch:
        put.committed.callback(put.outcome)


def _refuse(failure: Failure, batch: list[_Put]) -> None:
    for put in batch:
        put.committed.errback(failure)
