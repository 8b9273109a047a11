"""LOGIN: who comes in, from where, how soon, and as whom."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from OpenSSL.crypto import X509
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from tests.server.line.test_sessions import closes
from tests.support.depot import Depot, Session, Transport
from tests.support.executors import InlineExecutor, SteppedExecutor
from tests.support.visitors import PASSWORD, certificate, hashed, make_authenticator, peer, user
from xferproto.depot import depot
from xferproto.depot.account import Account
from xferproto.model.credentials import Login
from xferproto.model.errors import Busy, Denied
from xferproto.model.identity import NOBODY, Identity, Right, View
from xferproto.net.peer import client_network, is_loopback, is_private
from xferproto.server.auth.authenticator import VERIFICATIONS, verify_password
from xferproto.server.auth.login_throttle import (
    CAPACITY,
    FIRST_DELAY,
    LONGEST_DELAY,
    MEMORY,
    MOST_WAITING,
    LoginThrottle,
)
from xferproto.server.auth.users import User
from xferproto.server.traffic.hangup import Sign
from xferproto.wire.states import State

LOCAL = peer("127.0.0.1")
ASK = b"Please send the user name and password\n"
WRONG = b"ERROR denied The user name or the password is wrong; mind upper case.\n"
INSECURE = (
    b"ERROR insecure A password is taken over TLS or on the server's own machine only; "
    b"connect with TLS.\n"
)
STRANGE = (
    b"ERROR login-required Strangers may not do this here; send LOGIN with a user name and "
    b"password first.\n"
)
EMPTY = b"No files available at the moment\nDONE\n"


def login(name: str, password: str = PASSWORD) -> bytes:
    return f"LOGIN {name};{password}\n".encode()


class TlsTransport(Transport):
    """What a transport over TLS has, which knows no TCP."""

    def __init__(self, certificate: X509 | None = None) -> None:
        super().__init__(peerAddress=peer("192.0.2.1"))
        self._certificate = certificate

    def getPeerCertificate(self) -> X509 | None:
        return self._certificate


class LoginCase(SynchronousTestCase):
    """A depot with two users, and a connection from its own machine."""

    def setUp(self) -> None:
        self.depot = Depot(self, users=[user("alice"), user("bob", [Right.LIST])])
        self.session = self.depot.connect(LOCAL)

    def change(self, *users: User) -> None:
        """From now on these are the users."""
        self.depot.factory.authenticator.users.by_name = {
            user.identity.name: user for user in users
        }

    def now(self, session: Session | None = None) -> Identity:
        """Who a connection is when its next command comes."""
        session = session or self.session
        session.send(b"HELP\n")
        return session.protocol.session.client.account.identity


class LoginTests(LoginCase):
    """What is answered."""

    def test_prompted(self) -> None:
        """Name and password are asked for, then the user is welcome, and may do what they may."""
        self.assertEqual(self.session.send(b"LIST_FILES\n"), STRANGE)
        self.assertEqual(self.session.send(b"LOGIN\n"), ASK)
        self.assertEqual(self.session.send(f"alice;{PASSWORD}\n".encode()), b"Welcome alice\n")
        self.assertEqual(self.session.send(b"LIST_FILES\n"), EMPTY)

    def test_one_line(self) -> None:
        """On one line nothing is asked for; a CR before the LF is none of the password."""
        self.assertEqual(
            self.session.send(f"login alice;{PASSWORD}\r\n".encode()), b"Welcome alice\n"
        )

    def test_strangers(self) -> None:
        """A stranger may send LOGIN, HELP and QUIT, and nothing else."""
        self.assertTrue(self.session.send(b"HELP\n").endswith(b"DONE\n"))
        for command in (b"LIST_FILES", b"STAT", b"DOWNLOAD", b"VERIFY", b"RESUME", b"DELETE"):
            self.assertEqual(self.session.send(command + b"\n"), STRANGE)
        self.session.send(b"QUIT\n")
        self.assertIs(self.session.protocol.state, State.CLOSING)

    def test_switch(self) -> None:
        """A second LOGIN is another user's; one that fails changes nothing."""
        self.session.send(login("alice"))
        self.assertEqual(self.now().name, "alice")
        self.assertEqual(self.session.send(login("bob")), b"Welcome bob\n")
        self.assertEqual(self.now(), Identity("bob", frozenset([Right.LIST]), View("bob")))
        self.assertEqual(self.session.send(login("alice", "wrong")), WRONG)
        self.assertEqual(self.now().name, "bob")

    def test_again(self) -> None:
        """The same LOGIN twice is welcome twice."""
        self.assertEqual(self.session.send(login("alice") + login("alice")), b"Welcome alice\n" * 2)

    def test_wrong(self) -> None:
        """A wrong user and a wrong password, in any form, are told the same, byte for byte."""
        for name, password in (
            ("alice", "wrong"),
            ("alice", PASSWORD + " "),
            ("alice", PASSWORD[:-1]),
            ("Alice", PASSWORD),
            ("carol", PASSWORD),
            ("..", PASSWORD),
            ("x" * 64, "x" * 1024),
        ):
            with self.subTest(name):
                session = self.depot.connect(LOCAL)
                answer = session.send(login(name, password))
                self.depot.clock.advance(LONGEST_DELAY)
                self.assertEqual(answer + session.answer(), WRONG)
                self.assertEqual(self.now(session), NOBODY)

    def test_bad_details(self) -> None:
        """What can't be a user and a password is refused as such, and nothing of it is told."""
        for argument in (
            b"alice",
            b";",
            b"alice;",
            b";secret",
            b"a b;secret",
            b"x" * 65 + b";secret",
            "é;secret".encode(),
            b"alice;secret\xff",
            b"alice;secret\x1b[2J",
            b"alice;secret\0",
            b"alice;" + b"x" * 1025,
            b"\xff\xfe",
        ):
            with self.subTest(argument[:20]), capturedLogs() as events:
                session = self.depot.connect(LOCAL)
                for request in (b"LOGIN %s\n" % argument, b"LOGIN\n%s\n" % argument):
                    answer = session.send(request).removeprefix(ASK)
                    self.assertTrue(answer.startswith(b"ERROR bad-details "), answer)
                    self.assertNotIn(b"secret", answer)
                    self.assertNotIn("secret", repr(events))

    def test_logged(self) -> None:
        """The log has user and peer of what is right and what is wrong, and no password."""
        with capturedLogs() as events:
            self.session.send(login("alice"))
            self.session.send(login("bob", "s3cret"))
        lines = [formatEvent(event) for event in events]
        self.assertIn('#1 logged in with a password: "alice" from 127.0.0.1', lines)
        self.assertIn('#1 login refused: "bob" from 127.0.0.1: denied', lines)
        for password in (PASSWORD, "s3cret"):
            self.assertNotIn(password, repr(events))

    def test_errors_in_a_row(self) -> None:
        """Wrong passwords are errors as others are: after twenty the server closes."""
        answers = self.session.send(login("alice", "wrong") * 30)
        for _ in range(30):
            self.depot.clock.advance(LONGEST_DELAY)
        answers += self.session.answer()
        self.assertEqual(answers, closes(WRONG * 20))
        self.assertIs(self.session.protocol.state, State.CLOSING)

    def test_no_users(self) -> None:
        """Where there are no users, nobody is welcome, and strangers do what they may."""
        session = Depot(self).connect(LOCAL)
        self.assertEqual(session.send(login("alice")), WRONG)
        self.assertEqual(session.send(b"LIST_FILES\n"), EMPTY)


class PeerTests(LoginCase):
    """Where a password is taken."""

    def test_insecure(self) -> None:
        """From elsewhere without TLS it is refused, before it is asked for or looked at."""
        executor = SteppedExecutor()
        self.depot.factory.authenticator = make_authenticator(
            self.depot.core, user("alice"), executor=executor
        )
        for host in (
            "192.0.2.1",
            "10.0.0.1",
            "::2",
            "::ffff:10.0.0.1",
            "fe80::1%eth0",
            "128.0.0.1",
        ):
            with self.subTest(host):
                session = self.depot.connect(peer(host))
                for request in (b"LOGIN\n", login("alice"), b"LOGIN x\n"):
                    self.assertEqual(session.send(request), INSECURE)
                self.assertEqual(len(executor), 0)

    def test_near(self) -> None:
        """From the machine itself it is taken, by whatever way."""
        for host in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", ""):
            with self.subTest(host):
                session = self.depot.connect(peer(host))
                self.assertEqual(session.send(login("alice")), b"Welcome alice\n")

    def test_tls(self) -> None:
        """Over TLS it is taken from anywhere."""
        session = Session(self.depot.factory, transport=TlsTransport())
        self.assertEqual(session.send(login("alice")), b"Welcome alice\n")

    def test_network(self) -> None:
        """A wrong password is held against all addresses of the network that it came from."""
        answers = []
        for host, line in (
            ("2001:db8::1", login("carol", "wrong")),
            ("2001:db8::2", login("alice")),
            ("2001:db8:0:1::1", login("bob")),
        ):
            transport = TlsTransport()
            transport.peerAddr = peer(host)
            answers.append(Session(self.depot.factory, transport=transport).send(line))
        self.assertEqual(answers, [WRONG, b"", b"Welcome bob\n"])

    def test_private(self) -> None:
        """A peer of no known kind is not taken for a near one."""
        transport = StringTransport()
        self.assertFalse(is_private(transport))
        directlyProvides(transport, ISSLTransport)
        self.assertTrue(is_private(transport))
        for host in ("", "localhost.example", "127.0.0.1.example", "0.0.0.0", "::", "1"):
            self.assertFalse(is_loopback(host), host)

    def test_client_network(self) -> None:
        """Addresses that one peer may have together are one."""
        self.assertEqual(client_network("192.0.2.1"), "192.0.2.1")
        self.assertEqual(client_network("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(client_network("2001:db8::1"), client_network("2001:db8::ffff:1"))
        self.assertNotEqual(client_network("2001:db8::1"), client_network("2001:db8:0:1::1"))
        self.assertEqual(client_network("fe80::1%eth0"), client_network("fe80::2"))
        self.assertEqual(client_network("local"), "local")


class CertificateTests(LoginCase):
    """Who has a certificate."""

    def connect(self, *names: str) -> Session:
        return Session(self.depot.factory, transport=TlsTransport(certificate(*names)))

    def test_known(self) -> None:
        """The user that a certificate names is in with the first command."""
        session = self.connect("alice")
        with capturedLogs() as events:
            self.assertEqual(session.send(b"LIST_FILES\n"), EMPTY)
            self.assertEqual(self.now(session).name, "alice")
        welcome = '#2 logged in by certificate: "alice" from 192.0.2.1'
        self.assertEqual([formatEvent(event) for event in events], [welcome])

    def test_unknown(self) -> None:
        """Who has another, or one without one name, is a stranger; they may log in."""
        for names in (("carol",), ("",), ("alice", "bob"), (), ("ALICE",), ("é\n",)):
            with self.subTest(names):
                session = self.connect(*(name or " " for name in names))
                self.assertEqual(session.send(b"LIST_FILES\n"), STRANGE)
                self.assertEqual(session.send(login("bob")), b"Welcome bob\n")

    def test_password_changed(self) -> None:
        """A new password is nothing to a certificate; that the user is gone is."""
        session = self.connect("alice")
        self.assertEqual(self.now(session).name, "alice")
        self.change(User(hashed("new"), user("alice").identity))
        self.assertEqual(self.now(session).name, "alice")
        self.change()
        self.assertEqual(self.now(session), NOBODY)


class ChangeTests(LoginCase):
    """What an open connection has of changes."""

    def test_removed(self) -> None:
        """A user who is removed may do nothing from their next command on."""
        self.session.send(login("alice"))
        self.assertEqual(
            self.session.send(b"UPLOAD\n"), b"Please send the file name and file size\n"
        )
        self.change(user("bob"))
        self.assertEqual(self.session.send(b"a;5\n"), STRANGE)
        self.assertEqual(self.session.send(b"LIST_FILES\n"), STRANGE)
        self.assertEqual(self.depot.files(), [])

    def test_fewer_rights(self) -> None:
        """Rights that are taken or given, a view, a quota: they are as in the file now."""
        self.session.send(login("alice"))
        self.change(user("alice", [Right.READ], all=False, quota=5))
        self.assertTrue(self.session.send(b"LIST_FILES\n").startswith(b"ERROR denied "))
        expected = Identity("alice", frozenset([Right.READ]), View("alice", all=False), 5)
        self.assertEqual(self.now(), expected)

    def test_new_password(self) -> None:
        """A password that is changed shuts out whoever came in with the old one."""
        self.session.send(login("alice"))
        self.change(User(hashed("new"), user("alice").identity))
        self.assertEqual(self.session.send(b"LIST_FILES\n"), STRANGE)
        self.assertEqual(self.session.send(login("alice", "new")), b"Welcome alice\n")

    def test_while_it_is_compared(self) -> None:
        """A user who changes while the old password is looked at does not come in with it."""
        executor = SteppedExecutor()
        for change in ((), (User(hashed("new"), user("alice").identity),)):
            self.depot.factory.authenticator = make_authenticator(
                self.depot.core, user("alice"), executor=executor
            )
            session = self.depot.connect(LOCAL)
            session.send(login("alice"))
            self.change(*change)
            executor.run_all()
            self.assertEqual(session.answer(), WRONG)


class WaitingTests(SynchronousTestCase):
    """What goes on while a password is looked at, or its turn has not come."""

    def setUp(self) -> None:
        self.executor = SteppedExecutor()
        self.depot = Depot(self)
        self.depot.factory.authenticator = make_authenticator(
            self.depot.core, user("alice"), anonymous=Identity(), executor=self.executor
        )

    def test_held_back(self) -> None:
        """The commands behind it wait, and are the new user's."""
        session = self.depot.connect(LOCAL)
        self.assertEqual(session.send(login("alice") + b"LIST_FILES\nQUIT\n"), b"")
        self.assertIs(session.protocol.state, State.WORKING)
        self.assertTrue(session.protocol.paused)
        self.executor.run_all()
        self.assertEqual(session.answer(), b"Welcome alice\n" + EMPTY)

    def test_in_turn(self) -> None:
        """It is not begun before all before it are answered."""
        database = SteppedExecutor()
        depot = Depot(self, database=database, users=[user("alice")], anonymous=Identity())
        session = depot.connect(LOCAL)
        session.send(b"UPLOAD a;2\nhi" + login("alice") + b"UPLOAD b;2\nhi")
        self.assertEqual(session.answer(), b"")
        self.assertEqual(session.protocol.session.client.account.identity.name, "")
        database.run_all()
        self.assertEqual(session.answer().split(b"\n")[1], b"Welcome alice")
        mine = View("alice", all=False)
        listing = depot.store.list_text("", mine).read()
        database.run_all()
        self.assertTrue(self.successResultOf(listing).endswith(b";b;2\n"))

    def test_few_at_once(self) -> None:
        """However many log in, a few passwords are looked at at once; others are served on."""
        sessions = [self.depot.connect(peer(f"127.0.0.{number}")) for number in range(1, 51)]
        for session in sessions:
            session.send(login("alice"))
        self.assertEqual(len(self.executor), VERIFICATIONS)
        self.assertEqual(self.depot.connect(LOCAL).send(b"LIST_FILES\n"), EMPTY)
        self.executor.run_all()
        for session in sessions:
            self.assertEqual(session.answer(), b"Welcome alice\n")

    def test_lost(self) -> None:
        """A connection that is lost while it is looked at, or waits, leaves nothing behind."""
        sessions = [self.depot.connect(LOCAL) for _ in range(3)]
        for session in sessions:
            session.send(login("alice", "wrong"))
        self.assertEqual(len(self.executor), 1)
        for session in sessions:
            session.lose()
        self.executor.run_all()
        self.assertEqual(len(self.executor), 0)
        self.assertEqual(self.depot.timers(), [])
        stopping = Deferred.fromCoroutine(self.depot.factory.stop())
        self.successResultOf(stopping)

    def test_lost_in_the_pause(self) -> None:
        """So does one that waits for the time to pass."""
        for _ in range(2):
            session = self.depot.connect(LOCAL)
            session.send(login("alice", "wrong"))
            self.executor.run_all()
        self.assertEqual(len(self.depot.timers()), 1)
        session.lose()
        self.assertEqual(self.depot.timers(), [])

    def test_lost_counts(self) -> None:
        """Who leaves before the answer has had a try all the same."""
        session = self.depot.connect(LOCAL)
        session.send(login("alice", "wrong"))
        session.lose()
        self.executor.run_all()
        self.depot.connect(LOCAL).send(login("alice"))
        self.assertEqual(len(self.executor), 0)
        self.depot.clock.advance(FIRST_DELAY)
        self.assertEqual(len(self.executor), 1)
        self.executor.run_all()

    def test_same_work(self) -> None:
        """For a user that is none a password is hashed as for the others."""
        costs = []

        class Noting(InlineExecutor):
            def run(self, work, *args, **kwargs):  # type: ignore[no-untyped-def]
                if work is verify_password:
                    costs.append(args[0].rpartition("$")[0].split("$")[:4])
                    costs.append([len(part) for part in args[0].split("$")])
                return super().run(work, *args, **kwargs)

        authenticator = make_authenticator(self.depot.core, user("alice"), executor=Noting())
        for number, name in enumerate(("alice", "carol")):
            login = authenticator.log_in(Login(name, "wrong"), str(number))
            self.failureResultOf(login, Denied)
        self.assertEqual(costs[:2], costs[2:])

    def test_decoy_without_users(self) -> None:
        """Where there are no users, the usual work is done."""
        authenticator = make_authenticator(self.depot.core, executor=self.executor)
        failing = authenticator.log_in(Login("carol", "wrong"), "x")
        self.executor.run_all()
        self.failureResultOf(failing, Denied)


class ThrottleTests(SynchronousTestCase):
    """How long wrong passwords take."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.authenticator = make_authenticator(
            depot.Depot(None, InlineExecutor(), self.clock), user("alice"), user("bob")
        )

    def log_in(
        self, name: str = "alice", password: str = "wrong", host: str = "a"
    ) -> Deferred[Account]:
        return self.authenticator.log_in(Login(name, password), host)

    def waited(self, name: str = "alice", password: str = "wrong", host: str = "a") -> float:
        """Seconds until a login has come to an end, right or wrong."""
        ended: list[object] = []
        self.log_in(name, password, host).addBoth(ended.append)
        before = self.clock.seconds()
        while not ended:
            self.clock.advance(FIRST_DELAY)
        return self.clock.seconds() - before

    def test_grows(self) -> None:
        """Each wrong one makes the next wait, twice as long up to a limit; the right one too."""
        self.assertEqual([self.waited() for _ in range(10)], [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30])
        self.assertEqual(self.waited("alice", PASSWORD), LONGEST_DELAY)

    def test_time_passes(self) -> None:
        """Time that passes anyway counts; after some minutes all is forgotten."""
        for _ in range(6):
            self.waited()
        self.clock.advance(10)
        self.assertEqual(self.waited(), 6)
        self.clock.advance(MEMORY + 1)
        self.assertEqual(self.waited(), 0)
        self.assertEqual(self.waited(), FIRST_DELAY)

    def test_clock_set_back(self) -> None:
        """A clock that is set back makes nobody wait for longer."""
        self.clock.advance(3600)
        self.waited()
        self.clock.rightNow -= 1800
        self.assertLessEqual(self.waited(), 2 * FIRST_DELAY)  # for the user, and for the peer

    def test_by_peer(self) -> None:
        """Who tries many users waits as well; nobody else does."""
        self.assertEqual([self.waited(f"user{n}") for n in range(4)], [0, 0.5, 1, 2])
        self.assertEqual(self.waited("bob", PASSWORD, "b"), 0)
        self.assertEqual(self.waited("bob", PASSWORD, "a"), 4)

    def test_by_user(self) -> None:
        """Who tries one user from many places waits as well; the user is in within the limit."""
        self.assertEqual([self.waited(host=str(n)) for n in range(4)], [0, 0.5, 1, 2])
        for number in range(100):
            self.log_in(host=f"more{number}").addErrback(lambda _: None)
        for _ in range(2):
            self.assertLessEqual(self.waited("alice", PASSWORD, "home"), LONGEST_DELAY)
        self.clock.advance(LONGEST_DELAY)

    def test_right_one(self) -> None:
        """A right password lets nothing be forgotten: others would learn that the user is there."""
        self.assertEqual([self.waited() for _ in range(3)], [0, 0.5, 1])
        self.assertEqual(self.waited("alice", PASSWORD), 2)
        self.assertEqual(self.waited(), 0)  # its time has passed meanwhile
        self.assertEqual(self.waited("bob", PASSWORD), 4)
        self.assertEqual(self.waited(host="b"), 0)
        self.assertEqual(self.waited(host="c"), 8)

    def test_at_once(self) -> None:
        """Many at once from one place are looked at one by one, each after its time."""
        ended: list[float] = []
        for _ in range(5):
            self.log_in().addErrback(lambda _: ended.append(self.clock.seconds()))
        for _ in range(100):
            self.clock.advance(FIRST_DELAY)
        self.assertEqual(ended, [0, 0.5, 1.5, 3.5, 7.5])

    def test_good_ones_at_once(self) -> None:
        """Right ones do not wait for each other's delays."""
        for _ in range(MOST_WAITING):
            self.successResultOf(self.log_in("alice", PASSWORD))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many(self) -> None:
        """Beyond some that wait, they are refused unlooked at; others come in."""
        waiting = [self.log_in() for _ in range(MOST_WAITING + 1)]
        self.failureResultOf(waiting[0], Denied)
        self.failureResultOf(self.log_in("bob"), Busy)
        self.successResultOf(self.log_in("bob", PASSWORD, "b"))
        for one in waiting[1:]:
            self.assertNoResult(one)
            one.cancel()
            self.failureResultOf(one)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bounded(self) -> None:
        """However many there are, so many are remembered; of those that are right none is."""
        throttle = LoginThrottle(self.clock)

        async def wrong() -> None:
            raise Denied()

        async def right() -> None:
            pass

        def attempts(look: Callable[[], Coroutine[Deferred[Any], Any, None]], count: int) -> None:
            for number in range(count):
                work = throttle.attempt(str(number), str(number), look)
                Deferred.fromCoroutine(work).addErrback(lambda _: None)

        attempts(right, 10)
        self.assertEqual((len(throttle._peers), len(throttle._users)), (0, 0))
        attempts(wrong, CAPACITY + 10)
        self.assertEqual((len(throttle._peers), len(throttle._users)), (CAPACITY, CAPACITY))

    def test_gone(self) -> None:
        """Who is gone has no turn, though it is free; the next one has it."""
        throttle = LoginThrottle(self.clock)
        looked: list[str] = []

        def attempt(name: str, sign: Sign) -> Deferred[None]:
            async def look() -> None:
                looked.append(name)

            return Deferred.fromCoroutine(throttle.attempt("peer", name, look, sign=lambda: sign))

        gone = attempt("gone", Sign.GONE)
        self.successResultOf(attempt("there", Sign.THERE))
        self.successResultOf(attempt("ended", Sign.ENDED))
        self.assertEqual(looked, ["there", "ended"])
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertEqual(looked, ["there", "ended"])

    def test_failure(self) -> None:
        """What fails otherwise is told as it is, and lets the next one have its turn."""
        throttle = LoginThrottle(self.clock)

        async def broken() -> None:
            raise ZeroDivisionError

        for _ in range(2):
            work = throttle.attempt("a", "b", broken)
            self.failureResultOf(Deferred.fromCoroutine(work), ZeroDivisionError)
        self.assertEqual(len(throttle._peers), 0)


class VerifyTests(SynchronousTestCase):
    """L{verify_password}."""

    def test_verified(self) -> None:
        """The right password, a wrong one, and a hash that can't be compared."""
        self.assertTrue(verify_password(hashed("a"), b"a"))
        self.assertFalse(verify_password(hashed("a"), b"b"))
        self.assertFalse(
            verify_password("$argon2id$v=19$m=0,t=0,p=0$AAAAAAAAAAA$AAAAAAAAAAAAAAAA", b"")
        )
        self.assertFalse(verify_password("", b""))
