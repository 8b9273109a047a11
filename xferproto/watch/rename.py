"""Rename files without ever overwriting another one."""

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
"""Names with a number that are tried before random ones."""

_NOT_HERE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a system or file system without such a rename."""


def _renameat2() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # another system, or an older C library
        return None


_RENAME = _renameat2()


def rename(source: Path, target: Path) -> None:
    """
    Rename a file. Blocks.

    If the file system can't do both in one step, the target is checked first.

    @raise FileExistsError: the target exists; nothing was done.
    @raise OSError: the file can't be renamed, as across file systems (EXDEV).
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
    Append a suffix to a name, which is cut if both together are too long.

    @param spare: bytes that have to be left.
    """
    cut = os.fsencode(name)[: NAME_MAX - spare - len(os.fsencode(suffix))]
    return os.fsdecode(cut) + suffix


def names(name: str, mark: str | None = None, spare: int = 0) -> Iterator[str]:
    """
    Generate names for a file: its own, with a mark, with a number, with random digits.

    @param mark: distinguishes the file from others of its name; None for no mark.
    @param spare: bytes that have to be left for a suffix.
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
    Make the directories of a relative path durably, and return the last one. If a file has the name
    of one, the directory gets another name. Symbolic links are not followed. Blocks.

    @param root: the directory above them; never made.
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
