"""
The users file: who may log in, and what each may do. TOML, a table for each user::

    [alice]
    password = "$argon2id$v=19$m=65536,t=3,p=4$…"
    rights = ["list", "read", "write", "delete"]
    sees = "all"
    quota = "10G"

C{sees} is C{"all"} or C{"own"}; C{quota} may be absent. A name with a dot in it is in quotes.
"""

from __future__ import annotations

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
"""Bytes beyond which a file is no users file."""

_HASH = re.compile(
    r"\$argon2id\$v=[0-9]{2}\$m=[0-9]{1,7},t=[0-9]{1,3},p=[0-9]{1,3}"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}"
)

_HEAD = "# The users of an xfer depot. Written by xfer-depot users; comments are not kept.\n"


@dataclass(frozen=True, slots=True)
class User:
    """
    One who may log in.

    @ivar password: its argon2id hash.
    @ivar identity: what they may do.
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
        """A user, from what the file says of them."""
        return cls(password, Identity(name, rights, View(name, all), quota))


def parse_users(content: bytes) -> dict[str, User]:
    """
    The users of a file, by their names.

    @raise UsersUnreadable: there is a mistake in it; the text, one line, says at which user and
        field.
    """
    try:
        tables = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one, TOMLDecodeError too
        raise UsersUnreadable(printable(f"this is not TOML: {error}")) from None
    return {name: _parse_user(name, table) for name, table in tables.items()}


def _parse_user(name: str, table: Any) -> User:
    """One table, whose values may be of any type."""

    def wrong(key: str, what: str) -> UsersUnreadable:
        return UsersUnreadable(f"user {quoted(name)}, {printable(key)}: {what}")

    if not is_user_name(name):
        raise wrong("name", "it is 1 to 64 letters, digits, or characters of ._- and nothing else")
    if not isinstance(table, dict):
        raise wrong("table", f"write [{name}] and the fields on lines of their own")
    for key in table:
        if key not in ("password", "rights", "sees", "quota"):
            raise wrong(key, "there is no such field; there are password, rights, sees and quota")
    for key in ("password", "rights", "sees"):
        if key not in table:
            raise wrong(key, "it is missing")
    password, rights, sees, quota = map(table.get, ("password", "rights", "sees", "quota"))
    if not isinstance(password, str) or not _HASH.fullmatch(password):
        raise wrong("password", "it is no argon2id hash; set one with xfer-depot users passwd")
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
    """The file that L{parse_users} reads as these."""
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
    """A file, and what it was when it was opened."""
    # Not to wait for whoever would write into a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsersUnreadable("this is no regular file")
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise UsersUnreadable(f"this has more than {MAX_FILE} bytes")
    return content, status


def read_users(path: Path) -> tuple[dict[str, User], os.stat_result]:
    """
    The users of a file, and what the file was.

    @raise UsersUnreadable: it can't be read, or there is a mistake in it; told with its path.
    """
    try:
        content, status = _read(path)
        return parse_users(content), status
    except OSError as error:
        raise UsersUnreadable(f"{printable(str(path))}: {error.strerror}") from None
    except UsersUnreadable as error:
        raise UsersUnreadable(f"{printable(str(path))}: {error}") from None


@contextmanager
def changed_users(path: Path) -> Iterator[dict[str, User]]:
    """
    Change a users file: what the dictionary holds in the end is written, whole or not at all.

    A file that is not there has no users. Others who change it at the same time wait.

    @raise UsersUnreadable: it can't be read, or there is a mistake in it.
    @raise OSError: it can't be written.
    """
    path = Path(os.path.realpath(path))  # where it is a link, that stays one
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
            if owner is not None:  # the server that reads it need not be who writes it
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
    The users that are in force: those of the file when it was last read without a mistake.

    @param path: the file, or None where nobody can log in.
    @ivar by_name: they; replaced by another dictionary when the file has changed.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.by_name: Mapping[str, User] = {}
        self._seen: tuple[int, ...] | None = None

    def read(self) -> None:
        """
        Read the file.

        @raise UsersUnreadable: it can't be read, or there is a mistake in it.
        """
        if self.path is not None:
            users, status = read_users(self.path)
            self._take(users, status)

    def _take(self, users: dict[str, User], status: os.stat_result) -> None:
        self.by_name, self._seen = users, _signature(status)
        log.info("{count} users in {path}", count=len(users), path=printable(str(self.path)))
        if status.st_mode & 0o077:
            log.warn("others can read {path}", path=printable(str(self.path)))

    def changed(self) -> bool:
        """Whether the file is another than when it was last looked at. Blocks for a moment."""
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
        @return: to be called on the reactor's thread: puts the new users in force, or logs why the
            old ones stay.
        """
        assert self.path is not None
        try:
            if not self.changed() and not again:
                return lambda: None
            users, status = read_users(self.path)
        except UsersUnreadable as error:
            text = str(error)
            return lambda: log.error("the users stay what they were: {text}", text=text)
        return lambda: self._take(users, status)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    """Differs when a file was written or replaced."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
