"""Hold what a client logs in with. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Login:
    """
    Hold the name and the password that a client logs in with.

    @ivar user: a name that L{is_user_name} accepts.
    @ivar password: the password, which is not part of the repr.
    """

    user: str
    password: str = field(repr=False)
