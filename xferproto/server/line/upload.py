"""The commands that take a file: UPLOAD and RESUME, from the details to the id."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.depot.account import Account
from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload
from xferproto.depot.uploader import Uploader
from xferproto.model.entry import Entry
from xferproto.model.errors import RequestError
from xferproto.model.escape import quoted
from xferproto.net.peer import keep_alive
from xferproto.server.line.keepalive import Waiting
from xferproto.server.line.login import VisitedConnection
from xferproto.server.line.replies import Transferred
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Held, ResumeDetails, UploadDetails
from xferproto.wire.states import State

if TYPE_CHECKING:
    from xferproto.server.factory import XferServerFactory

log = Logger("xfer")

OVERHEAD = 1024
"""About how many bytes of memory a pipelined request takes beside its content."""


class LineUploader(Uploader):
    """The sender of an upload, at the other end of a connection."""

    def __init__(self, connection: UploadConnection) -> None:
        self._connection = connection

    def drained(self) -> None:
        self._connection._regulate()

    def failed(self) -> None:
        self._connection._writing_failed()

    def waits(self) -> bool:
        return not self._connection.paused

    def probe(self) -> None:
        keep_alive(self._connection.transport, 1, 1, 3)


class UploadConnection(VisitedConnection):
    """A connection that can take files."""

    _started = 0.0
    _expected = 0
    _held: Upload | None = None

    def __init__(self, factory: XferServerFactory, number: int) -> None:
        super().__init__(factory, number)
        self._uploader = LineUploader(self)

    def _skip(self) -> int | None:
        """How much to skip when a prompted upload is refused: what came unasked is no command."""
        return None if self._buffer else 0

    # UPLOAD

    def _upload_asked(self, argument: bytes, prompted: bool) -> None:
        account = self.account
        try:
            details = codec.parse_upload(argument)
            small = account.begin_now(details.name, details.size)
        except RequestError as error:
            skip = self._skip() if prompted else codec.payload_size(argument)
            self._in_turn(partial(self._refuse, error, skip))
            return
        if small is not None:
            self._take_small(small, prompted)
            return
        skip = self._skip() if prompted else details.size
        self._in_turn(lambda: self._start(self._open_upload(account, details, prompted), skip))

    def _take_small(self, upload: SmallUpload, prompted: bool) -> None:
        """Wait for a payload that is kept in memory; the next request need not wait for its id."""
        self._started = self.factory.depot.clock.seconds()
        self._upload = upload
        size = upload.size
        if prompted:
            self.sendLine(codec.READY)
        elif len(self._buffer) >= size:  # all of it is here: no need to go to raw mode
            came = self.clearLineBuffer()
            upload.write(came[:size])
            self._buffer = came[size:]  # before anything can look for the next line
            self._put(upload)
            return
        if size:
            self._enter(State.RECEIVING)
        else:  # no byte will come that could end it
            self._put(upload)

    def _put(self, upload: SmallUpload) -> None:
        self._upload = None
        started = self._started

        def stored(entry: Entry) -> Transferred:
            return Transferred(entry.id.encode("ascii") + b"\n", entry, entry.size, started)

        self._owe(Command.UPLOAD, upload.size + OVERHEAD, upload.finish().addCallback(stored))

    async def _open_upload(self, account: Account, details: UploadDetails, prompted: bool) -> None:
        beginning = account.begin(details.name, details.size, self._uploader)
        upload = await self._unless_lost(beginning)
        if isinstance(upload, SmallUpload):
            self._take_small(upload, prompted)
        else:
            await self._take(upload, ready=prompted)

    # RESUME

    def _resume_asked(self, argument: bytes, prompted: bool) -> None:
        try:
            details = codec.parse_resume(argument)
        except RequestError as error:
            self._refuse(error, self._skip())
        else:
            self._start(self._open_partial(self.account, details), self._skip())

    async def _open_partial(self, account: Account, details: ResumeDetails) -> None:
        with Waiting(self.factory.depot.clock, self.sendLine, "hashing") as waiting:
            opening = account.resume(
                details.name,
                details.size,
                details.token,
                details.sha256,
                self._uploader,
                waiting.progressed,
            )
            upload = await self._unless_lost(opening)
        self._held = upload
        self.sendLine(codec.format_held(Held(upload.offset, upload.held_md5 or "")))
        self._ask(partial(self._offset_received, upload))

    def _offset_received(self, upload: Upload, line: bytes) -> None:
        skip = self._skip()
        try:
            offset = codec.parse_offset(line)
        except RequestError as error:
            self._held = None
            upload.abort()
            self._refuse(error, skip)
        else:
            self._start(self._go_on(upload, offset), skip)

    async def _go_on(self, upload: Upload, offset: int) -> None:
        try:
            await upload.resume(offset)
        except BaseException:
            upload.abort()
            raise
        finally:
            self._held = None
        await self._take(upload, ready=True)

    # Both, once they are open

    async def _take(self, upload: Upload, ready: bool) -> None:
        """Wait for the payload."""
        self._started = self.factory.depot.clock.seconds()
        self._expected = upload.remaining
        self._upload = upload
        if ready:
            self.sendLine(codec.READY)
        if upload.remaining:
            self._enter(State.RECEIVING)
        else:  # no byte will come that could end it
            await self._store(upload)

    def _payload_received(self, upload: Upload | SmallUpload) -> None:
        if isinstance(upload, SmallUpload):
            self._put(upload)
        else:
            self._start(self._store(upload))

    async def _store(self, upload: Upload) -> None:
        self._upload = None
        if upload.resumable and not upload.known:
            with Waiting(self.factory.depot.clock, self.sendLine, "storing") as waiting:
                waiting.progressed(0, 0)
                entry = await upload.finish()
        else:
            entry = await upload.finish()
        self._log_transfer("stored", entry, self._expected, self._started)
        self._answer(entry.id.encode("ascii"))

    def _writing_failed(self) -> None:
        """The disk refuses before all bytes have come; the ones that still will are skipped."""
        upload = self._upload
        if self.state is State.RECEIVING and isinstance(upload, Upload):
            self._start(self._store(upload), skip=upload.remaining)

    # The peer is gone

    def _cut_short(self) -> str:
        upload, self._upload = self._upload, None
        assert upload is not None
        upload.abort()
        kept = "what came is kept" if upload.resumable else "nothing was stored"
        came = f"{upload.size - upload.remaining} of {upload.size} declared bytes; {kept}"
        log.warn(
            "#{number} upload of {name} cut short after {came}",
            number=self.number,
            name=quoted(upload.name),
            came=came,
        )
        return came

    def connectionLost(self, reason: Failure | None = None) -> None:
        # Begun before the factory is told: a server that stops waits for what is begun by then.
        if self._held is not None:
            self._held.abort()
        super().connectionLost(reason)
