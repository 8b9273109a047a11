"""
Who comes in as whom: L{twisted.cred} over the users file.

Whatever is wrong with a name or a password, whoever tries is told the same, after the same work.
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
from xferproto.model.errors import Denied
from xferproto.model.identity import ANYONE, NOBODY, Identity
from xferproto.server.auth.credential_cache import CredentialCache
from xferproto.server.auth.login_throttle import LoginThrottle
from xferproto.server.auth.users import Users
from xferproto.server.traffic.hangup import Sign
from xferproto.threads.executor import Executor
from xferproto.wire.requests import Login

log = Logger("xfer")

VERIFICATIONS = 2
"""Passwords that are looked at at once; each takes 64 MiB of memory, by default."""

LOOK_INTERVAL = 1.0
"""Seconds after which it is seen whether the users file has changed."""


def user_account(depot: Depot, users: Users, name: str, password: str | None) -> Account:
    """
    The account of one who has logged in, and is whoever has that name in the users file now.

    @param password: the hash that let them in: where the file has another one since, they may do
        nothing until they log in again. None where it was no password.
    """

    def identity() -> Identity:
        user = users.by_name.get(name)
        if user is None or (password is not None and user.password != password):
            return NOBODY
        return user.identity

    return Account(depot, name, identity)


class ICertifiedName(ICredentials):
    """The common name of a certificate that the TLS of the connection has verified."""

    name: str = Attribute("It.")


@implementer(ICertifiedName)
class CertifiedName:
    """See L{ICertifiedName}."""

    def __init__(self, name: str) -> None:
        self.name = name


class Attempt(UsernamePassword):
    """
    A name and a password.

    @ivar abandoned: whether nobody waits for what becomes of them any more.
    """

    abandoned = False

    def __init__(self, login: Login) -> None:
        super().__init__(login.user.encode("ascii"), login.password.encode())


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Checks passwords, a few at once and never on the reactor's thread."""

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
            if getattr(credentials, "abandoned", False):  # it is not worth the work
                raise UnauthorizedLogin()
            right = await self._executor.run(verify_password, encoded, credentials.password)
        finally:
            self._turns.release()
        now = self._users.by_name.get(name)
        if not right or user is None or now is None or now.password != user.password:
            raise UnauthorizedLogin()
        return name.encode("ascii")

    def _decoy(self) -> str:
        """A hash that no password has, and that takes as long to compare as those of the users."""
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
    """Takes whoever has a certificate for the user that it names."""

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
    """Give each user an L{Account}; C{mind} says whether it was a password that let them in."""

    def __init__(self, depot: Depot, users: Users) -> None:
        self._depot = depot
        self._users = users

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        if IAccount not in interfaces:
            raise NotImplementedError("There are only accounts here.")
        name = avatarId.decode("ascii")
        password = self._users.by_name[name].password if mind else None
        return IAccount, user_account(self._depot, self._users, name, password), lambda: None


class Authenticator:
    """
    Let users of a depot in.

    @param users: those who can log in.
    @param strangers: what all others may do.
    @param executor: compares passwords; the depot's where it is None.
    @ivar stranger: the account of those who have not logged in.
    """

    def __init__(
        self,
        depot: Depot,
        users: Users | None = None,
        strangers: Identity = ANYONE,
        executor: Executor | None = None,
    ) -> None:
        clock, executor = depot.clock, depot.executor if executor is None else executor
        self.users = users = Users() if users is None else users
        self.stranger = Account(depot, "", lambda: strangers)
        self._depot = depot
        checkers = [PasswordChecker(users, executor), CertificateChecker(users)]
        self.portal = Portal(Realm(depot, users), checkers)
        self._executor = executor
        self._throttle = LoginThrottle(clock)
        self._known = CredentialCache(clock, users)
        self._looking = LoopingCall(lambda: Deferred.fromCoroutine(self.look()))
        self._looking.clock = clock
        self._looked: Deferred[Any] | None = None

    # Coming in

    async def _visit(self, credentials: Any, by_password: bool) -> Account:
        try:
            _, account, _ = await self.portal.login(credentials, by_password, IAccount)
        except UnauthorizedLogin:
            raise Denied("The user name or the password is wrong; mind upper case.") from None
        return account  # type: ignore[return-value]  # it was asked for

    def log_in(
        self, login: Login, peer: str, sign: Callable[[], Sign] = lambda: Sign.THERE
    ) -> Deferred[Account]:
        """
        Let a user in; this may take long. May be cancelled.

        @param peer: where they come from.
        @param sign: whether they are there.
        @raise Denied: there is no such user, or that is not their password.
        @raise Busy: too many attempts from there wait.
        """
        return Deferred.fromCoroutine(self._attempt(login, peer, sign))

    async def _attempt(self, login: Login, peer: str, sign: Callable[[], Sign]) -> Account:
        attempt = Attempt(login)

        async def look() -> Account:
            account = await self._visit(attempt, True)
            self._known.add(peer, login, self.users.by_name[login.user].password)
            return account

        def known() -> Account | None:
            encoded = self._known.find(peer, login)
            return (
                None
                if encoded is None
                else user_account(self._depot, self.users, login.user, encoded)
            )

        try:
            return await self._throttle.attempt(peer, login.user, look, known, sign)
        except CancelledError:
            attempt.abandoned = True
            raise

    def recognise(self, name: str | None) -> Account:
        """
        Who is there without having logged in: a user where a certificate has the name of one.

        @param name: the common name of the certificate, or None where there is none.
        """
        if name is None:
            return self.stranger
        known: list[Account] = []
        visiting = Deferred.fromCoroutine(self._visit(CertifiedName(name), False))
        visiting.addCallback(known.append).addErrback(lambda failure: failure.trap(Denied) and None)
        return known[0] if known else self.stranger

    # The users file

    async def look(self, again: bool = False) -> None:
        """Put the users file in force if it has changed, or if it is to be read again."""
        if self.users.path is None:
            return
        try:
            (await self._executor.run(self.users.look, again))()
            self._known.forget()
        except Exception:
            log.failure("looking at the users file failed")

    def reload(self) -> None:
        """Read the users file again, changed or not; the log says what came of it."""
        Deferred.fromCoroutine(self.look(again=True))

    def start(self) -> None:
        """Look at the users file from now on."""
        if self.users.path is not None:
            self._looked = self._looking.start(LOOK_INTERVAL, now=False)

    async def stop(self) -> None:
        """Look at it no more."""
        if self._looking.running:
            self._looking.stop()
            await self._looked  # type: ignore[misc]  # there since it was started


def verify_password(encoded: str, password: bytes) -> bool:
    """Whether a password has this hash. Blocks, for as long as the hash says."""
    try:
        return PasswordHasher().verify(encoded, password)
    except InvalidHashError:
        log.error("a password of the users file has a hash that can't be compared")
        return False
    except VerificationError:
        return False


def _random_base64(length: int) -> str:
    """So many characters of Base64, of whole bytes."""
    return base64.b64encode(os.urandom(length * 3 // 4)).decode("ascii").rstrip("=")
