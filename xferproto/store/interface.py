"""
The interfaces of a store, which every implementation meets (tests/store/contract asks it to).

All methods are called on the reactor's thread, except L{IUpload.write}. A Deferred fails with a
L{RequestError<xferproto.model.errors.RequestError>} where the cause is one for the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from xferproto.model.entry import (
    ContentStatus,
    DamageSummary,
    Digests,
    Entry,
    PartialStatus,
    StoredEntry,
    UploadStatus,
)
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

MOST_LISTED = 10_000
"""The most entries that one L{IStore.list} or L{IStore.find} gives."""


def check_limit(limit: int) -> None:
    """
    Check how many entries are asked for.

    @raise ValueError: it is not from 1 to L{MOST_LISTED}.
    """
    if not 1 <= limit <= MOST_LISTED:
        raise ValueError(f"a limit is from 1 to {MOST_LISTED}, not {limit}")


class IUpload(Interface):
    """
    A content on its way in. Nothing of it is listed before L{commit} has fired.

    The store reserves room for its bytes, and releases it when the upload ends.
    """

    def write(blocks: Sequence[bytes]) -> None:
        """
        Add bytes at the end.

        Blocks, and is called on any thread, but never twice at once and always in order.

        @raise NoSpace: the store is full.
        """

    def commit(digests: Digests) -> Deferred[Entry]:
        """
        Make the content durable, then list it under its name. Ends the upload, whatever happens.

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

    It has the lease of its token until it ends. The bytes that it holds already come first;
    L{write} adds behind them.
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
        """Read exactly C{length} of the bytes that it holds."""

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
        Read exactly C{length} bytes from C{offset} on.

        @raise Corrupt: the store has fewer bytes than the entry says.
        """

    def close() -> None:
        """Let go of it. Not while a L{read} is out."""


class ITextListing(Interface):
    """
    Entries as the text of the line protocol, page by page: in name order, and where names are the
    same in id order.

    Text, since a million entries are on their way faster when none becomes an object first.
    """

    def read() -> Deferred[bytes]:
        """
        Read the next page: whole lines, each an entry as C{id;name;size} in UTF-8 and an LF. An
        empty page is the end.

        Entries that come while the listing is read may or may not be on the pages to come.
        """


class IMaintenance(Interface):
    """
    What keeps a store in order beside its requests: checks of stored bytes, the age of unfinished
    uploads, damage, backups.

    None of it is for a client: there is no view, and all owners' contents are concerned.
    """

    def oldest_check(besides: Collection[str] = ()) -> Deferred[tuple[str, float] | None]:
        """
        Find the content whose bytes were checked longest ago: its id, and when in seconds since the
        epoch. None where nothing is stored. A time in the future comes before all others: it is one
        of a clock that was wrong.

        @param besides: the ids of contents that are passed over.
        """

    def checked(
        id: str, found: Digests | None, content: IContent | None = None
    ) -> Deferred[bool | None]:
        """
        Record what the stored bytes of a content hash to now: fires with whether that is right.
        With None where other bytes are there since they were opened: then nothing is known, and
        they are to be read.

        A content that is not right is listed as damaged, and opened no more, until it is stored
        again.

        @param found: the hashes, or None where the bytes can't be read.
        @param content: what was read; where it is None, it is what is there.
        """

    def missed(id: str) -> Deferred[bool | None]:
        """
        Record that the stored bytes of a content could not be opened; else like L{checked}.
        """

    def damaged(most: int) -> Deferred[DamageSummary]:
        """
        Count the entries whose contents are known to be damaged.

        @param most: how many of their names are given.
        """

    def partials() -> Deferred[Sequence[PartialStatus]]:
        """List the uploads under tokens that lack bytes, the longest idle first."""

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
        Check that the storage is there.

        @raise StorageLost: it is not.
        """

    def foreign() -> Deferred[Sequence[str]]:
        """
        List what lies in the storage and is not the store's: it is left alone.

        @raise OSError: the storage can't be looked through.
        """

    def backup() -> Deferred[int]:
        """
        Keep a copy of what L{IStore.list} knows, for the day on which that is damaged: fires with
        the bytes of the copy, 0 where nothing was changed since the last one.
        """


class IStore(Interface):
    """
    A depot's contents, each known by the MD5 of its bytes, and their names.

    Every name has an owner. A C{view} says whose name is stored, and whose are seen: for who sees
    none of a content's names it is not there, and its bytes are not known either. No method has a
    view by default: what serves nobody, as the maintenance, says C{EVERYTHING}.
    """

    maintenance: IMaintenance = Attribute("What keeps the store in order.")

    small: int = Attribute(
        "The most bytes of a small content: one that is best put and got in one piece."
    )

    # Uploads

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
        Begin an upload under a token, or go on with one. It leases the token: no other upload of
        the owner can have it until this one ends.

        One that is aborted while it holds nothing is forgotten.

        @param token: what the client calls the upload; each owner has tokens of their own.
        @param sha256: of the content, where the client knows it; a content that is stored is known
            by it.
        @param claim: called when no other upload can have the token any more and before anything is
            changed, with how many bytes L{usage} may grow by. What it raises ends the upload.
        @raise BadToken: it is not of the form of tokens.
        @raise Busy: another upload under the token is running.
        @raise NoSpace: there is no room.
        @raise QuotaExceeded: the owner has as many unfinished uploads as the store takes.
        """

    def upload_status(token: str, view: View) -> Deferred[UploadStatus | None]:
        """
        Look up what came under a token of the view's owner, without taking it: also while an upload
        runs. None where nothing is held: the token is not known, or what it stands for is not
        stored any more, damaged, or not seen.

        @raise BadToken: it is not of the form of tokens.
        """

    def put(name: str, content: bytes, digests: Digests, view: View) -> Deferred[Entry]:
        """
        Store a content under C{name}, in one piece: what comes of it is what comes of an upload
        that is written and committed. One that is not small is better uploaded.

        Fires when bytes and entry would survive a power cut.

        @param digests: of C{content}.
        @raise Collision: other bytes with the same MD5 are stored already; they stay.
        @raise NoSpace: the store is full; the entry is not listed.
        """

    # Entries

    def list(
        prefix: str, after: tuple[str, str] | None, limit: int, view: View
    ) -> Deferred[Sequence[StoredEntry]]:
        """
        List entries whose names begin with C{prefix}, in the order of their names and ids. Those of
        damaged contents are among them, and say so. A name and content of several owners is one
        entry, as old as the oldest.

        @param after: name and id of the entry behind which the page begins, whether there is one or
            not; None for the first page.
        @param limit: how many to give. Where fewer come, there are no more.
        @raise ValueError: the limit is not from 1 to L{MOST_LISTED}.
        """

    def find(name: str, limit: int, view: View) -> Deferred[Sequence[StoredEntry]]:
        """
        Look up the entries of exactly this name, the youngest first, those of damaged contents
        among them: one for each content that is seen under it.

        @param limit: how many to give. Where fewer come, there are no more.
        @raise ValueError: the limit is not from 1 to L{MOST_LISTED}.
        """

    def list_text(prefix: str, view: View) -> ITextListing:
        """
        List the entries whose names begin with C{prefix}, as fast as the store can; without those
        of contents that are known to be damaged.
        """

    def list_damaged_text(prefix: str, view: View) -> ITextListing:
        """
        List the entries whose names begin with C{prefix} and whose contents are known to be
        damaged: from when that is found until the content is stored again, or has no name any more.
        """

    def names_text(id: str, view: View) -> ITextListing:
        """List the entries of one content; no page where there is none with that id."""

    # Contents

    def get(id: str, view: View) -> Deferred[tuple[Entry, bytes | None]]:
        """
        Get a content's entry, under the oldest of its names, and its bytes where it is a small one;
        else None, and it is to be opened.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: there should be, but its bytes are known to be damaged, or gone.
        """

    def open(id: str, view: View) -> Deferred[IContent]:
        """
        Open one content for reading.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: there should be, but its bytes are gone or have another length.
        """

    def status(id: str, view: View) -> Deferred[ContentStatus]:
        """
        Look up all that is known of one content, its names aside.

        For who sees the files of one owner only, both times are the one at which that owner first
        stored it, of the names that are left: what others did does not show.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: its bytes are known to be damaged.
        """

    def delete(id: str, name: str | None, view: View) -> Deferred[None]:
        """
        Remove one name of a content, or all that it has now. The bytes go with the last one; who
        reads them now reads on.

        Many names go in several steps, and others have their turn in between: a name that comes
        meanwhile may stay, and after a crash some may be gone and others there.

        @raise NoSuchFile: there is no such content, or it has no such name.
        """

    # The whole

    def usage(owner: str | None) -> Deferred[int]:
        """
        Count how many bytes all files of an owner have together, each name counted, and what
        unfinished uploads under tokens hold; those of all owners where it is None. Each name and
        each token adds L{FLAT_COST}. What a running upload has added is not in it yet.
        """

    def close() -> Deferred[None]:
        """Finish what is being committed, then let go of everything."""
