"""Keep a small upload in memory, hash it at once, and store it in one piece."""

from __future__ import annotations

import hashlib

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from xferproto.depot.depot import Depot
from xferproto.depot.quota import NO_RESERVATION, Reservation
from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import BadDetails, ConnectionCut
from xferproto.model.identity import View


class SmallUpload:
    """
    Take a small file into the store. Ends once: what comes after that does nothing.

    @ivar name: of the file.
    @ivar size: bytes that it will have.
    @ivar remaining: bytes still to come.
    @ivar full: whether the sender should be held back now: never.
    @ivar block: bytes that are worth taking at once: as many as there are.
    @ivar offset: bytes of it that the depot holds already: none.
    @ivar resumable: whether what came is kept when it is aborted: never.
    @ivar known: whether the depot has the whole content already: that is not looked for.
    """

    __slots__ = ("_blocks", "_depot", "_over", "_reservation", "_view", "name", "remaining", "size")

    full = False
    block = 0
    offset = 0
    resumable = known = False

    def __init__(
        self, depot: Depot, view: View, name: str, size: int, reservation: Reservation
    ) -> None:
        self.name = name
        self.size = self.remaining = size
        self._depot = depot
        self._view = view
        self._reservation = reservation
        self._blocks: list[bytes] = []
        self._over = False
        reservation.keep_whole()

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most L{remaining}."""
        self.remaining -= len(data)
        self._blocks.append(data)

    def finish(self) -> Deferred[Entry]:
        """
        Store what came; see L{Upload.finish<xferproto.depot.upload.Upload.finish>}.

        It is hashed here and now: a few KiB are not worth the way to a thread.
        """
        if self._over:
            return fail(ConnectionCut("The upload has ended."))
        if self.remaining:
            self.abort()
            return fail(BadDetails(f"{self.remaining} of {self.size} declared bytes did not come."))
        self._over = True
        blocks = self._blocks
        content = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        digests = Digests(
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            hashlib.sha256(content).hexdigest(),
        )
        depot = self._depot
        putting = depot.start(depot.store.put(self.name, content, digests, self._view))
        if self._reservation is not NO_RESERVATION:
            putting.addCallbacks(self._stored, self._refused)
        return putting

    def _stored(self, entry: Entry) -> Entry:
        self._reservation.end()
        return entry

    def _refused(self, failure: Failure) -> Failure:
        self._reservation.end(0)
        return failure

    def abort(self) -> Deferred[None]:
        """Give up: it was nowhere but in memory."""
        if not self._over:
            self._over = True
            self._blocks = []
            self._reservation.end(0)
        return succeed(None)
