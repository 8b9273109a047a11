"""Pipelined requests: taken in before the ones before them are answered, answered in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import md5

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import digests_of
from tests.support.collision import COLLISION_ID, FIRST, SECOND
from tests.support.depot import Depot, Session, small_rows
from tests.support.executors import GatedExecutor
from xferproto.model.identity import EVERYTHING
from xferproto.server.connections import GRACE
from xferproto.server.limits import MAX_ERRORS
from xferproto.server.line.plain import help_lines
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.transfer.budget import MemoryBudget
from xferproto.transfer.sender import BLOCK
from xferproto.wire.states import State

HELP = b"".join(line + b"\n" for line in help_lines()) + b"DONE\n"
NONE = b"No files available at the moment\nDONE\n"
READY = b"Ready to receive the file\n"
LARGE = bytes(2 * BLOCK + 1)
"""A content that has a file, and is sent in three blocks."""


def id_of(content: bytes) -> bytes:
    return md5(content).hexdigest().encode()


def upload(name: bytes, content: bytes) -> bytes:
    """A one-line upload."""
    return b"UPLOAD %s;%d\n" % (name, len(content)) + content


def download(content: bytes) -> bytes:
    """A one-line download."""
    return b"DOWNLOAD %s\n" % id_of(content)


def told(content: bytes) -> bytes:
    """The answer to an upload."""
    return id_of(content) + b"\n"


def sent(name: bytes, content: bytes) -> bytes:
    """The answer to a download."""
    return b"%s;%s;%d\n" % (id_of(content), name, len(content)) + content


def error(line: bytes) -> bytes:
    """The symbol of an error line."""
    assert line.startswith(b"ERROR "), line
    return line.split()[1]


class PipelineCase(SynchronousTestCase):
    """
    A depot whose store and disk work at once, until they are told to wait.

    @ivar files: reads, hashes and writes files.
    @ivar database: commits and looks up.
    """

    def setUp(self) -> None:
        self.files, self.database = GatedExecutor(), GatedExecutor()
        self.addCleanup(self.work)
        self.depot = Depot(self, self.files, database=self.database)

    def store(self, name: bytes, content: bytes) -> None:
        """Store a content over another connection, at once."""
        session = self.depot.connect()
        self.assertEqual(session.send(upload(name, content)), told(content))
        session.lose()

    def connect(self) -> Session:
        """A connection to a depot that, from now on, works when it is told to."""
        self.files.open = self.database.open = False
        return self.depot.connect()

    def work(self) -> None:
        """Do all that waits, and what comes of it."""
        while len(self.files) or len(self.database):
            self.files.run_all()
            self.database.run_all()

    def answered(self, session: Session) -> bytes:
        """What is answered once all is done."""
        self.work()
        return session.answer()


class OrderTests(PipelineCase):
    """Answers come in the order of the requests."""

    def test_uploads(self) -> None:
        """Uploads are taken in while others are committed, and told in order once they are."""
        contents = [b"%d" % number for number in range(20)]
        session = self.connect()
        self.assertEqual(session.send(b"".join(upload(b"a", data) for data in contents)), b"")
        self.assertIs(session.protocol.state, State.COMMAND)
        self.assertFalse(session.protocol.paused)
        self.database.step()
        self.assertEqual(session.answer(), told(contents[0]))
        self.assertEqual(self.answered(session), b"".join(map(told, contents[1:])))

    def test_few_commits(self) -> None:
        """However many they are, two commits suffice: one for the first, one for all others."""
        session = self.connect()
        session.send(b"".join(upload(b"a", b"%d" % number) for number in range(100)))
        for _ in range(2):
            self.assertEqual(len(self.database), 1)
            self.database.step()
        self.assertEqual(len(self.database), 0)
        self.assertEqual(session.answer().count(b"\n"), 100)

    def test_downloads(self) -> None:
        """So are downloads, of whole contents and ranges."""
        self.store(b"a", b"hello")
        self.store(b"b", b"world")
        session = self.connect()
        self.assertEqual(
            session.send(
                download(b"world"),
                b"DOWNLOAD %s;1;3\n" % id_of(b"hello"),
                b"DOWNLOAD %s;5\n" % id_of(b"hello"),
                download(b"world"),
            ),
            b"",
        )
        entry = b"%s;a;5\n" % id_of(b"hello")
        world = sent(b"b", b"world")
        self.assertEqual(self.answered(session), world + entry + b"ell" + entry + world)

    def test_known_in_any_order(self) -> None:
        """An answer that is known early waits for those before it."""
        self.database.open = True
        waiting: list[Deferred[object]] = []

        def put(*_: object) -> Deferred[object]:
            waiting.append(Deferred())
            return waiting[-1]

        entries = [
            self.successResultOf(self.depot.store.put(name, data, digests, EVERYTHING))
            for name, data, digests in (
                ("a", data, digests_of(data)) for data in (b"1", b"2", b"3", b"4")
            )
        ]
        session = self.connect()
        self.patch(self.depot.store, "put", put)
        session.send(b"".join(upload(b"a", data) for data in (b"1", b"2", b"3", b"4")))
        for number, answer in (
            (2, b""),
            (0, told(b"1")),
            (3, b""),
            (1, told(b"2") + told(b"3") + told(b"4")),
        ):
            waiting[number].callback(entries[number])
            self.assertEqual(session.answer(), answer)

    def test_mixed_kinds(self) -> None:
        """A request of another kind is begun when all before it are answered, and sees them."""
        session = self.connect()
        script = [
            (upload(b"a", b"hello"), told(b"hello")),
            (upload(b"b", b"world"), told(b"world")),
            (download(b"hello"), sent(b"a", b"hello")),
            (download(b"world"), sent(b"b", b"world")),
            (upload(b"c", b"hello"), told(b"hello")),
            (b"HELP\n", HELP),
            (b"LIST_FILES b\n", b"%s;b;5\nDONE\n" % id_of(b"world")),
            (b"DELETE %s\n" % id_of(b"world"), told(b"world")),
            (upload(b"large", LARGE), told(LARGE)),
            (upload(b"d", b"!"), told(b"!")),
            (b"VERIFY %s\n" % id_of(b"!"), told(b"!")),
            (download(LARGE), sent(b"large", LARGE)),
            (download(b"!"), sent(b"d", b"!")),
            (b"RESUME e;1;sha256:%s\n" % digests_of(b"!").sha256.encode(), b"1;" + told(b"!")),
        ]
        came = session.send(b"".join(request for request, _ in script))
        self.assertEqual(came + self.answered(session), b"".join(answer for _, answer in script))
        self.assertIs(session.protocol.state, State.ARGUMENT)

    def test_not_begun_before(self) -> None:
        """A listing behind uploads is not begun, and the input held back, until they are told."""
        session = self.connect()
        session.send(upload(b"a", b"hello") + b"LIST_FILES\nHELP\n")
        self.assertIs(session.protocol.state, State.WORKING)
        self.assertTrue(session.protocol.paused)
        self.assertEqual(len(self.database), 1)
        listing = b"%s;a;5\nDONE\n" % id_of(b"hello")
        self.assertEqual(self.answered(session), told(b"hello") + listing + HELP)
        self.assertFalse(session.protocol.paused)

    def test_prompted_behind(self) -> None:
        """A prompt comes when all before it are answered; what follows is taken as usual."""
        self.store(b"a", b"hello")
        ask = b"Please send the file name and file size\n"
        for behind, argument, answer in (
            (b"UPLOAD\n", b"b;5\n", READY),
            (b"UPLOAD\n", b"b;0\n", READY + told(b"")),
            (b"UPLOAD\n", b"b;%d\n" % (SMALL_SIZE + 1), READY),
            (b"DOWNLOAD\n", b"%s\n" % id_of(b"hello"), sent(b"a", b"hello")),
        ):
            session = self.connect()
            session.send(download(b"hello") + upload(b"b", b"") + behind)
            prompt = ask if behind == b"UPLOAD\n" else b"Please send a file ID\n"
            self.assertEqual(self.answered(session), sent(b"a", b"hello") + told(b"") + prompt)
            self.assertEqual(session.send(argument) + self.answered(session), answer.lstrip())
            session.lose()

    def test_large_among_small(self) -> None:
        """A large download among small ones is sent in its turn, and cut off where it fails."""
        self.store(b"a", b"hello")
        self.store(b"large", LARGE)
        session = self.connect()
        came = session.send((download(b"hello") + download(LARGE)) * 2 + download(b"hello"))
        small, large = sent(b"a", b"hello"), sent(b"large", LARGE)
        self.assertEqual(came + self.answered(session), (small + large) * 2 + small)
        self.assertIs(session.protocol.state, State.COMMAND)
        session.send(download(b"hello") + download(LARGE) + download(b"hello"))
        while session.protocol.state is not State.SENDING:
            (self.database if len(self.database) else self.files).step()
        path = self.depot.root / "objects" / id_of(LARGE)[:2].decode() / id_of(LARGE).decode()
        os.truncate(path, BLOCK)
        came = self.answered(session)
        self.assertTrue((small + large).startswith(came))
        self.assertTrue(session.transport.aborted)

    def test_large_gone_in_its_turn(self) -> None:
        """One that can't be opened any more in its turn is refused; those behind it are sent."""
        self.store(b"a", b"hello")
        self.store(b"large", LARGE)
        session = self.connect()
        session.send(download(LARGE) + download(b"hello"))
        path = self.depot.root / "objects" / id_of(LARGE)[:2].decode() / id_of(LARGE).decode()
        path.unlink()
        refused, rest = self.answered(session).split(b"\n", 1)
        self.assertEqual((error(refused), rest), (b"corrupt", sent(b"a", b"hello")))


class ErrorTests(PipelineCase):
    """Refusals among pipelined requests."""

    def test_in_the_middle(self) -> None:
        """An error stands where its request stood, whatever found it and whenever."""
        self.store(b"first", FIRST)
        session = self.connect()
        session.send(
            upload(b"a", b"1"),
            upload(b"second", SECOND),  # the store finds it
            upload(b"b", b"2"),
            upload(b"..", b"QUIT\n"),  # its line does
            upload(b"c", b"3"),
            b"x\n",
            upload(b"d", b"4"),
        )
        lines = self.answered(session).splitlines()
        found = [error(line) if line.startswith(b"ERROR") else line for line in lines]
        good = [id_of(b"%d" % number) for number in range(1, 5)]
        expected = [good[0], b"collision", good[1], b"bad-name", good[2], b"bad-command", good[3]]
        self.assertEqual(found, expected)
        self.assertIs(session.protocol.state, State.COMMAND)

    def test_downloads(self) -> None:
        """So it is among downloads."""
        self.store(b"a", b"hello")
        session = self.connect()
        hello = id_of(b"hello")
        session.send(
            download(b"hello"),
            download(b"unknown"),
            b"DOWNLOAD %s;6\n" % hello,
            b"DOWNLOAD x\n",
            b"DOWNLOAD %s;0;0;0\n" % hello,
            b"DOWNLOAD %s;x\n" % hello,
            download(b"hello"),
        )
        answer = self.answered(session)
        whole = sent(b"a", b"hello")
        self.assertTrue(answer.startswith(whole) and answer.endswith(whole))
        errors = [error(line) for line in answer[len(whole) : -len(whole)].splitlines()]
        self.assertEqual(
            errors, [b"no-such-file", b"bad-range", b"bad-id", b"bad-details", b"bad-range"]
        )

    def test_failure_in_the_middle(self) -> None:
        """A failure of the store is C{internal} for those that it befell, and logged."""
        session = self.connect()
        session.send(upload(b"a", b"1"))
        self.database.step()
        answer = session.answer()
        broken = self.patch(type(self.depot.store._small), "add", _fail)
        session.send(upload(b"b", b"2") + upload(b"c", b"3"))
        self.work()
        broken.restore()
        answer += session.send(upload(b"d", b"4"))
        one, two, three, four = (answer + self.answered(session)).splitlines()
        self.assertEqual([one, four], [id_of(b"1"), id_of(b"4")])
        self.assertEqual([error(two), error(three)], [b"internal"] * 2)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_many_close(self) -> None:
        """The twentieth error in a row closes; what is behind it is not answered."""
        self.store(b"a", b"hello")
        session = self.connect()
        request = download(b"hello") + download(b"x") * MAX_ERRORS + download(b"hello") * 3
        session.send(request + b"HELP\n")
        answer = self.answered(session)
        whole = sent(b"a", b"hello")
        self.assertTrue(answer.startswith(whole))
        errors = answer[len(whole) :].splitlines()
        self.assertEqual([error(line) for line in errors], [b"no-such-file"] * MAX_ERRORS)
        self.assertIs(session.protocol.state, State.CLOSING)
        self.assertTrue(session.transport.half_closed)

    def test_many_and_one_good(self) -> None:
        """A good answer in between starts the count again."""
        self.store(b"a", b"hello")
        session = self.connect()
        request = download(b"x") * (MAX_ERRORS - 1) + download(b"hello")
        session.send(request * 3)
        self.work()
        self.assertIs(session.protocol.state, State.COMMAND)

    def test_many_before_one_that_waits(self) -> None:
        """Nor is a request that waited begun behind the twentieth."""
        self.store(b"a", b"hello")
        session = self.connect()
        session.send(download(b"x") * MAX_ERRORS + b"DELETE %s\n" % id_of(b"hello"))
        self.work()
        self.assertIs(session.protocol.state, State.CLOSING)
        other = self.depot.connect()
        other.send(download(b"hello"))
        self.assertEqual(self.answered(other), sent(b"a", b"hello"))

    def test_long_line(self) -> None:
        """A line that is too long is refused behind all answers, and closes."""
        session = self.connect()
        session.send(upload(b"a", b"1") + upload(b"b", b"2") + b"x" * 5000)
        self.assertEqual(session.answer(), b"")
        one, two, refused = self.answered(session).splitlines()
        self.assertEqual([one, two], [id_of(b"1"), id_of(b"2")])
        self.assertEqual(error(refused), b"line-too-long")
        self.assertIs(session.protocol.state, State.CLOSING)

    def test_unreadable_size(self) -> None:
        """So is an upload whose size nobody knows."""
        session = self.connect()
        session.send(upload(b"a", b"1") + b"UPLOAD b;-1\nUPLOAD c;1\n3")
        one, refused = self.answered(session).splitlines()
        self.assertEqual((one, error(refused)), (id_of(b"1"), b"bad-details"))
        self.assertIs(session.protocol.state, State.CLOSING)


class EndTests(PipelineCase):
    """The end of a connection that is owed answers."""

    def owed(self) -> tuple[Session, bytes]:
        """A connection that is owed the answers to uploads, and these answers."""
        session = self.connect()
        contents = [b"%d" % number for number in range(5)]
        self.assertEqual(session.send(*[upload(b"a", data) for data in contents]), b"")
        return session, b"".join(map(told, contents))

    def test_quit(self) -> None:
        """QUIT closes when all is answered."""
        session, answers = self.owed()
        session.send(b"QUIT\nHELP\n")
        self.assertTrue(session.transport.connected)
        self.assertEqual(self.answered(session), answers)
        self.assertIs(session.protocol.state, State.CLOSING)

    def test_end_of_input(self) -> None:
        """A client that sends no more gets all answers, then the end."""
        for rest, more in (
            (b"", b""),
            (b"HELP", HELP),
            (b"HELP\nLIST_FILES x", HELP + NONE),
            (b"UPLOAD x;0", told(b"")),
            (upload(b"x", b"!"), told(b"!")),
            (
                download(b"0") + upload(b"x", b"!") + b"LIST_FILES y",
                sent(b"a", b"0") + told(b"!") + NONE,
            ),
        ):
            with self.subTest(rest):
                session, answers = self.owed()
                session.send(rest)
                self.assertEqual(session.half_close(), b"")
                self.assertTrue(session.transport.connected)
                self.assertEqual(self.answered(session), answers + more)
                self.assertFalse(session.transport.connected)

    def test_input_ends_early(self) -> None:
        """An upload whose payload is not complete is refused behind all answers."""
        session, answers = self.owed()
        session.send(b"UPLOAD x;5\nhel")
        session.half_close()
        answer = self.answered(session)
        self.assertTrue(answer.startswith(answers))
        self.assertIn(b" 3 of 5 declared bytes; nothing was stored.\n", answer[len(answers) :])
        self.assertFalse(session.transport.connected)

    def test_lost(self) -> None:
        """When the connection is lost, what came whole is stored; nothing else is done."""
        session, _ = self.owed()
        session.send(b"DELETE %s\n" % id_of(b"0"))
        session.lose()
        self.assertEqual(self.answered(session), b"")
        self.assertEqual(len(small_rows(self.depot.root)), 5)
        self.assertEqual(self.depot.core.small._members, 0)

    def test_stop(self) -> None:
        """A server that stops answers what is owed, begins nothing more, and closes."""
        session, answers = self.owed()
        stopped = Deferred.fromCoroutine(self.depot.factory.stop())
        self.assertTrue(session.transport.connected)
        session.send(upload(b"late", b"late"))
        self.assertNoResult(stopped)
        self.assertEqual(self.answered(session), answers)
        self.assertTrue(session.transport.half_closed)
        session.lose()
        self.successResultOf(stopped)
        self.assertEqual(len(small_rows(self.depot.root)), 5)

    def test_stop_with_one_that_waits(self) -> None:
        """A request that waits for its turn when the server is stopped is still answered."""
        session, answers = self.owed()
        session.send(b"HELP\n")
        stopped = Deferred.fromCoroutine(self.depot.factory.stop())
        self.assertEqual(self.answered(session), answers + HELP)
        session.lose()
        self.successResultOf(stopped)

    def test_stop_in_payload(self) -> None:
        """An upload that is coming when the server is stopped is answered, too."""
        session, answers = self.owed()
        session.send(b"UPLOAD x;5\nhel")
        stopped = Deferred.fromCoroutine(self.depot.factory.stop())
        self.work()
        self.assertIs(session.protocol.state, State.RECEIVING)
        self.assertEqual(session.send(b"lo" + upload(b"late", b"late")), answers)
        self.assertEqual(self.answered(session), told(b"hello"))
        session.lose()
        self.successResultOf(stopped)

    def test_stop_and_lost(self) -> None:
        """A server that stops waits for what it has taken in, when its connection is gone too."""
        session, _ = self.owed()
        stopped = Deferred.fromCoroutine(self.depot.factory.stop())
        self.depot.clock.advance(GRACE)
        self.assertFalse(session.transport.connected)
        self.assertNoResult(stopped)
        self.work()
        self.successResultOf(stopped)
        self.assertEqual(len(small_rows(self.depot.root)), 5)


class MemoryTests(PipelineCase):
    """How much is taken in before it is answered."""

    def test_held_back(self) -> None:
        """What may be owed to one connection is bounded: then its input is held back."""
        self.depot.core.small = budget = MemoryBudget(largest=64 * 1024)
        content = os.urandom(10_000)
        requests = [upload(b"%d" % number, content) for number in range(30)]
        session = self.connect()
        session.send(b"".join(requests))
        self.assertTrue(session.protocol.paused)
        self.assertEqual(session.transport.producerState, "paused")
        waiting = len(session.protocol.session.replies._queue)
        self.assertLessEqual((waiting - 1) * len(content), budget.share)
        self.assertEqual(self.answered(session), told(content) * 30)
        self.assertFalse(session.protocol.paused)
        self.assertEqual(session.transport.producerState, "producing")
        self.assertEqual(budget._members, 0)

    def test_downloads(self) -> None:
        """Downloads count as much as a small content may have: nobody knows before."""
        self.store(b"a", b"hello")
        self.depot.core.small = budget = MemoryBudget(largest=64 * 1024)
        session = self.connect()
        session.send(download(b"hello") * 100)
        self.assertTrue(session.protocol.paused)
        self.assertLessEqual(
            len(session.protocol.session.replies._queue), budget.share // SMALL_SIZE + 1
        )
        self.assertEqual(self.answered(session), sent(b"a", b"hello") * 100)

    def test_without_small(self) -> None:
        """They do where no content is small."""
        depot = Depot(self, self.files, database=self.database, small=-1)
        depot.core.small = MemoryBudget(largest=64 * 1024)
        self.database.open = False
        session = depot.connect()
        session.send(download(b"hello") * 1000)
        self.assertTrue(session.protocol.paused)
        self.assertLess(len(session.protocol.session.replies._queue), 100)
        session.lose()

    def test_half_is_enough(self) -> None:
        """The input flows again when half of it is answered, and not for every answer."""
        self.depot.core.small = MemoryBudget(largest=64 * 1024)
        waiting: list[Deferred[object]] = []
        entry = self.successResultOf(self.depot.store.put("a", b"", digests_of(b""), EVERYTHING))

        def put(*_: object) -> Deferred[object]:
            waiting.append(Deferred())
            return waiting[-1]

        self.patch(self.depot.store, "put", put)
        session = self.connect()
        session.send(upload(b"a", bytes(15_000)) * 100)
        taken = len(waiting)
        self.assertTrue(session.protocol.paused)
        steps = 0
        while len(waiting) == taken:
            waiting[steps].callback(entry)
            steps += 1
        self.assertIn(steps, range(taken // 2, taken))
        session.lose()
        for left in waiting[steps:]:
            left.callback(entry)

    def test_reader_too_slow(self) -> None:
        """A peer that does not read holds its requests back, however small they are."""
        session = self.depot.connect()
        session.protocol.pauseProducing()
        session.send(upload(b"a", b"hello") * 100)
        self.assertEqual(small_rows(self.depot.root), [])
        session.protocol.resumeProducing()
        self.assertEqual(session.answer(), told(b"hello") * 100)


SCRIPT = (
    upload(b"a", b"hello")
    + upload(b"b;", b"")
    + upload(b"c", b"UPLOAD d;5\nworld\n" * 20)
    + download(b"hello")
    + download(b"x")
    + b"DOWNLOAD\r\n%s;1\r\n" % id_of(b"hello")
    + upload(b"..", b"QUIT\n")
    + upload(b"large", bytes(range(256)) * 80)
    + download(bytes(range(256)) * 80)
    + upload(b"d", b"\n\n\n")
    + b"LIST FILES\nSTAT %s\nnonsense\nHELP\n" % id_of(b"hello")
    + upload(b"second", FIRST)
    + upload(b"second", SECOND)
    + download(FIRST)
    + b"QUIT\nHELP\n"
)


class FeedTests(PipelineCase):
    """The same bytes, in whatever pieces, are answered the same."""

    def fed(self, pieces: Sequence[bytes], between: Callable[[], object]) -> bytes:
        """What a new depot answers to these pieces."""
        self.setUp()
        session = self.connect()
        answer = b""
        for piece in pieces:
            answer += session.send(piece)
            between()
            answer += session.answer()
        return answer + self.answered(session)

    def test_pieces(self) -> None:
        """All at once, byte by byte, in halves at every place; working in between, or not."""
        whole = self.fed([SCRIPT], lambda: None)
        self.assertEqual(whole.count(COLLISION_ID.encode()), 2)
        single = [SCRIPT[at : at + 1] for at in range(len(SCRIPT))]
        for between in (lambda: None, self.work, self.step):
            self.assertEqual(self.fed(single, between), whole)
        for size in (2, 3, 7, 100, 1000):
            pieces = [SCRIPT[at : at + size] for at in range(0, len(SCRIPT), size)]
            self.assertEqual(self.fed(pieces, self.step), whole)

    def test_halves(self) -> None:
        """A segment may end anywhere."""
        script = SCRIPT[: SCRIPT.index(b"UPLOAD large")] + SCRIPT[SCRIPT.index(b"LIST FILES") :]
        whole = self.fed([script], lambda: None)
        for at in range(0, len(script), 13):
            self.assertEqual(self.fed([script[:at], script[at:]], lambda: None), whole)

    def step(self) -> None:
        """Do one thing that waits."""
        for executor in (self.database, self.files):
            if len(executor):
                executor.step()
                break


CONTENTS = [b"", b"hello", b"x" * SMALL_SIZE, b"y" * (SMALL_SIZE + 1), FIRST, SECOND, b"HELP\n"]
NAMES = [b"a", b"b/c", b"d;e", b"..", b"a\\"]

content = st.sampled_from(CONTENTS)
name = st.sampled_from(NAMES)
requests = st.one_of(
    st.builds(upload, name, content),
    st.builds(download, content),
    st.builds(
        lambda data, offset, length: b"DOWNLOAD %s;%d;%d\n" % (id_of(data), offset, length),
        content,
        st.integers(0, 6),
        st.integers(0, 6),
    ),
    st.builds(lambda data: b"DOWNLOAD\n%s\n" % id_of(data), content),
    st.builds(lambda data: b"STAT %s\n" % id_of(data), content),
    st.builds(lambda data: b"VERIFY %s\n" % id_of(data), content),
    st.builds(lambda data: b"DELETE %s\n" % id_of(data), content),
    st.builds(lambda data, label: b"DELETE %s;%s\n" % (id_of(data), label), content, name),
    st.sampled_from([b"LIST_FILES\n", b"LIST FILE a\n", b"HELP\n", b"\n", b"DELETE\nx\n"]),
    st.sampled_from([b"DOWNLOAD x\n", b"QUIT\n", b"UPLOAD a;-1\n", b"STAT\nx\n", b"z" * 5000]),
)


class ScriptTests(SynchronousTestCase):
    """Any script of requests, pipelined, is answered as if each had waited for the one before."""

    @example([download(b"none"), b"UPLOAD a;-1\n"], [], [], True)
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        st.lists(requests, max_size=25),
        st.lists(st.integers(1, 20_000), max_size=10),
        st.lists(st.integers(0, 3), max_size=25),
        st.booleans(),
    )
    def test_equal(
        self, script: list[bytes], sizes: list[int], steps: list[int], end: bool
    ) -> None:
        """Byte for byte, and the depot holds the same afterwards."""
        waited, listing = self.one_by_one(script, end)
        self.assertEqual(self.pipelined(script, sizes, steps, end), (waited, listing))
        self.assertEqual(self.all_at_once(script, end), (waited, listing))

    def one_by_one(self, script: list[bytes], end: bool) -> tuple[bytes, bytes]:
        depot = Depot(self)
        session = depot.connect()
        answer = session.send(*script)
        return answer + (session.half_close() if end else b""), self.end(depot, session)

    def all_at_once(self, script: list[bytes], end: bool) -> tuple[bytes, bytes]:
        depot = Depot(self)
        session = depot.connect()
        answer = session.send(b"".join(script))
        return answer + (session.half_close() if end else b""), self.end(depot, session)

    def pipelined(
        self, script: list[bytes], sizes: list[int], steps: list[int], end: bool
    ) -> tuple[bytes, bytes]:
        files, database = GatedExecutor(), GatedExecutor()
        depot = Depot(self, files, database=database)
        files.open = database.open = False
        session = depot.connect()
        rest, answer = b"".join(script), b""
        while rest:
            size = sizes.pop() if sizes else len(rest)
            answer += session.send(rest[:size])
            rest = rest[size:]
            for _ in range(steps.pop() if steps else 0):
                for executor in (database, files):
                    if len(executor):
                        executor.step()
        if end:
            answer += session.half_close()
        files.open = database.open = True
        while len(files) or len(database):
            files.run_all()
            database.run_all()
        return answer + session.answer(), self.end(depot, session)

    def end(self, depot: Depot, session: Session) -> bytes:
        """What is listed in the end."""
        session.lose()
        listing = depot.connect().send(b"LIST_FILES\n")
        self.successResultOf(depot.store.close())
        return listing


def _fail(*_: object) -> None:
    raise OSError("a cable is loose")
