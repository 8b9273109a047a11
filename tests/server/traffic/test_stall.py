"""Peers that keep a server waiting: who is closed when, and what becomes of what they sent."""

from __future__ import annotations

import os
from hashlib import md5
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import NO_SMALL, Depot, Session
from tests.support.executors import SteppedExecutor
from tests.support.held import held_by_depot
from tests.support.visitors import be
from xferproto.model.identity import ALL_RIGHTS, NOBODY, Identity
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.traffic.stall import unsent
from xferproto.server.traffic.watch import INTERVAL
from xferproto.wire.states import State

NONE = b"No files available at the moment\nDONE\n"
IDLE = b"ERROR timeout Nothing came for too long; connect again, and go on where you were.\n"


class WatchCase(SynchronousTestCase):
    """A depot whose clock is turned second by second."""

    limits = DEFAULTS

    def setUp(self) -> None:
        self.depot = Depot(self, limits=self.limits)

    def wait(self, seconds: float) -> None:
        self.depot.clock.pump([INTERVAL] * round(seconds / INTERVAL))

    def assert_timed_out(self, session: Session, answer: bytes = IDLE) -> None:
        self.assertEqual(session.answer(), answer)
        self.assertIs(session.protocol.state, State.CLOSING)
        self.assertTrue(session.transport.half_closed)
        self.wait(5)
        self.assertFalse(session.transport.connected)
        self.assertEqual(self.depot.clock.getDelayedCalls(), [])


class IdleTests(WatchCase):
    """Between commands."""

    def test_idle(self) -> None:
        """Who says nothing for ten minutes is told so, and closed."""
        session = self.depot.connect()
        self.wait(DEFAULTS.idle - 1)
        self.assertEqual(session.answer(), b"")
        self.wait(1)
        self.assert_timed_out(session)

    def test_each_line(self) -> None:
        """Every line starts that time afresh."""
        session = self.depot.connect()
        for _ in range(3):
            self.wait(DEFAULTS.idle - 2)
            self.assertEqual(session.send(b"LIST_FILES\n"), NONE)
        self.wait(DEFAULTS.idle + 1)
        self.assert_timed_out(session)

    def test_dripping(self) -> None:
        """Bytes that make no line do not."""
        session = self.depot.connect()
        for _ in range(int(DEFAULTS.idle)):
            session.send(b"x")
            self.wait(1)
        self.assert_timed_out(session)

    def test_argument(self) -> None:
        """Nor does a question that is never answered, a partial beside it being kept."""
        session = self.depot.connect()
        session.send(b"RESUME a;5;token\n")
        self.wait(DEFAULTS.idle + 1)
        self.assert_timed_out(session)
        self.assertTrue(self.depot.connect().send(b"RESUME a;5;token\n").startswith(b"0;"))

    def test_others(self) -> None:
        """One timer looks at all, and each is judged by itself."""
        sessions = [self.depot.connect() for _ in range(10)]
        self.assertEqual(len(self.depot.clock.getDelayedCalls()), 1)
        self.wait(DEFAULTS.idle - 1)
        sessions[0].send(b"HELP\n")
        self.wait(1)
        self.assertEqual(
            [session.protocol.state for session in sessions],
            [State.COMMAND] + [State.CLOSING] * 9,
        )

    def test_failure(self) -> None:
        """Where looking at one fails, that one is cut off, and the others are looked at."""
        broken, session = self.depot.connect(), self.depot.connect()

        def fail(now: float, elapsed: float) -> None:
            raise ZeroDivisionError

        self.patch(broken.protocol, "look", fail)
        self.wait(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(broken.transport.connected)
        self.wait(DEFAULTS.idle)
        self.assert_timed_out(session)

    def test_server_works(self) -> None:
        """While the server works it is not the peer who is waited for."""
        executor = SteppedExecutor()
        self.depot = Depot(self, database=executor)
        executor.run_all()
        session = self.depot.connect()
        session.send(b"LIST_FILES\n")
        self.wait(DEFAULTS.idle * 2)
        self.assertIs(session.protocol.state, State.WORKING)
        executor.run_all()
        self.assertEqual(session.answer(), NONE)


class StallTests(WatchCase):
    """Within a payload."""

    def test_upload(self) -> None:
        """An upload of which nothing comes for a minute is refused, and leaves nothing."""
        for size in (5, 100_000):
            session = self.depot.connect()
            session.send(b"UPLOAD a;%d\nhel" % size)
            self.wait(DEFAULTS.stall - 1)
            self.assertEqual(session.answer(), b"")
            self.wait(2)
            self.assert_timed_out(
                session,
                b"ERROR timeout Too little came for too long, after 3 of %d declared bytes; "
                b"nothing was stored.\n" % size,
            )
            self.assertEqual(self.depot.files(), [])

    def test_token(self) -> None:
        """Under a token, what came of it is kept."""
        session = self.depot.connect()
        session.send(b"RESUME a;5;token\n", b"0\n", b"hel")
        session.answer()
        self.wait(DEFAULTS.stall + 1)
        self.assert_timed_out(
            session,
            b"ERROR timeout Too little came for too long, after 3 of 5 declared bytes; "
            b"what came is kept.\n",
        )
        held = b"3;%s\n" % md5(b"hel").hexdigest().encode()
        self.assertEqual(self.depot.connect().send(b"RESUME a;5;token\n"), held)

    def test_each_byte(self) -> None:
        """A byte now and then is not nothing, for as long as the minimum rate lets it."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;100000\n")
        for _ in range(4):
            session.send(b"x")
            self.wait(DEFAULTS.stall - 2)
        self.assertIs(session.protocol.state, State.RECEIVING)
        for _ in range(2):
            session.send(b"x")
            self.wait(DEFAULTS.stall - 2)
        self.assertIs(session.protocol.state, State.CLOSING)

    def test_fast_enough(self) -> None:
        """A hundred bytes a second are enough."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;100000\n")
        for _ in range(999):
            session.send(b"x" * 100)
            self.wait(1)
        self.assertEqual(len(session.send(b"x" * 100)), 33)

    def test_refused(self) -> None:
        """So it is with a refused payload that is taken away."""
        session = self.depot.connect()
        session.send(b"UPLOAD ..;100\nxxx")
        self.assertIs(session.protocol.state, State.DISCARDING)
        self.wait(DEFAULTS.stall + 1)
        self.assert_timed_out(session)

    def test_behind_others(self) -> None:
        """The answers to small uploads before it are given first."""
        executor = SteppedExecutor()
        self.depot = Depot(self, database=executor)
        executor.run_all()
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhelloUPLOAD b;5\nwor")
        self.wait(DEFAULTS.stall + 1)
        self.assertEqual(session.answer(), b"")
        executor.run_all()
        id, error = session.answer().splitlines()
        self.assertEqual(id, md5(b"hello").hexdigest().encode())
        self.assertTrue(error.startswith(b"ERROR timeout "))
        self.assertIs(session.protocol.state, State.CLOSING)

    def test_disk_is_slow(self) -> None:
        """While the disk holds the peer back, nobody is to blame."""
        executor = SteppedExecutor()
        self.depot = Depot(self, executor, small=NO_SMALL)
        session = self.depot.connect()
        session.send(b"UPLOAD a;10000000\n")
        executor.run_all()
        for _ in range(8):
            session.send(b"x" * 2**20)
        self.assertTrue(session.protocol.paused)
        self.wait(DEFAULTS.stall * 10)
        self.assertIs(session.protocol.state, State.RECEIVING)


class ReaderTests(WatchCase):
    """A peer that does not read."""

    def setUp(self) -> None:
        super().setUp()
        content = os.urandom(5 * 2**20)
        self.depot.connect().send(b"UPLOAD a;%d\n" % len(content), content)
        self.session = self.depot.connect()
        self.session.send(b"DOWNLOAD %s\n" % md5(content).hexdigest().encode())
        self.fill()

    def fill(self) -> None:
        self.session = self.depot.connect()
        self.session.protocol.pauseProducing()
        self.session.send(b"LIST_FILES\n" * 3)

    def test_nothing_taken(self) -> None:
        """When nothing is taken for a minute it is cut off, as no line could be sent."""
        self.wait(DEFAULTS.stall + 1)
        self.assertTrue(self.session.transport.aborted)

    def test_receiving(self) -> None:
        """An upload that comes meanwhile is given up, and nothing is kept for it."""
        depot = Depot(self, small=NO_SMALL, limits=self.limits, quota=10**6)
        session = depot.connect()
        session.send(b"UPLOAD a;10000\nhello")
        session.protocol.pauseProducing()
        depot.clock.pump([INTERVAL] * round((DEFAULTS.stall + 1) / INTERVAL))
        self.assertTrue(session.transport.aborted)
        self.assertEqual(held_by_depot(depot.core), {})

    def test_some_taken(self) -> None:
        """Any progress of the transport starts that time afresh."""
        transport: Any = self.session.transport
        transport.dataBuffer = bytes(10**6)
        for step in range(10):
            transport.offset = step * 10_000
            self.wait(DEFAULTS.stall - 2)
        self.assertTrue(transport.connected)
        self.wait(DEFAULTS.stall + 2)
        self.assertTrue(transport.aborted)

    def test_too_little(self) -> None:
        """A byte now and then is too little in the long run."""
        transport: Any = self.session.transport
        transport.dataBuffer = bytes(10**6)
        for step in range(32):
            transport.offset = step
            self.wait(10)
        self.assertTrue(transport.aborted)

    def test_unsent(self) -> None:
        """What is unsent is counted where the bytes leave, also below TLS."""

        class Lower:
            dataBuffer = b"x" * 10
            offset = 3
            _tempDataLen = 5

        class Upper:
            transport = Lower()

        self.assertEqual(unsent(Lower()), 12)
        self.assertEqual(unsent(Upper()), 12)
        self.assertEqual(unsent(object()), 0)


class LoginTests(WatchCase):
    """Those who may do nothing."""

    def test_stranger(self) -> None:
        """One who has not logged in after a minute is closed, whatever they say meanwhile."""
        session = self.depot.connect()
        be(session, NOBODY)
        for _ in range(int(DEFAULTS.login_time) - 1):
            self.wait(1)
            session.send(b"HELP\n")
        self.wait(1)
        self.assert_timed_out(
            session, b"ERROR timeout Nobody has logged in for too long; connect again.\n"
        )

    def test_somebody(self) -> None:
        """Who may do anything is not."""
        session = self.depot.connect()
        be(session, Identity("kim", ALL_RIGHTS))
        self.wait(DEFAULTS.login_time * 2)
        self.assertIs(session.protocol.state, State.COMMAND)


class NoLimitTests(WatchCase):
    """All of these can be turned off."""

    limits = Limits(idle=0, stall=0, minimum_rate=0, login_time=0)

    def test_for_ever(self) -> None:
        """Then nobody is closed."""
        idle, stalled, deaf = (self.depot.connect() for _ in range(3))
        stalled.send(b"UPLOAD a;5\nhel")
        deaf.protocol.pauseProducing()
        deaf.send(b"LIST_FILES\n")
        self.depot.clock.pump([60.0] * 1000)
        self.assertIs(idle.protocol.state, State.COMMAND)
        self.assertIs(stalled.protocol.state, State.RECEIVING)
        self.assertTrue(deaf.transport.connected)

    def test_clock(self) -> None:
        """The watch goes by the clock of the factory."""
        self.assertTrue(IReactorTime.providedBy(self.depot.core.clock))
