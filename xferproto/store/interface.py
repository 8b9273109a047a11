"""
The interface of a store, which every implementation meets (tests/store/contract.py asks it to).

All methods are called on the reactor's thread, except L{IUpload.write}. A Deferred fails with a
L{RequestError<xferproto.model.errors.RequestError>} where the cause is one for the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from xferproto.model.entry import ContentStatus, Digests, Entry, PartialStatus
from xferproto.model.identity import View

Claiming = Callable[[int], Awaitable[None]]
"""Claims so many bytes of a quota, or raises what refuses them."""

FLAT_COST = 4096
"""
Bytes that each name, and each token, counts beside the bytes of its file: about what its rows take
in the database where the name is long, and what a file takes at least on most file systems.
"""

MOST_TOKENS = 10_000
"""How many tokens an owner may have, unless the operator says otherwise."""


class IUpload(Interface):
    """A content on its way in. Nothing of it is listed before L{commit} has fired."""

    def write(blocks: Sequence[bytes]) -> None:
        """
        Add bytes at the end.

        Blocks, and is called on any thread, but never twice at once and always in order.

        @raise NoSpace: the store is full.
        """

    def commit(digests: Digests) -> Deferred[Entry]:
        """
        Make the content durable, then listed under its name. Ends the upload, whatever happens.

        Fires when bytes and entry would survive a power cut.

        @param digests: of exactly the bytes that were written.
        @raise Collision: other bytes with the same MD5 are stored already; they stay.
        @raise NoSpace: the store is full; the entry is not listed.
        """

    def abort() -> Deferred[None]:
        """Give up: no byte of it stays. Does nothing once the upload has ended."""


class IPartial(IUpload):
    """
    A content on its way in under a token. What came of it stays when it is aborted or fails.

    The bytes that it holds already come first; L{write} adds behind them.
    """

    offset: int = Attribute("How many bytes it holds.")

    known: Digests | None = Attribute(
        "The hashes of the whole content where the store has it already, under whatever name: then "
        "nothing is missing, nothing can be read or written, and L{commit} records the name."
    )

    grown: int = Attribute(
        "Once it is aborted: how many more bytes L{IStore.usage} counts for it than before."
    )

    def read(offset: int, length: int) -> Deferred[bytes]:
        """Exactly C{length} of the bytes that it holds."""

    def restart() -> Deferred[None]:
        """
        Forget what it holds, and take the content from its beginning.

        @raise NoSpace: there is no room.
        """


class IContent(Interface):
    """A stored content, open for reading."""

    entry: Entry = Attribute("What is read: its L{Entry}, under the oldest of its names.")

    identity: Hashable = Attribute("Differs when the bytes of a content are stored anew.")

    def read(offset: int, length: int) -> Deferred[bytes]:
        """
        Exactly C{length} bytes from C{offset} on.

        @raise Corrupt: the store has fewer bytes than the entry says.
        """

    def close() -> None:
        """Let go of it. Not while a L{read} is out."""


class IListing(Interface):
    """Entries in name order, and where names are the same in id order, page by page."""

    def read() -> Deferred[bytes]:
        """
        The next page: whole lines, each an entry as C{id;name;size} in UTF-8 and an LF. An empty
        one is the end.

        Text, since a million entries are on their way faster when none becomes an object first.

        Entries that come while the listing is read may or may not be on the pages to come.
        """


class IStore(Interface):
    """
    A depot's contents, each known by the MD5 of its bytes, and their names.

    Every name has an owner. A C{view} says whose name is stored, and whose are seen: for who sees
    none of a content's names it is not there, and its bytes are not known either. No method has a
    view by default: what serves nobody, as the maintenance, says C{EVERYTHING}.
    """

    def create(name: str, size: int, view: View) -> Deferred[IUpload]:
        """
        Begin an upload of C{size} bytes under C{name}.

        @raise NoSpace: there is no room.
        """

    def resume(
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        view: View,
        claim: Claiming | None = None,
    ) -> Deferred[IPartial]:
        """
        Begin an upload under a token, or go on with one.

        One that is aborted while it holds nothing is forgotten.

        @param token: what the client calls the upload.
        @param sha256: of the content, where the client knows it; a content that is stored is known
            by it.
        @param claim: called when no other upload can have the token any more and before anything is
            changed, with how many bytes L{usage} may grow by. What it raises ends the upload.
        @raise Busy: another upload under the token is running.
        @raise NoSpace: there is no room.
        @raise QuotaExceeded: the owner has as many unfinished uploads as the store takes.
        """

    small: int = Attribute(
        "The most bytes of a small content: one that is best put and got in one piece."
    )

    def put(name: str, content: bytes, digests: Digests, view: View) -> Deferred[Entry]:
        """
        Store a content under C{name}, in one piece: what comes of it is what comes of an upload
        that is written and committed. One that is not small is better uploaded.

        Fires when bytes and entry would survive a power cut.

        @param digests: of C{content}.
        @raise Collision: other bytes with the same MD5 are stored already; they stay.
        @raise NoSpace: the store is full; the entry is not listed.
        """

    def get(id: str, view: View) -> Deferred[tuple[Entry, bytes | None]]:
        """
        A content's entry, under the oldest of its names, and its bytes where it is a small one;
        else None, and it is to be opened.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: there should be, but its bytes are known to be damaged, or gone.
        """

    def list(prefix: str, view: View) -> IListing:
        """
        The entries whose names begin with C{prefix}; without those of contents that are known to be
        damaged.
        """

    def list_damaged(prefix: str, view: View) -> IListing:
        """
        The entries whose names begin with C{prefix} and whose contents are known to be damaged:
        from when that is found until the content is stored again, or has no name any more.
        """

    def status(id: str, view: View) -> Deferred[ContentStatus]:
        """
        All that is known of one content, its names aside.

        For who sees the files of one owner only, both times are the one at which that owner first
        stored it, of the names that are left: what others did is not told.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are known to be damaged.
        """

    def names(id: str, view: View) -> IListing:
        """The entries of one content; no page where there is none with that id."""

    def open(id: str, view: View) -> Deferred[IContent]:
        """
        Read one content.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: there should be, but its bytes are gone or have another length.
        """

    def delete(id: str, name: str | None, view: View) -> Deferred[None]:
        """
        Remove one name of a content, or all that it has now. The bytes go with the last one; who
        reads them now reads on.

        Many names go in several steps, and others have their turn in between: a name that comes
        meanwhile may stay, and after a crash some may be gone and others there.

        @raise NoSuchFile: there is no such content, or it has no such name.
        """

    def usage(owner: str | None) -> Deferred[int]:
        """
        How many bytes all files of an owner have together, each name counted, and what unfinished
        uploads under tokens hold; those of all owners where it is None. Each name and each token
        adds L{FLAT_COST}. What a running upload has added is not in it yet.
        """

    def oldest_check(besides: Collection[str] = ()) -> Deferred[tuple[str, float] | None]:
        """
        The content whose bytes were checked longest ago: its id, and when in seconds since the
        epoch. None where nothing is stored. A time in the future comes before all others: it is one
        of a clock that was wrong.

        @param besides: the ids of contents that are passed over.
        """

    def checked(
        id: str, found: Digests | None, content: IContent | None = None
    ) -> Deferred[bool | None]:
        """
        Tell what the stored bytes of a content hash to now: whether that is right. None where other
        bytes are there since they were opened: then nothing is known, and they are to be read.

        A content that is not right is listed as damaged, and opened no more, until it is stored
        again.

        @param found: the hashes, or None where the bytes can't be read.
        @param content: what was read; where it is None, it is what is there.
        """

    def missed(id: str) -> Deferred[bool | None]:
        """
        Tell that the stored bytes of a content could not be opened; else like L{checked}.
        """

    def partials() -> Deferred[Sequence[PartialStatus]]:
        """The uploads under tokens that lack bytes, the longest idle first."""

    def age_partials(seconds: float, ttl: float) -> Deferred[None]:
        """
        Let time pass for uploads under tokens, and remove those that were idle for too long.

        @param seconds: how much time, since the last call.
        @param ttl: how long one may be idle, in seconds.
        """

    def tend() -> Deferred[None]:
        """
        Do what the store does beside its requests; to be called after the start, and now and then.
        """

    def check() -> Deferred[None]:
        """
        Whether the storage is there.

        @raise StorageLost: it is not.
        """

    def backup() -> Deferred[int]:
        """
        Keep a copy of what L{list} knows, for the day on which that is damaged: fires with the
        bytes of the copy, 0 where nothing was changed since the last one.
        """

    def close() -> Deferred[None]:
        """Finish what is being committed, then let go of everything."""
