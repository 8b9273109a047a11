"""Copy standard input to a file, because an upload declares its size first."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from typing import Any

from twisted.internet.defer import Deferred

from xferproto.console.transfers.local_tree import LocalFile, Refused

READ_SIZE = 1024 * 1024
"""The most bytes that are read from a file at once."""


class Spool:
    """
    Copy standard input to a temporary file below TMPDIR, which is removed when it is closed.

    @param reactor: its thread gets the result.
    @ivar path: of the file.
    @raise OSError: the file can't be made.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._closed = False
        fd, self.path = tempfile.mkstemp(prefix="xfer-")
        self._file = os.fdopen(fd, "wb", buffering=0)  # which the thread closes

    async def named(self, name: str) -> LocalFile | Refused:
        """Return all of standard input as a file of this name."""
        try:
            size = await self._filled()
        except OSError as error:
            return Refused("-", error)
        return LocalFile(self.path, name, size)

    def _filled(self) -> Deferred[int]:
        """
        Copy all of standard input; fires with its size.

        The thread is not waited for, as its read can't be interrupted.
        """
        filled: Deferred[int] = Deferred(lambda _: self.close())

        def tell(result: int | OSError) -> None:
            if filled.called:
                return
            if isinstance(result, OSError):
                filled.errback(result)
            else:
                filled.callback(result)

        def copy() -> None:
            result: int | OSError
            try:
                with self._file:
                    result = self._copy()
            except OSError as error:
                result = error
            if not self._closed:
                self._reactor.callFromThread(tell, result)

        threading.Thread(target=copy, name="standard input", daemon=True).start()
        return filled

    def _copy(self) -> int:
        if sys.stdin is None:
            raise OSError(None, "standard input is closed", "-")
        size = 0
        while not self._closed and (block := os.read(sys.stdin.fileno(), READ_SIZE)):
            view = memoryview(block)
            while view:
                view = view[self._file.write(view) :]
            size += len(block)
        return size

    def close(self) -> None:
        """Remove the file; may be called again."""
        if not self._closed:
            self._closed = True
            os.unlink(self.path)
