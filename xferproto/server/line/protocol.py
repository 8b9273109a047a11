"""The commands of a server's connection: what each does, from its argument to its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from xferproto.depot.account import Account
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    BadDetails,
    BadId,
    BadName,
    BadRange,
    BadToken,
    NoSuchFile,
    OtherProtocol,
    RequestError,
)
from xferproto.model.escape import quoted
from xferproto.model.names import parse_prefix
from xferproto.server.line.foreign_protocol import (
    ends_as_http,
    is_foreign,
    is_http_request,
    is_signature,
)
from xferproto.server.line.keepalive import Waiting
from xferproto.server.line.pages import help_lines, listing_pages, status_lines
from xferproto.server.line.replies import Answer, Transferred
from xferproto.server.line.upload import OVERHEAD, UploadConnection
from xferproto.server.traffic.bandwidth import rate_limited
from xferproto.store.interface import ITextListing
from xferproto.transfer.sender import Sender
from xferproto.wire import codec
from xferproto.wire.commands import Command, parse_command
from xferproto.wire.requests import Range
from xferproto.wire.states import State

log = Logger("xfer")

_FORMS: dict[Command, Callable[[bytes], object]] = {
    Command.LIST_FILES: parse_prefix,
    Command.UPLOAD: codec.parse_upload,
    Command.RESUME: codec.parse_resume,
    Command.DOWNLOAD: codec.parse_range,
    Command.STAT: codec.parse_id,
    Command.VERIFY: codec.parse_id,
    Command.DELETE: codec.parse_deletion,
    Command.LOGIN: codec.parse_login,
    Command.LIST_DAMAGED: parse_prefix,
}
"""What tells whether an argument is of a command's form; the others take none."""

MALFORMED = (BadDetails, BadId, BadName, BadRange, BadToken)
"""What an argument is refused with that is of none of our forms."""


class XferServerProtocol(UploadConnection):
    """One connection of a server; made by L{XferServerFactory}."""

    _signature = False  # whether the last line is another protocol's, if it is of no form of ours

    def lineReceived(self, line: bytes) -> None:
        self._lines += 1
        line = line.removesuffix(b"\r")
        if self.state is State.ARGUMENT:
            self._take_argument(line)
            return
        try:
            command, argument = parse_command(line)
        except RequestError as error:
            if is_foreign(line):
                self._in_turn(self._refuse_protocol)
            else:
                self._in_turn(partial(self._refuse, error))
            return
        self._signature = ends_as_http(line)  # DELETE is a method of both
        if self._signature and is_http_request(line):
            self._in_turn(self._refuse_protocol)
            return
        if self._answers and (command is not self._answers.command or argument is None):
            self._in_turn(lambda: self._begin(command, argument))
        else:
            self._begin(command, argument)

    def _take_argument(self, line: bytes) -> None:
        self._signature = is_signature(line)  # of another protocol, unless it is a good argument
        try:
            self._asked(line)
        except RequestError as error:
            self._refuse(error)
        finally:
            self._signature = False

    def _refuse(self, error: RequestError, skip: int | None = 0) -> None:
        if self._signature and isinstance(error, MALFORMED):
            self._refuse_protocol()
        else:
            super()._refuse(error, skip)

    def _refuse_protocol(self) -> None:
        """Close, so that nothing of what follows is taken for a command."""
        super()._refuse(OtherProtocol(), skip=None)

    def _begin(self, command: Command, argument: bytes | None) -> None:
        try:
            if command.prompt is not None and argument is None:
                if self._allowed(command, b"", True):
                    self.sendLine(command.prompt)
                    self._ask(lambda line: self._call(command, line, True))
            else:
                self._call(command, argument or b"", False)
        except RequestError as error:
            self._refuse(error)

    def _call(self, command: Command, argument: bytes, prompted: bool) -> None:
        if self._allowed(command, argument, prompted):
            self._METHODS[command](self, argument, prompted)

    def _allowed(self, command: Command, argument: bytes, prompted: bool) -> bool:
        """Whether a command may be begun; where it may not, it is refused."""
        try:
            self._authorize(command)
        except RequestError as error:
            if self._signature and not _is_of_form(command, argument):
                self._in_turn(self._refuse_protocol)
                return False
            skip: int | None = 0
            if command is Command.UPLOAD and not prompted:
                skip = codec.payload_size(argument)
            elif command in (Command.UPLOAD, Command.RESUME):
                skip = self._skip()
            self._in_turn(partial(self._refuse, error, skip))
            return False
        return True

    # LIST_FILES, LIST_DAMAGED

    def _list_files(self, argument: bytes, prompted: bool) -> None:
        prefix = parse_prefix(argument)
        listing = self.account.list(prefix)
        self._start(self._send_listing(listing, codec.NO_FILES))

    def _list_damaged(self, argument: bytes, prompted: bool) -> None:
        prefix = parse_prefix(argument)
        listing = self.account.list_damaged(prefix)
        self._start(self._send_listing(listing, codec.NO_DAMAGED))

    async def _send_listing(self, listing: ITextListing, nothing: bytes) -> None:
        first = await listing.read()
        if first:
            await self._send(listing_pages(first, listing))
            self._answer(codec.DONE)
        else:
            self._answer(nothing, codec.DONE)

    # STAT, VERIFY, DELETE, HELP, QUIT

    def _stat(self, argument: bytes, prompted: bool) -> None:
        self._start(self._send_status(self.account, codec.parse_id(argument)))

    async def _send_status(self, account: Account, id: str) -> None:
        status = await account.status(id)
        names = account.names(id)
        first = await names.read()
        if not first:  # deleted meanwhile
            raise NoSuchFile()
        await self._send(listing_pages(first, names))
        self._answer(*status_lines(status), codec.DONE)

    def _verify(self, argument: bytes, prompted: bool) -> None:
        self._start(self._hash_again(self.account, codec.parse_id(argument)))

    async def _hash_again(self, account: Account, id: str) -> None:
        with Waiting(self.factory.depot.clock, self.sendLine, "verifying") as waiting:
            await self._unless_lost(account.verify(id, waiting.progressed))
        self._answer(id.encode("ascii"))

    def _delete(self, argument: bytes, prompted: bool) -> None:
        id, name = codec.parse_deletion(argument)
        self._start(self._delete_entry(self.account, id, name))

    async def _delete_entry(self, account: Account, id: str, name: str | None) -> None:
        await account.delete(id, name)
        log.info(
            "#{number} deleted {id} {name}",
            number=self.number,
            id=id,
            name="all names" if name is None else quoted(name),
        )
        self._answer(id.encode("ascii"))

    def _help(self, argument: bytes, prompted: bool) -> None:
        _no_argument(argument)
        self._answer(*help_lines(), codec.DONE)

    def _quit(self, argument: bytes, prompted: bool) -> None:
        _no_argument(argument)
        self._close()

    # DOWNLOAD

    def _download(self, argument: bytes, prompted: bool) -> None:
        try:
            range = codec.parse_range(argument)
        except RequestError as error:
            self._in_turn(partial(self._refuse, error))
            return
        started = self.factory.depot.clock.seconds()
        account = self.account

        def got(found: tuple[Entry, bytes | None]) -> Answer:
            entry, content = found
            if content is None:
                return lambda: self._start(self._send_content(account, range))
            length = range.within(entry.size)
            part = content[range.offset : range.offset + length]
            answer = codec.format_entry(entry) + b"\n" + part
            return Transferred(answer, entry, length, started)

        held = max(0, self.factory.depot.store.small) + OVERHEAD
        self._owe(Command.DOWNLOAD, held, account.get(range.id).addCallback(got))

    async def _send_content(self, account: Account, range: Range) -> None:
        download = await self._unless_lost(account.open(range.id))
        try:
            length = range.within(download.entry.size)
            started = self.factory.depot.clock.seconds()
            self.sendLine(codec.format_entry(download.entry))
            largest = None if self._down is None else self._down.block
            await self._send(download.blocks(range.offset, length, largest))
        finally:
            download.close()
        self._log_transfer("sent", download.entry, length, started)
        self._answer()

    async def _send(self, read: Callable[[], Deferred[bytes]]) -> None:
        """Send all that C{read} gives, as fast as the peer takes it."""
        if self._down is not None:
            read = rate_limited(read, self._down)
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

    _METHODS: ClassVar[dict[Command, Callable[[XferServerProtocol, bytes, bool], None]]] = {
        Command.LIST_FILES: _list_files,
        Command.UPLOAD: UploadConnection._upload_asked,
        Command.RESUME: UploadConnection._resume_asked,
        Command.DOWNLOAD: _download,
        Command.STAT: _stat,
        Command.VERIFY: _verify,
        Command.DELETE: _delete,
        Command.LOGIN: UploadConnection._login,
        Command.HELP: _help,
        Command.QUIT: _quit,
        Command.LIST_DAMAGED: _list_damaged,
    }
    """The method of each command; called with its argument, and whether that was asked for."""


def _no_argument(argument: bytes) -> None:
    if argument:
        raise BadDetails("This command takes no argument; send it alone on its line.")


def _is_of_form(command: Command, argument: bytes) -> bool:
    """Whether an argument is of the form that a command asks for."""
    try:
        _FORMS.get(command, _no_argument)(argument)
    except MALFORMED:
        return False
    return True
