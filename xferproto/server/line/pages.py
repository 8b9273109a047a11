"""The answers of more than one line."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from xferproto.model.entry import ContentStatus
from xferproto.store.interface import ITextListing
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
