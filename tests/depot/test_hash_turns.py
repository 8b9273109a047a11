"""Hashing on request: however many ask for it, transfers and short requests go on beside it."""

from __future__ import annotations

import os
from hashlib import md5

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot, Session, overwrite
from tests.support.executors import SteppedExecutor
from xferproto.depot import hash_turns
from xferproto.model.errors import ConnectionCut
from xferproto.server.line.keepalive import INTERVAL
from xferproto.transfer import hashing
from xferproto.wire.states import State

MANY = 4 * (os.cpu_count() or 1) + 70
"""More than are hashed at once, and more than take turns."""

CROWD = MANY + 300
"""More than the stack is deep, where each were to call the next."""

BLOCK = 50_000
"""Bytes hashed at a time."""

LARGE = bytes(4 * BLOCK)
LARGE_ID = md5(LARGE).hexdigest().encode()
VERIFY = b"VERIFY %s\n" % LARGE_ID
VERIFIED = LARGE_ID + b"\n"
HELLO = md5(b"hello").hexdigest().encode() + b"\n"


class TurnsCase(SynchronousTestCase):
    """A depot with a large content, whose files are read and hashed when a test says so."""

    def setUp(self) -> None:
        self.patch(hashing, "HASH_BLOCK", BLOCK)
        self.files = SteppedExecutor()
        self.depot = Depot(self, self.files)
        self.assertEqual(self.upload(b"large", LARGE), VERIFIED)

    def upload(self, name: bytes, content: bytes) -> bytes:
        session = self.depot.connect()
        session.send(b"UPLOAD %s;%d\n" % (name, len(content)))
        self.files.run_all()
        session.send(content)
        self.files.run_all()
        answer = session.answer()
        session.lose()
        return answer

    def asked(self, request: bytes, count: int) -> list[Session]:
        """So many connections that have asked for the same."""
        sessions = [self.depot.connect() for _ in range(count)]
        for session in sessions:
            session.send(request)
        return sessions

    def held(self, number: int) -> Session:
        """A connection that has lost its upload under the token of this number, most of it held."""
        session = self.depot.connect()
        session.send(b"RESUME r;%d;t%d\n" % (len(LARGE) + 1, number))
        self.files.run_all()
        session.send(b"0\n")
        self.files.run_all()
        session.send(LARGE)
        self.files.run_all()
        session.lose()
        self.files.run_all()
        return session

    def resume(self, number: int) -> Session:
        session = self.depot.connect()
        session.send(b"RESUME r;%d;t%d\n" % (len(LARGE) + 1, number))
        return session


class AtOnceTests(TurnsCase):
    """How much is hashed at once."""

    few = max(1, (os.cpu_count() or 1) // 2)

    def assert_few(self) -> None:
        """What waits for a thread leaves half of the processors to others."""
        self.assertLessEqual(len(self.files), self.few)

    def test_verify(self) -> None:
        """Of many VERIFYs few are hashed at once; all are answered."""
        sessions = self.asked(VERIFY, MANY)
        while len(self.files):
            self.assert_few()
            self.files.step()
        self.assertEqual([session.answer() for session in sessions], [VERIFIED] * MANY)

    def test_resume(self) -> None:
        """So it is with what is held under tokens."""
        count = 4 * (os.cpu_count() or 1)
        for number in range(count):
            self.held(number)
        sessions = [self.resume(number) for number in range(count)]
        opening = 0  # by each of them, before any is hashed
        while len(self.files) > self.few and opening < 16 * count:
            self.files.step()
            opening += 1
        while len(self.files):
            self.assert_few()
            self.files.step()
        told = b"%d;%s\n" % (len(LARGE), LARGE_ID)
        self.assertEqual([session.answer() for session in sessions], [told] * count)

    def test_upload_beside(self) -> None:
        """An upload that comes behind many VERIFYs does not wait for them."""
        sessions = self.asked(VERIFY, MANY)
        session = self.depot.connect()
        session.send(b"UPLOAD a;100000\n")
        steps = 0
        while session.protocol.state is not State.RECEIVING:
            self.files.step()
            steps += 1
        session.send(bytes(100_000))
        while not (answer := session.answer()):
            self.files.step()
            steps += 1
        self.assertEqual(answer, md5(bytes(100_000)).hexdigest().encode() + b"\n")
        self.assertLess(steps, MANY)
        self.files.run_all()
        self.assertEqual([session.answer() for session in sessions], [VERIFIED] * MANY)

    def test_small(self) -> None:
        """A small content waits for no turn."""
        self.depot.connect().send(b"UPLOAD small;5\nhello")
        self.asked(VERIFY, MANY)
        session = self.depot.connect()
        session.send(b"VERIFY " + HELLO)
        for _ in range(2 * (os.cpu_count() or 1) + 4):
            self.files.step()
        self.assertEqual(session.answer(), HELLO)
        self.files.run_all()

    def test_waits(self) -> None:
        """WAIT lines come to those that wait for their turn as well."""
        sessions = self.asked(VERIFY, MANY)
        for _ in range(2):
            self.depot.clock.advance(INTERVAL)
            for session in sessions:
                self.assertEqual(session.answer(), b"WAIT 0 verifying\n")
        self.files.run_all()
        self.assertEqual([session.answer() for session in sessions], [VERIFIED] * MANY)
        self.assertEqual(self.depot.timers(), [])

    def test_gone(self) -> None:
        """Who is gone meanwhile takes no turn, and nobody waits for them."""
        sessions = self.asked(VERIFY, CROWD)
        last = self.depot.connect()
        last.send(VERIFY)
        for session in sessions:
            session.lose()
        steps = 0
        while not (answer := last.answer()):
            self.files.step()
            steps += 1
        self.assertEqual(answer, VERIFIED)
        blocks = len(LARGE) // BLOCK
        self.assertLess(steps, 4 * (blocks + 1) * max(2, os.cpu_count() or 1))
        self.files.run_all()
        again = self.asked(VERIFY, 2)
        self.files.run_all()
        self.assertEqual([session.answer() for session in again], [VERIFIED] * 2)
        self.assertEqual(self.depot.timers(), [])

    def test_damaged_and_missing(self) -> None:
        """Whatever comes of one, its place goes to the next."""
        self.asked(b"VERIFY %s\n" % (b"0" * 32), MANY)
        overwrite(self.depot.root, LARGE_ID.decode(), b"x" + LARGE[1:])
        sessions = self.asked(VERIFY, MANY)
        self.files.run_all()
        for session in sessions:
            self.assertTrue(session.answer().startswith(b"ERROR corrupt "))
        self.assertEqual(self.upload(b"large", LARGE), VERIFIED)
        (session,) = self.asked(VERIFY, 1)
        self.files.run_all()
        self.assertEqual(session.answer(), VERIFIED)


class OneAtATimeCase(TurnsCase):
    """One processor's worth of hashing, a block at a turn."""

    def setUp(self) -> None:
        self.patch(hash_turns, "SLOTS", 1)
        self.patch(hash_turns, "SLICE", BLOCK)
        super().setUp()


class OrderTests(OneAtATimeCase):
    """Whose turn it is."""

    def test_resume_between(self) -> None:
        """A RESUME has every other turn, however many VERIFYs wait."""
        self.held(0)
        self.asked(VERIFY, MANY)
        session = self.resume(0)
        steps = 0
        while not (answer := session.answer()):
            self.files.step()
            steps += 1
        self.assertEqual(answer, b"%d;%s\n" % (len(LARGE), LARGE_ID))
        self.assertLess(steps, MANY)
        self.files.run_all()

    def test_a_short_one_among_long_ones(self) -> None:
        """A content waits for a slice of those before it, not for all of them."""
        short = os.urandom(hash_turns.SMALL + 1)
        self.upload(b"short", short)
        before = self.asked(VERIFY, 10)
        session = self.depot.connect()
        id = md5(short).hexdigest().encode() + b"\n"
        session.send(b"VERIFY " + id)
        while not (answer := session.answer()):
            self.files.step()
        self.assertEqual(answer, id)
        self.assertEqual([session.answer() for session in before], [b""] * 10)
        self.files.run_all()
        self.assertEqual([session.answer() for session in before], [VERIFIED] * 10)


class RestTests(OneAtATimeCase):
    """Beside transfers."""

    def work_until_rest(self) -> int:
        """Work, each piece for 10 ms, until nothing is left to do: how many pieces there were."""
        count = 0
        while len(self.files):
            self.depot.clock.advance(0.01)
            self.files.step()
            count += 1
        return count

    def test_alone(self) -> None:
        """Without transfers it goes on at once."""
        (session,) = self.asked(VERIFY, 1)
        self.work_until_rest()
        self.assertEqual(session.answer(), VERIFIED)

    def test_beside_an_upload(self) -> None:
        """While an upload runs it rests three times as long as it works, then goes on."""
        upload = self.depot.connect()
        upload.send(b"UPLOAD a;100000\n")
        self.files.run_all()
        upload.send(bytes(1000))
        self.files.run_all()
        (session,) = self.asked(VERIFY, 1)
        worked = rested = 0.0
        while not (answer := session.answer()):
            worked += 0.01 * self.work_until_rest()
            if not session.transport.value():
                rested += 0.01
                self.depot.clock.advance(0.01)
        self.assertEqual(answer, VERIFIED)
        self.assertGreater(rested, 2 * worked)
        self.assertLess(rested, 5 * worked)
        upload.send(bytes(99_000))
        self.files.run_all()
        self.assertEqual(upload.answer(), md5(bytes(100_000)).hexdigest().encode() + b"\n")
        (session,) = self.asked(VERIFY, 1)
        self.work_until_rest()
        self.assertEqual(session.answer(), VERIFIED)

    def test_slow_disk(self) -> None:
        """It rests a quarter of a second at most, so that it always comes to its end."""
        upload = self.depot.connect()
        upload.send(b"UPLOAD a;100000\n")
        self.files.run_all()
        upload.send(bytes(1000))
        self.files.run_all()
        (session,) = self.asked(VERIFY, 1)
        for _ in range(len(LARGE) // BLOCK):
            while len(self.files):
                self.depot.clock.advance(2)
                self.files.step()
            self.depot.clock.advance(0.25)
        self.files.run_all()
        self.assertEqual(session.answer().splitlines()[-1], LARGE_ID)


class TurnTests(SynchronousTestCase):
    """The turns themselves: two blocks each, one content at a time."""

    SIZE = hash_turns.SMALL + 1

    def setUp(self) -> None:
        self.patch(hash_turns, "SLOTS", 1)
        self.patch(hash_turns, "SLICE", 2)
        self.work = SteppedExecutor()
        self.turns = hash_turns.HashTurns(Clock(), lambda: False)
        self.hashed = ""
        self.gone: set[str] = set()

    def hash(
        self, name: str, blocks: int = 6, size: int = SIZE, for_upload: bool = False
    ) -> Deferred[None]:
        """Hash a content; each block is noted by its name."""

        def note() -> None:
            self.hashed += name

        async def hash() -> None:
            async with self.turns.turn(size, lambda: name in self.gone, for_upload) as turn:
                for block in range(blocks):
                    await self.work.run(note)
                    await turn.progressed(block + 1)

        return Deferred.fromCoroutine(hash())

    def test_slices(self) -> None:
        """Each has its slice as a whole, before the next one has its own."""
        hashing = [self.hash(name) for name in "abc"]
        self.work.run_all()
        self.assertEqual(self.hashed, "aabbcc" * 3)
        for each in hashing:
            self.successResultOf(each)

    def test_by_turns(self) -> None:
        """Uploads do not keep others waiting, nor others them."""
        hashing = [self.hash(name, 2, for_upload=name < "a") for name in "123abc"]
        self.work.run_all()
        self.assertEqual(self.hashed, "11aa22bb33cc")
        for each in hashing:
            self.successResultOf(each)

    def test_gone_between(self) -> None:
        """Who is gone between two slices leaves one place, and not two."""
        gone, other = self.hash("a"), self.hash("b")
        while self.hashed != "aab":
            self.work.step()
        self.gone.add("a")
        third = self.hash("c")
        while len(self.work):
            self.assertEqual(len(self.work), 1)
            self.work.step()
        self.failureResultOf(gone, ConnectionCut)
        self.successResultOf(other)
        self.successResultOf(third)

    def test_crowd_gone(self) -> None:
        """More may be gone at once than the stack is deep."""
        first = self.hash("a")
        crowd = [self.hash("b") for _ in range(3000)]
        last = self.hash("c")
        self.gone.add("b")
        self.work.run_all()
        self.assertEqual(self.hashed, "aacc" * 3)
        self.successResultOf(first)
        self.successResultOf(last)
        for each in crowd:
            self.failureResultOf(each, ConnectionCut)

    def test_crowd_ends(self) -> None:
        """So it is with those that end as soon as their turn comes."""
        first = self.hash("a")
        crowd = [self.hash("b", blocks=0, for_upload=upload) for upload in [False, True] * 2000]
        last = self.hash("c")
        self.work.run_all()
        for each in (first, *crowd, last):
            self.successResultOf(each)

    def test_small(self) -> None:
        """What is small needs no turn, up to its limit."""
        self.hash("a")
        small = self.hash("b", 2, hash_turns.SMALL)
        large = self.hash("c", 2)
        self.assertEqual(len(self.work), 2)
        self.work.run_all()
        self.successResultOf(small)
        self.successResultOf(large)
        self.assertEqual(self.hashed.replace("b", ""), "aaccaaaa")
