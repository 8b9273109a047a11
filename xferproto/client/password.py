"""The sources of the client's password; not the command line, which other users can read."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from xferproto import prompt
from xferproto.client.credentials import check_credentials
from xferproto.model.errors import BadDetails
from xferproto.model.escape import printable
from xferproto.model.names import MAX_PASSWORD

VARIABLE = "XFER_PASSWORD"


def credentials(user: str | None, password_file: str | None) -> tuple[str, str] | None:
    """
    Return the user and the password: the first line of the file, else the variable L{VARIABLE},
    else what is typed. None without a user.

    @raise SystemExit: there is no password, or it is malformed; the text is one line.
    """
    if user is None:
        if password_file is not None:
            raise SystemExit("xfer-client: --password-file takes --user")
        return None
    password = _password(user, password_file)
    try:
        check_credentials(user, password)
    except BadDetails as error:
        raise SystemExit(f"xfer-client: {error.text}") from None
    return user, password


def _password(user: str, password_file: str | None) -> str:
    if password_file is not None:
        try:
            return read_password_file(password_file)
        except OSError as error:
            raise SystemExit(f"xfer-client: {printable(password_file)}: {error.strerror}") from None
    if (password := os.environ.get(VARIABLE)) is not None:
        return password
    if not sys.stdin.isatty():
        raise SystemExit(f"xfer-client: set {VARIABLE}, or give --password-file FILE")
    try:
        return prompt.ask(f"Password of {printable(user)}: ", shown=False)
    except (EOFError, UnicodeDecodeError):
        return ""


def read_password_file(path: str) -> str:
    """
    The first line of a file.

    @raise OSError: it can't be read.
    """
    with Path(path).open("rb") as file:
        line = file.readline(MAX_PASSWORD + 3)
    return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def others_can_read(path: str) -> bool:
    """
    Whether a file may be read by others than its owner and the owner's group.

    @raise OSError: it can't be looked at.
    """
    return bool(Path(path).stat().st_mode & stat.S_IROTH)
