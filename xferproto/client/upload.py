"""Uploads of single files: whole, or from where an earlier try ended."""

from __future__ import annotations

import contextlib
from pathlib import Path

from twisted.internet.defer import Deferred

from xferproto.client.callbacks import Begun, Progress
from xferproto.client.commands import checked, expect_line, read_line, send_command, to_wire
from xferproto.client.connection import Connection
from xferproto.client.source import ONE_LINE, BytesSource, FileSource, Source
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    BadRange,
    BadToken,
    ConnectionCut,
    HashMismatch,
    RequestError,
    UnexpectedReply,
)
from xferproto.model.escape import printable, quoted
from xferproto.threads.executor import undone_if_cancelled
from xferproto.transfer.sender import Sender
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Held, ResumeDetails, UploadDetails


class Uploader:
    """
    Store files over a connection.

    @param connection: what they are sent over, within a request.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._settings = connection.settings

    async def upload(
        self, source: Path | str | bytes, name: str | None, progress: Progress | None
    ) -> Entry:
        """
        Store a file.

        @param name: the file's own where it is None.
        @raise HashMismatch: the server's MD5 is another one.
        @raise OSError: the file can't be read.
        """
        content, details = await self._open(source, name)
        try:
            argument = codec.format_upload(details)
            at_once = not self._settings.prompted and details.size <= ONE_LINE
            await send_command(self._connection, Command.UPLOAD, argument, prompted=not at_once)
            if not at_once:
                await expect_line(self._connection, codec.READY)
            return await self._send_rest(content, details, 0, progress, at_once)
        finally:
            await self._settings.executor.run(content.close)

    async def resume(
        self,
        source: Path | str | bytes,
        name: str | None,
        token: str | None,
        progress: Progress | None,
        begun: Begun | None,
    ) -> Entry:
        """
        Store a file under a token, from where an earlier upload under it ended.

        @param token: None for one made of the source.
        @param begun: called when the server has accepted name and token.
        @raise BadToken: no server accepts this token.
        """
        run = self._settings.executor.run
        content, details = await self._open(source, name)
        try:
            asked = ResumeDetails(details.name, details.size, token or content.token())
            held = await self._ask_held(asked)
            if begun is not None:
                begun(asked.name, asked.token)
            offset = 0
            self._connection.patience.stop()  # hashing may take long, and lets no byte move
            if 0 < held.offset <= content.size:
                if await run(content.skip, held.offset) == held.md5:
                    offset = held.offset
                else:
                    content.rewind()
            self._connection.send_line(str(offset).encode())
            await expect_line(self._connection, codec.READY)
            return await self._send_rest(content, details, offset, progress)
        finally:
            await run(content.close)

    async def _ask_held(self, asked: ResumeDetails) -> Held:
        """Ask how much of an upload the server holds."""
        argument = codec.format_resume(asked)
        if ";" in asked.token or codec.parse_resume(argument) != asked:
            raise BadToken()
        await send_command(self._connection, Command.RESUME, argument)
        line = await read_line(self._connection)
        try:
            return codec.parse_held(line)
        except RequestError as error:
            raise UnexpectedReply(f"Expected offset;md5, not {quoted(line)}.") from error

    async def discard(self, name: str, token: str) -> None:
        """
        Let the server drop what it holds under a token.

        An upload of no bytes is declared, which drops the rest, and is not gone on with.
        """
        argument = codec.format_resume(ResumeDetails(name, 0, token))
        await send_command(self._connection, Command.RESUME, argument)
        line = await read_line(self._connection)
        if line != codec.format_held(Held(0, codec.EMPTY_MD5)):
            raise UnexpectedReply(f"Expected that nothing is held, not {quoted(line)}.")
        self._connection.send_line(b"1")
        with contextlib.suppress(BadRange):
            line = await read_line(self._connection)
            raise UnexpectedReply(f"Expected a refusal, not {quoted(line)}.")

    async def _open(
        self, source: Path | str | bytes, name: str | None
    ) -> tuple[Source, UploadDetails]:
        content: Source
        if isinstance(source, bytes):
            content = BytesSource(source)
        else:
            name = Path(source).name if name is None else name
            opening: Deferred[Source] = self._settings.executor.run(FileSource, Path(source))
            content = await undone_if_cancelled(opening, lambda opened: opened.close())
        try:
            # What the server would refuse for its form is refused before anything is sent.
            return content, codec.parse_upload(to_wire(f"{name or ''};{content.size}"))
        except BaseException:
            content.close()
            raise

    async def _send_rest(
        self,
        content: Source,
        details: UploadDetails,
        sent: int,
        progress: Progress | None,
        at_once: bool = False,
    ) -> Entry:
        """
        Send what follows C{sent} bytes, and compare the answer.

        @param at_once: the server was not asked whether it is ready.
        """

        async def read() -> bytes:
            nonlocal sent
            if progress is not None:
                progress(sent, details.size)
            block = await self._settings.executor.run(content.read)
            self._connection.patience.moved(len(block))
            sent += len(block)
            return block

        sender = Sender(self._connection.transport, lambda: Deferred.fromCoroutine(read()))
        answer = self._connection.next_line()  # which from here on may come at any time
        # The payload of a one-line upload must follow even a refusal: the server takes it away.
        with self._connection.sending(sender, until_reply=not at_once):
            try:
                await sender.run()
            except ConnectionCut:  # or an answer, before all was sent: then it is a refusal
                error = codec.parse_error(await answer)
                if error is not None or sent < details.size:
                    raise error or UnexpectedReply("An id came before all was sent.") from None
            except BaseException:
                answer.addErrback(lambda _: None)
                raise
        line = checked(self._connection, await answer)
        entry = Entry(content.md5(), details.name, details.size)
        if line != entry.id.encode():
            raise HashMismatch(f"Upload of {quoted(entry.name)}", entry.id, printable(line))
        self._connection.end_exchange()
        return entry
