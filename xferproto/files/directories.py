"""Create directories so that they survive a power cut, and say why that fails."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from xferproto.files.staged_file import sync_path
from xferproto.model.escape import printable


def sync_directory(path: Path) -> None:
    """
    Make the names in a directory durable, if possible. Blocks.

    Some file systems do not support it, and a user who may write to a directory may not be allowed
    to open it.
    """
    with contextlib.suppress(OSError):
        sync_path(path)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """
    Create a directory durably. Blocks.

    @param mode: its permissions, less the umask of the process.
    @raise FileExistsError: the name is taken.
    """
    path.mkdir(mode=mode)
    sync_directory(path.parent)


def make_directories(path: Path, mode: int = 0o777) -> None:
    """
    Create a directory durably, with its missing parents. Blocks.

    @param mode: the permissions of the last one, less the umask of the process.
    @raise FileExistsError: something that is not a directory has the name.
    @raise FileNotFoundError: the file system takes no directory there, as below C{/proc}.
    """
    missing: list[Path] = []
    at = path
    while True:
        try:
            make_directory(at, mode if at is path else 0o777)
            break
        except FileNotFoundError:
            if at.parent == at:
                raise
            missing.append(at)
            at = at.parent
        except OSError:  # it exists, or can't be created
            if not at.is_dir():
                raise
            break
    for each in reversed(missing):
        try:
            make_directory(each, mode if each is path else 0o777)
        except FileExistsError:  # somebody else made it meanwhile
            if not each.is_dir():
                raise


def obstacle(path: Path) -> str | None:
    """
    Return why there is no directory of this name: a file or a link to nowhere is in its path, or a
    file system takes no directories. Blocks.

    @return: the end of a sentence, with its mark, or None if the path shows no reason.
    """
    for at in (*reversed(path.parents), path):
        try:
            if at.is_dir():
                continue
            if at.is_symlink() and not at.exists():
                target = printable(os.fspath(at.readlink()))
                return f"{_shown(at)} is a link to {target}, which does not exist; is it mounted?"
            if at.exists():
                return f"{_shown(at)} is a file, not a directory."
        except OSError:
            return None
        return None
    return None


def unusable(path: Path, error: OSError) -> str:
    """
    Return why a directory could not be made or used: the end of a sentence, with its mark. Blocks.
    """
    if (reason := obstacle(path)) is not None:
        return reason
    if isinstance(error, FileNotFoundError):
        above = next((one for one in path.parents if one.exists()), None)
        if above is not None:
            return f"no directory can be made in {_shown(above)}."
    return f"{error.strerror or error}."


def _shown(path: Path) -> str:
    return printable(str(path))
