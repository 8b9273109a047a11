"""Uploads of many files over one connection, without waiting for earlier answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xferproto.client.batch import OF_ONE_FILE, Upload, read_batch
from xferproto.client.callbacks import OnResult
from xferproto.client.connection import Connection
from xferproto.client.pipeline import Pipeline
from xferproto.client.pipelined import answered, sending
from xferproto.client.upload import Uploader
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    ConnectionCut,
    HashMismatch,
    LeftUnfinished,
    RequestError,
    UnexpectedReply,
)
from xferproto.model.escape import quoted
from xferproto.wire import codec

UPLOADS = 2048
"""The most uploads that wait for their answers."""


class BulkUploader:
    """
    Store many files over a connection.

    @param connection: what they are sent over, within a request.
    @param uploader: sends the files that are too large to be sent without asking.
    """

    def __init__(self, connection: Connection, uploader: Uploader) -> None:
        self._connection = connection
        self._uploader = uploader

    async def upload(
        self, files: Iterable[tuple[Path | str | bytes, str]], on_result: OnResult
    ) -> None:
        """
        Store files.

        @param files: a source and a name each.
        @param on_result: called with the outcome of each, in their order.
        @raise Exception: what C{files} or C{on_result} raised.
        @raise LeftUnfinished: one file failed in such a way that the connection can't go on.
        """
        connection = self._connection
        pipeline = Pipeline(files, read_batch, connection.settings.executor, UPLOADS)
        while True:
            async with sending(connection, pipeline):
                while (upload := await pipeline.first()) is not None:
                    outcome = upload.outcome
                    assert outcome is not None
                    if isinstance(outcome, Entry):
                        line = await connection.next_line()
                        if line != outcome.id.encode():
                            outcome = _difference(outcome, line)
                    answered(connection, pipeline)
                    on_result(upload.name, outcome)
            upload, pipeline.alone = pipeline.alone, None
            if upload is None:
                return
            outcome = await self._upload_alone(upload)
            connection.patience.stop()
            on_result(upload.name, outcome)
            if connection.awaits_answer:
                raise LeftUnfinished(f"The upload of {quoted(upload.name)} was left unfinished.")

    async def _upload_alone(self, upload: Upload) -> Entry | Exception:
        try:
            return await self._uploader.upload(upload.source, upload.name, None)
        except (ConnectionCut, UnexpectedReply):
            raise
        except OF_ONE_FILE as error:
            return error


def _difference(entry: Entry, line: bytes) -> RequestError | HashMismatch:
    """
    Return what a server says instead of the id.

    @raise UnexpectedReply: the line is no answer at all.
    """
    error = codec.parse_error(line)
    if error is not None:
        return error
    try:
        theirs = codec.parse_id(line)
    except RequestError:
        raise UnexpectedReply(f"Expected {entry.id}, the server says {quoted(line)}.") from None
    return HashMismatch(f"Upload of {quoted(entry.name)}", entry.id, theirs)
