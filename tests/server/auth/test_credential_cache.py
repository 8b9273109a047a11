"""Passwords that were right a moment ago, and what they tell to whom."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.server.auth.test_login import WRONG, login
from tests.support.depot import Depot, Session
from tests.support.executors import InlineExecutor, SteppedExecutor
from tests.support.visitors import PASSWORD, hashed, make_authenticator, peer, user
from xferproto.depot import depot
from xferproto.depot.account import Account
from xferproto.model.credentials import Login
from xferproto.model.errors import Denied
from xferproto.model.identity import Identity
from xferproto.server.auth import credential_cache
from xferproto.server.auth.credential_cache import LIFETIME, CredentialCache
from xferproto.server.auth.login_throttle import FIRST_DELAY, LONGEST_DELAY, LoginThrottle
from xferproto.server.auth.users import User, Users

HERE = "192.0.2.1"
WELCOME = b"Welcome alice\n"


class KnownCase(SynchronousTestCase):
    """
    A depot whose alice has logged in, from this machine.

    @ivar executor: looks at passwords; C{len} of it are to be looked at.
    """

    def setUp(self) -> None:
        self.executor = SteppedExecutor()
        self.depot = Depot(self)
        self.depot.factory.authenticator = make_authenticator(
            self.depot.core,
            user("alice"),
            user("bob"),
            anonymous=Identity(),
            executor=self.executor,
        )
        self.begin()
        self.assertEqual(self.looked_at(), 1)

    def begin(self, password: str = PASSWORD, name: str = "alice", host: str = "::1") -> Session:
        """Send a login on a new connection."""
        session = self.depot.connect(peer(host))
        session.protocol.dataReceived(login(name, password))
        return session

    def looked_at(self) -> int:
        """Let passwords be looked at: how many there were."""
        count = 0
        while len(self.executor):
            self.executor.step()
            count += 1
        return count

    def change(self, *users: User) -> None:
        """From now on these are the users."""
        self.depot.factory.authenticator.users.by_name = {
            user.identity.name: user for user in users
        }


class KnownTests(KnownCase):
    """What is known."""

    def test_again(self) -> None:
        """A password that was right is right again, without a look, for as many as come."""
        sessions = [self.begin() for _ in range(20)]
        self.assertEqual(len(self.executor), 0)
        self.assertEqual([session.answer() for session in sessions], [WELCOME] * 20)
        sessions[0].send(b"LIST_FILES\n")
        self.assertEqual(
            sessions[0].protocol.session.client.account.identity, user("alice").identity
        )

    def test_first_at_once(self) -> None:
        """Of many that log in for the first time at once, one is looked at; the others wait."""
        sessions = [self.begin(name="bob") for _ in range(20)]
        self.assertEqual([session.answer() for session in sessions], [b""] * 20)
        self.assertEqual(self.looked_at(), 1)
        self.assertEqual([session.answer() for session in sessions], [b"Welcome bob\n"] * 20)
        self.assertEqual(self.depot.timers(), [])

    def test_other(self) -> None:
        """Another password, user or network is not known; nor is the user in other letters."""
        for password, name, host in (
            (PASSWORD + " ", "alice", "::1"),
            (PASSWORD, "bob", "::1"),
            (PASSWORD, "Alice", "::1"),
            (PASSWORD, "alice", "127.0.0.1"),
            (PASSWORD, "alice", ""),
        ):
            with self.subTest(name=name, host=host):
                session = self.begin(password, name, host)
                self.depot.clock.advance(LONGEST_DELAY)
                self.assertEqual(self.looked_at(), 1)
                session.lose()

    def test_wrong_is_not_known(self) -> None:
        """A wrong one is wrong again after its time, and after a look."""
        for _ in range(3):
            session = self.begin("wrong")
            self.depot.clock.advance(LONGEST_DELAY)
            self.assertEqual(self.looked_at(), 1)
            self.assertEqual(session.answer(), WRONG)

    def test_forgotten(self) -> None:
        """A user who is removed or has another hash is forgotten, also when all is as before."""
        for change in (
            [],
            [User(hashed("new"), user("alice").identity)],
            [User(hashed(PASSWORD), user("alice").identity)],
        ):
            with self.subTest(change):
                self.assertEqual(self.begin().answer(), WELCOME)
                self.change(*change)
                self.begin("wrong", "bob").lose()  # whatever comes, it is seen
                self.looked_at()
                self.change(user("alice"))
                self.depot.clock.advance(FIRST_DELAY)
                session = self.begin()
                self.depot.clock.advance(LONGEST_DELAY)
                self.assertEqual((self.looked_at(), session.answer()), (1, WELCOME))
                self.depot.clock.advance(LONGEST_DELAY)

    def test_new_password(self) -> None:
        """The old one is wrong from the moment that the file is in force."""
        self.change(User(hashed("new"), user("alice").identity))
        session = self.begin()
        self.assertEqual((self.looked_at(), session.answer()), (1, WRONG))

    def test_others_stay(self) -> None:
        """What changes for one user lets nobody else's be forgotten; nor do other rights."""
        self.change(user("alice", [], quota=5))
        session = self.begin()
        self.assertEqual((self.looked_at(), session.answer()), (0, WELCOME))

    def test_too_old(self) -> None:
        """After some minutes it is looked at again, however often it was used meanwhile."""
        for _ in range(9):
            self.depot.clock.advance(LIFETIME / 10)
            self.assertEqual(self.begin().answer(), WELCOME)
        self.depot.clock.advance(LIFETIME / 10)
        self.begin()
        self.assertEqual(self.looked_at(), 1)
        self.depot.clock.rightNow -= 1.0  # and what is of the future is not known
        self.begin()
        self.assertEqual(self.looked_at(), 1)


class SilenceTests(KnownCase):
    """That one is told nothing tells nothing."""

    def silent_for(self, host: str = "::1") -> float:
        """Seconds until one who sends what is known is let in."""
        session = self.begin(host=host)
        before = self.depot.clock.seconds()
        while not (answer := session.answer()):
            self.depot.clock.advance(FIRST_DELAY)
            self.looked_at()
        self.assertEqual(answer, WELCOME)
        session.lose()
        return self.depot.clock.seconds() - before

    def test_after_wrong(self) -> None:
        """After a wrong one what is known waits as long as another wrong one would."""
        silences = []
        for _ in range(8):
            session = self.begin("wrong")
            self.looked_at()
            self.assertEqual(session.answer(), WRONG)
            silences.append(self.silent_for())
        self.assertEqual(silences, [0.5, 1, 2, 4, 8, 16, 30, 30])

    def test_after_one_who_left(self) -> None:
        """So it does where whoever sent the wrong one did not wait for the answer."""
        silences = []
        for _ in range(8):
            self.begin("wrong").lose()
            self.looked_at()
            silences.append(self.silent_for())
        self.assertEqual(silences, [0.5, 1, 2, 4, 8, 16, 30, 30])

    def test_while_one_is_looked_at(self) -> None:
        """While another of its network is looked at it is silent as well."""
        self.begin("wrong").lose()
        session = self.begin()
        self.assertEqual(session.answer(), b"")
        self.looked_at()
        self.assertEqual(session.answer(), b"")
        self.depot.clock.advance(FIRST_DELAY)
        self.assertEqual(session.answer(), WELCOME)

    def attack(self) -> None:
        """From elsewhere wrong ones are sent for alice."""
        for number in range(8):
            self.depot.clock.advance(LONGEST_DELAY)
            self.begin("wrong", host=f"127.0.1.{number}")
            self.looked_at()

    def test_attack_from_elsewhere(self) -> None:
        """What others send for a user, from elsewhere, does not keep out who is known."""
        self.attack()
        self.assertEqual(self.begin().answer(), WELCOME)

    def test_attack_from_here(self) -> None:
        """A wrong one that waits for its user counts from the start, also if it leaves."""
        self.attack()
        for delay in (0.5, 1, 2, 4, 8, 16, 30, 30):
            self.begin("wrong").lose()
            self.looked_at()
            self.assertGreaterEqual(self.silent_for(), delay)

    def test_attack_from_here_waiting(self) -> None:
        """So it counts while it waits: what is known is silent from then on."""
        self.attack()
        wrong = self.begin("wrong")
        session = self.begin()
        self.assertEqual(session.answer(), b"")
        for _ in range(round(2 * LONGEST_DELAY / FIRST_DELAY)):
            self.depot.clock.advance(FIRST_DELAY)
            self.looked_at()
        self.assertEqual((wrong.answer(), session.answer()), (WRONG, WELCOME))

    def test_right_is_no_failure(self) -> None:
        """A right one that was not known, and waited, counts no more."""
        self.begin("wrong", "bob", "127.0.0.9").lose()
        self.looked_at()
        self.attack()
        session = self.begin(host="127.0.0.9")
        for _ in range(round(LONGEST_DELAY / FIRST_DELAY)):
            self.depot.clock.advance(FIRST_DELAY)
            self.looked_at()
        self.assertEqual(session.answer(), WELCOME)
        self.assertEqual(self.begin(host="127.0.0.9").answer(), WELCOME)
        self.begin("wrong", "bob", "127.0.0.9").lose()
        self.looked_at()
        self.assertEqual(self.silent_for("127.0.0.9"), 2 * FIRST_DELAY)


class CostTests(SynchronousTestCase):
    """How many guesses one has."""

    def guesses(self, attacked: bool, at_once: int) -> list[float]:
        """
        When guesses of one network are compared with anything, where each leaves soon.

        @param attacked: whether others try the same user from elsewhere.
        @param at_once: how many come each time.
        """
        clock = Clock()
        throttle = LoginThrottle(clock)
        compared: list[float] = []

        async def wrong() -> None:
            compared.append(clock.seconds())
            raise Denied()

        async def elsewhere() -> None:
            raise Denied()

        def not_known() -> None:
            compared.append(clock.seconds())

        for number in range(8 * attacked):
            clock.advance(LONGEST_DELAY)
            other = throttle.attempt(str(number), "alice", elsewhere)
            self.failureResultOf(Deferred.fromCoroutine(other), Denied)
        begin = clock.seconds()
        for _ in range(1200):
            trying = [
                Deferred.fromCoroutine(throttle.attempt("here", "alice", wrong, not_known))
                for _ in range(at_once)
            ]
            clock.advance(0.0625)
            for one in trying:
                one.addErrback(lambda _: None).cancel()
            clock.advance(0.0625)
        return sorted({second - begin for second in compared})

    def test_cost(self) -> None:
        """As many as there were before anything was known, however they come."""
        before = [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5]
        for attacked in (False, True):
            for at_once in (1, 20):
                with self.subTest(attacked=attacked, at_once=at_once):
                    guesses = self.guesses(attacked, at_once)
                    self.assertGreater(len(guesses), 5)
                    for second, earliest in zip(guesses, before, strict=False):
                        self.assertGreaterEqual(second, earliest)
                    self.assertLessEqual(len(guesses), len(before) + 1)


class MemoryTests(SynchronousTestCase):
    """What is kept."""

    def setUp(self) -> None:
        self.users = Users()
        self.users.by_name = {"alice": user("alice")}
        self.clock = Clock()

    def test_bounded(self) -> None:
        """So many are known at most; the oldest is forgotten first, one used again last."""
        self.patch(credential_cache, "CAPACITY", 3)
        passwords = CredentialCache(self.clock, self.users)
        one = Login("alice", PASSWORD)
        for host in ("a", "b", "c", "a", "d"):
            passwords.add(host, one, user("alice").password)
        found = [passwords.find(host, one) is not None for host in ("a", "b", "c", "d")]
        self.assertEqual(found, [True, False, True, True])
        self.assertEqual(len(passwords), 3)

    def test_keyed(self) -> None:
        """What is kept of a password is another in each process, for each user and network."""
        kept = set()
        for host, name in (("a", "alice"), ("a", "bob"), ("b", "alice"), ("a", "alice")):
            passwords = CredentialCache(self.clock, self.users)
            passwords.add(host, Login(name, PASSWORD), "")
            (one,) = passwords._cached.values()
            kept.add(one.digest)
            self.assertNotIn(PASSWORD, repr(one))
        self.assertEqual(len(kept), 4)

    def test_one_a_user(self) -> None:
        """However many wrong ones come, nothing more is kept."""
        authenticator = make_authenticator(
            depot.Depot(None, InlineExecutor(), self.clock),
            user("alice"),
            executor=InlineExecutor(),
        )
        self.log_in(authenticator.log_in(Login("alice", PASSWORD), HERE))
        for number in range(10):
            authenticator.log_in(Login(f"user{number}", "x"), f"192.0.2.{number}").addErrback(
                lambda _: None
            )
        self.assertEqual(len(authenticator._cache), 1)

    def log_in(self, logging_in: Deferred[Account]) -> None:
        self.assertEqual(self.successResultOf(logging_in).name, "alice")
