"""The form of a user name and a password."""

from __future__ import annotations

from xferproto.wire import codec
from xferproto.wire.requests import Login


def check_credentials(user: str, password: str) -> None:
    """
    Check the form of a user name and a password.

    @raise BadDetails: no server accepts them.
    """
    codec.check_login(Login(user, password))
