"""Batches of small files: read for uploads, checked and written for downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xferproto.client.commands import to_wire
from xferproto.client.pipeline import BATCH_BYTES, Batch
from xferproto.client.source import ONE_LINE, read_small
from xferproto.client.target import PartFile, check_target
from xferproto.files.staged_file import sync_path
from xferproto.model.entry import Entry
from xferproto.model.errors import HashMismatch, XferError
from xferproto.model.escape import quoted
from xferproto.model.names import parse_name
from xferproto.wire import codec
from xferproto.wire.commands import Command

UPLOAD = Command.UPLOAD.spellings[0].encode() + b" "
DOWNLOAD = Command.DOWNLOAD.spellings[0].encode() + b" "

OF_ONE_FILE = (OSError, ValueError, XferError)
"""Failures of one file; Python raises ValueError for a path with a NUL."""


@dataclass(slots=True)
class Upload:
    """
    An upload of a file; a L{Request<xferproto.client.pipeline.Request>}.

    @ivar outcome: its entry, if the server confirms the id; or why it is not sent; None if it is
        too large to be sent without asking.
    """

    source: Path | str | bytes
    name: str
    line: bytes = b""
    sent: int = 0
    outcome: Entry | Exception | None = None


@dataclass(slots=True)
class Download:
    """
    A download of a file; a L{Request<xferproto.client.pipeline.Request>}.

    @ivar outcome: the entry that the server announced, or why there is none.
    @ivar content: the bytes that came, if they are to be written in a batch.
    """

    id: str
    target: Path
    line: bytes = b""
    sent: int = 0
    outcome: Entry | Exception | None = None
    content: bytes | None = None


def read_batch(files: Sequence[tuple[Path | str | bytes, str]]) -> Batch[Upload]:
    """Read the first of some files, as many as make a batch. Blocks."""
    uploads: list[Upload] = []
    wire: list[bytes] = []
    size = 0
    for source, name in files:
        upload = Upload(source, name)
        try:
            content = _read(upload)
        except OF_ONE_FILE as error:
            upload.outcome = error
        else:
            if content is None:
                return Batch(uploads, b"".join(wire), alone=upload)
            wire += (upload.line, b"\n", content)
            size += len(content)
        uploads.append(upload)
        if size >= BATCH_BYTES:
            break
    return Batch(uploads, b"".join(wire))


def _read(upload: Upload) -> bytes | None:
    """Read the content of an upload, and fill in its line; None if the content is too large."""
    name = to_wire(upload.name)
    parse_name(name)
    source = upload.source
    if not isinstance(source, bytes):
        content = read_small(source, ONE_LINE)
    else:
        content = source if len(source) <= ONE_LINE else None
    if content is not None:
        size = len(content)
        upload.outcome = Entry(_md5(content), upload.name, size)
        upload.line = b"%b%b;%d" % (UPLOAD, name, size)
        upload.sent = len(upload.line) + 1 + size
    return content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def ask_batch(files: Sequence[tuple[str, Path | str]], replace: bool) -> Batch[Download]:
    """Prepare the downloads of some files; those whose targets exist fail. Blocks."""
    downloads: list[Download] = []
    wire: list[bytes] = []
    for id, target in files:
        download = Download(id, Path(target))
        try:
            line = DOWNLOAD + codec.parse_id(to_wire(id)).encode()
            check_target(download.target, replace)
        except OF_ONE_FILE as error:
            download.outcome = error
        else:
            download.line = line
            download.sent = len(line) + 1
            wire += (line, b"\n")
        downloads.append(download)
    return Batch(downloads, b"".join(wire))


def write_batch(downloads: Sequence[Download], replace: bool) -> None:
    """
    Check the contents that came, write them to their targets, and sync them together. Blocks.

    The outcome of each is set.
    """
    parts: list[tuple[Download, PartFile]] = []

    def each(step: Callable[[PartFile], None]) -> None:
        for download, part in parts:
            if isinstance(download.outcome, Entry):
                try:
                    step(part)
                except OF_ONE_FILE as error:
                    download.outcome = error

    try:
        for download in downloads:
            if download.content is not None and isinstance(download.outcome, Entry):
                try:
                    check_md5(_md5(download.content), download.outcome)
                    part = PartFile(download.target, replace)
                    parts.append((download, part))
                    part.write([download.content])
                except OF_ONE_FILE as error:
                    download.outcome = error
        each(PartFile.begin_write_back)  # on all of them, so that each sync finds its work done
        each(PartFile.sync)
        each(PartFile.place)
    finally:
        for _, part in parts:
            part.leave()
    _sync_directories([download for download, _ in parts if isinstance(download.outcome, Entry)])


def check_md5(md5: str, entry: Entry) -> None:
    """
    Compare the MD5 of what came with what was announced.

    @raise HashMismatch: they differ.
    """
    if md5 != entry.id:
        raise HashMismatch(f"Download of {quoted(entry.name)}", md5, entry.id)


def _sync_directories(downloads: Sequence[Download]) -> None:
    """Sync each directory of some files once; if that fails, its files fail."""
    failures: dict[Path, OSError | None] = {}
    for download in downloads:
        directory = download.target.parent
        if directory not in failures:
            try:
                sync_path(directory)
                failures[directory] = None
            except OSError as error:
                failures[directory] = error
        download.outcome = failures[directory] or download.outcome
