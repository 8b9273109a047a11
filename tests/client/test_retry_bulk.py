"""Many files over connections that fail: each is told once, and none is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.client.test_bulk import Spoiled, contents, id_line, upload_of
from tests.client.test_protocol import LARGE, entry_of, names_in
from tests.client.test_retry import DepotEndpoint, RetryCase, ScriptedEndpoint, Wire
from tests.support.depot import Depot
from tests.support.processes import Server, new_directory
from tests.support.visitors import user
from xferproto.client.bulk_upload import UPLOADS
from xferproto.client.outstanding import MOST_AGAIN
from xferproto.client.pipeline import BATCH_FILES
from xferproto.client.retry import RetryingClient
from xferproto.client.source import ONE_LINE
from xferproto.depot.depot import DepotLimits
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    Busy,
    ConnectionCut,
    Corrupt,
    Denied,
    HashMismatch,
    LoginRequired,
    NoSpace,
    NoSuchFile,
    SourceChanged,
    TargetExists,
    UnexpectedReply,
)
from xferproto.server.traffic.closing import CLOSE_TIMEOUT
from xferproto.wire import codec

reactor: Any = _reactor

Files = list[tuple[Path | str | bytes, str]]

PROMPT = b"Please send the file name and file size\n"
"""What a large file is asked about in a request for many."""


class BulkCase(RetryCase):
    """
    What the cases below share.

    @ivar told: the names and outcomes that a request has told, in order.
    """

    def setUp(self) -> None:
        super().setUp()
        self.told: list[tuple[str, Entry | Exception]] = []

    def tell(self, name: str, outcome: Entry | Exception) -> None:
        self.told.append((name, outcome))

    def assert_told(self, *expected: tuple[str, Entry | type[Exception]]) -> None:
        """These and no others were told, in this order."""
        seen = [
            (name, type(outcome) if isinstance(outcome, Exception) else outcome)
            for name, outcome in self.told
        ]
        self.assertEqual(seen, list(expected))

    def assert_ended(self) -> None:
        """Nothing waits for anything any more."""
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class DepotCase(BulkCase):
    """With a real server, over connections without a network."""

    def setUp(self) -> None:
        super().setUp()
        self.depot = Depot(self)
        self.endpoint = DepotEndpoint(self.depot)

    @property
    def wire(self) -> Wire:
        """The newest connection."""
        return self.endpoint.wires[-1]

    def flush(self) -> None:
        """Let everything arrive, over as many connections as are made."""
        for number in itertools.count():
            if number == len(self.endpoint.wires):
                break
            if not self.endpoint.wires[number].closed:
                self.endpoint.wires[number].pump.flush()

    def carry(self, up: int, down: int) -> bool:
        """
        Let so many bytes arrive at the server, or so many at the client, and cut the connection.

        @return: whether it came to that, before there was nothing more to say.
        """
        wire = self.wire
        while True:
            asked, answered = wire.up(), wire.down()
            if not asked and not answered:
                return False
            wire.to_server(asked[:up])
            wire.to_client(answered[:down])
            up -= len(asked)
            down -= len(answered)
            if up < 0 or down < 0:
                wire.cut()
                return True

    def listed(self) -> list[Entry]:
        """What the depot lists."""
        endpoint = DepotEndpoint(self.depot)
        listing = self.client(endpoint).list_files()
        endpoint.wires[-1].pump.flush()
        entries: list[Entry] = self.successResultOf(listing)
        return entries


class UploadTests(DepotCase):
    """Uploads."""

    def test_at_once(self) -> None:
        """Where nothing fails, all go over one connection, and are told in their order."""
        files: Files = [(content, f"{n:04}") for n, content in enumerate(contents(300))]
        files[100] = (LARGE, "0100")
        files.append((self.file(b"hello"), "path"))
        request = self.client(self.endpoint).upload_many(iter(files), self.tell)
        self.flush()
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual([name for name, _ in self.told], [name for _, name in files])
        self.assertEqual([outcome for _, outcome in self.told], self.listed())
        self.assertEqual((self.endpoint.attempts, self.said), (1, []))

    def test_nothing(self) -> None:
        """No files are no work."""
        request = self.client(self.endpoint).upload_many([], self.tell)
        self.assertIsNone(self.successResultOf(request))

    def cut_everywhere(
        self, files: Files, cuts: Iterator[tuple[int, int]], again: Callable[[], object]
    ) -> None:
        """
        Cut the first connection at each of these places, and see that nothing is lost.

        @param again: called before each.
        """
        entries = []
        for source, name in files:
            content = source if isinstance(source, bytes) else Path(source).read_bytes()
            entries.append((name, entry_of(content, name)))
        for up, down in cuts:
            again()
            self.told.clear()
            client = self.client(self.endpoint)
            request = client.upload_many(iter(files), self.tell)
            if not self.carry(up, down):
                self.assertIsNone(self.successResultOf(request))
                return
            self.assertNoResult(request)
            self.assert_told(*entries[: len(self.told)])
            self.reactor.advance(10)
            self.flush()
            self.assertIsNone(self.successResultOf(request), (up, down))
            self.assert_told(*entries)
            self.assertEqual(self.listed(), sorted((e for _, e in entries), key=lambda e: e.name))
            self.assert_ended()
            client.disconnect()
            self.flush()

    def test_cut_on_the_way_there(self) -> None:
        """A connection may be cut at any byte of the requests."""
        files: Files = [(b"a", "a"), (self.file(b"bc"), "b"), (b"", "c"), (b"a", "d")]
        length = sum(
            len(upload_of(Path(str(s)).read_bytes() if isinstance(s, Path) else s, n))
            for s, n in files
            if not isinstance(s, str)
        )
        self.cut_everywhere(files, ((n, 1000) for n in itertools.count()), lambda: None)
        self.assertEqual(self.endpoint.attempts, 2 * length + 1)

    def test_cut_on_the_way_back(self) -> None:
        """A connection may be cut at any byte of the answers; what they told is not sent again."""
        files: Files = [(b"a", "a"), (self.file(b"bc"), "b"), (b"", "c"), (b"a", "d")]
        self.cut_everywhere(files, ((1000, n) for n in itertools.count()), lambda: None)
        self.assertEqual(self.endpoint.attempts, 2 * 4 * 33 + 1)

    def test_cut_around_large_ones(self) -> None:
        """A connection may be cut before, in and behind what has it for itself."""
        files: Files = [(b"a", "a"), (self.file(LARGE), "b"), (LARGE[1:], "c"), (b"d", "d")]
        size = len(LARGE)
        ups = (0, 9, 30, 50, 1000, size, size + 60, size + 200, 2 * size, 2 * size + 130)
        self.cut_everywhere(files, ((up, 1000) for up in ups), lambda: None)
        downs = (10, 33, 50, 33 + 26, 33 + 26 + 32, 33 + 26 + 33, 120, 150, 33 + 59 + 59 + 32)
        self.cut_everywhere(files, ((3 * size, down) for down in downs), lambda: None)

    def test_only_what_is_missing(self) -> None:
        """What was told is not sent again."""
        files: Files = [(content, f"{n}") for n, content in enumerate(contents(5))]
        request = self.client(self.endpoint).upload_many(files, self.tell)
        self.carry(1000, 2 * 33)
        self.assertEqual([name for name, _ in self.told], ["0", "1"])
        self.reactor.advance(10)
        rest = b"".join(upload_of(c, f"{n}") for n, c in enumerate(contents(5)) if n >= 2)
        self.assertEqual(self.wire.up(), rest)
        self.wire.cut()
        self.reactor.advance(20)
        self.flush()
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual([name for name, _ in self.told], [name for _, name in files])

    def test_many_cuts(self) -> None:
        """Connections that all are cut bring everything there, as long as each brings something."""
        files: Files = [(content, f"{n:03}") for n, content in enumerate(contents(200))]
        request = self.client(self.endpoint, tries=2).upload_many(iter(files), self.tell)
        while self.carry(10**6, 10 * 33):
            self.reactor.advance(10)
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual([name for name, _ in self.told], [name for _, name in files])
        self.assertEqual(self.endpoint.attempts, 20)
        self.assertEqual([outcome for _, outcome in self.told], self.listed())

    def test_no_headway(self) -> None:
        """Connections that bring nothing are as many as there are tries; one that does, counts."""
        for tries in (1, 2, 5):
            endpoint = self.endpoint = DepotEndpoint(self.depot)
            self.told.clear()
            files: Files = [(content, f"{n:03}") for n, content in enumerate(contents(5))]
            request = self.client(endpoint, tries).upload_many(iter(files), self.tell)
            for _ in range(tries - 1):
                self.assertTrue(self.carry(1000, 32))
                self.reactor.advance(100)
            if tries > 1:
                self.assertTrue(self.carry(1000, 33))
                self.reactor.advance(100)
                for _ in range(tries - 2):
                    self.assertNoResult(request)
                    self.assertTrue(self.carry(1000, 32))
                    self.reactor.advance(100)
            self.assertNoResult(request)
            self.assertTrue(self.carry(1000, 32))
            self.failureResultOf(request, ConnectionCut)
            self.assertEqual(endpoint.attempts, max(1, 2 * tries - 1))
            self.assertEqual(len(self.told), min(tries - 1, 1))
            self.assert_ended()

    def test_unreachable(self) -> None:
        """Files wait for a depot that can't be reached, and none is taken before it is."""
        taken: list[int] = []

        def files() -> Iterator[tuple[bytes, str]]:
            for number in range(3):
                taken.append(number)
                yield b"x", str(number)

        self.endpoint.failures = [ConnectionRefusedError(), TimeoutError()]
        request = self.client(self.endpoint, tries=3).upload_many(files(), self.tell)
        self.reactor.advance(10)
        self.assertEqual(taken, [])
        self.reactor.advance(20)
        self.flush()
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual(len(self.told), 3)
        self.assertEqual(len(self.said), 2)

    def test_unreachable_for_good(self) -> None:
        """The last failure is told, and nothing was taken."""
        self.endpoint.failures = [TimeoutError(), ConnectionRefusedError()]
        request = self.client(self.endpoint, tries=2).upload_many(iter([(b"", "a")]), self.tell)
        self.reactor.advance(10)
        self.failureResultOf(request, ConnectionRefusedError)
        self.assert_told()

    def test_changed(self) -> None:
        """A large file that changes while it is sent fails alone, whatever number of tries."""
        for tries in (1, 10):
            self.told.clear()
            self.said.clear()
            self.endpoint = DepotEndpoint(self.depot)
            source = self.file(LARGE, "b")
            request = self.client(self.endpoint, tries).upload_many(
                [(b"a", "a"), (source, "b"), (b"c", "c"), (LARGE, "d")], self.tell
            )
            while not self.told:
                self.wire.to_server(self.wire.up())
                self.wire.to_client(self.wire.down())
            source.write_bytes(b"changed")  # it is open, and about to be sent
            self.flush()
            self.assertIsNone(self.successResultOf(request))
            self.assert_told(
                ("a", entry_of(b"a", "a")),
                ("b", SourceChanged),
                ("c", entry_of(b"c", "c")),
                ("d", entry_of(LARGE, "d")),
            )
            self.assertEqual((self.endpoint.attempts, self.said), (2, []))

    def test_one_file_spoils_nothing(self) -> None:
        """Files that will never go well are told of at once, each in its place."""
        self.depot.core.limits = DepotLimits(file_size=100)
        files: Files = [
            (b"a", "a"),
            (self.directory() / "none", "b"),
            (b"c", "../c"),
            (bytes(101), "d"),
            (LARGE, "e"),
            (b"f", "f"),
        ]
        request = self.client(self.endpoint).upload_many(files, self.tell)
        self.flush()
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual([name for name, _ in self.told], [name for _, name in files])
        self.assertEqual((self.endpoint.attempts, self.said), (1, []))
        self.assertEqual([entry.name for entry in self.listed()], ["a", "f"])

    def test_too_many_refusals(self) -> None:
        """A server that has had enough of a connection is asked for the rest on others."""
        self.depot.core.limits = DepotLimits(file_size=1)
        files: Files = [(bytes(2), f"{n:02}") for n in range(90)]
        files.append((b"x", "x"))
        request = self.client(self.endpoint, tries=2).upload_many(files, self.tell)
        for _ in range(4):
            self.flush()
            self.depot.clock.advance(CLOSE_TIMEOUT)
            self.flush()
            self.reactor.advance(10)
        self.flush()
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual([name for name, _ in self.told], [name for _, name in files])
        self.assertEqual(self.told[-1][1], entry_of(b"x", "x"))
        self.assertEqual(self.endpoint.attempts, 5)

    def test_lazy(self) -> None:
        """Files are taken as they are sent, of however many; what C{told} raises ends it."""
        taken = 0

        def files() -> Iterator[tuple[bytes, str]]:
            nonlocal taken
            for taken in itertools.count(1):
                yield b"%d" % taken, str(taken)

        def told(name: str, outcome: Entry | Exception) -> None:
            self.tell(name, outcome)
            if len(self.told) == 3000:
                raise Spoiled

        request = self.client(self.endpoint).upload_many(files(), told)
        self.assertLessEqual(taken, UPLOADS + 2 * BATCH_FILES)
        while len(self.told) < 3000:
            self.carry(10**6, 1000 * 33)
            self.assertLessEqual(taken, len(self.told) + UPLOADS + 2 * BATCH_FILES)
            self.reactor.advance(10)
        self.failureResultOf(request, Spoiled)
        self.assertEqual([name for name, _ in self.told], [str(n) for n in range(1, 3001)])
        self.assert_ended()

    def test_files_raise(self) -> None:
        """What the files raise ends it, even if that is an error that else is worth a try."""

        def files(error: Exception) -> Iterator[tuple[bytes, str]]:
            yield b"a", "a"
            raise error

        for error in (Spoiled(), ConnectionCut("mine"), Busy(), TimeoutError()):
            self.told.clear()
            request = self.client(self.endpoint).upload_many(files(error), self.tell)
            self.flush()
            self.assertIs(self.failureResultOf(request).value, error)
            self.assert_told(("a", entry_of(b"a", "a")))
            self.assert_ended()

    def test_files_raise_and_cut(self) -> None:
        """Nor is what was under way tried again then."""

        def files() -> Iterator[tuple[bytes, str]]:
            yield b"a", "a"
            raise Spoiled

        request = self.client(self.endpoint).upload_many(files(), self.tell)
        self.assertNoResult(request)
        self.wire.cut()
        self.failureResultOf(request, Spoiled)
        self.assert_told()
        self.assert_ended()

    def test_told_raises(self) -> None:
        """What C{told} raises ends it, even if that is an error that else is worth a try."""
        for error in (Spoiled(), ConnectionCut("mine"), Busy(), TimeoutError()):

            def told(name: str, outcome: Entry | Exception, error: Exception = error) -> None:
                self.tell(name, outcome)
                raise error

            self.told.clear()
            files: Files = [(b"a", "a"), (b"b", "b"), (LARGE, "c")]
            request = self.client(self.endpoint).upload_many(files, told)
            self.flush()
            self.assertIs(self.failureResultOf(request).value, error)
            self.assert_told(("a", entry_of(b"a", "a")))
            self.assert_ended()

    def test_cancelled(self) -> None:
        """Taken back while it is sent, or waits: nothing is tried again."""
        files: Files = [(content, f"{n}") for n, content in enumerate(contents(5))]
        files.insert(2, (LARGE, "large"))
        for up, down in ((0, 0), (10, 0), (100, 33), (1000, 66), (500_000, 120)):
            request = self.client(self.endpoint).upload_many(files, self.tell)
            wire = self.wire
            for _ in range(3):
                wire.to_server(wire.up()[:up])
                wire.to_client(wire.down()[:down])
            attempts, told = self.endpoint.attempts, len(self.told)
            request.cancel()
            self.flush()
            self.failureResultOf(request, CancelledError)
            self.assert_ended()
            self.assertEqual((self.endpoint.attempts, len(self.told)), (attempts, told))
            self.assertTrue(wire.closed)

    def test_cancelled_while_it_waits(self) -> None:
        """So it is between two tries, and while a connection is made."""
        request = self.client(self.endpoint).upload_many([(b"a", "a")], self.tell)
        self.wire.cut()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.endpoint.hold = True
        request = self.client(self.endpoint).upload_many([(b"a", "a")], self.tell)
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.assert_ended()
        self.assert_told()


class LoginTests(BulkCase):
    """Depots that know whom they let in."""

    def test_refused(self) -> None:
        """A login that is refused is told at once, and no file is taken."""
        depot = Depot(self, users=[user("alice")])
        endpoint = DepotEndpoint(depot)
        client = self.client(endpoint, credentials=("alice", "wrong"))
        for request in (
            client.upload_many(iter([(b"a", "a")]), self.tell),
            client.download_many(iter([("0" * 32, "a")]), self.tell),
        ):
            for _ in range(2):
                for wire in endpoint.wires:
                    wire.pump.flush()
                depot.clock.advance(60)
            self.failureResultOf(request, Denied)
        self.assert_told()
        self.assertEqual(self.said, [])

    def test_required(self) -> None:
        """Without one, each file is told that it takes one."""
        endpoint = DepotEndpoint(Depot(self, users=[user("alice")]))
        request = self.client(endpoint).upload_many([(b"a", "a"), (b"b", "b")], self.tell)
        endpoint.wires[-1].pump.flush()
        self.assertIsNone(self.successResultOf(request))
        self.assert_told(("a", LoginRequired), ("b", LoginRequired))
        self.assertEqual(self.said, [])


class RefusedTests(BulkCase):
    """Files that may go well the next time."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = ScriptedEndpoint()

    def test_after_the_others(self) -> None:
        """They are tried again after the others, on the same connection, after a while."""
        request = self.client(self.endpoint).upload_many(
            [(b"a", "a"), (b"b", "b"), (b"c", "c")], self.tell
        )
        self.endpoint.asked()
        self.endpoint.says(b"ERROR busy Not now.\n" + b"0" * 32 + b"\n")
        self.assert_told()
        self.endpoint.says(id_line(b"c"))
        self.assert_told(("c", entry_of(b"c", "c")))
        (line,) = self.said
        self.assertEqual(line.count("2 files"), 1)
        self.assertIn("in 10.0 s (1 of 10)", line)
        wanted = upload_of(b"a", "a") + upload_of(b"b", "b")
        self.assert_waits(10, lambda: self.endpoint.asked().count(wanted))
        self.endpoint.says(id_line(b"a"), id_line(b"b"))
        self.assertIsNone(self.successResultOf(request))
        self.assert_told(*((name, entry_of(name.encode(), name)) for name in "cab"))
        self.assertEqual(len(self.endpoint.clients), 1)

    def test_which(self) -> None:
        """Those are what the refusals of single requests are; a hash that differs is one too."""
        id = md5(b"a").hexdigest()
        for answer, kind in (
            (b"ERROR busy No.", None),
            (b"ERROR no-space No.", None),
            (b"ERROR timeout No.", None),
            (b"ERROR internal No.", None),
            (b"ERROR no-such-file No.", None),
            (b"ERROR corrupt No.", None),
            (b"0" * 32, None),
            (b"ERROR denied No.", Denied),
        ):
            self.told.clear()
            request = self.client(self.endpoint, tries=2).upload_many([(b"a", "a")], self.tell)
            self.endpoint.says(answer + b"\n")
            self.reactor.advance(100)
            if kind is None:
                self.assert_told()
                self.endpoint.says(id.encode() + b"\n")
            self.assertIsNone(self.successResultOf(request))
            self.assert_told(("a", kind or entry_of(b"a", "a")))
        target = self.directory() / "got"
        for symbol, error in ((b"no-such-file", NoSuchFile), (b"corrupt", Corrupt)):
            self.told.clear()
            request = self.client(self.endpoint).download_many([(id, target)], self.tell)
            self.endpoint.says(b"ERROR " + symbol + b" No.\n")
            self.assertIsNone(self.successResultOf(request))
            self.assert_told((id, error))

    def test_up_to_tries(self) -> None:
        """A failure that does not pass is told after the last try; others do not suffer from it."""
        for tries in (1, 2, 4):
            self.told.clear()
            self.said.clear()
            request = self.client(self.endpoint, tries).upload_many(
                [(b"a", "a"), (b"b", "b")], self.tell
            )
            self.endpoint.asked()
            self.endpoint.says(b"ERROR no-space Full.\n" + id_line(b"b"))
            for number in range(1, tries):
                self.assertNoResult(request)
                self.assert_waits(
                    10 * number, lambda: self.endpoint.asked().count(upload_of(b"a", "a"))
                )
                self.endpoint.says(b"ERROR no-space Full.\n")
            self.assertIsNone(self.successResultOf(request))
            outcomes = dict(self.told)
            self.assertEqual(outcomes["b"], entry_of(b"b", "b"))
            self.assertIsInstance(outcomes["a"], NoSpace)
            self.assertEqual(len(self.told), 2)
            self.assertEqual(len(self.said), tries - 1)
            self.assert_ended()

    def test_said_in_print(self) -> None:
        """What a server says reaches a terminal without the characters that command it."""
        self.client(self.endpoint).upload_many([(b"a", "a")], self.tell)
        self.endpoint.says("ERROR busy \x1b[2J\x9b1m\rgone\u2028away\n".encode())
        (line,) = self.said
        self.assertTrue(line.isprintable(), ascii(line))
        self.assertIn("gone", line)

    def test_cut_behind_a_refusal(self) -> None:
        """A server that refuses one file and hangs up, each time, is not asked for ever."""
        request = self.client(self.endpoint, tries=3).upload_many(
            [(b"a", "a"), (b"b", "b")], self.tell
        )
        connections = 0
        while not request.called:
            self.endpoint.says(b"ERROR busy Not now.\n")
            self.endpoint.lose()
            self.reactor.advance(100)
            connections += 1
            self.assertLess(connections, 10)
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual(sorted(name for name, _ in self.told), ["a", "b"])
        for _, outcome in self.told:
            self.assertIsInstance(outcome, Busy)

    def test_refused_in_the_middle(self) -> None:
        """A large file that is refused while it is sent leaves the rest a connection of its own."""
        request = self.client(self.endpoint, tries=2).upload_many(
            [(LARGE, "a"), (b"b", "b")], self.tell
        )
        self.endpoint.clients[-1][1].full = True
        self.endpoint.says(PROMPT, codec.READY + b"\n", b"ERROR no-space Full.\n")
        self.assertEqual(len(self.endpoint.clients), 2)
        self.assertEqual(self.said, [])
        self.assertEqual(self.endpoint.asked(), upload_of(b"b", "b"))
        self.endpoint.says(id_line(b"b"))
        self.assert_told(("b", entry_of(b"b", "b")))
        self.assert_waits(10, lambda: self.endpoint.asked().count(b"UPLOAD\n"))
        self.endpoint.says(PROMPT, codec.READY + b"\n")
        self.endpoint.says(id_line(LARGE))
        self.assertIsNone(self.successResultOf(request))
        self.assert_told(("b", entry_of(b"b", "b")), ("a", entry_of(LARGE, "a")))

    def test_wrong_hash_of_a_large_one(self) -> None:
        """So does one whose hash differs; then it is sent again."""
        request = self.client(self.endpoint, tries=2).upload_many(
            [(LARGE, "a"), (b"b", "b")], self.tell
        )
        self.endpoint.says(PROMPT, codec.READY + b"\n")
        self.endpoint.says(b"0" * 32 + b"\n")
        self.assertEqual(self.endpoint.asked(), upload_of(b"b", "b"))
        self.endpoint.says(id_line(b"b"))
        self.reactor.advance(10)
        self.endpoint.says(PROMPT, codec.READY + b"\n")
        self.endpoint.says(b"0" * 32 + b"\n")
        self.assertIsNone(self.successResultOf(request))
        self.assert_told(("b", entry_of(b"b", "b")), ("a", HashMismatch))

    def test_most(self) -> None:
        """However many fail, so many wait for another try and no more are taken before it."""
        taken = 0

        def files() -> Iterator[tuple[bytes, str]]:
            nonlocal taken
            for taken in itertools.count(1):
                yield b"a", str(taken)

        request = self.client(self.endpoint, tries=3).upload_many(files(), self.tell)
        before = 0
        for number in range(3):
            asked = 0
            while count := self.endpoint.asked().count(b"UPLOAD "):
                asked += count
                self.endpoint.says(b"ERROR no-space Full.\n" * count)
            self.assertGreaterEqual(asked, MOST_AGAIN)
            if number < 2:
                self.assertLessEqual(taken, MOST_AGAIN + UPLOADS + 2 * BATCH_FILES)
                self.assertIn(before, (0, taken))
                self.assert_told()
                before = taken
                self.reactor.advance(100)
            else:
                self.assertEqual(len(self.told), before)
        request.cancel()
        self.failureResultOf(request, CancelledError)

    def test_nonsense(self) -> None:
        """A server that does not speak the protocol is not asked again."""
        request = self.client(self.endpoint).upload_many([(b"a", "a")], self.tell)
        self.endpoint.says(b"220 Welcome\n")
        self.failureResultOf(request, UnexpectedReply)
        self.assert_told()
        self.assertEqual(self.said, [])


class DownloadTests(DepotCase):
    """Downloads."""

    def setUp(self) -> None:
        super().setUp()
        self.contents = [b"a", b"", b"bc", bytes(ONE_LINE + 1), b"a"]
        endpoint = DepotEndpoint(self.depot)
        stored: list[Any] = []
        request = self.client(endpoint).upload_many(
            [(content, f"{n}") for n, content in enumerate(self.contents)],
            lambda name, outcome: stored.append(outcome),
        )
        endpoint.wires[-1].pump.flush()
        self.successResultOf(request)
        self.entries: list[Entry] = stored

    def files(self, directory: Path) -> list[tuple[str, Path | str]]:
        return [(entry.id, directory / str(n)) for n, entry in enumerate(self.entries)]

    def assert_fetched(self, directory: Path) -> None:
        """All is there, with nothing beside it, and was told once, in order."""
        self.assertEqual([id for id, _ in self.told], [entry.id for entry in self.entries])
        self.assertFalse([each for each in self.told if isinstance(each[1], Exception)])
        self.assertEqual(names_in(directory), [str(n) for n in range(len(self.contents))])
        for number, content in enumerate(self.contents):
            self.assertTrue((directory / str(number)).read_bytes() == content)

    def cut_everywhere(self, cuts: Iterator[tuple[int, int]]) -> None:
        for up, down in cuts:
            self.told.clear()
            directory = self.directory()
            client = self.client(self.endpoint)
            request = client.download_many(iter(self.files(directory)), self.tell)
            if not self.carry(up, down):
                self.assertIsNone(self.successResultOf(request))
                return
            self.assertNoResult(request)
            self.assertEqual(names_in(directory), [str(n) for n in range(len(self.told))])
            self.reactor.advance(10)
            self.flush()
            self.assertIsNone(self.successResultOf(request), (up, down))
            self.assert_fetched(directory)
            self.assert_ended()
            client.disconnect()
            self.flush()

    def test_cut_on_the_way_there(self) -> None:
        """A connection may be cut at any byte of the requests."""
        self.cut_everywhere((up, 10**9) for up in itertools.count())
        self.assertEqual(self.endpoint.attempts, 2 * 5 * len(f"DOWNLOAD {'0' * 32}\n") + 1)

    def test_cut_on_the_way_back(self) -> None:
        """A connection may be cut at any byte of the answers, around the payloads."""
        small = 3 * 37 + 3
        large = small + len(self.entries[3].id) + len(";3;65537\n")
        end = large + ONE_LINE + 1
        downs = (*range(large + 5), end // 2, *range(end - 2, end + 39))
        self.cut_everywhere((10**6, down) for down in downs)

    def test_many_cuts(self) -> None:
        """More cuts than tries are no matter, as long as each connection brings something."""
        directory = self.directory()
        files = [(self.entries[0].id, directory / f"{n:03}") for n in range(1000)]
        request = self.client(self.endpoint, tries=2).download_many(iter(files), self.tell)
        while self.carry(10**6, 100 * 38):
            self.reactor.advance(10)
        self.assertIsNone(self.successResultOf(request))
        self.assertEqual(len(self.told), 1000)
        self.assertEqual(len(names_in(directory)), 1000)
        self.assertEqual(self.endpoint.attempts, 10)

    def test_no_headway(self) -> None:
        """Connections that bring nothing are as many as there are tries."""
        directory = self.directory()
        request = self.client(self.endpoint, tries=3).download_many(
            self.files(directory), self.tell
        )
        for _ in range(3):
            self.assertNoResult(request)
            self.assertTrue(self.carry(1000, 37))
            self.reactor.advance(100)
        self.failureResultOf(request, ConnectionCut)
        self.assertEqual(self.endpoint.attempts, 3)
        self.assertEqual(names_in(directory), [])

    def test_flipped(self) -> None:
        """A payload with a flipped bit is never a success; it is fetched again after the others."""
        directory = self.directory()
        request = self.client(self.endpoint).download_many(self.files(directory), self.tell)
        self.wire.to_server(self.wire.up())
        first, rest = self.wire.down().split(b"\na", 1)
        self.wire.to_client(first + b"\nb" + rest)
        self.flush()
        self.assertEqual(len(self.told), 4)
        self.assertFalse((directory / "0").exists())
        self.reactor.advance(10)
        self.flush()
        self.assertIsNone(self.successResultOf(request))
        self.told.insert(0, self.told.pop())
        self.assert_fetched(directory)
        self.assertEqual(len(self.said), 1)

    def test_one_file_spoils_nothing(self) -> None:
        """What is not there, and targets that are, are told at once; or replaced where wanted."""
        for replace in (False, True):
            self.told.clear()
            directory = self.directory()
            (directory / "0").write_bytes(b"mine")
            id = self.entries[0].id
            request = self.client(self.endpoint).download_many(
                [(id, directory / "0"), ("0" * 32, directory / "1"), (id, str(directory / "2"))],
                self.tell,
                replace,
            )
            self.flush()
            self.assertIsNone(self.successResultOf(request))
            entry = self.told[-1][1]
            assert isinstance(entry, Entry)
            self.assert_told(
                (id, entry if replace else TargetExists), ("0" * 32, NoSuchFile), (id, entry)
            )
            self.assertEqual((directory / "0").read_bytes(), b"a" if replace else b"mine")
            self.assertEqual(self.said, [])

    def test_callers_raise(self) -> None:
        """What files or C{told} raise ends it."""

        def files(directory: Path) -> Iterator[tuple[str, Path | str]]:
            yield self.entries[0].id, directory / "0"
            raise ConnectionCut("mine")

        def told(name: str, outcome: Entry | Exception) -> None:
            self.tell(name, outcome)
            raise ConnectionCut("mine")

        for own in (self.tell, told):
            self.told.clear()
            request = self.client(self.endpoint).download_many(files(self.directory()), own)
            self.flush()
            self.assertEqual(str(self.failureResultOf(request, ConnectionCut).value), "mine")
            self.assertEqual(len(self.told), 1)
            self.assert_ended()

    def test_cancelled(self) -> None:
        """Taken back while it runs: nothing is fetched any more, and nothing lies about."""
        for down in (0, 10, 40, 200, 60_000):
            self.told.clear()
            directory = self.directory()
            request = self.client(self.endpoint).download_many(self.files(directory), self.tell)
            self.wire.to_server(self.wire.up())
            self.wire.to_client(self.wire.down()[:down])
            request.cancel()
            self.flush()
            self.failureResultOf(request, CancelledError)
            self.assertEqual(len(names_in(directory)), len(self.told))
            self.assert_ended()


@implementer(IStreamClientEndpoint)
class RestartingEndpoint:
    """
    Connects to the newest server.

    @ivar server: that one.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        return TCP4ClientEndpoint(reactor, "127.0.0.1", self.server.port).connect(factory)


class KilledTests(TestCase):
    """A server process that is killed and started again while many files are under way."""

    FILES = 1200

    async def test_killed(self) -> None:
        """Every file is told once, and is stored with the right hash; so it is fetched back."""
        directory = new_directory(self)
        starting: list[Deferred[None]] = []

        def start() -> Server:
            server = Server(self, directory)
            server.drain()
            return server

        endpoint = RestartingEndpoint(start())

        def restart() -> None:
            endpoint.server = start()

        def killing(told: list[tuple[str, Any]]) -> Callable[[str, Entry | Exception], None]:
            def tell(name: str, outcome: Entry | Exception) -> None:
                told.append((name, outcome))
                if len(told) in (1, self.FILES // 2):
                    endpoint.server.kill()
                    starting.append(deferToThread(restart))

            return tell

        said: list[str] = []
        client = RetryingClient(
            reactor, endpoint, tries=1000, notify=said.append, delay=lambda failed: 0.05
        )
        files = [(b"%d" % n * (n % 100), f"{n:04}") for n in range(self.FILES)]
        up: list[tuple[str, Any]] = []
        await client.upload_many(iter(files), killing(up))
        self.assertEqual(up, [(name, entry_of(content, name)) for content, name in files])
        self.assertEqual(await client.list_files(), [entry for _, entry in up])
        targets = new_directory(self)
        down: list[tuple[str, Any]] = []
        await client.download_many(
            ((entry.id, targets / name) for name, entry in up), killing(down)
        )
        self.assertEqual([id for id, _ in down], [entry.id for _, entry in up])
        for content, name in files:
            self.assertEqual((targets / name).read_bytes(), content)
        self.assertEqual(len(names_in(targets)), self.FILES)
        for started in starting:
            await started
        self.assertEqual(len(starting), 4)
        self.assertGreaterEqual(len(said), 4)
        await client.disconnect()
