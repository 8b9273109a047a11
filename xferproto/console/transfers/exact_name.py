"""The contents with an id or an exact name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xferproto.client.lines import KeptEntries
from xferproto.console.transfers.ambiguity import Meant, status_of
from xferproto.model.entry import Entry, Status
from xferproto.model.errors import NoSuchFile

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient


async def named(client: RetryingClient, name: str) -> list[Entry]:
    """
    Return the entries of exactly this name, one for each content.

    @raise AnswerTooLong: there are more than can be kept.
    """
    kept = KeptEntries()

    def take(entry: Entry) -> None:
        if entry.name == name:
            kept.add(entry)

    await client.each_file(name, take)
    return kept.entries


async def statuses(
    client: RetryingClient, what: str, note: Callable[[str], None], meant: Meant = None
) -> list[Status]:
    """
    Return the status of the content with this id, or else of each content with this name.

    @param note: called if an id is a name too.
    @param meant: whether the argument is an id or a name; None for either.
    @raise NoSuchFile: there is none.
    @raise AnswerTooLong: they have more names than can be kept.
    @raise Corrupt: the content with this id is known to be damaged.
    """
    if (status := await status_of(client, what, meant, note)) is not None:
        return [status]
    found, kept = [], KeptEntries()
    for entry in await named(client, what):
        found.append(await client.stat(entry.id))
        for one in found[-1].entries:
            kept.add(one)
    if not found:
        raise NoSuchFile()
    return found
