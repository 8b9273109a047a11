"""The commands about one content: STAT, VERIFY and DELETE."""

from __future__ import annotations

from twisted.logger import Logger

from xferproto.depot.account import Account
from xferproto.model.errors import NoSuchFile
from xferproto.model.escape import quoted
from xferproto.server.line.keepalive import KeepAlive
from xferproto.server.line.listing import pages
from xferproto.server.line.session import LineSession
from xferproto.wire import codec

log = Logger("xfer")


def stat(session: LineSession, account: Account, argument: bytes) -> None:
    """STAT: send the names of a content, its SHA-256 and its times."""
    session.start(_send_status(session, account, codec.parse_id(argument)))


async def _send_status(session: LineSession, account: Account, id: str) -> None:
    status = await account.status(id)
    names = account.names_text(id)
    first = await names.read()
    if not first:  # deleted meanwhile
        raise NoSuchFile()
    await session.send(pages(first, names))
    session.answer(
        b"sha256 " + status.sha256.encode("ascii"),
        b"stored " + codec.format_time(status.stored),
        b"verified " + codec.format_time(status.verified),
        codec.DONE,
    )


def verify(session: LineSession, account: Account, argument: bytes) -> None:
    """VERIFY: hash the stored bytes of a content again."""
    session.start(_hash_again(session, account, codec.parse_id(argument)))


async def _hash_again(session: LineSession, account: Account, id: str) -> None:
    with KeepAlive(session.depot.clock, session.say, "verifying") as waiting:
        await session.unless_lost(account.verify(id, waiting.progressed))
    session.answer(id.encode("ascii"))


def delete(session: LineSession, account: Account, argument: bytes) -> None:
    """DELETE: remove one name of a content, or all."""
    id, name = codec.parse_deletion(argument)
    session.start(_delete_names(session, account, id, name))


async def _delete_names(session: LineSession, account: Account, id: str, name: str | None) -> None:
    await account.delete(id, name)
    log.info(
        "#{number} deleted {id} {name}",
        number=session.number,
        id=id,
        name="all names" if name is None else quoted(name),
    )
    session.answer(id.encode("ascii"))
