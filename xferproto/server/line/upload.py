"""The command that stores a file: UPLOAD, and what RESUME has in common with it."""

from __future__ import annotations

from functools import partial

from xferproto.depot.account import Account
from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload
from xferproto.depot.uploader import Uploader
from xferproto.model.entry import Entry
from xferproto.model.errors import RequestError
from xferproto.net.peer import keep_alive
from xferproto.server.line.keepalive import KeepAlive
from xferproto.server.line.payload import Payload
from xferproto.server.line.replies import OVERHEAD, Transferred
from xferproto.server.line.session import LineSession
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import UploadDetails
from xferproto.wire.states import State


class LineUploader(Uploader):
    """The sender of an upload, at the other end of a connection."""

    def __init__(self, session: LineSession) -> None:
        self._session = session

    def drained(self) -> None:
        self._session.regulate_upload()

    def failed(self) -> None:
        """Skip what will still come, as the disk refuses before all bytes have come."""
        session, payload = self._session, self._session.payload
        if session.state is State.RECEIVING and payload is not None:
            session.start(_store(session, payload), skip=payload.upload.remaining)

    def waits(self) -> bool:
        return not self._session.flow.held

    def probe(self) -> None:
        keep_alive(self._session.transport, 1, 1, 3)


def upload(session: LineSession, account: Account, argument: bytes) -> None:
    """UPLOAD: store a file of a declared size; small ones pipelined."""
    prompted = session.prompted
    try:
        details = codec.parse_upload(argument)
        small = account.begin_now(details.name, details.size)
    except RequestError as error:
        skip = session.unasked() if prompted else codec.payload_size(argument)
        session.in_turn(partial(session.refuse, error, skip))
        return
    if small is not None:
        _take_small(session, small, prompted)
        return
    skip = session.unasked() if prompted else details.size
    session.in_turn(lambda: session.start(_begin(session, account, details, prompted), skip))


async def _begin(
    session: LineSession, account: Account, details: UploadDetails, prompted: bool
) -> None:
    beginning = account.begin(details.name, details.size, LineUploader(session))
    begun = await session.unless_lost(beginning)
    if isinstance(begun, SmallUpload):
        _take_small(session, begun, prompted)
    else:
        await take(session, begun, ready=prompted)


# Small files, kept in memory: the next request need not wait for the id


def _take_small(session: LineSession, small: SmallUpload, prompted: bool) -> None:
    payload = Payload(small, session.depot.clock.seconds(), partial(_put, session))
    if prompted:
        session.say(codec.READY)
    elif session.line.buffered >= small.size:  # all of it is here: no need to go to raw mode
        small.write(session.line.take(small.size))
        _put(session, payload)
        return
    if small.size:
        session.payload = payload
        session.enter(State.RECEIVING)
    else:  # no byte will come that could end it
        _put(session, payload)


def _put(session: LineSession, payload: Payload) -> None:
    session.payload = None
    started, small = payload.started, payload.upload

    def stored(entry: Entry) -> Transferred:
        return Transferred(entry.id.encode("ascii") + b"\n", entry, entry.size, started)

    session.owe(Command.UPLOAD, small.size + OVERHEAD, small.finish().addCallback(stored))


# Others


async def take(session: LineSession, begun: Upload, ready: bool) -> None:
    """
    Wait for the payload of an upload, then store it.

    @param ready: whether the client waits for C{READY} before it sends.
    """

    def complete(payload: Payload) -> None:
        session.start(_store(session, payload))

    payload = session.payload = Payload(begun, session.depot.clock.seconds(), complete)
    if ready:
        session.say(codec.READY)
    if payload.expected:
        session.enter(State.RECEIVING)
    else:  # no byte will come that could end it
        await _store(session, payload)


async def _store(session: LineSession, payload: Payload) -> None:
    session.payload = None
    begun = payload.upload
    if begun.resumable and not begun.known:
        with KeepAlive(session.depot.clock, session.say, "storing") as waiting:
            waiting.progressed(0, 0)
            entry = await begun.finish()
    else:
        entry = await begun.finish()
    session.transfers.log("stored", entry, payload.expected, payload.started)
    session.answer(entry.id.encode("ascii"))
