"""Connections that are lost while nothing is read from them: what waited for them ends."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

from OpenSSL.crypto import X509
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from tests.server.test_tcp import Raw
from tests.server.test_tls import TLSCase
from tests.support.depot import NO_SMALL, Depot, Session, Transport
from tests.support.executors import GatedExecutor, SteppedExecutor
from tests.support.held import run_out
from tests.support.processes import PATIENCE, new_directory
from tests.support.visitors import PASSWORD, be, make_authenticator, peer, user
from xferproto import tls_endpoint
from xferproto.depot import admission
from xferproto.depot.admission import SLOTS
from xferproto.model.identity import ALL_RIGHTS, Identity, View
from xferproto.server.auth.login_throttle import FIRST_DELAY, LONGEST_DELAY, MOST_WAITING
from xferproto.server.traffic.hangup import Sign, signs
from xferproto.server.traffic.watch import INTERVAL
from xferproto.store.interface import FLAT_COST
from xferproto.wire.states import State

reactor: Any = _reactor

LOCAL = peer("127.0.0.1")
CONTENT = bytes(3 * 2**20)
ID = md5(CONTENT).hexdigest().encode()
DENIED = b"ERROR denied "


def login(password: str, name: str = "alice") -> bytes:
    return f"LOGIN {name};{password}\n".encode()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """A server's socket and its client's, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        return listening.accept()[0], client


class Wire:
    """
    A real socket below a transport in memory: the system knows what its peer does.

    @ivar client: the peer's.
    """

    def __init__(
        self, case: SynchronousTestCase, pair: Callable[[], tuple[socket.socket, socket.socket]]
    ) -> None:
        self.server, self.client = pair()
        for end in (self.server, self.client):
            case.addCleanup(end.close)

    def arrived(self) -> None:
        """Wait until the system knows what the client did last."""
        poll = select.poll()
        poll.register(self.server, select.POLLRDHUP)
        assert poll.poll(PATIENCE * 1000), "nothing came"

    def reset(self) -> None:
        """The client closes with a reset."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        self.arrived()

    def close(self) -> None:
        """The client closes."""
        self.client.close()
        self.arrived()

    def half_close(self) -> None:
        """The client sends no more."""
        self.client.shutdown(socket.SHUT_WR)
        self.arrived()


class WiredTransport(Transport):
    """A transport in memory with a real socket."""

    def __init__(self, wire: Wire, address: IAddress | None = None) -> None:
        super().__init__(peerAddress=address)
        self.wire = wire

    def getHandle(self) -> socket.socket:
        return self.wire.server


class WiredTlsTransport(WiredTransport):
    """The same over TLS."""

    def getPeerCertificate(self) -> X509 | None:
        return None


class HangupCase(SynchronousTestCase):
    """
    A depot, one of whose connections is lost.

    @ivar depot: it; a test may replace it before it connects.
    @ivar files: its threads.
    @ivar database: the thread of its catalogue.
    @ivar passwords: the threads that look at passwords.
    """

    def setUp(self) -> None:
        self.files, self.database = GatedExecutor(), GatedExecutor()
        self.passwords = SteppedExecutor()
        self.depot = Depot(
            self,
            executor=self.files,
            database=self.database,
            small=NO_SMALL,
            quota=2**30,
        )
        self.depot.factory.authenticator = make_authenticator(
            self.depot.core, user("alice"), anonymous=Identity(), executor=self.passwords
        )

    def connect(
        self,
        pair: Callable[[], tuple[socket.socket, socket.socket]] = tcp_pair,
        transport: type[WiredTransport] = WiredTransport,
    ) -> tuple[Session, Wire]:
        wire = Wire(self, pair)
        session = Session(self.depot.factory, transport=transport(wire, LOCAL))
        be(session, Identity("alice", ALL_RIGHTS, View("alice")))
        return session, wire

    def look(self) -> None:
        """Let the server look at its connections."""
        self.depot.clock.advance(INTERVAL)

    def run_all(self) -> None:
        """Let the threads do what is left."""
        while len(self.files) + len(self.database) + len(self.passwords):
            for executor in (self.files, self.database, self.passwords):
                executor.run_all()

    def assert_lost(self, session: Session) -> None:
        """The server has noticed that the connection is lost, and holds nothing for it."""
        self.assertTrue(session.transport.aborted)
        self.assert_nothing_held()

    def assert_nothing_held(self) -> None:
        self.run_all()
        factory, core = self.depot.factory, self.depot.core
        throttle = factory.authenticator._throttle
        records = [*throttle._peers._records.values(), *throttle._users._records.values()]
        self.assertEqual(factory.connections._open, {})
        self.assertEqual(len(core._work), 0)
        self.assertEqual([record.under_way for record in records if record.under_way], [])
        self.assertEqual([record.charges for record in records if record.charges], [])
        self.assertEqual(core.quota._all.reserved, 0)
        self.assertEqual(core.tokens, {})
        self.assertEqual(list(self.depot.store._resumable.leases.taken()), [])
        self.assertEqual((len(core.admission._inside), len(core.admission._waiting)), (0, 0))
        for budget in (core.incoming, core.small, core.outgoing):
            self.assertEqual(budget._members, 0)
        self.assertEqual(self.depot.timers(), [])

    # The states; each leaves a session waiting

    def begin_login(self, session: Session) -> None:
        """It waits for its turn, which another has."""
        other, _ = self.connect()
        other.send(login("wrong"))
        session.send(login("wrong"))
        self.assertEqual(len(self.passwords), 1)
        other.lose()

    def begin_login_after_wrong(self, session: Session) -> None:
        """It waits for the time to pass."""
        for _ in range(3):
            other, _ = self.connect()
            other.send(login("wrong"))
            self.depot.clock.advance(LONGEST_DELAY)
            self.run_all()
            other.lose()
        session.send(login("wrong"))
        self.assertNotEqual(self.depot.timers(), [])

    def begin_looked_at(self, session: Session) -> None:
        """Its password is looked at."""
        session.send(login("wrong"))

    def begin_token(self, session: Session) -> None:
        """It waits for a token that another connection has."""
        other, _ = self.connect()
        other.send(b"RESUME a;5;t\n", b"0\nhe")
        session.send(b"RESUME b;50;t\n")
        self.others = [other]

    def begin_held_prefix(self, session: Session) -> None:
        """What is held under its token is hashed."""
        other, _ = self.connect()
        other.send(b"RESUME a;%d;t\n" % (2 * len(CONTENT)), b"0\n", CONTENT)
        other.lose()
        self.files.open = False
        session.send(b"RESUME a;%d;t\n" % (2 * len(CONTENT)))
        for _ in range(3):
            self.files.step()

    def begin_verify(self, session: Session) -> None:
        """A content is hashed."""
        session.send(b"UPLOAD a;%d\n" % len(CONTENT), CONTENT)
        self.files.open = False
        session.send(b"VERIFY %s\n" % ID)
        self.files.step()

    def begin_admission(self, session: Session) -> None:
        """It waits for a place."""
        for seconds in ("NEW", "LOOK"):
            self.patch(admission, seconds, 3600.0)
        self.others = [self.connect()[0] for _ in range(SLOTS)]
        for other in self.others:
            other.send(b"UPLOAD a;%d\n" % len(CONTENT))
        session.send(b"UPLOAD a;%d\n" % len(CONTENT))

    def begin_claim(self, session: Session) -> None:
        """It waits to be told whether it is within the quota."""
        self.database.open = False
        session.send(b"UPLOAD a;%d\n" % len(CONTENT))

    def begin_deletion(self, session: Session) -> None:
        """It waits for the catalogue."""
        session.send(b"UPLOAD a;5\nhello")
        self.database.open = False
        session.send(b"DELETE %s\n" % md5(b"hello").hexdigest().encode())

    def begin_download(self, session: Session) -> None:
        """It waits for the disk."""
        session.send(b"UPLOAD a;%d\n" % len(CONTENT), CONTENT)
        self.files.open = False
        session.send(b"DOWNLOAD %s\n" % ID)

    STATES = (
        begin_login,
        begin_login_after_wrong,
        begin_looked_at,
        begin_token,
        begin_held_prefix,
        begin_verify,
        begin_admission,
        begin_claim,
        begin_deletion,
        begin_download,
    )


class LostTests(HangupCase):
    """A peer that is gone: in each state this is seen, and what it waited for ends."""

    def lose(
        self,
        hang_up: Callable[[Wire], None],
        pair: Callable[[], tuple[socket.socket, socket.socket]] = tcp_pair,
        transport: type[WiredTransport] = WiredTransport,
    ) -> None:
        for begin in self.STATES:
            with self.subTest(begin.__name__):
                self.setUp()
                self.others: list[Session] = []
                session, wire = self.connect(pair, transport)
                begin(self, session)
                self.assertIn(session.protocol.state, (State.WORKING, State.SENDING))
                hang_up(wire)
                session.answer()
                self.look()
                self.assertEqual(session.answer(), b"")
                for other in self.others:
                    other.lose()
                self.assert_lost(session)

    def test_reset(self) -> None:
        """A connection over TCP that its peer resets."""
        self.lose(Wire.reset)

    def test_unix(self) -> None:
        """One over a UNIX socket that its peer closes."""
        self.lose(Wire.close, socket.socketpair)

    def test_tls(self) -> None:
        """One over TLS that its peer resets, also where it has closed its half before."""

        def both(wire: Wire) -> None:
            wire.half_close()
            wire.reset()

        for hang_up in (Wire.reset, both):
            self.lose(hang_up, transport=WiredTlsTransport)

    def test_tls_closed(self) -> None:
        """Over TLS the end of one half is the end of both."""
        session, wire = self.connect(transport=WiredTlsTransport)
        self.begin_login(session)
        wire.close()
        self.look()
        self.assert_lost(session)

    def test_waits_end_at_once(self) -> None:
        """What waits in a queue is out of it the moment that the connection is lost."""
        session, _ = self.connect()
        self.begin_admission(session)
        session.lose()
        size = len(CONTENT)
        self.assertEqual(self.depot.core.quota._all.reserved, SLOTS * (size + FLAT_COST))
        self.assertEqual(len(self.depot.core.admission._waiting), 0)
        for other in self.others:
            other.lose()
        session, _ = self.connect()
        self.begin_token(session)
        session.lose()
        self.assertEqual(self.depot.timers(), [])
        self.others[0].lose()
        self.assert_nothing_held()

    def test_others_go_on(self) -> None:
        """However many are lost, whoever is there has the next turn."""
        wires = []
        for number in range(99):
            session, wire = self.connect()
            session.send(login(f"wrong{number}"))
            wires.append(wire)
        for wire in wires:
            wire.reset()
        good, _ = self.connect()
        good.send(login(PASSWORD))
        self.look()
        self.passwords.run_all()
        self.look()
        self.passwords.run_all()
        self.assertEqual(good.answer(), b"Welcome alice\n")
        good.lose()
        self.assert_nothing_held()

    def test_no_turn(self) -> None:
        """Who is gone has no turn any more, also before the server has looked."""
        sessions = [self.connect() for _ in range(2)]
        for session, _ in sessions:
            session.send(login("wrong"))
        self.run_all()
        sessions[1][1].reset()
        self.depot.clock.advance(FIRST_DELAY)
        self.assertEqual(len(self.passwords), 0)
        self.look()
        sessions[0][0].lose()
        self.assert_lost(sessions[1][0])

    def test_not_looked_at(self) -> None:
        """A password that nobody waits for, and that no thread has begun with, costs no work."""
        sessions = [Session(self.depot.factory, peer(f"127.0.0.{n}")) for n in range(1, 50)]
        for session in sessions:
            session.send(login("wrong"))
        begun = len(self.passwords)
        for session in sessions:
            session.lose()
        done = 0
        while len(self.passwords):
            self.passwords.step()
            done += 1
        self.assertEqual(done, begun)
        self.assert_nothing_held()


class HalfClosedTests(HangupCase):
    """A peer that sends no more, and reads on."""

    def test_answered(self) -> None:
        """It gets its answers, in each state, however long it waits."""
        for begin in self.STATES:
            with self.subTest(begin.__name__):
                self.setUp()
                self.others: list[Session] = []
                session, wire = self.connect()
                begin(self, session)
                session.answer()
                wire.half_close()
                for _ in range(3):
                    self.look()
                self.assertFalse(session.transport.aborted)
                for other in self.others:
                    other.lose()
                for executor in (self.files, self.database):
                    executor.open = True
                for _ in range(40):
                    self.run_all()
                    self.look()
                if session.protocol.state is State.RECEIVING:  # it has been let in
                    self.assertEqual(session.half_close().split()[0], b"ERROR")
                else:
                    self.assertNotEqual(session.answer(), b"")
                session.lose()
                self.assert_nothing_held()

    def test_later(self) -> None:
        """It may be gone: its login waits while others do that are there, whenever they came."""
        self.begin_login_after_wrong(self.connect()[0])
        sessions = [self.connect() for _ in range(3)]
        for session, _ in sessions:
            session.send(login("wrong"))
        for _, wire in sessions[:2]:
            wire.half_close()
        answered = []
        for _ in range(4):
            self.depot.clock.advance(LONGEST_DELAY)
            self.run_all()
            answered.append([session.answer().startswith(DENIED) for session, _ in sessions])
        self.assertEqual(answered[1], [False, False, True])
        self.assertEqual(answered[2], [True, False, False])
        self.assertEqual(answered[3], [False, True, False])

    def test_makes_room(self) -> None:
        """Where as many wait as may, one that may be gone makes room for one that is there."""
        sessions = [self.connect() for _ in range(MOST_WAITING)]
        for session, _ in sessions:
            session.send(login("wrong"))
        full, _ = self.connect()
        self.assertTrue(full.send(login("wrong")).startswith(b"ERROR busy "))
        ended, wire = sessions[50]
        wire.half_close()
        good, _ = self.connect()
        self.assertEqual(good.send(login("wrong")), b"")
        self.assertTrue(ended.answer().startswith(b"ERROR busy "))
        for session in (full, good, *(session for session, _ in sessions)):
            session.lose()
        self.assert_nothing_held()


class SignTests(SynchronousTestCase):
    """What is asked of the system."""

    def test_nothing_to_ask(self) -> None:
        """A transport without a socket, or with a closed one, does not hide the others' signs."""
        ours, theirs = socket.socketpair()
        closed, other = socket.socketpair()
        for each in (closed, other, theirs):
            each.close()
        self.addCleanup(ours.close)

        class Over:
            def __init__(self, handle: socket.socket) -> None:
                self.handle = handle

            def getHandle(self) -> socket.socket:
                return self.handle

        self.assertEqual(
            signs([object(), Over(closed), Over(ours)]), [Sign.THERE, Sign.THERE, Sign.GONE]
        )
        self.assertEqual(signs([object(), Over(closed)]), [Sign.THERE, Sign.THERE])
        self.assertEqual(signs([]), [])


class SystemTests(TLSCase):
    """The same over real transports: those tell nothing of their peers while they are paused."""

    async def waiting(self, connect: Callable[[], Deferred[Any]]) -> Any:
        """A connection whose login waits for a turn."""
        self.hashing = SteppedExecutor()
        self.factory.authenticator = make_authenticator(
            self.factory.depot, user("alice"), anonymous=Identity(), executor=self.hashing
        )
        made = self.made()
        raw = await connect()
        raw.transport.write(login("wrong"))
        return raw, await made

    async def tearDown(self) -> None:  # type: ignore[override]
        run_out(self.hashing)  # what was being hashed ends
        await super().tearDown()

    def made(self) -> Deferred[Any]:
        """Fires with the server's side of the next connection, when it has begun a login."""
        begun: Deferred[Any] = Deferred()
        log_in = self.factory.authenticator.log_in

        def noted(*arguments: Any) -> Any:
            reactor.callLater(0, begun.callback, next(iter(self.factory.connections._open)))
            return log_in(*arguments)

        self.patch(self.factory.authenticator, "log_in", noted)
        return begun

    def closed(self) -> Deferred[None]:
        """Fires when the server has noticed that a connection is lost."""
        closed: Deferred[None] = Deferred()
        tell = self.factory.connections.closed

        def noted(connection: Any) -> None:
            tell(connection)
            closed.callback(None)

        self.patch(self.factory.connections, "closed", noted)
        return closed

    async def test_tcp(self) -> None:
        """A reset over TCP."""
        raw, protocol = await self.waiting(lambda: Deferred.fromCoroutine(self.raw()))
        self.assertIs(protocol.state, State.WORKING)
        closed = self.closed()
        raw.transport.abortConnection()
        await closed

    async def test_unix(self) -> None:
        """A close over a UNIX socket."""
        path = new_directory(self) / "socket"
        listening = reactor.listenUNIX(str(path), self.factory)
        self.addCleanup(listening.stopListening)
        endpoint = UNIXClientEndpoint(reactor, str(path))
        raw, _ = await self.waiting(lambda: connectProtocol(endpoint, Raw()))
        closed = self.closed()
        raw.transport.loseConnection()
        await closed

    async def test_tls(self) -> None:
        """A close over TLS."""
        number = await self.listen(self.issue("localhost"))
        endpoint = tls_endpoint(reactor, "localhost", number, ca=Path(self.ca))
        raw, _ = await self.waiting(lambda: connectProtocol(endpoint, Raw()))
        closed = self.closed()
        raw.transport.abortConnection()
        await closed
