"""
Log users in, by password or certificate: L{twisted.cred} over the users file.

A wrong name and a wrong password get the same answer after the same work, so that nobody can find
out which users exist.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import Attribute, implementer

from xferproto.depot.account import Account, IAccount
from xferproto.depot.depot import Depot
from xferproto.model.credentials import Login
from xferproto.model.errors import Denied
from xferproto.model.identity import ANYONE, NOBODY, Identity
from xferproto.server.auth.credential_cache import CredentialCache
from xferproto.server.auth.login_throttle import LoginThrottle
from xferproto.server.auth.users import Users
from xferproto.server.traffic.hangup import Sign
from xferproto.threads.executor import Executor

log = Logger("xfer")

VERIFICATIONS = 2
"""Passwords that are verified at once; each takes 64 MiB of memory by default."""

LOOK_INTERVAL = 1.0
"""Seconds between two checks of the users file for changes."""


def user_account(depot: Depot, users: Users, name: str, password: str | None) -> Account:
    """
    Make the account of a user who has logged in; its rights follow the users file.

    @param password: the hash that was verified: if the file has another one since, the account has
        no rights, and the user has to log in again. None for a login by certificate.
    """

    def identity() -> Identity:
        user = users.by_name.get(name)
        if user is None or (password is not None and user.password != password):
            return NOBODY
        return user.identity

    return Account(depot, name, identity)


class ICertifiedName(ICredentials):
    """Identify a user by the certificate that the TLS of the connection has verified."""

    name: str = Attribute("The common name of the certificate.")


@implementer(ICertifiedName)
class CertifiedName:
    """Hold the common name of a verified certificate."""

    def __init__(self, name: str) -> None:
        self.name = name


class Attempt(UsernamePassword):
    """
    Hold the name and the password of one attempt to log in.

    @ivar abandoned: whether the client is gone, so that the password need not be verified.
    """

    abandoned = False

    def __init__(self, login: Login) -> None:
        super().__init__(login.user.encode("ascii"), login.password.encode())


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Verify passwords, a few at once and never on the reactor's thread."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, users: Users, executor: Executor) -> None:
        self._users = users
        self._executor = executor
        self._turns = DeferredSemaphore(VERIFICATIONS)

    async def _check(self, credentials: Any) -> bytes | tuple[()]:
        name: str = credentials.username.decode("ascii")
        user = self._users.by_name.get(name)
        encoded = self._decoy() if user is None else user.password
        await self._turns.acquire()
        try:
            if getattr(credentials, "abandoned", False):
                raise UnauthorizedLogin()
            right = await self._executor.run(verify_password, encoded, credentials.password)
        finally:
            self._turns.release()
        now = self._users.by_name.get(name)
        if not right or user is None or now is None or now.password != user.password:
            raise UnauthorizedLogin()
        return name.encode("ascii")

    def _decoy(self) -> str:
        """Return a hash that no password has, as slow to verify as those of the users."""
        for user in self._users.by_name.values():
            *rest, digest = user.password.split("$")
            return "$".join([*rest, _random_base64(len(digest))])
        usual = PasswordHasher()
        costs = f"m={usual.memory_cost},t={usual.time_cost},p={usual.parallelism}"
        return f"$argon2id$v=19${costs}${_random_base64(22)}${_random_base64(43)}"

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        return Deferred.fromCoroutine(self._check(credentials))


@implementer(ICredentialsChecker)
class CertificateChecker:
    """Accept a certificate whose common name is that of a user."""

    credentialInterfaces = (ICertifiedName,)

    def __init__(self, users: Users) -> None:
        self._users = users

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        if credentials.name not in self._users.by_name:
            raise UnauthorizedLogin()
        outcome: Deferred[bytes | tuple[()]] = Deferred()
        outcome.callback(credentials.name.encode("ascii"))
        return outcome


@implementer(IRealm)
class Realm:
    """Give each user an L{Account}; C{mind} says whether the login was by password."""

    def __init__(self, depot: Depot, users: Users) -> None:
        self._depot = depot
        self._users = users

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        if IAccount not in interfaces:
            raise NotImplementedError("The only avatar is an IAccount.")
        name = avatarId.decode("ascii")
        password = self._users.by_name[name].password if mind else None
        return IAccount, user_account(self._depot, self._users, name, password), lambda: None


class Authenticator:
    """
    Log users of a depot in.

    @param users: the users who can log in.
    @param anonymous: the rights of clients that have not logged in.
    @param executor: verifies passwords; if None, the executor of the depot.
    @ivar users: the same as C{users}.
    @ivar anonymous: the account of clients that have not logged in.
    """

    def __init__(
        self,
        depot: Depot,
        users: Users | None = None,
        anonymous: Identity = ANYONE,
        executor: Executor | None = None,
    ) -> None:
        clock, executor = depot.clock, depot.executor if executor is None else executor
        self.users = users = Users() if users is None else users
        self.anonymous = Account(depot, "", lambda: anonymous)
        self._depot = depot
        checkers = [PasswordChecker(users, executor), CertificateChecker(users)]
        self.portal = Portal(Realm(depot, users), checkers)
        self._executor = executor
        self._throttle = LoginThrottle(clock)
        self._cache = CredentialCache(clock, users)
        self._looking = LoopingCall(lambda: Deferred.fromCoroutine(self.look()))
        self._looking.clock = clock
        self._looked: Deferred[Any] | None = None

    async def _account(self, credentials: Any, by_password: bool) -> Account:
        try:
            _, account, _ = await self.portal.login(credentials, by_password, IAccount)
        except UnauthorizedLogin:
            raise Denied("The user name or the password is wrong; mind upper case.") from None
        return account  # type: ignore[return-value]  # the realm gives nothing else

    def log_in(
        self, login: Login, peer: str, sign: Callable[[], Sign] = lambda: Sign.THERE
    ) -> Deferred[Account]:
        """
        Log a user in, after the delays of L{LoginThrottle}. May be cancelled.

        @param peer: the client network, for the delays.
        @param sign: returns whether the peer is still connected.
        @raise Denied: there is no such user, or the password is wrong.
        @raise Busy: too many attempts of this network wait.
        """
        return Deferred.fromCoroutine(self._attempt(login, peer, sign))

    async def _attempt(self, login: Login, peer: str, sign: Callable[[], Sign]) -> Account:
        attempt = Attempt(login)

        async def verify() -> Account:
            account = await self._account(attempt, True)
            self._cache.add(peer, login, self.users.by_name[login.user].password)
            return account

        def cached() -> Account | None:
            encoded = self._cache.find(peer, login)
            if encoded is None:
                return None
            return user_account(self._depot, self.users, login.user, encoded)

        try:
            return await self._throttle.attempt(peer, login.user, verify, cached, sign)
        except CancelledError:
            attempt.abandoned = True
            raise

    def recognise(self, name: str | None) -> Account:
        """
        Return the account of a client without a login: that of the user in its certificate, if any.

        @param name: the common name of the certificate, or None without one.
        """
        if name is None:
            return self.anonymous
        found: list[Account] = []
        asking = Deferred.fromCoroutine(self._account(CertifiedName(name), False))
        asking.addCallback(found.append).addErrback(lambda failure: failure.trap(Denied) and None)
        return found[0] if found else self.anonymous

    async def look(self, again: bool = False) -> None:
        """Read the users file if it has changed, or in any case if C{again}."""
        if self.users.path is None:
            return
        try:
            (await self._executor.run(self.users.look, again))()
            self._cache.forget()
        except Exception:
            log.failure("can't check the users file")

    def reload(self) -> None:
        """Read the users file again, and log the result."""
        Deferred.fromCoroutine(self.look(again=True))

    def start(self) -> None:
        """Check the users file for changes from now on."""
        if self.users.path is not None:
            self._looked = self._looking.start(LOOK_INTERVAL, now=False)

    async def stop(self) -> None:
        """Stop checking the users file."""
        if self._looking.running:
            self._looking.stop()
            await self._looked  # type: ignore[misc]  # there since it was started


def verify_password(encoded: str, password: bytes) -> bool:
    """Return whether a password has this hash. Blocks, for as long as the hash demands."""
    try:
        return PasswordHasher().verify(encoded, password)
    except InvalidHashError:
        log.error("a password hash of the users file is not usable")
        return False
    except VerificationError:
        return False


def _random_base64(length: int) -> str:
    """Return random Base64 of this length, without padding."""
    return base64.b64encode(os.urandom(length * 3 // 4)).decode("ascii").rstrip("=")
