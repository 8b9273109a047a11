"""What an id or an exact name stands for, where it must not stand for more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xferproto.console.meant import Meant, status_of
from xferproto.entry import Entry, Status
from xferproto.errors import NoSuchFile

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient


async def named(client: RetryingClient, name: str) -> list[Entry]:
    """The entries of exactly this name, one for each content; maybe none."""
    entries: list[Entry] = []

    def take(entry: Entry) -> None:
        if entry.name == name:
            entries.append(entry)

    await client.each_file(name, take)
    return entries


async def statuses(
    client: RetryingClient, what: str, note: Callable[[str], None], meant: Meant = None
) -> list[Status]:
    """
    All that is known of an id, or else of each content that has this name.

    @param note: told where an id is a name too.
    @param meant: what the argument is, where it may not be either.
    @raise NoSuchFile: there is none.
    @raise Corrupt: it is the id of a content that is known to be damaged.
    """
    if (status := await status_of(client, what, meant, note)) is not None:
        return [status]
    found = [await client.stat(entry.id) for entry in await named(client, what)]
    if not found:
        raise NoSuchFile()
    return found
