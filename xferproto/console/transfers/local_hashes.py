"""The hashes of files that are here, computed before anything is sent or fetched."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Literal

from xferproto.console.transfers.spool import READ_SIZE
from xferproto.threads.executor import Executor, undone_if_cancelled

HANDOFF = 8
"""The blocks that are hashed in one go on a thread; between two goes it may be cancelled."""

Algorithm = Literal["md5", "sha256"]


async def hash_file(
    executor: Executor, path: str, algorithm: Algorithm, told: Callable[[int], None]
) -> str:
    """
    The hash of a file as it is now; of one that is being written, that of a mixture.

    @param told: told how many bytes are hashed.
    @return: lower-case hex digits.
    @raise OSError: it can't be read.
    """
    opening = executor.run(_Hashed, path, algorithm)
    hashed = await undone_if_cancelled(opening, lambda opened: opened.close())
    try:
        while await executor.run(hashed.advance):
            told(hashed.position)
        return hashed.digest.hexdigest()
    finally:
        hashed.close()


class _Hashed:
    """
    A file that is read and hashed step by step. Blocks.

    @ivar position: how many bytes it was.
    """

    def __init__(self, path: str, algorithm: Algorithm) -> None:
        self.position = 0
        self.digest = hashlib.new(algorithm, usedforsecurity=False)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._closed = False
        self._lock = threading.Lock()  # who cancels closes it while a step is out

    def advance(self) -> bool:
        """Go on; whether there was anything left."""
        with self._lock:
            for _ in range(HANDOFF):
                block = b"" if self._closed else os.pread(self._fd, READ_SIZE, self.position)
                if not block:
                    return False
                self.digest.update(block)
                self.position += len(block)
            return True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._fd)


def hash_small(paths: Sequence[str]) -> list[str | None]:
    """The MD5 of each of some small files, None of those that can't be read. Blocks."""
    hashes: list[str | None] = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                hashes.append(hashlib.file_digest(file, _md5).hexdigest())
        except OSError:
            hashes.append(None)
    return hashes


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
