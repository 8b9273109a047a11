"""The commands that list names: LIST_FILES and LIST_DAMAGED."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from xferproto.depot.account import Account
from xferproto.model.names import parse_prefix
from xferproto.server.line.session import LineSession
from xferproto.store.interface import ITextListing
from xferproto.wire import codec


def list_files(session: LineSession, account: Account, argument: bytes) -> None:
    """LIST_FILES: send the entries whose names begin with the argument."""
    listing = account.list_text(parse_prefix(argument))
    session.start(_send_listing(session, listing, codec.NO_FILES))


def list_damaged(session: LineSession, account: Account, argument: bytes) -> None:
    """LIST_DAMAGED: as LIST_FILES, those whose contents are damaged."""
    listing = account.list_damaged_text(parse_prefix(argument))
    session.start(_send_listing(session, listing, codec.NO_DAMAGED))


async def _send_listing(session: LineSession, listing: ITextListing, nothing: bytes) -> None:
    first = await listing.read()
    if first:
        await session.send(pages(first, listing))
        session.answer(codec.DONE)
    else:
        session.answer(nothing, codec.DONE)


def pages(first: bytes, listing: ITextListing) -> Callable[[], Deferred[bytes]]:
    """
    A reader for a L{Sender<xferproto.transfer.sender.Sender>}: a page of lines a call.

    @param first: the page that was read already.
    """
    waiting = [first]
    return lambda: succeed(waiting.pop()) if waiting else listing.read()
