"""What is sent: random files, and what they hash to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import file_digest, md5
from pathlib import Path

BLOCK = 1 << 20


class WrongArrival(Exception):
    """What arrived is not what was sent; the text says where."""


@dataclass(frozen=True, slots=True)
class Content:
    """
    A file to send.

    @ivar size: in bytes.
    @ivar md5: 32 hex digits.
    """

    path: Path
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Many small files to send.

    @ivar directory: they lie in it, and nothing else.
    @ivar ids: the MD5 of each, by its name.
    @ivar manifest: a file with a line C{md5;name} for each.
    @ivar size: of each, in bytes.
    """

    directory: Path
    ids: dict[str, str]
    manifest: Path
    size: int


def make_content(path: Path, size: int) -> Content:
    """Write a file of random bytes."""
    digest = md5()
    with path.open("wb") as file:
        for offset in range(0, size, BLOCK):
            block = os.urandom(min(BLOCK, size - offset))
            digest.update(block)
            file.write(block)
    path.chmod(0o644)
    return Content(path, size, digest.hexdigest())


def make_batch(directory: Path, count: int, size: int) -> Batch:
    """Write many files of random bytes into C{directory/files}."""
    files = directory / "files"
    files.mkdir(parents=True)
    ids = {}
    for number in range(count):
        name, data = f"file-{number:05}", os.urandom(size)
        (files / name).write_bytes(data)
        ids[name] = md5(data).hexdigest()
    manifest = directory / "manifest"
    manifest.write_text("".join(f"{id};{name}\n" for name, id in ids.items()))
    return Batch(files, ids, manifest, size)


def md5_of(path: Path) -> str:
    """The MD5 of a file, 32 hex digits."""
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()


def check_file(path: Path, expected: str) -> None:
    """
    Compare a file that arrived with what was sent.

    @param expected: the MD5.
    @raise WrongArrival: it is not there, or differs.
    """
    if not path.is_file():
        raise WrongArrival(f"{path.name} has not arrived.")
    if (found := md5_of(path)) != expected:
        raise WrongArrival(f"{path.name} arrived with the MD5 {found}, sent was {expected}.")


def check_batch(directory: Path, batch: Batch) -> None:
    """
    Compare all files of a directory with what was sent.

    @raise WrongArrival: one is missing, is too many or differs.
    """
    found = {path.name for path in directory.iterdir()}
    if found != set(batch.ids):
        odd = sorted(found ^ set(batch.ids))
        raise WrongArrival(f"{len(odd)} files are missing or too many, as {odd[0]}.")
    for name, id in batch.ids.items():
        check_file(directory / name, id)
