"""Files get other names, and never take one that another file has."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xferproto.files.directories import make_directory

RENAME_NOREPLACE = 1
"""From C{<linux/fs.h>}."""

AT_FDCWD = -100
"""From C{<fcntl.h>} of Linux."""

NAME_MAX = 255
"""The most bytes that a name may have in the usual file systems."""

NUMBERED = 100
"""Names with a number that are tried before one is drawn by lot."""

_NOT_HERE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a system, or a file system, says that has no such rename."""


def _renameat2() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # another system, or an older C library
        return None


_RENAME = _renameat2()


def rename(source: Path, target: Path) -> None:
    """
    Rename a file. Blocks.

    Where the file system can't do both in one step, the target is looked for first.

    @raise FileExistsError: something has the target's name; nothing was done.
    @raise OSError: it can't be done, as across file systems (EXDEV).
    """
    if _RENAME is not None:
        paths = os.fsencode(source), os.fsencode(target)
        if _RENAME(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_HERE:
            raise OSError(number, os.strerror(number), str(source), None, str(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def fitted(name: str, suffix: str, spare: int = 0) -> str:
    """
    A name with a suffix; the name is cut where both together would be too long.

    @param spare: bytes that have to be left.
    """
    cut = os.fsencode(name)[: NAME_MAX - spare - len(os.fsencode(suffix))]
    return os.fsdecode(cut) + suffix


def names(name: str, mark: str | None = None, spare: int = 0) -> Iterator[str]:
    """
    Names for a file, the best first: its own, with a mark, with a number, with something random.

    @param mark: tells it from others of its name, if anything does.
    @param spare: bytes that are left for what is put behind it.
    """
    yield fitted(name, "", spare)
    if mark is not None:
        name = fitted(name, f".{mark}", spare)
        yield name
    for number in range(2, NUMBERED):
        yield fitted(name, f".{number}", spare)
    for _ in itertools.repeat(None):
        yield fitted(name, f".{secrets.token_hex(8)}", spare)


def make_directories(root: Path, path: str) -> Path:
    """
    The directory for a relative path, made as far as it is not there; where a file has the name of
    one, it gets another name. Each is durable. Symbolic links are not followed. Blocks.

    @param root: where it begins; never made.
    """
    directory = root
    for component in path.split("/") if path else ():
        for name in names(component):
            try:
                make_directory(directory / name)
            except FileExistsError:
                if not stat.S_ISDIR((directory / name).lstat().st_mode):
                    continue
            directory /= name
            break
    return directory
