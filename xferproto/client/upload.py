"""How a file goes to the depot: all of it, or what an earlier try did not bring there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from xferproto.client.connection import ClientConnection, Progress, to_wire
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

Begun = Callable[[str, str], object]
"""Called with the name and the token of an upload."""


class UploadConnection(ClientConnection):
    """A L{ClientConnection} with the requests that store a file."""

    async def _upload(
        self, source: Path | str | bytes, name: str | None, progress: Progress | None
    ) -> Entry:
        content, details = await self._opened(source, name)
        try:
            argument = codec.format_upload(details)
            at_once = not self.factory.prompted and details.size <= ONE_LINE
            await self._ask(Command.UPLOAD, argument, prompted=not at_once)
            if not at_once:
                await self._expect(codec.READY)
            return await self._send_rest(content, details, 0, progress, at_once)
        finally:
            await self.factory.executor.run(content.close)

    async def _resume(
        self,
        source: Path | str | bytes,
        name: str | None,
        token: str | None,
        progress: Progress | None,
        begun: Begun | None,
    ) -> Entry:
        run = self.factory.executor.run
        content, details = await self._opened(source, name)
        try:
            wanted = ResumeDetails(details.name, details.size, token or content.token())
            argument = codec.format_resume(wanted)
            if ";" in wanted.token or codec.parse_resume(argument) != wanted:
                raise BadToken()
            await self._ask(Command.RESUME, argument)
            line = await self._line()
            try:
                held = codec.parse_held(line)
            except RequestError as error:
                raise UnexpectedReply(f"Expected offset;md5, not {quoted(line)}.") from error
            if begun is not None:
                begun(wanted.name, wanted.token)
            offset = 0
            self._patience.stop()  # hashing may take long, and lets no byte move
            if 0 < held.offset <= content.size:
                if await run(content.skip, held.offset) == held.md5:
                    offset = held.offset
                else:
                    content.rewind()
            self._send_line(str(offset).encode())
            await self._expect(codec.READY)
            return await self._send_rest(content, details, offset, progress)
        finally:
            await run(content.close)

    async def _discard(self, name: str, token: str) -> None:
        """Declare an upload of no bytes, so that what is held is dropped, and do not go on."""
        await self._ask(Command.RESUME, codec.format_resume(ResumeDetails(name, 0, token)))
        line = await self._line()
        if line != codec.format_held(Held(0, codec.EMPTY_MD5)):
            raise UnexpectedReply(f"Expected that nothing is held, not {quoted(line)}.")
        self._send_line(b"1")
        with contextlib.suppress(BadRange):
            raise UnexpectedReply(f"Expected a refusal, not {quoted(await self._line())}.")

    async def _opened(
        self, source: Path | str | bytes, name: str | None
    ) -> tuple[Source, UploadDetails]:
        content: Source
        if isinstance(source, bytes):
            content = BytesSource(source)
        else:
            name = Path(source).name if name is None else name
            opening: Deferred[Source] = self.factory.executor.run(FileSource, Path(source))
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
            block = await self.factory.executor.run(content.read)
            self._patience.moved(len(block))
            sent += len(block)
            return block

        sender = Sender(self.transport, lambda: Deferred.fromCoroutine(read()))
        answer = self._next_line()  # which from here on may come at any time
        # The payload of a one-line upload must follow even a refusal: the server takes it away.
        self._sender = None if at_once else sender
        self.transport.registerProducer(sender, True)
        try:
            await sender.run()
        except ConnectionCut:  # or an answer, before all was sent: then it is a refusal
            error = codec.parse_error(await answer)
            if error is not None or sent < details.size:
                raise error or UnexpectedReply("An id came before all was sent.") from None
        except BaseException:
            answer.addErrback(lambda _: None)
            raise
        finally:
            self._sender = None
            self.transport.unregisterProducer()
        line = self._checked(await answer)
        entry = Entry(content.md5(), details.name, details.size)
        if line != entry.id.encode():
            raise HashMismatch(f"Upload of {quoted(entry.name)}", entry.id, printable(line))
        self._in_step = True
        return entry
