"""The command that stores a file from where an earlier try ended: RESUME."""

from __future__ import annotations

from functools import partial

from xferproto.depot.account import Account
from xferproto.depot.upload import Upload
from xferproto.model.errors import RequestError
from xferproto.server.line.keepalive import KeepAlive
from xferproto.server.line.session import LineSession
from xferproto.server.line.upload import LineUploader, take
from xferproto.wire import codec
from xferproto.wire.requests import Held, ResumeDetails


def resume(session: LineSession, account: Account, argument: bytes) -> None:
    """RESUME: say what is held under a token, and store the file from an offset on."""
    skip = session.unasked()
    try:
        details = codec.parse_resume(argument)
    except RequestError as error:
        session.refuse(error, skip)
    else:
        session.start(_offer(session, account, details), skip)


async def _offer(session: LineSession, account: Account, details: ResumeDetails) -> None:
    with KeepAlive(session.depot.clock, session.say, "hashing") as waiting:
        opening = account.resume(
            details.name,
            details.size,
            details.token,
            details.sha256,
            LineUploader(session),
            waiting.progressed,
        )
        offered = await session.unless_lost(opening)
    session.offered = offered
    session.say(codec.format_held(Held(offered.offset, offered.held_md5 or "")))
    session.ask(partial(_offset_received, session, offered))


def _offset_received(session: LineSession, offered: Upload, line: bytes) -> None:
    skip = session.unasked()
    try:
        offset = codec.parse_offset(line)
    except RequestError as error:
        session.offered = None
        offered.abort()
        session.refuse(error, skip)
    else:
        session.start(_go_on(session, offered, offset), skip)


async def _go_on(session: LineSession, offered: Upload, offset: int) -> None:
    try:
        await offered.resume(offset)
    except BaseException:
        offered.abort()
        raise
    finally:
        session.offered = None
    await take(session, offered, ready=True)
