"""Users for tests: with passwords that are compared fast, over transports of every kind."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from tests.support.executors import InlineExecutor
from xferproto.depot.account import Account
from xferproto.depot.depot import Depot
from xferproto.model.identity import ALL_RIGHTS, NOBODY, Identity, Right
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.auth.users import User, Users
from xferproto.threads.executor import Executor

if TYPE_CHECKING:
    from tests.support.depot import Session

PASSWORD = "pa;ss wörd"

_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def hashed(password: str) -> str:
    """The argon2id hash of a password, as cheap as there can be."""
    return _CHEAP.hash(password)


_HASH = hashed(PASSWORD)


def write(path: Path, content: str | bytes) -> None:
    """Write a file in place, for its owner alone; its time differs from what it was before."""
    before = path.stat().st_mtime_ns if path.is_file() else 0
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def user(
    name: str, rights: Iterable[Right] = ALL_RIGHTS, all: bool = True, quota: int | None = None
) -> User:
    """A user whose password is L{PASSWORD}."""
    return User.make(name, _HASH, frozenset(rights), all, quota)


def make_authenticator(
    depot: Depot,
    *users: User,
    anonymous: Identity = NOBODY,
    executor: Executor | None = None,
) -> Authenticator:
    """An authenticator that knows these users."""
    known = Users()
    known.by_name = {user.identity.name: user for user in users}
    return Authenticator(
        depot, known, anonymous, InlineExecutor() if executor is None else executor
    )


def peer(host: str) -> IAddress:
    """The address of a peer over TCP; of one over a UNIX socket where it is empty."""
    if not host:
        return UNIXAddress(None)
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 54321)


def certificate(*names: str) -> X509:
    """A certificate with these common names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return X509.from_cryptography(made)


def be(session: Session, identity: Identity) -> None:
    """Let the peer of a connection be somebody who has come in."""
    served = session.protocol.session
    served.client._account = Account(served.depot, identity.name, lambda: identity)
