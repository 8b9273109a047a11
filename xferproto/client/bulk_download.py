"""Downloads of many files over one connection, asked for without waiting for earlier ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from xferproto.client.batch import OF_ONE_FILE, Download, ask_batch, check_md5
from xferproto.client.callbacks import OnResult
from xferproto.client.commands import to_entry
from xferproto.client.connection import Connection
from xferproto.client.pipeline import Pipeline
from xferproto.client.pipelined import answered, sending, without_patience
from xferproto.client.source import ONE_LINE
from xferproto.client.target import PartFile
from xferproto.client.writer import BatchWriter
from xferproto.model.entry import Entry
from xferproto.model.errors import UnexpectedReply
from xferproto.threads.executor import undone_if_cancelled
from xferproto.transfer.digest import md5
from xferproto.transfer.receiver import Receiver
from xferproto.wire import codec

DOWNLOADS = 256
"""The most downloads that are asked for ahead."""


class BulkDownloader:
    """
    Fetch many contents over a connection.

    @param connection: what they come over, within a request.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._settings = connection.settings

    async def download(
        self, files: Iterable[tuple[str, Path | str]], on_result: OnResult, replace: bool
    ) -> None:
        """
        Fetch contents into files.

        @param files: an id and a target each.
        @param on_result: called with the outcome of each, in their order.
        @param replace: whether files that are there may be replaced.
        @raise Exception: what C{files} or C{on_result} raised.
        """
        connection, executor = self._connection, self._settings.executor
        prepare = partial(ask_batch, replace=replace)
        pipeline = Pipeline(files, prepare, executor, DOWNLOADS)
        writer = BatchWriter(executor, replace, on_result, self._abort_answers)
        try:
            async with sending(connection, pipeline):
                while (download := await pipeline.first()) is not None:
                    if download.outcome is None:
                        await self._fetch_next(download, writer, replace)
                    answered(connection, pipeline)
                    writer.put(download)
                    if writer.full:
                        await without_patience(connection, writer.room())
        finally:
            await writer.finish()  # what came whole is not lost, however this ends

    def _abort_answers(self) -> None:
        """Close the connection if answers are still to come, which nobody wants any more."""
        if self._connection.awaits_answer:
            self._connection.abort()

    async def _fetch_next(self, download: Download, writer: BatchWriter, replace: bool) -> None:
        """Receive the answer to a download."""
        connection = self._connection
        line = await connection.next_line()
        error = codec.parse_error(line)
        if error is not None:
            download.outcome = error
            return
        entry = to_entry(line)
        if entry.id != download.id.lower():
            raise UnexpectedReply(f"Asked for {download.id}, the server sends {entry.id}.")
        if entry.size <= ONE_LINE:
            download.content = connection.take_buffered(entry.size)  # as a rule it is there
            if download.content is None:
                download.content = await self._collect(entry.size)
            download.outcome = entry
        else:
            # One after the other, if an earlier file has the same target.
            await without_patience(connection, writer.finish())
            download.outcome = await self._stream(entry, download.target, replace)

    async def _stream(self, entry: Entry, target: Path, replace: bool) -> Entry | Exception:
        """Receive a payload that is too large to be kept in memory, and publish it by itself."""
        connection, run = self._connection, self._settings.executor.run
        try:
            opening = run(PartFile, target, replace)
            part = await undone_if_cancelled(opening, lambda opened: opened.leave())
        except OF_ONE_FILE as error:
            # It comes nevertheless.
            await connection.receive(_Dropped(entry.size), entry.size, None)
            return error
        digest = md5()
        receiver = Receiver(
            entry.size,
            [digest.update, part.write],
            self._settings.workers,
            self._settings.budget,
            connection.regulate,
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
            await connection.receive(receiver, entry.size, None)
            return await without_patience(connection, publish())
        finally:
            await receiver.stop()
            await run(part.leave)

    async def _collect(self, size: int) -> bytes:
        """Receive a payload that is small enough to be kept in memory."""
        collected = _Collected(size)
        await self._connection.receive(collected, size, None)
        return collected.content()


class _Dropped:
    """Drop a payload; a L{Payload<xferproto.client.connection.Payload>}."""

    full = False

    def __init__(self, size: int) -> None:
        self.remaining = size

    def write(self, data: bytes) -> None:
        self.remaining -= len(data)


class _Collected(_Dropped):
    """Keep a payload in memory."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._blocks: list[bytes] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self._blocks.append(data)

    def content(self) -> bytes:
        return b"".join(self._blocks)
