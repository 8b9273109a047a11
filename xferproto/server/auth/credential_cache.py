"""Cache passwords that were verified a moment ago, to save the cost of argon2id."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from xferproto.model.credentials import Login
from xferproto.server.auth.users import User, Users

LIFETIME = 300.0
"""Seconds for which a verified password stays in the cache."""

CAPACITY = 10_000
"""The most passwords in the cache; the oldest is dropped first."""


@dataclass(frozen=True, slots=True)
class _Cached:
    """
    Hold one verified password.

    @ivar digest: a keyed hash of the password.
    @ivar encoded: its hash in the users file at that time.
    @ivar since: when it was verified, in seconds of the clock.
    """

    digest: bytes
    encoded: str
    since: float


class CredentialCache:
    """
    Hold the passwords that were verified lately, by client network and user.

    They are kept as keyed hashes, with a random key of this process; neither leaves its memory. One
    is dropped when the user has another password in the users file.

    @param clock: counts the seconds.
    @param users: the users that can log in.
    """

    def __init__(self, clock: IReactorTime, users: Users) -> None:
        self._clock = clock
        self._users = users
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._cached: OrderedDict[tuple[str, str], _Cached] = OrderedDict()
        self._seen: Mapping[str, User] = users.by_name

    def __len__(self) -> int:
        return len(self._cached)

    def _digest(self, peer: str, login: Login) -> bytes:
        content = "\0".join((peer, login.user, login.password)).encode()  # none holds a NUL
        return hashlib.blake2b(content, key=self._key, digest_size=32).digest()

    def add(self, peer: str, login: Login, encoded: str) -> None:
        """Add a password that was verified."""
        self.forget()
        cached = _Cached(self._digest(peer, login), encoded, self._clock.seconds())
        self._cached[peer, login.user] = cached
        self._cached.move_to_end((peer, login.user))
        while len(self._cached) > CAPACITY:
            self._cached.popitem(last=False)

    def find(self, peer: str, login: Login) -> str | None:
        """Return the hash in the users file of a cached password, or None if it is not cached."""
        self.forget()
        digest = self._digest(peer, login)
        cached = self._cached.get((peer, login.user))
        if cached is None or not hmac.compare_digest(digest, cached.digest):
            return None
        return cached.encoded

    def forget(self) -> None:
        """Drop passwords that are too old, or that have changed in the users file."""
        users, now = self._users.by_name, self._clock.seconds()
        if users is not self._seen:
            self._seen = users
            for key, cached in list(self._cached.items()):
                user = users.get(key[1])
                if user is None or user.password != cached.encoded:
                    del self._cached[key]
        while self._cached:
            key, cached = next(iter(self._cached.items()))
            if 0 <= now - cached.since < LIFETIME:
                break
            del self._cached[key]
