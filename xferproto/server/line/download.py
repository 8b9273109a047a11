"""The command that sends a file: DOWNLOAD."""

from __future__ import annotations

from functools import partial

from xferproto.depot.account import Account
from xferproto.model.entry import Entry
from xferproto.model.errors import RequestError
from xferproto.server.line.replies import OVERHEAD, Reply, Transferred
from xferproto.server.line.session import LineSession
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Range


def download(session: LineSession, account: Account, argument: bytes) -> None:
    """DOWNLOAD: send the entry of a content and a range of its bytes; small ones pipelined."""
    try:
        range = codec.parse_range(argument)
    except RequestError as error:
        session.in_turn(partial(session.refuse, error))
        return
    started = session.depot.clock.seconds()

    def got(found: tuple[Entry, bytes | None]) -> Reply:
        entry, content = found
        if content is None:
            return lambda: session.start(_send_content(session, account, range))
        length = range.within(entry.size)
        part = content[range.offset : range.offset + length]
        return Transferred(codec.format_entry(entry) + b"\n" + part, entry, length, started)

    held = max(0, session.depot.store.small) + OVERHEAD
    session.owe(Command.DOWNLOAD, held, account.get(range.id).addCallback(got))


async def _send_content(session: LineSession, account: Account, range: Range) -> None:
    found = await session.unless_lost(account.open(range.id))
    try:
        length = range.within(found.entry.size)
        started = session.depot.clock.seconds()
        session.say(codec.format_entry(found.entry))
        largest = None if session.down is None else session.down.block
        await session.send(found.blocks(range.offset, length, largest))
    finally:
        found.close()
    session.transfers.log("sent", found.entry, length, started)
    session.answer()
