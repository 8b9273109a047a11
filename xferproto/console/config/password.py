"""The sources of the password: a file, a variable, the keyring, the terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import click

from xferproto import prompt
from xferproto.client.credentials import check_credentials
from xferproto.client.password import VARIABLE, others_can_read, read_password_file
from xferproto.console.config.settings import Settings
from xferproto.model.errors import BadDetails
from xferproto.model.escape import printable

INSTALL = "pip install 'xferproto[keyring]'"


def credentials(settings: Settings, note: Callable[[str], None]) -> tuple[str, str] | None:
    """
    Return the user and the password: the first line of the file, else C{XFER_PASSWORD}, else the
    keyring's, else what is typed. None without a user.

    @param note: called with a note if others can read the file.
    @raise click.UsageError: there is no password, or it is malformed; the text is one line.
    """
    user = settings.user
    if user is None:
        return None
    if settings.password_file is not None:
        password = _from_file(settings.password_file, note)
    elif VARIABLE in os.environ:
        password = os.environ[VARIABLE]
    else:
        kept = from_keyring(settings)
        password = ask(f"Password of {printable(user)}: ") if kept is None else kept
    return checked(user, password)


def checked(user: str, password: str) -> tuple[str, str]:
    """
    Return a user and a password that are well-formed.

    @raise click.UsageError: they are not.
    """
    try:
        check_credentials(user, password)
    except BadDetails as error:
        raise click.UsageError(error.text.removesuffix(".")) from None
    return user, password


def _from_file(path: str, note: Callable[[str], None]) -> str:
    try:
        if others_can_read(path):
            note(f"{printable(path)}: other users can read this password; chmod 600 it")
        return read_password_file(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise click.UsageError(f"--password-file: {printable(path)}: {reason}") from None


def ask(question: str) -> str:
    """
    Ask at the terminal, which need not be standard input.

    @raise click.UsageError: there is no terminal.
    """
    try:
        return prompt.ask(question, shown=False)
    except OSError:
        raise click.UsageError(
            f"there is no terminal to ask for the password at; set {VARIABLE}, give "
            "--password-file FILE, or keep it in the keyring with xfer login"
        ) from None
    except UnicodeDecodeError:
        raise click.UsageError("the password is not UTF-8") from None
    except EOFError:
        raise click.UsageError("no password was typed") from None


def service(settings: Settings) -> str:
    """Return the keyring's name of the depot."""
    if settings.endpoint is not None:
        return f"xfer:{settings.endpoint}"
    return f"xfer:{settings.host}:{settings.port}"


def keyring() -> Any | None:
    """Return the package C{keyring} if a keyring works, else None."""
    try:
        import keyring as package
        from keyring.backends import fail, null

        backend = package.get_keyring()
    except Exception:  # a backend may raise anything
        return None
    if isinstance(backend, fail.Keyring | null.Keyring):
        return None
    return package


def from_keyring(settings: Settings) -> str | None:
    """Return the user's password; None if the keyring has none, or fails."""
    package = keyring()
    if package is None or settings.user is None:
        return None
    with contextlib.suppress(Exception):  # it may be locked
        kept: str | None = package.get_password(service(settings), settings.user)
        return kept
    return None
