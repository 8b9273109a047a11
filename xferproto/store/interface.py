"""
The interface of a store, which every implementation meets (tests/store_contract.py asks it to).

All methods are called on the reactor's thread, except L{IUpload.write}. A Deferred fails with a
L{RequestError<xferproto.errors.RequestError>} where the cause is one that a client can be told.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from xferproto.entry import Digests, Entry, Status


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


class IContent(Interface):
    """A stored content, open for reading."""

    entry: Entry = Attribute("What is read: its L{Entry}, under the oldest of its names.")

    def read(offset: int, length: int) -> Deferred[bytes]:
        """
        Exactly C{length} bytes from C{offset} on.

        @raise Corrupt: the store has fewer bytes than the entry says.
        """

    def close() -> None:
        """Let go of it. Not while a L{read} is out."""


class IListing(Interface):
    """Entries in name order, and where names are the same in id order, page by page."""

    def read() -> Deferred[list[Entry]]:
        """
        The next page; an empty one is the end.

        Entries that come while the listing is read may or may not be on the pages to come.
        """


class IStore(Interface):
    """A depot's contents, each known by the MD5 of its bytes, and their names."""

    def create(name: str, size: int) -> Deferred[IUpload]:
        """
        Begin an upload of C{size} bytes under C{name}.

        @raise NoSpace: there is no room.
        """

    def list(prefix: str) -> IListing:
        """The entries whose names begin with C{prefix}."""

    def status(id: str) -> Deferred[Status]:
        """
        All that is known of one content.

        @raise NoSuchFile: there is none with that id.
        """

    def open(id: str) -> Deferred[IContent]:
        """
        Read one content.

        @raise NoSuchFile: there is none with that id.
        @raise Corrupt: there should be, but its bytes are gone or have another length.
        """

    def close() -> Deferred[None]:
        """Finish what is being written, then let go of everything."""
