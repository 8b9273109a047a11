"""Many files over one connection, sent or asked for without waiting for earlier answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from xferproto.client.batch import (
    OF_ONE_FILE,
    Download,
    Upload,
    ask_batch,
    check_md5,
    read_batch,
)
from xferproto.client.connection import to_entry
from xferproto.client.pipeline import Pipeline
from xferproto.client.source import ONE_LINE
from xferproto.client.target import PartFile
from xferproto.client.upload import UploadConnection
from xferproto.client.writer import BatchWriter, Told
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    ConnectionCut,
    HashMismatch,
    LeftUnfinished,
    RequestError,
    UnexpectedReply,
)
from xferproto.model.escape import quoted
from xferproto.threads.executor import undone_if_cancelled
from xferproto.transfer.digest import md5
from xferproto.transfer.receiver import Receiver
from xferproto.transfer.sender import Sender
from xferproto.wire import codec

T = TypeVar("T")

UPLOADS = 2048
"""The most uploads that wait for their answers."""

DOWNLOADS = 256
"""The most downloads that are asked for ahead."""


class BulkConnection(UploadConnection):
    """An L{UploadConnection} with the requests for many files."""

    # The way of requests that do not wait for each other

    @contextlib.asynccontextmanager
    async def _sending(self, pipeline: Pipeline[Any, Any]) -> AsyncIterator[None]:
        """A context in which what a pipeline has is sent, up to what must be alone."""
        pipeline.begin()
        sender = Sender(self.transport, lambda: Deferred.fromCoroutine(self._next_batch(pipeline)))
        self.transport.registerProducer(sender, True)
        ended: Deferred[None] = Deferred()

        async def send() -> None:
            failure: Exception | None = None
            try:
                await sender.run()
            except Exception as error:
                failure = error
            ended.callback(None)
            pipeline.end(failure)

        Deferred.fromCoroutine(send())
        try:
            yield
        finally:
            sender.stopProducing()
            pipeline.end()
            await ended
            self.transport.unregisterProducer()

    async def _next_batch(self, pipeline: Pipeline[Any, Any]) -> bytes:
        """What to send next for these requests, empty at the end."""
        while (batch := await pipeline.prepared()) is not None:
            if batch.wire:
                self._step_out()
                self._regulate()  # who takes the answers may be waiting for the disk
                for request in batch.requests:
                    if request.line:
                        self.factory.trace(">", request.line)
            pipeline.put(batch)
            if batch.wire:
                return batch.wire
        return b""

    def _answered(self, pipeline: Pipeline[Any, Any]) -> None:
        """The first request's answer is complete."""
        pipeline.pop()
        if not pipeline.unanswered:
            self._in_step = True
            self._patience.stop()

    # Uploads

    async def _upload_many(
        self, files: Iterable[tuple[Path | str | bytes, str]], told: Told
    ) -> None:
        pipeline = Pipeline(files, read_batch, self.factory.executor, UPLOADS)
        while True:
            async with self._sending(pipeline):
                while (upload := await pipeline.first()) is not None:
                    outcome = upload.outcome
                    assert outcome is not None
                    if isinstance(outcome, Entry):
                        line = await self._next_line()
                        if line != outcome.id.encode():
                            outcome = _difference(outcome, line)
                    self._answered(pipeline)
                    told(upload.name, outcome)
            upload, pipeline.alone = pipeline.alone, None
            if upload is None:
                return
            outcome = await self._upload_alone(upload)
            self._patience.stop()
            told(upload.name, outcome)
            if not self._in_step:
                raise LeftUnfinished(f"The upload of {quoted(upload.name)} was left unfinished.")

    async def _upload_alone(self, upload: Upload) -> Entry | Exception:
        try:
            return await self._upload(upload.source, upload.name, None)
        except (ConnectionCut, UnexpectedReply):
            raise
        except OF_ONE_FILE as error:
            return error

    # Downloads

    async def _download_many(
        self, files: Iterable[tuple[str, Path | str]], told: Told, replace: bool
    ) -> None:
        executor = self.factory.executor
        prepare = partial(ask_batch, replace=replace)
        pipeline = Pipeline(files, prepare, executor, DOWNLOADS)
        writer = BatchWriter(executor, replace, told, self._end_waiting)
        try:
            async with self._sending(pipeline):
                while (download := await pipeline.first()) is not None:
                    if download.outcome is None:
                        await self._fetch_next(download, writer, replace)
                    self._answered(pipeline)
                    writer.put(download)
                    if writer.full:
                        await self._at_leisure(writer.room())
        finally:
            await writer.finish()  # what came whole is not lost, however this ends

    async def _fetch_next(self, download: Download, writer: BatchWriter, replace: bool) -> None:
        """Take the answer to a download."""
        line = await self._next_line()
        error = codec.parse_error(line)
        if error is not None:
            download.outcome = error
            return
        entry = to_entry(line)
        if entry.id != download.id.lower():
            raise UnexpectedReply(f"Asked for {download.id}, the server sends {entry.id}.")
        if entry.size <= ONE_LINE:
            download.content = await self._collect(entry.size)
            download.outcome = entry
        else:
            await self._at_leisure(writer.finish())  # one after the other, if it has their target
            download.outcome = await self._stream(entry, download.target, replace)

    async def _stream(self, entry: Entry, target: Path, replace: bool) -> Entry | Exception:
        """Take a payload that is too large to be kept in memory, and publish it by itself."""
        run = self.factory.executor.run
        try:
            opening = run(PartFile, target, replace)
            part = await undone_if_cancelled(opening, lambda opened: opened.leave())
        except OF_ONE_FILE as error:
            await self._receive(_Dropped(entry.size), entry.size, None)  # it comes nevertheless
            return error
        digest = md5()
        receiver = Receiver(
            entry.size,
            [digest.update, part.write],
            self.factory.workers,
            self.factory.budget,
            self._regulate,
            lambda: None,  # what the disk refuses is taken away
        )

        async def publish() -> Entry | Exception:
            try:
                await receiver.finish()
                check_md5(digest.hex(), entry)
                await run(part.publish)
                return entry
            except OF_ONE_FILE as error:
                return error

        try:
            await self._receive(receiver, entry.size, None)
            return await self._at_leisure(publish())
        finally:
            await receiver.stop()
            await run(part.leave)

    async def _collect(self, size: int) -> bytes:
        """Take a payload that is small enough to be kept in memory."""
        if len(self._buffer) >= size:  # as a rule it came with its line
            content, self._buffer = self._buffer[:size], self._buffer[size:]
            return content
        collected = _Collected(size)
        await self._receive(collected, size, None)
        return collected.content()

    async def _at_leisure(self, work: Awaitable[T]) -> T:
        """Wait for this machine; the server, which is held back meanwhile, is not to blame."""
        self._patience.stop()
        result = await work
        if not self._in_step:
            self._patience.start()
        return result

    def _end_waiting(self) -> None:
        """Nobody wants the answers that are still to come."""
        if not self._in_step:
            self._abort()


class _Dropped:
    """A payload that nobody wants; a L{Payload<xferproto.client.connection.Payload>}."""

    full = False

    def __init__(self, size: int) -> None:
        self.remaining = size

    def write(self, data: bytes) -> None:
        self.remaining -= len(data)


class _Collected(_Dropped):
    """A payload that is kept."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self._blocks.append(data)

    def content(self) -> bytes:
        return b"".join(self._blocks)


def _difference(entry: Entry, line: bytes) -> RequestError | HashMismatch:
    """
    What a server says instead of the id.

    @raise UnexpectedReply: it is no answer at all.
    """
    error = codec.parse_error(line)
    if error is not None:
        return error
    try:
        theirs = codec.parse_id(line)
    except RequestError:
        raise UnexpectedReply(f"Expected {entry.id}, the server says {quoted(line)}.") from None
    return HashMismatch(f"Upload of {quoted(entry.name)}", entry.id, theirs)
