"""The sources of uploads: files and bytes."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Protocol

from xferproto.model.errors import SourceChanged
from xferproto.transfer.digest import md5
from xferproto.transfer.sender import BLOCK

ONE_LINE = 64 * 1024
"""Files up to this many bytes are sent without a prompt: one round trip instead of three."""


class Source(Protocol):
    """
    Bytes of a known number, hashed as they are read.

    @ivar size: how many.
    """

    size: int

    def read(self) -> bytes:
        """
        Return the next block, empty at the end. Blocks; called on any thread, never twice at once.

        @raise SourceChanged: the source is no longer what it was when it was opened.
        """

    def skip(self, offset: int) -> str:
        """Read on up to C{offset}, and return the MD5 of all bytes before it. Blocks."""

    def rewind(self) -> None:
        """Return to the beginning."""

    def md5(self) -> str:
        """Return the MD5 of all that was read, 32 lower-case hex digits."""

    def token(self) -> str:
        """Make a resume token for this source as it is now."""

    def close(self) -> None:
        """Close the source."""


class _Hashed:
    """Keep the position in a source, and the hash of the bytes before it."""

    size: int

    def __init__(self) -> None:
        self.rewind()

    def rewind(self) -> None:
        self._position = 0
        self._md5 = md5()

    def skip(self, offset: int) -> str:
        while self._position < offset:
            self._advance(self._block(self._position, min(BLOCK, offset - self._position)))
        return self.md5()

    def md5(self) -> str:
        return self._md5.hex()

    def _advance(self, block: bytes) -> bytes:
        self._position += len(block)
        self._md5.update([block])
        return block

    def _next(self) -> bytes:
        return self._advance(self._block(self._position, min(BLOCK, self.size - self._position)))

    def _block(self, position: int, length: int) -> bytes:
        """Read bytes of the source: at least one, if any is wanted."""
        raise NotImplementedError


class FileSource(_Hashed):
    """
    A regular file of this machine.

    Opening it blocks.

    @raise OSError: it can't be opened, is not a regular file, or has another size than the system
        says, as files of /proc have; if that is found later, reading fails with it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._fd, status = _open_regular(path)
        self.size = status.st_size
        self._path = path
        self._identity = _identity(status)
        self._checked = False
        self._lock = threading.Lock()  # who cancelled a request closes while a read is out

    def read(self) -> bytes:
        with self._lock:
            block = b"" if self._position == self.size else self._next()
            if self._position == self.size and not self._checked:
                self._check()  # before the last block is sent, so that a mixture is never stored
                self._checked = True
            return block

    def _block(self, position: int, length: int) -> bytes:
        return _block(self._path, self._fd, position, length, self.size)

    def _check(self) -> None:
        _check_end(self._path, self._fd, self.size)
        _check_unchanged(self._path, self._identity)

    def token(self) -> str:
        # The machine's name too: the same path, size and times may well be on another one.
        parts = (socket.gethostname(), str(self._path.absolute()), *map(str, self._identity))
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        return "file:" + hashlib.sha256(text).hexdigest()

    def close(self) -> None:
        with self._lock:
            os.close(self._fd)


def read_small(path: Path | str, largest: int) -> bytes | None:
    """
    Read a regular file; None if it has more than C{largest} bytes. Blocks.

    @raise OSError: it can't be read, is not a regular file, or has another size than the system
        says.
    @raise SourceChanged: it was changed meanwhile.
    """
    fd, status = _open_regular(path)
    try:
        if status.st_size > largest:
            return None
        content = b""
        while missing := status.st_size - len(content):
            content += _block(path, fd, len(content), missing, status.st_size)
        _check_end(path, fd, status.st_size)
    finally:
        os.close(fd)
    _check_unchanged(path, _identity(status))
    return content


def _open_regular(path: Path | str) -> tuple[int, os.stat_result]:
    # Not blocking, so that a pipe without a writer is refused instead of waited for.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "not a regular file", str(path))
        if not status.st_size:  # the end of others is looked at when they were read
            _check_end(path, fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd, status


def _block(path: Path | str, fd: int, position: int, length: int, size: int) -> bytes:
    block = os.pread(fd, length, position)
    if not block:
        _check_size(path, fd, size)
        raise SourceChanged(
            f"{path} ended at byte {position} of {size}: it was changed while it was sent."
        )
    return block


def _check_end(path: Path | str, fd: int, size: int) -> None:
    """
    Check that a file has no more bytes than the system says.

    @raise SourceChanged: it has, because it was written to.
    @raise OSError: it has.
    """
    if os.pread(fd, 1, size):
        _check_size(path, fd, size)
        raise SourceChanged(f"{path} became longer than {size}: it was changed while it was sent.")


def _check_size(path: Path | str, fd: int, size: int) -> None:
    """
    Check that a file with fewer than C{size} bytes was truncated.

    @raise OSError: the system still says C{size}, so the file can't be read by its size.
    """
    if os.fstat(fd).st_size == size:
        raise OSError(
            None,
            f"its real size is unknown (the system reports {size}); use cat FILE | xfer put - "
            "--name NAME",
            str(path),
        )


def _check_unchanged(path: Path | str, identity: tuple[int, ...]) -> None:
    try:
        changed = _identity(os.stat(path)) != identity  # noqa: PTH116 (many small files)
    except FileNotFoundError:
        changed = True
    if changed:
        raise SourceChanged(f"{path} was changed while it was sent.")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class BytesSource(_Hashed):
    """Read bytes that are in memory."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.size = len(content)
        self._content = memoryview(content)

    def read(self) -> bytes:
        return self._next()

    def _block(self, position: int, length: int) -> bytes:
        return bytes(self._content[position : position + length])

    def token(self) -> str:
        return "sha256:" + hashlib.sha256(self._content).hexdigest()

    def close(self) -> None:
        pass
