"""The form of a user name and a password."""

from __future__ import annotations

from xferproto.model.credentials import Login
from xferproto.wire import codec


def check_credentials(user: str, password: str) -> None:
    """
    Check the form of a user name and a password.

    @raise BadDetails: no server accepts them.
    """
    codec.check_login(Login(user, password))
