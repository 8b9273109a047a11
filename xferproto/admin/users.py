"""Manage the users file: C{xfer-depot users}."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from xferproto import prompt
from xferproto.model.errors import UsersUnreadable
from xferproto.model.escape import printable, quoted
from xferproto.model.identity import ALL_RIGHTS, Right, parse_right
from xferproto.model.names import MAX_PASSWORD, MAX_USER, is_password, is_user_name
from xferproto.model.units import format_size, size
from xferproto.server.auth.users import User, changed_users, read_users


def add_commands(commands: Any) -> None:
    """
    Add C{users} to the commands of C{xfer-depot}.

    @param commands: what C{add_subparsers} of the parser returned.
    """
    users = commands.add_parser(
        "users", help="manage the users file", description="Manage the users file."
    )
    each = users.add_subparsers(required=True, metavar="COMMAND")
    for name, run, what in (
        (
            "add",
            _add,
            "add a user; the password is typed twice, or is the first line of standard input",
        ),
        (
            "passwd",
            _passwd,
            "change a user's password; open connections of the user lose their rights",
        ),
        ("remove", _remove, "remove a user; the user's files stay"),
        ("list", _list, "list the users"),
    ):
        command = each.add_parser(name, help=what, description=what.capitalize() + ".")
        command.add_argument("file", type=Path, metavar="FILE", help="the users file")
        if run is not _list:
            command.add_argument("name", type=_name, metavar="NAME", help="the user")
        command.set_defaults(run_users=run)
    add = each.choices["add"]
    add.add_argument(
        "--rights",
        type=_rights,
        default=ALL_RIGHTS,
        metavar="WORDS",
        help="rights, from list,read,write,delete (default: all of them)",
    )
    add.add_argument(
        "--sees",
        choices=("all", "own"),
        default="all",
        help="see the files of all users, or only the user's own (default: all)",
    )
    add.add_argument(
        "--quota",
        type=_size,
        metavar="SIZE",
        help="limit of what the user stores, as in 10G (default: no limit)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command that L{add_commands} parsed, and return the exit status."""
    command: Callable[[argparse.Namespace], None] = options.run_users
    try:
        command(options)
    except UsersUnreadable as error:
        print(f"xfer-depot: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"xfer-depot: {printable(str(options.file))}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _name(text: str) -> str:
    if not is_user_name(text):
        raise argparse.ArgumentTypeError(
            f"a user name is 1 to {MAX_USER} letters, digits, or characters of ._-"
        )
    return text


def _rights(text: str) -> frozenset[Right]:
    try:
        return frozenset(parse_right(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _size(text: str) -> int:
    try:
        return size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add(options: argparse.Namespace) -> None:
    hashed = ""
    if not options.file.exists() or options.name not in read_users(options.file)[0]:
        hashed = PasswordHasher().hash(_ask_password())  # slow, so before the file is locked
    with changed_users(options.file) as users:
        if options.name in users or not hashed:
            raise UsersUnreadable(f"There is already a user {quoted(options.name)}.")
        users[options.name] = User.make(
            options.name, hashed, options.rights, options.sees == "all", options.quota
        )


def _passwd(options: argparse.Namespace) -> None:
    _known(read_users(options.file)[0], options.name)
    hashed = PasswordHasher().hash(_ask_password())
    with changed_users(options.file) as users:
        users[options.name] = User(hashed, _known(users, options.name).identity)


def _remove(options: argparse.Namespace) -> None:
    read_users(options.file)  # fails if there is no file, which would be created below
    with changed_users(options.file) as users:
        _known(users, options.name)
        del users[options.name]


def _list(options: argparse.Namespace) -> None:
    for name, user in sorted(read_users(options.file)[0].items()):
        identity = user.identity
        rights = ",".join(right.value for right in Right if right in identity.rights) or "nothing"
        sees = "all" if identity.view.all else "own"
        quota = "" if identity.quota is None else f" quota={format_size(identity.quota)}"
        print(f"{name} {rights} sees={sees}{quota}")


def _known(users: dict[str, User], name: str) -> User:
    if (user := users.get(name)) is None:
        raise UsersUnreadable(f"There is no user {quoted(name)}.")
    return user


def _ask_password() -> str:
    """Read a new password: typed twice at a terminal, else a line of standard input."""
    try:
        if sys.stdin.isatty():
            password = prompt.ask("New password: ", shown=False)
            if prompt.ask("Again: ", shown=False) != password:
                raise UsersUnreadable("The passwords differ; nothing was changed.")
        else:
            line = sys.stdin.readline(MAX_PASSWORD + 3)
            password = line.removesuffix("\n").removesuffix("\r")
            if not line:
                raise UsersUnreadable(
                    "There is no password on standard input; pipe one line, or use a terminal."
                )
    except (EOFError, UnicodeDecodeError):
        password = ""
    if not is_password(password):
        raise UsersUnreadable(
            f"A password is 1 to {MAX_PASSWORD} bytes of UTF-8 without control characters."
        )
    return password
