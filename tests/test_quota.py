"""Quotas: what would exceed them is refused before its first byte, and they cost few questions."""

from __future__ import annotations

from hashlib import md5, sha256

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.depot import NO_SMALL, Depot, Session
from tests.executors import SteppedExecutor
from tests.visitors import be
from xferproto.identity import ALL_RIGHTS, Identity, View
from xferproto.server.limits import Limits
from xferproto.server.quota import ASK_AGAIN, FRESH
from xferproto.server.state import State
from xferproto.store.local import LocalStore

REFUSED = (
    b"ERROR quota-exceeded This file would exceed the quota; "
    b"delete some files, or ask for a larger one.\n"
)
READY = b"Ready to receive the file\n"


def id_of(content: bytes) -> bytes:
    return md5(content).hexdigest().encode()


class QuotaTests(SynchronousTestCase):
    """Over connections, with a quota of 100 bytes for all."""

    small = NO_SMALL

    def setUp(self) -> None:
        self.depot = Depot(self, small=self.small, limits=Limits(quota=100))
        self.session = self.depot.connect()
        self.asked: list[str | None] = []
        usage = LocalStore.usage

        def counted(store: LocalStore, owner: str | None) -> Deferred[int]:
            self.asked.append(owner)
            return usage(store, owner)

        self.patch(LocalStore, "usage", counted)

    def upload(self, name: bytes, size: int, session: Session | None = None) -> bytes:
        content = name[:1] * size
        line = b"UPLOAD %s;%d\n" % (name, size)
        return (session or self.session).send(line + content)

    def test_full(self) -> None:
        """What fits is stored, to the last byte; one byte more is refused, and no command."""
        self.assertEqual(self.upload(b"a", 60), id_of(b"a" * 60) + b"\n")
        self.assertEqual(self.upload(b"b", 41), REFUSED)
        self.assertEqual(self.upload(b"b", 40), id_of(b"b" * 40) + b"\n")
        self.assertEqual(self.upload(b"c", 1), REFUSED)
        self.assertEqual(self.upload(b"c", 0), id_of(b"") + b"\n")
        self.assertIs(self.session.protocol.state, State.COMMAND)

    def test_prompted(self) -> None:
        """It is told before the first byte."""
        self.session.send(b"UPLOAD\n")
        self.assertEqual(self.session.send(b"a;101\n"), REFUSED)
        self.session.send(b"UPLOAD\n")
        self.assertEqual(self.session.send(b"a;100\n"), READY)

    def test_in_flight(self) -> None:
        """Uploads that run are counted as declared; one that is cut makes room again."""
        self.session.send(b"UPLOAD a;60\nxxx")
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 41, other), REFUSED)
        self.session.lose()
        self.assertEqual(self.upload(b"b", 41, other), id_of(b"b" * 41) + b"\n")

    def test_deleted(self) -> None:
        """What is deleted makes room at once."""
        self.upload(b"a", 100)
        self.assertEqual(self.upload(b"b", 1), REFUSED)
        self.session.send(b"DELETE %s\n" % id_of(b"a" * 100))
        self.assertEqual(self.upload(b"b", 100), id_of(b"b" * 100) + b"\n")

    def test_deleted_elsewhere(self) -> None:
        """What went by another way makes room soon."""
        self.upload(b"a", 100)
        self.assertEqual(self.upload(b"b", 1), REFUSED)
        self.successResultOf(self.depot.store.delete(id_of(b"a" * 100).decode(), None))
        self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"b", 100), id_of(b"b" * 100) + b"\n")

    def test_again(self) -> None:
        """The same file again adds nothing, which shows when it matters."""
        for _ in range(10):
            self.assertEqual(self.upload(b"a", 30), id_of(b"a" * 30) + b"\n")
            self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"b", 70), id_of(b"b" * 70) + b"\n")

    def test_token(self) -> None:
        """An upload under a token counts as declared, once, also while nobody sends it."""
        self.assertTrue(self.session.send(b"RESUME a;60;t\n").startswith(b"0;"))
        self.session.send(b"0\n", b"a" * 10)
        self.session.lose()
        other = self.depot.connect()
        self.assertEqual(self.upload(b"b", 41, other), REFUSED)
        self.assertTrue(other.send(b"RESUME a;60;t\n").startswith(b"10;"))
        self.assertEqual(other.send(b"10\n", b"a" * 50), READY + id_of(b"a" * 60) + b"\n")
        self.depot.clock.advance(ASK_AGAIN)
        self.assertEqual(self.upload(b"b", 41, other), REFUSED)
        self.assertEqual(self.upload(b"b", 40, other), id_of(b"b" * 40) + b"\n")

    def test_token_too_large(self) -> None:
        """One that would exceed it is refused, and leaves no partial."""
        self.assertEqual(self.session.send(b"RESUME a;101;t\n"), REFUSED)
        self.assertEqual(self.successResultOf(self.depot.store.partials()), [])
        self.assertTrue(self.session.send(b"RESUME a;100;t\n").startswith(b"0;"))

    def test_known(self) -> None:
        """A further name of a known content counts like any other."""
        content = b"a" * 60
        self.upload(b"a", 60)
        token = b"sha256:" + sha256(content).hexdigest().encode()
        self.assertEqual(self.session.send(b"RESUME b;60;%s\n" % token), REFUSED)

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


class SmallQuotaTests(QuotaTests):
    """The same, with contents that are kept in memory on their way."""

    small = 1000

    def test_pipelined(self) -> None:
        """Of many in one segment, those that fit are stored, and each has its answer."""
        lines = b"".join(b"UPLOAD %d;30\n" % number + b"%d" % number * 30 for number in range(5))
        answers = self.session.send(lines).splitlines(True)
        self.assertEqual(
            answers, [id_of(b"%d" % number * 30) + b"\n" for number in range(3)] + [REFUSED] * 2
        )


class PipelineTests(SynchronousTestCase):
    """While commits take their time."""

    def test_reserved(self) -> None:
        """What waits for its commit is counted: many at once do not exceed it together."""
        executor = SteppedExecutor()
        depot = Depot(self, database=executor, limits=Limits(quota=100))
        executor.run_all()
        sessions = [depot.connect() for _ in range(10)]
        for number, session in enumerate(sessions):
            session.send(b"UPLOAD %d;30\n" % number + b"%d" % number * 30)
        executor.run_all()
        answers = [session.answer() for session in sessions]
        self.assertEqual(sum(answer == REFUSED for answer in answers), 7)
        self.assertEqual(sum(len(answer) == 33 for answer in answers), 3)


class OwnerTests(SynchronousTestCase):
    """Each user's own."""

    def connect(self, depot: Depot, name: str, quota: int | None) -> Session:
        session = depot.connect()
        be(session, Identity(name, ALL_RIGHTS, View(name), quota))
        return session

    def test_concerned(self) -> None:
        """Only who has one, or where there is one for all, is anything kept account of."""
        quota = Depot(self).factory.quota
        self.assertFalse(quota.concerns(None))
        self.assertTrue(quota.concerns(0))

    def test_own(self) -> None:
        """Who has a quota is held to it, and others are not."""
        depot = Depot(self)
        kim, lee = self.connect(depot, "kim", 10), self.connect(depot, "lee", None)
        self.assertEqual(kim.send(b"UPLOAD a;11\nhello world"), REFUSED)
        self.assertEqual(lee.send(b"UPLOAD a;11\nhello world"), id_of(b"hello world") + b"\n")
        kim.send(b"UPLOAD a;6\nhello ")
        self.assertEqual(kim.send(b"UPLOAD b;3\nabc"), id_of(b"abc") + b"\n")

    def test_both(self) -> None:
        """The quota of all holds for each, too."""
        depot = Depot(self, limits=Limits(quota=8))
        kim, lee = self.connect(depot, "kim", 10), self.connect(depot, "lee", None)
        kim.send(b"UPLOAD a;6\nhello ")
        self.assertEqual(kim.send(b"UPLOAD b;3\nabc"), REFUSED)
        self.assertEqual(lee.send(b"UPLOAD b;3\nabc"), REFUSED)
        self.assertEqual(lee.send(b"UPLOAD b;2\nab"), id_of(b"ab") + b"\n")
