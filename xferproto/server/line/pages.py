"""The answers of more than one line, and the reading of what a download sends."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from xferproto.model.entry import ContentStatus
from xferproto.store.interface import IContent, ITextListing
from xferproto.transfer.budget import MemoryBudget
from xferproto.wire import codec
from xferproto.wire.commands import Command


def help_lines() -> list[bytes]:
    """A line for each command."""
    return [command.usage.encode("ascii") for command in Command]


def status_lines(status: ContentStatus) -> list[bytes]:
    """The keyed lines of the answer to STAT, which follow the entries."""
    return [
        b"sha256 " + status.sha256.encode("ascii"),
        b"stored " + codec.format_time(status.stored),
        b"verified " + codec.format_time(status.verified),
    ]


def listing_pages(first: bytes, listing: ITextListing) -> Callable[[], Deferred[bytes]]:
    """A reader for a L{Sender}: a page of lines a call, beginning with the page that was read."""
    waiting = [first]
    return lambda: succeed(waiting.pop()) if waiting else listing.read()


def content_blocks(
    content: IContent, offset: int, length: int, budget: MemoryBudget, largest: int | None = None
) -> Callable[[], Deferred[bytes]]:
    """
    A reader for a L{Sender}: the bytes of a range, in blocks of a share of C{budget}.

    @param largest: the most bytes of a block, where that is less.
    """
    position, end = offset, offset + length

    async def read() -> bytes:
        nonlocal position
        block = budget.share if largest is None else min(budget.share, largest)
        start, position = position, min(position + block, end)
        return await content.read(start, position - start) if position > start else b""

    return lambda: Deferred.fromCoroutine(read())
