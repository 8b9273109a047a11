"""Hash local files, before anything is sent or fetched."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Literal

from xferproto.console.transfers.spool import READ_SIZE
from xferproto.threads.executor import Executor, undone_if_cancelled

HANDOFF = 8
"""Blocks that are hashed in one handoff to a thread; between two, hashing can be cancelled."""

Algorithm = Literal["md5", "sha256"]


async def hash_file(
    executor: Executor, path: str, algorithm: Algorithm, progress: Callable[[int], None]
) -> str:
    """
    Hash a file as it is now.

    @param progress: called with how many bytes are hashed.
    @return: lower-case hex digits.
    @raise OSError: the file can't be read.
    """
    opening = executor.run(_Hashed, path, algorithm)
    hashed = await undone_if_cancelled(opening, lambda opened: opened.close())
    try:
        while await executor.run(hashed.advance):
            progress(hashed.position)
        return hashed.digest.hexdigest()
    finally:
        hashed.close()


class _Hashed:
    """
    Read and hash a file step by step. Blocks.

    @ivar position: how many bytes are hashed.
    """

    def __init__(self, path: str, algorithm: Algorithm) -> None:
        self.position = 0
        self.digest = hashlib.new(algorithm, usedforsecurity=False)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._closed = False
        self._lock = threading.Lock()  # a cancellation may close it during a step

    def advance(self) -> bool:
        """Hash the next blocks, and return whether there were any."""
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
    """Return the MD5 of each small file, None for those that can't be read. Blocks."""
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
