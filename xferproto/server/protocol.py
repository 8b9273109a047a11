"""The commands of a server's connection: what each does, from its argument to its answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto import grammar
from xferproto.entry import Entry
from xferproto.errors import BadDetails, ConnectionCut, Internal, RequestError, TooLarge
from xferproto.escape import quoted
from xferproto.grammar import Command, Range, UploadDetails
from xferproto.server.connection import Connection
from xferproto.server.reply import content_blocks, help_lines, listing_pages, status_lines
from xferproto.server.state import State
from xferproto.transfer.sender import Sender
from xferproto.transfer.verified import VerifiedUpload

if TYPE_CHECKING:
    from xferproto.server.factory import XferServerFactory


class XferServerProtocol(Connection):
    """One connection of a server; made by L{XferServerFactory}."""

    def __init__(self, factory: XferServerFactory, number: int) -> None:
        super().__init__(factory, number)
        self._command: Command | None = None
        self._started = 0.0

    def lineReceived(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        try:
            if self.state is State.ARGUMENT:
                assert self._command is not None
                self._METHODS[self._command](self, line, True)
                return
            command, argument = grammar.parse_command(line)
            if command.prompt is not None and argument is None:
                self._command = command
                self.sendLine(command.prompt)
                self._enter(State.ARGUMENT)
            else:
                self._METHODS[command](self, argument or b"", False)
        except RequestError as error:
            self._refuse(error)

    def _start(self, work: Coroutine[Deferred[Any], Any, None], skip: int | None = 0) -> None:
        """
        Let the store work, the input held back meanwhile.

        @param skip: what follows when it fails, as for L{_refuse}.
        """
        self._enter(State.WORKING)
        self.factory.start(work).addErrback(self._failed, skip)

    def _failed(self, failure: Failure, skip: int | None) -> None:
        error = failure.value
        if isinstance(error, ConnectionCut):
            self.log.warn("#{number} cut off while sending", number=self.number)
            return
        if not isinstance(error, RequestError):
            self.log.failure("#{number} failed", failure, number=self.number)
            error = Internal()
        if self.state is State.SENDING:
            # Neither padding nor a line can follow part of a file: nothing is left but to cut off.
            self.log.error("#{number} cut off: {text}", number=self.number, text=error.text)
            self._cut_off()
        elif not self._lost:
            self._refuse(error, skip)

    # LIST_FILES

    def _list_files(self, argument: bytes, prompted: bool) -> None:
        self._start(self._send_listing(grammar.parse_prefix(argument)))

    async def _send_listing(self, prefix: str) -> None:
        listing = self.factory.store.list(prefix)
        first = await listing.read()
        if first:
            await self._send(listing_pages(first, listing))
            self._answer(grammar.DONE)
        else:
            self._answer(grammar.NO_FILES, grammar.DONE)

    # STAT, HELP, QUIT

    def _stat(self, argument: bytes, prompted: bool) -> None:
        self._start(self._send_status(grammar.parse_id(argument)))

    async def _send_status(self, id: str) -> None:
        status = await self.factory.store.status(id)
        self._answer(*status_lines(status), grammar.DONE)

    def _help(self, argument: bytes, prompted: bool) -> None:
        _no_argument(argument)
        self._answer(*help_lines(), grammar.DONE)

    def _quit(self, argument: bytes, prompted: bool) -> None:
        _no_argument(argument)
        self._close()

    # UPLOAD

    def _receive(self, argument: bytes, prompted: bool) -> None:
        # A payload that comes unasked must never be read as commands: skip it, or close.
        asked = 0 if not self._buffer else None
        skip = asked if prompted else grammar.payload_size(argument)
        try:
            details = grammar.parse_upload(argument)
            limit = self.factory.max_file_size
            if limit is not None and details.size > limit:
                raise TooLarge(
                    f"This server takes files of at most {limit} bytes; send a smaller one."
                )
        except RequestError as error:
            self._refuse(error, skip)
        else:
            self._start(self._open_upload(details, prompted), skip)

    async def _open_upload(self, details: UploadDetails, prompted: bool) -> None:
        incoming = await self.factory.store.create(details.name, details.size)
        if self._lost:
            await incoming.abort()
            return
        self._started = self.factory.clock.seconds()
        self._upload = VerifiedUpload(
            incoming,
            details.size,
            self.factory.executor,
            self.factory.budget,
            self._regulate,
            self._writing_failed,
        )
        if prompted:
            self.sendLine(grammar.READY)
        if details.size:
            self._enter(State.RECEIVING)
        else:  # no byte will come that could end it
            await self._store(self._upload)

    def _payload_received(self, upload: VerifiedUpload) -> None:
        self._start(self._store(upload))

    async def _store(self, upload: VerifiedUpload) -> None:
        self._upload = None
        entry = await upload.finish()
        self._log_transfer("stored", entry, entry.size, self._started)
        self._answer(entry.id.encode("ascii"))

    def _writing_failed(self) -> None:
        """The disk refuses before all bytes have come; the ones that still will are skipped."""
        if self.state is State.RECEIVING and (upload := self._upload) is not None:
            self._start(self._store(upload), skip=upload.remaining)

    def _cut_short(self) -> tuple[int, int]:
        upload, self._upload = self._upload, None
        assert upload is not None
        self.factory.start(upload.abort())
        came = upload.size - upload.remaining
        self.log.warn(
            "#{number} upload cut short: {came} of {size} bytes came, nothing stored",
            number=self.number,
            came=came,
            size=upload.size,
        )
        return came, upload.size

    # DOWNLOAD

    def _download(self, argument: bytes, prompted: bool) -> None:
        self._start(self._send_content(grammar.parse_range(argument)))

    async def _send_content(self, range: Range) -> None:
        content = await self.factory.store.open(range.id)
        try:
            length = range.within(content.entry.size)
            started = self.factory.clock.seconds()
            self.sendLine(grammar.format_entry(content.entry))
            await self._send(content_blocks(content, range.offset, length))
        finally:
            content.close()
        self._log_transfer("sent", content.entry, length, started)
        self._answer()

    async def _send(self, read: Callable[[], Deferred[bytes]]) -> None:
        """Send all that C{read} gives, as fast as the peer takes it."""
        self._sender = Sender(self.transport, read)
        if self._output_full:
            self._sender.pauseProducing()
        if self._lost:
            self._sender.stopProducing()
        self._enter(State.SENDING)
        try:
            await self._sender.run()
        finally:
            self._sender = None

    def _log_transfer(self, what: str, entry: Entry, count: int, started: float) -> None:
        seconds = self.factory.clock.seconds() - started
        self.log.info(
            "#{number} {what} {name} size={size} id={id} bytes={count} seconds={seconds:.3f} "
            "rate={rate:.1f}MiB/s",
            number=self.number,
            what=what,
            name=quoted(entry.name),
            size=entry.size,
            id=entry.id,
            count=count,
            seconds=seconds,
            rate=count / max(seconds, 1e-6) / 2**20,
        )

    _METHODS: ClassVar[dict[Command, Callable[[XferServerProtocol, bytes, bool], None]]] = {
        Command.LIST_FILES: _list_files,
        Command.UPLOAD: _receive,
        Command.DOWNLOAD: _download,
        Command.STAT: _stat,
        Command.HELP: _help,
        Command.QUIT: _quit,
    }
    """The method of each command; called with its argument, and whether that was asked for."""


def _no_argument(argument: bytes) -> None:
    if argument:
        raise BadDetails("This command takes no argument; send it alone on its line.")
