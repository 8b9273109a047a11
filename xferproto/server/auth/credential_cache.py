"""Passwords that were right a moment ago: known again without the work of looking at them."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from xferproto.server.auth.users import User, Users
from xferproto.wire.requests import Login

KNOWN_FOR = 300.0
"""Seconds for which a password is known after it was looked at."""

CAPACITY = 10_000
"""How many are known at most; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class _Known:
    """
    One that was right.

    @ivar digest: a keyed hash of it.
    @ivar encoded: the hash in the users file that it had.
    @ivar since: when that was, in seconds of the clock.
    """

    digest: bytes
    encoded: str
    since: float


class CredentialCache:
    """
    The passwords that were right of late, of which network and user.

    They are kept as keyed hashes, with a random key of this process; neither leaves its memory. One
    is forgotten when the user has another in the users file.

    @param clock: counts the seconds.
    @param users: the users that can log in.
    """

    def __init__(self, clock: IReactorTime, users: Users) -> None:
        self._clock = clock
        self._users = users
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._seen: Mapping[str, User] = users.by_name

    def __len__(self) -> int:
        return len(self._known)

    def _digest(self, peer: str, login: Login) -> bytes:
        content = "\0".join((peer, login.user, login.password)).encode()  # none holds a NUL
        return hashlib.blake2b(content, key=self._key, digest_size=32).digest()

    def add(self, peer: str, login: Login, encoded: str) -> None:
        """A password was right."""
        self.forget()
        known = _Known(self._digest(peer, login), encoded, self._clock.seconds())
        self._known[peer, login.user] = known
        self._known.move_to_end((peer, login.user))
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)

    def find(self, peer: str, login: Login) -> str | None:
        """The hash in the users file of a password that is known to be right there; else None."""
        self.forget()
        digest = self._digest(peer, login)
        known = self._known.get((peer, login.user))
        if known is None or not hmac.compare_digest(digest, known.digest):
            return None
        return known.encoded

    def forget(self) -> None:
        """Forget what is too old, and what the users file says otherwise."""
        users, now = self._users.by_name, self._clock.seconds()
        if users is not self._seen:
            self._seen = users
            for key, known in list(self._known.items()):
                user = users.get(key[1])
                if user is None or user.password != known.encoded:
                    del self._known[key]
        while self._known:
            key, known = next(iter(self._known.items()))
            if 0 <= now - known.since < KNOWN_FOR:
                break
            del self._known[key]
