"""The end of a bulk download: what came is written in batches, and reported in order."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xferproto.client.batch import Download, write_batch
from xferproto.client.callbacks import OnResult
from xferproto.client.pipeline import BATCH_BYTES, BATCH_FILES
from xferproto.threads.batcher import Batcher
from xferproto.threads.executor import Executor


class BatchWriter:
    """
    Write what came on a thread, a batch while the next one gathers.

    @param executor: the thread.
    @param replace: whether files that are there may be replaced.
    @param on_result: called with the outcome of each download, in order.
    @param failed: called once, when C{on_result} has raised; the rest is dropped then.
    """

    def __init__(
        self, executor: Executor, replace: bool, on_result: OnResult, failed: Callable[[], None]
    ) -> None:
        self._on_result = on_result
        self._failed = failed
        self._failure: Failure | None = None
        self._files = 0
        self._bytes = 0
        self._room: Deferred[None] | None = None
        self._batcher: Batcher[Download] = Batcher(
            executor,
            lambda downloads: write_batch(downloads, replace),
            self._written,
            lambda failure, downloads: self._fail(failure),
        )

    def put(self, download: Download) -> None:
        """Write a download, if anything is to be written, and report it after those before."""
        self._files += 1
        self._bytes += len(download.content or b"")
        self._batcher.put(download)

    @property
    def full(self) -> bool:
        """Whether two batches wait: the server is to be held back."""
        return self._files >= 2 * BATCH_FILES or self._bytes >= 2 * BATCH_BYTES

    async def room(self) -> None:
        """
        Wait until L{full} is false.

        @raise Exception: what C{on_result} raised.
        """
        while self.full and self._failure is None:
            self._room = Deferred()
            await self._room
        self._raise()

    async def finish(self) -> None:
        """
        Wait until all is written and reported; may be called again.

        @raise Exception: what C{on_result} raised.
        """
        await self._batcher.when_idle()
        self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            self._failure.raiseException()

    def _written(self, downloads: list[Download]) -> None:
        for download in downloads:
            self._files -= 1
            self._bytes -= len(download.content or b"")
            if self._failure is None:
                assert download.outcome is not None
                try:
                    self._on_result(download.id, download.outcome)
                except Exception:
                    self._fail(Failure())
        if not self.full:
            self._wake()

    def _fail(self, failure: Failure) -> None:
        if self._failure is None:
            self._failure = failure
            self._batcher.drop()
            self._failed()
            self._wake()

    def _wake(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)
