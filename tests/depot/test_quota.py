"""Quotas: what would exceed them is refused before its first byte, and they cost few questions."""

from __future__ import annotations

import os
from hashlib import md5, sha256

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import NO_SMALL, Depot, Session
from tests.support.executors import GatedExecutor, SteppedExecutor
from tests.support.visitors import be
from xferproto.depot.quota import ASK_AGAIN, FRESH, Usage
from xferproto.model.errors import NoSpace
from xferproto.model.identity import ALL_RIGHTS, EVERYTHING, Identity, View
from xferproto.store.interface import FLAT_COST
from xferproto.store.local.store import LocalStore
from xferproto.store.reservation import WINDOW
from xferproto.wire.states import State

REFUSED = (
    b"ERROR quota-exceeded This file would exceed the quota; "
    b"delete some files, or ask for a larger one.\n"
)
READY = b"Ready to receive the file\n"

UNIT = FLAT_COST
"""What a name counts beside its content; here all is counted in these."""


def of(units: int, letter: bytes = b"a") -> bytes:
    """A content that counts, with its name, as so many units."""
    return letter * ((units - 1) * UNIT)


def id_of(content: bytes) -> bytes:
    return md5(content).hexdigest().encode()


class QuotaCase(SynchronousTestCase):
    """Over connections, with a quota of 100 units for all; nothing stays claimed in the end."""

    small = NO_SMALL

    def setUp(self) -> None:
        self.depot = Depot(self, small=self.small, quota=100 * UNIT)
        self.session = self.depot.connect()

    def upload(self, name: bytes, units: int, session: Session | None = None) -> bytes:
        content = of(units, name[:1])
        return (session or self.session).send(b"UPLOAD %s;%d\n" % (name, len(content)) + content)

    def stored(self, name: bytes, units: int) -> bytes:
        """The answer to L{upload} where all is well."""
        return id_of(of(units, name[:1])) + b"\n"


class QuotaTests(QuotaCase):
    """What fits, and what does not."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str | None] = []
        usage = LocalStore.usage

        def counted(store: LocalStore, owner: str | None) -> Deferred[int]:
            self.asked.append(owner)
            return usage(store, owner)

        self.patch(LocalStore, "usage", counted)

    def test_full(self) -> None:
        """What fits is stored, to the last byte; one byte more is refused, and no command."""
        self.assertEqual(self.upload(b"a", 60), self.stored(b"a", 60))
        self.assertEqual(self.upload(b"b", 41), REFUSED)
        content = of(40, b"b")
        self.assertEqual(
            self.session.send(b"UPLOAD b;%d\nx" % (len(content) + 1) + content), REFUSED
        )
        self.assertEqual(self.upload(b"b", 40), self.stored(b"b", 40))
        self.assertEqual(self.upload(b"c", 1), REFUSED)
        self.assertIs(self.session.protocol.state, State.COMMAND)

    def test_prompted(self) -> None:
        """It is told before the first byte."""
        self.session.send(b"UPLOAD\n")
        self.assertEqual(self.session.send(b"a;%d\n" % (99 * UNIT + 1)), REFUSED)
        self.session.send(b"UPLOAD\n")
        self.assertEqual(self.session.send(b"a;%d\n" % (99 * UNIT)), READY)

    def test_in_flight(self) -> None:
        """Uploads that run are counted as declared; one that is cut makes room again."""
        self.session.send(b"UPLOAD a;%d\nxxx" % (59 * UNIT))
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 41, other), REFUSED)
        self.session.lose()
        self.assertEqual(self.upload(b"b", 41, other), self.stored(b"b", 41))

    def test_deleted(self) -> None:
        """What is deleted makes room at once."""
        self.upload(b"a", 100)
        self.assertEqual(self.upload(b"b", 1), REFUSED)
        self.session.send(b"DELETE %s\n" % id_of(of(100)))
        self.assertEqual(self.upload(b"b", 100), self.stored(b"b", 100))

    def test_deleted_elsewhere(self) -> None:
        """What went by another way makes room soon."""
        self.upload(b"a", 100)
        self.assertEqual(self.upload(b"b", 1), REFUSED)
        self.successResultOf(self.depot.store.delete(id_of(of(100)).decode(), None, EVERYTHING))
        self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"b", 100), self.stored(b"b", 100))

    def test_again(self) -> None:
        """The same file again adds nothing, which shows when it matters."""
        for _ in range(10):
            self.assertEqual(self.upload(b"a", 30), self.stored(b"a", 30))
            self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"b", 70), self.stored(b"b", 70))

    def test_known(self) -> None:
        """A further name of a known content counts like any other."""
        self.upload(b"a", 60)
        content = of(60)
        token = b"sha256:" + sha256(content).hexdigest().encode()
        resume = b"RESUME b;%d;%s\n" % (len(content), token)
        self.assertEqual(self.session.send(resume), REFUSED)

    def test_few_questions(self) -> None:
        """While there is room the store is asked once in a while, not for each file."""
        for number in range(50):
            self.upload(b"%d" % number, 1)
        self.assertEqual(self.asked, [None])
        self.depot.clock.advance(FRESH)
        self.upload(b"x", 1)
        self.assertEqual(self.asked, [None, None])

    def test_refusals_in_a_row(self) -> None:
        """Who is refused again and again has the store asked once a second."""
        self.upload(b"a", 100)
        asked = len(self.asked)
        for _ in range(10):
            self.assertEqual(self.upload(b"b", 1), REFUSED)
        self.assertLessEqual(len(self.asked) - asked, 1)

    def test_names(self) -> None:
        """Names of one empty file count, each; what is deleted counts no more."""
        answers = [self.session.send(b"UPLOAD %d;0\n" % number) for number in range(101)]
        self.assertEqual(answers, [id_of(b"") + b"\n"] * 100 + [REFUSED])
        self.session.send(b"DELETE %s;7\n" % id_of(b""))
        self.assertEqual(self.session.send(b"UPLOAD x;0\n"), id_of(b"") + b"\n")

    def test_over(self) -> None:
        """Who has more than the quota is served, and can delete; nothing is added until it fits."""
        self.upload(b"a", 50)
        self.upload(b"b", 50)
        self.depot.core.quota._total = 70 * UNIT
        self.assertEqual(self.upload(b"c", 1), REFUSED)
        self.assertIn(b";b;", self.session.send(b"LIST_FILES\n"))
        id = id_of(of(50))
        self.assertTrue(self.session.send(b"DOWNLOAD %s;0;5\n" % id).endswith(b"\naaaaa"))
        self.assertEqual(self.session.send(b"VERIFY %s\n" % id), id + b"\n")
        self.assertEqual(self.session.send(b"DELETE %s\n" % id), id + b"\n")
        self.assertEqual(self.upload(b"c", 20), self.stored(b"c", 20))


class SmallQuotaTests(QuotaTests):
    """The same, with contents that are kept in memory on their way."""

    small = 100 * UNIT

    def test_pipelined(self) -> None:
        """Of many in one segment, those that fit are stored, and each has its answer."""
        letters = (b"a", b"b", b"c", b"d", b"e")
        contents = [of(30, letter) for letter in letters]
        lines = b"".join(
            b"UPLOAD %s;%d\n" % (letter, len(content)) + content
            for letter, content in zip(letters, contents, strict=True)
        )
        answers = self.session.send(lines).splitlines(True)
        self.assertEqual(
            answers, [id_of(content) + b"\n" for content in contents[:3]] + [REFUSED] * 2
        )

    def test_slow(self) -> None:
        """One that comes slowly is kept its room: there is nothing to fail midway."""
        content = of(90)
        self.session.send(b"UPLOAD a;%d\n" % len(content))
        other = self.depot.connect()
        for second in range(0, 150, 50):
            self.session.send(content[second : second + 50])
            self.depot.clock.advance(50)
        self.assertGreater(self.depot.clock.seconds(), WINDOW)
        self.assertEqual(self.upload(b"b", 20, other), REFUSED)
        self.assertEqual(self.session.send(content[150:]), id_of(content) + b"\n")


class TokenTests(QuotaCase):
    """
    Uploads under tokens. One that is finished counts as its file, its name and its token; until
    then it counts as what it holds and its token.
    """

    def begin(self, name: bytes, units: int, token: bytes = b"t") -> bytes:
        """Begin or go on with an upload, on the newest session: what is answered to its details."""
        line = b"RESUME %s;%d;%s\n" % (name, (units - 2) * UNIT, token)
        return self.session.send(line)

    def again(self) -> None:
        """The connection is lost; there is another one."""
        self.session.lose()
        self.session = self.depot.connect()

    def test_idle(self) -> None:
        """One that nobody sends counts what it holds, and no more; what goes on claims the rest."""
        self.begin(b"a", 100)
        self.session.send(b"0\n", b"a" * 10 * UNIT)
        self.again()
        self.assertEqual(self.upload(b"b", 90), REFUSED)
        self.assertEqual(self.upload(b"b", 89), self.stored(b"b", 89))
        self.assertEqual(self.begin(b"a", 100), REFUSED)
        self.session.send(b"DELETE %s\n" % id_of(of(89, b"b")))
        self.assertTrue(self.begin(b"a", 100).startswith(b"%d;" % (10 * UNIT)))
        content = b"a" * 98 * UNIT
        answer = self.session.send(b"%d\n" % (10 * UNIT), content[10 * UNIT :])
        self.assertEqual(answer, READY + id_of(content) + b"\n")
        self.depot.clock.advance(FRESH)
        self.assertEqual(self.upload(b"c", 1), REFUSED)

    def test_one_line(self) -> None:
        """One line and a hang-up keep nothing from anybody, and leave nothing."""
        self.assertTrue(self.begin(b"a", 100).startswith(b"0;"))
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 1, other), REFUSED)
        self.session.lose()
        self.assertEqual(self.successResultOf(self.depot.store.maintenance.partials()), [])
        self.assertEqual(self.upload(b"b", 100, other), self.stored(b"b", 100))

    def test_too_large(self) -> None:
        """One that would exceed it is refused, and leaves no partial."""
        self.assertEqual(self.begin(b"a", 101), REFUSED)
        self.assertEqual(self.successResultOf(self.depot.store.maintenance.partials()), [])
        self.assertTrue(self.begin(b"a", 100).startswith(b"0;"))

    def test_busy(self) -> None:
        """Those that wait for one token claim what they add when they have it, not before."""
        self.begin(b"h", 42)
        content = b"h" * 40 * UNIT
        self.session.send(b"0\n", content[: 20 * UNIT])
        waiting = [self.depot.connect() for _ in range(6)]
        for number, session in enumerate(waiting):
            self.assertEqual(session.send(b"RESUME %d;%d;t\n" % (number, len(content))), b"")
        self.assertEqual(self.session.send(content[20 * UNIT :]), id_of(content) + b"\n")
        stored = 1
        for _ in range(len(waiting)):  # each in its turn gets the token, and sends other bytes
            self.depot.clock.advance(0.25)
            for session in waiting:
                answer = session.answer()
                if answer.startswith(b"ERROR"):
                    self.assertEqual(answer, REFUSED)
                elif answer:
                    session.send(b"0\n")
                    other = b"%d" % stored * len(content)
                    self.assertEqual(session.send(other), id_of(other) + b"\n")
                    stored += 1
        self.assertEqual(stored, 2)
        self.assertLessEqual(self.successResultOf(self.depot.store.usage(None)), 100 * UNIT)

    def test_kept(self) -> None:
        """What came whole and could not be stored counts at once: it is held."""
        self.begin(b"a", 62)
        self.session.send(b"0\n")

        def broken(fd: int) -> None:
            raise OSError("a cable is loose")

        fsync = self.patch(os, "fsync", broken)
        self.assertIn(b"internal", self.session.send(b"a" * 60 * UNIT))
        fsync.restore()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.upload(b"b", 40), REFUSED)
        self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"b", 39), self.stored(b"b", 39))

    def test_anew(self) -> None:
        """What starts over counts the bytes that it held before once."""
        self.begin(b"a", 80)
        self.session.send(b"0\n", b"x" * 50 * UNIT)
        self.again()
        self.begin(b"a", 80)
        content = b"a" * 78 * UNIT
        other = self.depot.connect()
        answer = self.session.send(b"0\n", content[: 30 * UNIT])
        self.assertEqual(answer, READY)
        self.assertEqual(self.upload(b"b", 21, other), REFUSED)
        self.depot.clock.advance(FRESH)
        self.assertEqual(self.upload(b"b", 20, other), self.stored(b"b", 20))
        self.assertEqual(self.session.send(content[30 * UNIT :]), id_of(content) + b"\n")

    def test_discarded(self) -> None:
        """Who is over the quota can discard what is held, and goes on with the room."""
        self.begin(b"a", 60)
        self.session.send(b"0\n", b"a" * 50 * UNIT)
        self.again()
        self.upload(b"b", 49)
        self.depot.core.quota._total = 30 * UNIT
        self.assertEqual(self.upload(b"c", 1), REFUSED)
        answer = self.session.send(b"RESUME a;0;t\n", b"1\n")
        self.assertTrue(answer.startswith(b"0;"), answer)
        self.assertIn(b"\nERROR bad-range ", answer)
        self.assertEqual(self.successResultOf(self.depot.store.maintenance.partials()), [])
        self.depot.core.quota._total = 60 * UNIT
        self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"c", 11), self.stored(b"c", 11))

    def test_finished_tokens(self) -> None:
        """A token that stands for a content counts, and its name."""
        for number in range(50):
            self.session.send(b"RESUME %d;0;t%d\n" % (number, number))
            self.assertEqual(self.session.send(b"0\n"), READY + id_of(b"") + b"\n")
        self.assertEqual(self.session.send(b"RESUME x;0;tx\n"), REFUSED)

    def test_not_opened(self) -> None:
        """What can't be opened on the disk keeps nothing of the quota, with a token or without."""

        def broken(*_: object) -> None:
            raise OSError("a cable is loose")

        for method in ("new", "partial"):
            self.patch(self.depot.store.objects, method, broken)
        for request in (b"UPLOAD a;%d\n", b"RESUME a;%d;t\n"):
            session = self.depot.connect()
            self.assertIn(b"internal", session.send(request % (60 * UNIT)))
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
            self.assertEqual(self.depot.core.quota._all.reserved, 0)


class SlowTests(QuotaCase):
    """Who declares much and sends little."""

    def test_trickle(self) -> None:
        """It keeps nobody out for long; it goes on with what is left, and fails cleanly."""
        self.session.send(b"UPLOAD slow;%d\nx" % (99 * UNIT))
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 90, other), REFUSED)
        let_in = 0
        for second in range(300):
            self.depot.clock.advance(1)
            self.session.send(b"x" * 2)
            if self.upload(b"b", 90, other) == self.stored(b"b", 90):
                let_in = second
                break
            other.send(b"HELP\n")
        self.assertTrue(0 < let_in <= 2 * WINDOW, let_in)
        self.assertEqual(self.session.answer(), b"")
        rest = 99 * UNIT - 1 - 2 * (let_in + 1)
        self.assertEqual(self.session.send(b"x" * rest + b"HELP\n")[:5], b"ERROR")
        self.assertIs(self.session.protocol.state, State.COMMAND)
        self.depot.clock.advance(FRESH)
        self.assertEqual(self.upload(b"c", 10, other), self.stored(b"c", 10))

    def test_silent(self) -> None:
        """Who has asked for an offset and does not answer keeps nobody out; what it holds stays."""
        line = b"RESUME s;%d;t\n" % (98 * UNIT)
        self.session.send(line)
        self.session.send(b"0\n", b"s" * UNIT)
        self.session.lose()
        self.session = self.depot.connect()
        self.assertTrue(self.session.send(line).startswith(b"%d;" % UNIT))
        self.depot.clock.advance(WINDOW)
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 90, other), self.stored(b"b", 90))
        self.assertEqual(self.session.send(b"%d\n" % UNIT), READY)
        answer = self.session.send(b"s" * 97 * UNIT)
        self.assertEqual(answer, REFUSED)
        (partial,) = self.successResultOf(self.depot.store.maintenance.partials())
        self.assertEqual(partial.held, UNIT)

    def test_steady(self) -> None:
        """Who goes on as it began keeps what it was promised, and is stored."""
        content = of(99)
        self.session.send(b"UPLOAD a;%d\n" % len(content))
        other = self.depot.connect()
        for start in range(0, len(content), UNIT):
            self.assertEqual(self.upload(b"b", 2, other), REFUSED)
            other.send(b"HELP\n")  # or too many errors come in a row
            self.depot.clock.advance(10)
            answer = self.session.send(content[start : start + UNIT])
        self.assertEqual(answer, id_of(content) + b"\n")

    def test_room_again(self) -> None:
        """Where there is room again by the time the bytes come, they are taken."""
        content = of(90)
        self.session.send(b"UPLOAD a;%d\n" % len(content))
        self.depot.clock.advance(30)
        self.session.send(content[:1])
        self.depot.clock.advance(59)
        self.session.send(content[1:2])
        self.depot.clock.advance(59)
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 80, other), self.stored(b"b", 80))
        other.send(b"DELETE %s\n" % id_of(of(80, b"b")))
        self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.session.send(content[2:]), id_of(content) + b"\n")

    def test_held_back(self) -> None:
        """Nothing more is taken of a peer while the store is asked whether there is room."""
        database = GatedExecutor()
        self.depot = Depot(self, database=database, small=NO_SMALL, quota=100 * UNIT)
        self.session, other = self.depot.connect(), self.depot.connect()
        content = of(90)
        self.session.send(b"UPLOAD a;%d\n" % len(content))
        for _ in range(2):
            self.depot.clock.advance(60)
            self.session.send(content[1:2])
        self.assertEqual(self.upload(b"b", 80, other), self.stored(b"b", 80))
        other.send(b"DELETE %s\n" % id_of(of(80, b"b")))
        self.depot.clock.advance(ASK_AGAIN)
        database.open = False
        self.assertEqual(self.session.send(content[2:]), b"")
        self.assertTrue(self.session.protocol.paused)
        database.run_all()
        self.assertFalse(self.session.protocol.paused)
        database.open = True


class PipelineTests(SynchronousTestCase):
    """While commits take their time."""

    def test_reserved(self) -> None:
        """What waits for its commit is counted: many at once do not exceed it together."""
        executor = SteppedExecutor()
        depot = Depot(self, database=executor, quota=10 * UNIT)
        executor.run_all()
        sessions = [depot.connect() for _ in range(10)]
        content = of(3)
        for number, session in enumerate(sessions):
            session.send(b"UPLOAD %d;%d\n" % (number, len(content)) + content)
        executor.run_all()
        answers = [session.answer() for session in sessions]
        self.assertEqual(sum(answer == REFUSED for answer in answers), 7)
        self.assertEqual(sum(len(answer) == 33 for answer in answers), 3)


class FailedTests(SynchronousTestCase):
    """Uploads that come to nothing; the clean-up sees that nothing stays claimed for them."""

    def test_lost_while_asked(self) -> None:
        """A connection that is lost while the store is asked what is used."""
        for request in (b"UPLOAD a;100000\n", b"UPLOAD a;1000\n", b"RESUME a;1000;t\n"):
            database = GatedExecutor()
            depot = Depot(self, database=database, quota=200 * UNIT)
            database.open = False
            session = depot.connect()
            session.send(request)
            self.assertIs(session.protocol.state, State.WORKING)
            session.lose()
            database.run_all()
            database.open = True
            content = of(200)
            answer = depot.connect().send(b"UPLOAD b;%d\n" % len(content) + content)
            self.assertEqual(answer, id_of(content) + b"\n")

    def test_refused_by_the_store(self) -> None:
        """One that the store does not take, whatever its size."""
        for size, failing in ((1000, "put"), (100_000, "create")):
            depot = Depot(self, quota=200 * UNIT)
            refused = self.patch(LocalStore, failing, lambda *_: fail(NoSpace()))
            session = depot.connect()
            answer = session.send(b"UPLOAD a;%d\n" % size + bytes(size))
            self.assertTrue(answer.startswith(b"ERROR no-space "), answer)
            refused.restore()
            content = of(200)
            answer = session.send(b"UPLOAD b;%d\n" % len(content) + content)
            self.assertEqual(answer, id_of(content) + b"\n")


class UsageTests(SynchronousTestCase):
    """What is known of the bytes that are stored."""

    def test_stored_meanwhile(self) -> None:
        """What is stored while the store is asked is added to its answer, each time anew."""
        answers: list[Deferred[int]] = []

        def count(owner: str | None) -> Deferred[int]:
            answers.append(Deferred())
            return answers[-1]

        usage = Usage(Clock(), None, count)
        for meanwhile in (5, 0):
            asking = Deferred.fromCoroutine(usage.ask())
            usage.stored(meanwhile)
            answers[-1].callback(10)
            self.successResultOf(asking)
            self.assertEqual(usage.room(100), 90 - meanwhile)


class OwnerTests(SynchronousTestCase):
    """Each user's own."""

    def connect(self, depot: Depot, name: str, quota: int | None) -> Session:
        session = depot.connect()
        be(session, Identity(name, ALL_RIGHTS, View(name), quota))
        return session

    def test_concerned(self) -> None:
        """Only who has one, or where there is one for all, is anything kept account of."""
        quota = Depot(self).factory.depot.quota
        self.assertFalse(quota.concerns(None))
        self.assertTrue(quota.concerns(0))

    def test_own(self) -> None:
        """Who has a quota is held to it, and others are not."""
        depot = Depot(self)
        kim, lee = self.connect(depot, "kim", 10 + 2 * UNIT), self.connect(depot, "lee", None)
        large = b"x" * (2 * UNIT)
        self.assertEqual(kim.send(b"UPLOAD a;%d\n" % len(large) + large), REFUSED)
        self.assertEqual(lee.send(b"UPLOAD a;%d\n" % len(large) + large), id_of(large) + b"\n")
        kim.send(b"UPLOAD a;6\nhello ")
        self.assertEqual(kim.send(b"UPLOAD b;3\nabc"), id_of(b"abc") + b"\n")
        self.assertEqual(kim.send(b"UPLOAD c;0\n"), REFUSED)

    def test_both(self) -> None:
        """The quota of all holds for each, too."""
        depot = Depot(self, quota=8 + 2 * UNIT)
        kim, lee = self.connect(depot, "kim", 10 + 3 * UNIT), self.connect(depot, "lee", None)
        kim.send(b"UPLOAD a;6\nhello ")
        self.assertEqual(kim.send(b"UPLOAD b;3\nabc"), REFUSED)
        self.assertEqual(lee.send(b"UPLOAD b;3\nabc"), REFUSED)
        self.assertEqual(lee.send(b"UPLOAD b;2\nab"), id_of(b"ab") + b"\n")

    def test_strangers(self) -> None:
        """Tokens of strangers count for strangers, those of users for their users."""
        depot = Depot(self)
        for name in ("", "kim", "kim.2"):
            session = self.connect(depot, name, 5 * UNIT)
            session.send(b"RESUME a;%d;t\n" % (3 * UNIT))
            session.send(b"0\n", b"x" * 2 * UNIT)
            session.lose()
            session = self.connect(depot, name, 5 * UNIT)
            self.assertEqual(session.send(b"UPLOAD b;%d\n" % (2 * UNIT) + b"x" * 2 * UNIT), REFUSED)
            answer = session.send(b"UPLOAD b;%d\n" % UNIT + b"x" * UNIT)
            self.assertEqual(answer, id_of(b"x" * UNIT) + b"\n")
