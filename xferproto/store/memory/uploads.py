"""Take uploads into a store in memory: new ones, and ones under tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from xferproto.model.entry import Digests, Entry, PartialStatus, UploadStatus
from xferproto.model.errors import (
    BadToken,
    Busy,
    Collision,
    Corrupt,
    NoSuchFile,
    QuotaExceeded,
)
from xferproto.model.identity import View
from xferproto.model.names import is_token
from xferproto.store.interface import FLAT_COST, Claiming, IPartial, IUpload
from xferproto.store.memory.catalogue import MemoryCatalogue

Key = tuple[str, str]
"""Owner and token."""


@implementer(IUpload)
class MemoryUpload:
    """An upload that begins with nothing, and leaves nothing when it fails."""

    def __init__(self, catalogue: MemoryCatalogue, name: str, size: int, owner: str) -> None:
        self._catalogue = catalogue
        self._name = name
        self._size = size
        self._owner = owner
        self._data = bytearray()

    def write(self, blocks: Sequence[bytes]) -> None:
        self._data += b"".join(blocks)

    def _commit(self, digests: Digests) -> Entry:
        entry = Entry(digests.md5, self._name, self._size)
        self._catalogue.store(entry, digests, bytes(self._data), self._owner)
        return entry

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return execute(self._commit, digests)

    def abort(self) -> Deferred[None]:
        self._data = bytearray()
        return succeed(None)


@dataclass(slots=True)
class Held:
    """
    What is known of a token.

    @ivar name: the name that the upload will have.
    @ivar size: the declared size in bytes.
    @ivar started: when it was begun, seconds since the epoch.
    @ivar idle: for how long it was not used, in seconds.
    @ivar data: the bytes that have come.
    @ivar id: the content that it became, or None.
    """

    name: str
    size: int
    started: float
    idle: float = 0.0
    data: bytearray = field(default_factory=bytearray)
    id: str | None = None


class MemoryUploads:
    """
    The uploads under tokens.

    @param most: how many tokens an owner may have.
    @ivar held: what is known of each token.
    @ivar leases: the tokens of uploads that run, and the bytes that count for them meanwhile.
    """

    def __init__(self, catalogue: MemoryCatalogue, most: int) -> None:
        self.catalogue = catalogue
        self._most = most
        self.held: dict[Key, Held] = {}
        self.leases: dict[Key, int] = {}

    async def resume(
        self,
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        view: View,
        claim: Claiming | None,
    ) -> MemoryPartial:
        """Begin an upload, or go on with one, as C{IStore.resume} does."""
        key = _key(token, view)
        if key in self.leases:
            raise Busy()
        held = self.held.get(key)
        count = 0 if held is None else len(held.data)
        self.leases[key] = count
        try:
            counted = 0 if held is None else count + FLAT_COST
            known = self._known(held, size, sha256, view)
            flat = FLAT_COST if known is not None and held is None else 2 * FLAT_COST
            if claim is not None and size + flat > counted:
                await claim(size + flat - counted)
            partial = MemoryPartial(self, key, name, size, view, known, counted)
            if known is None:
                partial.begin(anew=False)
        except BaseException:
            del self.leases[key]
            raise
        return partial

    def _known(
        self, held: Held | None, size: int, sha256: str | None, view: View
    ) -> Digests | None:
        """The content that is stored already under the token or a SHA-256, of this size, seen."""
        if sha256 is not None:
            id = self.catalogue.by_sha256(sha256)
        else:
            id = None if held is None else held.id
        return None if id is None else self._seen(id, size, view)

    def _seen(self, id: str, size: int | None, view: View) -> Digests | None:
        """The hashes of a content that is seen and right, of this size if any is given."""
        if not self.catalogue.names(id, view.owner_filter):
            return None
        content = self.catalogue.contents[id]
        if content.damaged or not content.whole or size not in (None, content.size):
            return None
        return Digests(id, content.sha256)

    def begin(self, key: Key, name: str, size: int, anew: bool) -> Held:
        """
        Record an upload, or that one goes on.

        @param anew: whether what it holds is forgotten.
        @raise QuotaExceeded: the owner has too many, and none stands for a content.
        """
        held = self.held.get(key)
        if held is None:
            self._make_place(key[0])
            held = self.held[key] = Held(name, size, self.catalogue.now())
        held.name, held.size, held.idle, held.id = name, size, 0.0, None
        if anew or len(held.data) > size:
            held.data = bytearray()
        return held

    def _make_place(self, owner: str) -> None:
        keys = [key for key in self.held if key[0] == owner]
        finished = [key for key in keys if self.held[key].id is not None]
        finished.sort(key=lambda key: (-self.held[key].idle, self.held[key].started))
        surplus = len(keys) - self._most + 1
        if surplus > len(finished):
            raise QuotaExceeded(
                f"There are {self._most} unfinished uploads under tokens already; finish some, or "
                "ask for more."
            )
        for key in finished[: max(0, surplus)]:
            del self.held[key]

    def status(self, token: str, view: View) -> UploadStatus | None:
        """Look up what came under a token, as C{IStore.upload_status} does."""
        key = _key(token, view)
        held = self.held.get(key)
        if held is None or (held.id is not None and not self._seen(held.id, None, view)):
            return None
        count = len(held.data)
        if held.id is not None:
            count = self.catalogue.contents[held.id].size
        running = key in self.leases
        return UploadStatus(held.name, held.size, count, held.started, held.idle, held.id, running)

    def usage(self, owner: str | None) -> int:
        """The bytes that an owner's uploads hold, or all, with those of their tokens."""
        keys = [key for key in self.held if owner in (None, key[0])]
        return sum(
            FLAT_COST + self.leases.get(key, len(self.held[key].data)) * (self.held[key].id is None)
            for key in keys
        )

    def deleted(self, id: str) -> None:
        """Forget the tokens that stand for a content."""
        for key in [key for key, held in self.held.items() if held.id == id]:
            del self.held[key]

    def unfinished(self) -> list[PartialStatus]:
        """The ones that lack bytes, the longest idle first."""
        found = [
            PartialStatus(
                f"{owner}/{token}" if owner else token,
                held.name,
                held.size,
                len(held.data),
                held.started,
                held.idle,
            )
            for (owner, token), held in self.held.items()
            if held.id is None
        ]
        return sorted(found, key=lambda one: (-one.idle, one.token))

    def age(self, seconds: float, ttl: float) -> None:
        """Let time pass, and forget those that were idle for longer than C{ttl}; in seconds."""
        for key, held in list(self.held.items()):
            held.idle = 0.0 if key in self.leases else held.idle + seconds
            if held.idle > ttl:
                del self.held[key]


@implementer(IPartial)
class MemoryPartial:
    """
    An upload under a token.

    @param counted: the bytes that C{IStore.usage} counted for it before, with those of its token.
    @ivar known: the hashes of the whole content, where it is stored already; else None.
    """

    def __init__(
        self,
        uploads: MemoryUploads,
        key: Key,
        name: str,
        size: int,
        view: View,
        known: Digests | None,
        counted: int,
    ) -> None:
        self._uploads = uploads
        self._key = key
        self._name = name
        self._size = size
        self._view = view
        self._counted = counted
        self._held: Held | None = None
        self._ended = False
        self.known = known

    def begin(self, anew: bool) -> None:
        """Take bytes, behind those that are held, or from the beginning."""
        self.known = None
        self._held = self._uploads.begin(self._key, self._name, self._size, anew)

    @property
    def offset(self) -> int:
        return self._size if self._held is None else len(self._held.data)

    @property
    def grown(self) -> int:
        count = 0 if self._held is None else len(self._held.data)
        return max(0, count + FLAT_COST - self._counted) if count else 0

    def _read(self, offset: int, length: int) -> bytes:
        assert self._held is not None
        return exactly(self._held.data, offset, length)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return execute(self._read, offset, length)

    def write(self, blocks: Sequence[bytes]) -> None:
        assert self._held is not None
        self._held.data += b"".join(blocks)

    def restart(self) -> Deferred[None]:
        return execute(self.begin, True)

    def _commit(self, digests: Digests) -> Entry:
        entry = Entry(digests.md5, self._name, self._size)
        try:
            if self._held is None:
                self._name_known(entry, digests)
            else:
                self._store(entry, digests, self._held)
        finally:
            self._end()
        return entry

    def _name_known(self, entry: Entry, digests: Digests) -> None:
        catalogue = self._uploads.catalogue
        content = catalogue.contents.get(entry.id)
        if (
            content is None
            or content.sha256 != digests.sha256
            or not catalogue.names(entry.id, self._view.owner_filter)
        ):
            raise NoSuchFile("The file was deleted meanwhile; send it again.")
        if content.damaged or not content.whole:
            raise Corrupt()
        catalogue.add_name(entry, self._view.owner)
        self._finished(entry.id)

    def _store(self, entry: Entry, digests: Digests, held: Held) -> None:
        data = bytes(held.data)
        try:
            self._uploads.catalogue.store(entry, digests, data, self._view.owner)
        except Collision:  # however often it is tried
            self._uploads.held.pop(self._key, None)
            raise
        self._finished(entry.id)

    def _finished(self, id: str) -> None:
        held = self._uploads.held.get(self._key)
        if held is not None:
            held.id, held.idle, held.data = id, 0.0, bytearray()

    def commit(self, digests: Digests) -> Deferred[Entry]:
        return execute(self._commit, digests)

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        held = self._uploads.held.get(self._key)
        if self._held is not None and held is self._held and held.id is None and not held.data:
            del self._uploads.held[self._key]
        del self._uploads.leases[self._key]

    def abort(self) -> Deferred[None]:
        return execute(self._end)


def exactly(data: bytes | bytearray, offset: int, length: int) -> bytes:
    """
    C{length} bytes of C{data} from C{offset} on.

    @raise Corrupt: it ends before.
    """
    part = bytes(data[offset : offset + length])
    if len(part) < length:
        raise Corrupt(f"The stored file ends at byte {len(data)}.")
    return part


def _key(token: str, view: View) -> Key:
    if not is_token(token):
        raise BadToken()
    return view.owner, token
