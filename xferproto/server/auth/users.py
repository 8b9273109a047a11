"""
Read and write the users file, which has a TOML table for each user::

    [alice]
    password = "$argon2id$v=19$m=65536,t=3,p=4$…"
    rights = ["list", "read", "write", "delete"]
    sees = "all"
    quota = "10G"

C{sees} is C{"all"} or C{"own"}; C{quota} is optional. A name with a dot needs quotes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from xferproto.model.errors import UsersUnreadable
from xferproto.model.escape import printable, quoted
from xferproto.model.identity import ALL_RIGHTS, Identity, Right, View, parse_right
from xferproto.model.names import is_user_name
from xferproto.model.units import format_size, size

log = Logger("xfer")

MAX_FILE = 16 * 1024 * 1024
"""The most bytes of a users file."""

_HASH = re.compile(
    r"\$argon2id\$v=[0-9]{2}\$m=[0-9]{1,7},t=[0-9]{1,3},p=[0-9]{1,3}"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}"
)

_HEAD = "# The users of an xfer depot. Written by xfer-depot users; comments are not kept.\n"


@dataclass(frozen=True, slots=True)
class User:
    """
    Describe one user who can log in.

    @ivar password: the argon2id hash of the password.
    @ivar identity: rights, view and quota.
    """

    password: str = field(repr=False)
    identity: Identity

    @classmethod
    def make(
        cls,
        name: str,
        password: str,
        rights: frozenset[Right] = ALL_RIGHTS,
        all: bool = True,
        quota: int | None = None,
    ) -> User:
        """Make a user from the fields of the file."""
        return cls(password, Identity(name, rights, View(name, all), quota))


def parse_users(content: bytes) -> dict[str, User]:
    """
    Parse a users file into users by name.

    @raise UsersUnreadable: the file has a mistake; the text, one line, names user and field.
    """
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one, TOMLDecodeError too
        raise UsersUnreadable(printable(f"this is not TOML: {error}")) from None
    return {name: _parse_user(name, table) for name, table in tables.items()}


def _parse_user(name: str, table: Any) -> User:
    """Parse one table, whose values may be of any type."""

    def wrong(key: str, what: str) -> UsersUnreadable:
        return UsersUnreadable(f"user {quoted(name)}, {printable(key)}: {what}")

    if not is_user_name(name):
        raise wrong(
            "name", "a name has 1 to 64 letters, digits, or characters of ._- and nothing else"
        )
    if not isinstance(table, dict):
        raise wrong("table", f"write [{name}] and the fields on lines of their own")
    for key in table:
        if key not in ("password", "rights", "sees", "quota"):
            raise wrong(key, "unknown field; the fields are password, rights, sees and quota")
    for key in ("password", "rights", "sees"):
        if key not in table:
            raise wrong(key, "it is missing")
    password, rights, sees, quota = map(table.get, ("password", "rights", "sees", "quota"))
    if not isinstance(password, str) or not _HASH.fullmatch(password):
        raise wrong(
            "password", "this is not an argon2id hash; set one with xfer-depot users passwd"
        )
    if not isinstance(rights, list) or not all(isinstance(word, str) for word in rights):
        raise wrong("rights", 'it is a list of words, as in ["list", "read"]')
    if sees not in ("all", "own"):
        raise wrong("sees", 'it is "all" or "own"')
    if quota is not None and not isinstance(quota, str):
        raise wrong("quota", 'it is a size in quotes, as in "10G"')
    try:
        allowed = frozenset(map(parse_right, rights))
    except ValueError as error:
        raise wrong("rights", str(error)) from None
    try:
        limit = None if quota is None else size(quota)
    except ValueError as error:
        raise wrong("quota", printable(str(error))) from None
    return User.make(name, password, allowed, sees == "all", limit)


def format_users(users: Mapping[str, User]) -> str:
    """Format a file that L{parse_users} reads as these users."""
    text = _HEAD
    for name, user in sorted(users.items()):
        identity = user.identity
        rights = ", ".join(f'"{right.value}"' for right in Right if right in identity.rights)
        key = name if re.fullmatch("[A-Za-z0-9_-]+", name) else f'"{name}"'
        text += f'\n[{key}]\npassword = "{user.password}"\nrights = [{rights}]\n'
        text += f'sees = "{"all" if identity.view.all else "own"}"\n'
        if identity.quota is not None:
            text += f'quota = "{format_size(identity.quota)}"\n'
    return text


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """Read a file, with its stat at that time."""
    # Does not block where the path is a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsersUnreadable("this is not a regular file")
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise UsersUnreadable(f"the file has more than {MAX_FILE} bytes")
    return content, status


def read_users(path: Path) -> tuple[dict[str, User], os.stat_result]:
    """
    Read the users of a file, with its stat at that time.

    @raise UsersUnreadable: the file can't be read, or has a mistake; the text has its path.
    """
    try:
        content, status = _read(path)
        return parse_users(content), status
    except OSError as error:
        hint = (
            "; make it with xfer-depot users add FILE NAME" if error.errno == errno.ENOENT else ""
        )
        raise UsersUnreadable(f"{printable(str(path))}: {error.strerror}{hint}") from None
    except UsersUnreadable as error:
        raise UsersUnreadable(f"{printable(str(path))}: {error}") from None


@contextmanager
def changed_users(path: Path) -> Iterator[dict[str, User]]:
    """
    Change a users file: the dictionary is written at the end of the context, atomically.

    A missing file has no users. Other processes that change it wait meanwhile.

    @raise UsersUnreadable: the file can't be read, or has a mistake.
    @raise OSError: the file can't be written.
    """
    path = Path(os.path.realpath(path))  # a symbolic link is kept
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        users: dict[str, User] = {}
        owner: os.stat_result | None = None
        if os.path.lexists(path):
            users, owner = read_users(path)
        yield users
        _write(path, format_users(users).encode(), owner)
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(path: Path, content: bytes, owner: os.stat_result | None) -> None:
    fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            if owner is not None:  # the server may run as another user
                with suppress(PermissionError):
                    os.fchown(fd, owner.st_uid, owner.st_gid)
            file.flush()
            os.fsync(fd)
        Path(aside).rename(path)
    except BaseException:
        Path(aside).unlink()
        raise


class Users:
    """
    Hold the current users: those of the file when it was last read without a mistake.

    @param path: the file, or None if nobody can log in.
    @ivar by_name: the users by name; replaced by another dictionary when the file has changed.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.by_name: Mapping[str, User] = {}
        self._seen: tuple[int, ...] | None = None

    def read(self) -> None:
        """
        Read the file.

        @raise UsersUnreadable: the file can't be read, or has a mistake.
        """
        if self.path is not None:
            users, status = read_users(self.path)
            self._take(users, status)

    def _take(self, users: dict[str, User], status: os.stat_result) -> None:
        self.by_name, self._seen = users, _signature(status)
        log.info("{count} users in {path}", count=len(users), path=printable(str(self.path)))
        if not users:
            log.warn(
                "nobody can log in: {path} has no user; add one with xfer-depot users add",
                path=printable(str(self.path)),
            )
        if status.st_mode & 0o077:
            log.warn("other users of this machine can read {path}", path=printable(str(self.path)))

    def changed(self) -> bool:
        """Return whether the file has changed since the last call. Blocks for a moment."""
        if self.path is None:
            return False
        try:
            seen = _signature(self.path.stat())
        except OSError as error:
            seen = (-(error.errno or 1),)
        if seen == self._seen:
            return False
        self._seen = seen
        return True

    def look(self, again: bool = False) -> Callable[[], None]:
        """
        Read the file if it has changed. Blocks.

        @param again: read it in any case.
        @return: a function to call on the reactor's thread: it replaces the users, or logs why they
            are not replaced.
        """
        assert self.path is not None
        try:
            if not self.changed() and not again:
                return lambda: None
            users, status = read_users(self.path)
        except UsersUnreadable as error:
            text = str(error)
            return lambda: log.error("the users are not replaced: {text}", text=text)
        return lambda: self._take(users, status)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    """Return a value that differs when a file was written or replaced."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
