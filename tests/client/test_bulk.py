"""Many files in one request: against the real server without a network, and hostile ones."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.client.test_protocol import LARGE, Case, Pair, Script, entry_of, line_of, names_in
from tests.support.executors import SteppedExecutor
from xferproto.client.bulk_download import DOWNLOADS
from xferproto.client.bulk_upload import UPLOADS
from xferproto.client.callbacks import OnResult
from xferproto.client.pipeline import BATCH_BYTES, BATCH_FILES, WINDOW_BYTES
from xferproto.client.source import ONE_LINE
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    BadId,
    BadName,
    ConnectionCut,
    HashMismatch,
    NoSpace,
    NoSuchFile,
    SourceChanged,
    TargetExists,
    TargetIsNoFile,
    TooLarge,
    UnexpectedReply,
)
from xferproto.server.traffic.closing import CLOSE_TIMEOUT
from xferproto.threads.executor import Executor
from xferproto.transfer.budget import MemoryBudget


class Spoiled(Exception):
    """What a caller's own code raises."""


def contents(count: int) -> list[bytes]:
    """So many small contents, all different."""
    return [b"content %d" % number for number in range(count)]


def id_line(content: bytes) -> bytes:
    return md5(content).hexdigest().encode() + b"\n"


def upload_of(content: bytes, name: str) -> bytes:
    return f"UPLOAD {name};{len(content)}\n".encode() + content


class BulkCase(Case):
    """
    What the cases below share.

    @ivar told: the names and outcomes that a request has told, in order.
    """

    def setUp(self) -> None:
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


class UploadTests(BulkCase):
    """Uploads to the real server."""

    def upload(self, pair: Pair, files: Sequence[tuple[Path | str | bytes, str]]) -> None:
        request = pair.client.upload_many(iter(files), self.tell)
        pair.flush()
        self.assertIsNone(self.successResultOf(request))

    def listing(self, pair: Pair) -> list[Entry]:
        listing = pair.client.list_files()
        pair.flush()
        return self.successResultOf(listing)

    def test_many(self) -> None:
        """More files than several batches hold are stored and told, in order."""
        pair = Pair(self)
        entries = [
            entry_of(content, f"{number:04}")
            for number, content in enumerate(contents(3 * BATCH_FILES + 1))
        ]
        self.upload(
            pair, [(content, f"{n:04}") for n, content in enumerate(contents(len(entries)))]
        )
        self.assert_told(*((entry.name, entry) for entry in entries))
        self.assertEqual(self.listing(pair), entries)

    def test_sizes(self) -> None:
        """Empty, small and large files, bytes and paths, are stored in their order."""
        for prompted in (False, True):
            self.told.clear()
            pair = Pair(self, prompted)
            wanted = [b"", b"a", bytes(ONE_LINE), bytes(ONE_LINE + 1), LARGE, b"b", LARGE + b"x"]
            files: list[tuple[Path | str | bytes, str]] = []
            for number, content in enumerate(wanted):
                files += [(content, f"bytes{number}"), (self.file(content), f"path{number}")]
            files.append((str(self.file(b"c")), "str"))
            self.upload(pair, files)
            expected = []
            for number, content in enumerate(wanted):
                expected += [entry_of(content, f"{kind}{number}") for kind in ("bytes", "path")]
            expected.append(entry_of(b"c", "str"))
            self.assert_told(*((entry.name, entry) for entry in expected))
            self.assertEqual(self.listing(pair), sorted(expected, key=lambda entry: entry.name))

    def test_lines(self) -> None:
        """Each line is traced, and small files take the one-line form whatever the factory says."""
        pair = Pair(self, prompted=True)
        self.upload(pair, [(b"a", "x"), (b"b", "y")])
        self.assertEqual(pair.sent(), [b"UPLOAD x;1", b"UPLOAD y;1"])
        self.assertEqual(len(pair.lines), 4)

    def test_nothing(self) -> None:
        """No files are no work."""
        pair = Pair(self)
        self.upload(pair, [])
        self.assert_told()
        self.assertEqual(pair.sent(), [])

    def test_same_twice(self) -> None:
        """A file may come twice."""
        pair = Pair(self)
        self.upload(pair, [(b"a", "x"), (b"a", "x")])
        self.assert_told(*[("x", entry_of(b"a", "x"))] * 2)

    def test_one_file_spoils_nothing(self) -> None:
        """What is wrong with one file is told in its place, and the others are stored."""
        pair = Pair(self, max_file_size=100_000)
        missing = self.directory() / "missing"
        pipe = self.directory() / "pipe"
        os.mkfifo(pipe)
        self.upload(
            pair,
            [
                (b"a", "../bad"),
                (b"a", "1"),
                (missing, "2"),
                (pipe, "3"),
                ("nul\0", "4"),
                (b"LIST_FILES\n" * 9000 + b"xxx" * 1000, "5"),
                (self.directory(), "6"),
                (b"b", "bad\nname"),
                (b"b", "7"),
            ],
        )
        self.assert_told(
            ("../bad", BadName),
            ("1", entry_of(b"a", "1")),
            ("2", FileNotFoundError),
            ("3", OSError),
            ("4", ValueError),
            ("5", TooLarge),
            ("6", OSError),
            ("bad\nname", BadName),
            ("7", entry_of(b"b", "7")),
        )
        self.assertEqual([entry.name for entry in self.listing(pair)], ["1", "7"])

    def test_refused_on_their_lines(self) -> None:
        """The payload of a refused file is taken away, and is no command."""
        pair = Pair(self, max_file_size=5)
        self.upload(pair, [(b"a", "1"), (b"LIST_FILES\nQUIT\n", "2"), (b"b", "3")])
        self.assert_told(("1", entry_of(b"a", "1")), ("2", TooLarge), ("3", entry_of(b"b", "3")))

    def test_too_many_refusals(self) -> None:
        """The server closes after twenty errors in a row; what it has not answered is not told."""
        pair = Pair(self, max_file_size=1)
        request = pair.client.upload_many(((b"aa", "x") for _ in range(30)), self.tell)
        pair.flush()
        pair.depot.clock.advance(CLOSE_TIMEOUT)
        pair.flush()
        self.failureResultOf(request, ConnectionCut)
        self.assert_told(*[("x", TooLarge)] * 20)

    def test_changed(self) -> None:
        """A small file that changes while it is read is not sent."""
        source = self.file(b"hello")
        pread = os.pread

        def spoil(fd: int, length: int, offset: int) -> bytes:
            with source.open("ab") as file:
                file.write(b"!")
            return pread(fd, length, offset)

        def shrink(fd: int, length: int, offset: int) -> bytes:
            os.truncate(source, 0)
            return pread(fd, length, offset)

        def remove(fd: int, length: int, offset: int) -> bytes:
            source.unlink(missing_ok=True)
            return pread(fd, length, offset)

        pair = Pair(self)
        for change in (spoil, shrink, remove):
            source.write_bytes(b"hello")
            self.patch(os, "pread", change)
            self.upload(pair, [(source, "x")])
        self.assert_told(*[("x", SourceChanged)] * 3)
        self.assertEqual(pair.sent(), [])

    def test_requests_behind(self) -> None:
        """Another request waits for its turn behind the last file."""
        pair = Pair(self)
        pair.client.upload_many([(b"a", "x"), (LARGE, "y"), (b"b", "z")], self.tell)
        listing = pair.client.list_files()
        pair.flush()
        self.assertEqual([entry.name for entry in self.successResultOf(listing)], ["x", "y", "z"])
        self.assertEqual(len(self.told), 3)


class UploadWindowTests(BulkCase):
    """Uploads to a server that answers when the test says so."""

    def test_answers_in_pieces(self) -> None:
        """Answers count in order, however they are cut, and each is told when it is there."""
        script = Script()
        files = [(content, str(number)) for number, content in enumerate(contents(3))]
        request = script.client.upload_many(files, self.tell)
        self.assertEqual(script.asked(), b"".join(upload_of(*file) for file in files))
        for number, (content, _) in enumerate(files):
            self.assertEqual(len(self.told), number)
            for byte in id_line(content):
                script.says(bytes([byte]))
        self.successResultOf(request)
        self.assert_told(*((name, entry_of(content, name)) for content, name in files))
        self.assert_goes_on(script)

    def test_files_in_window(self) -> None:
        """A server that never answers gets no more files than the window holds."""
        taken = 0

        def endless() -> Iterator[tuple[bytes, str]]:
            nonlocal taken
            while True:
                taken += 1
                yield b"x", "x"

        script = Script()
        request = script.client.upload_many(endless(), self.tell)
        self.assertEqual(script.asked(), upload_of(b"x", "x") * UPLOADS)
        self.assertLessEqual(taken, UPLOADS + BATCH_FILES)
        script.says(id_line(b"x") * (BATCH_FILES - 1))
        self.assertEqual(script.asked(), b"")
        script.says(id_line(b"x"))
        self.assertEqual(script.asked(), upload_of(b"x", "x") * BATCH_FILES)
        self.assertLessEqual(taken, UPLOADS + 2 * BATCH_FILES)
        request.cancel()
        self.failureResultOf(request, CancelledError)

    def test_bytes_in_window(self) -> None:
        """Nor more bytes than it holds; and a batch of large files ends early."""
        script = Script()
        content = bytes(ONE_LINE)
        made = 0

        def endless() -> Iterator[tuple[bytes, str]]:
            nonlocal made
            while True:
                made += 1
                yield content, "x"

        request = script.client.upload_many(endless(), self.tell)
        sent = len(script.asked())
        self.assertLessEqual(sent, WINDOW_BYTES)
        self.assertGreater(sent, WINDOW_BYTES // 2)
        self.assertLessEqual(made * ONE_LINE, WINDOW_BYTES + 2 * BATCH_BYTES)
        while sent < 3 * WINDOW_BYTES:
            script.says(id_line(content))
            sent += len(script.asked())
            self.assertLessEqual(sent - len(self.told) * ONE_LINE, WINDOW_BYTES)
        request.cancel()
        self.failureResultOf(request, CancelledError)

    def test_batch_of_large_ones(self) -> None:
        """Files are read no further ahead than a batch has bytes."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        source = self.file(bytes(ONE_LINE))
        files = ((source, "x") for _ in range(BATCH_FILES))
        request = script.client.upload_many(files, self.tell)
        executor.step()
        self.assertEqual(script.asked().count(b"UPLOAD x;"), BATCH_BYTES // ONE_LINE)
        request.cancel()
        executor.run_all()
        self.failureResultOf(request, CancelledError)

    def test_full_transport(self) -> None:
        """A transport that takes no more holds the reading back, not the answers."""
        script = Script()
        script.transport.full = True
        request = script.client.upload_many(((b"x", "x") for _ in range(1000)), self.tell)
        first = script.asked()
        self.assertEqual(first, upload_of(b"x", "x") * BATCH_FILES)
        script.says(id_line(b"x") * BATCH_FILES)
        self.assertEqual(len(self.told), BATCH_FILES)
        self.assertEqual(script.asked(), b"")
        while script.transport.producer is not None:
            script.transport.producer.resumeProducing()
            script.says(id_line(b"x") * script.asked().count(b"UPLOAD"))
        self.successResultOf(request)
        self.assertEqual(len(self.told), 1000)
        self.assert_goes_on(script)

    def test_large_in_its_place(self) -> None:
        """A large file waits until all before it are answered, and those behind it wait for it."""
        script = Script()
        large = bytes(ONE_LINE + 1)
        files = [(b"a", "1"), (large, "2"), (b"b", "3")]
        request = script.client.upload_many(files, self.tell)
        self.assertEqual(script.asked(), upload_of(b"a", "1"))
        script.says(id_line(b"a"))
        self.assertEqual(script.asked(), b"UPLOAD\n")
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        self.assertEqual(script.asked(), b"2;65537\n" + large)
        self.assertEqual(len(self.told), 1)
        script.says(id_line(large))
        self.assertEqual(script.asked(), upload_of(b"b", "3"))
        script.says(id_line(b"b"))
        self.successResultOf(request)
        self.assert_told(*((name, entry_of(content, name)) for content, name in files))

    def test_large_left_unfinished(self) -> None:
        """A large file that can't be sent to its end is told, and ends the request."""
        script = Script()
        script.transport.full = True
        request = script.client.upload_many([(LARGE, "x"), (b"a", "y")], self.tell)
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        script.says(b"ERROR no-space Full.\n")
        self.failureResultOf(request, ConnectionCut)
        self.assert_told(("x", NoSpace))
        self.assert_cut(script)

    def test_wrong_id(self) -> None:
        """Another id is a mismatch of that file alone."""
        script = Script()
        request = script.client.upload_many([(b"a", "1"), (b"b", "2")], self.tell)
        script.says(id_line(b"c"), id_line(b"b"))
        self.successResultOf(request)
        self.assert_told(("1", HashMismatch), ("2", entry_of(b"b", "2")))
        error = self.told[0][1]
        assert isinstance(error, HashMismatch)
        self.assertEqual((error.ours, error.theirs), (md5(b"a").hexdigest(), md5(b"c").hexdigest()))
        self.assert_goes_on(script)

    def test_no_answer_at_all(self) -> None:
        """A line that is neither an id nor an error ends the request and the connection."""
        for line in (b"", b"OK", b"\x1b[31m", b"ERROR"):
            self.told.clear()
            script = Script()
            request = script.client.upload_many([(b"a", "1"), (b"b", "2")], self.tell)
            script.says(line + b"\n" + id_line(b"b"))
            error = self.failureResultOf(request, UnexpectedReply).value
            self.assertNotIn("\x1b", str(error))
            self.assert_told()
            self.assert_cut(script)

    def test_cut(self) -> None:
        """What the server has not answered when the connection is lost is not told."""
        script = Script()
        request = script.client.upload_many([(b"a", "1"), (b"b", "2")], self.tell)
        script.says(id_line(b"a"))
        script.lose()
        self.failureResultOf(request, ConnectionCut)
        self.assert_told(("1", entry_of(b"a", "1")))

    def test_cut_while_sending(self) -> None:
        """The same with files that wait to be sent, whether or not the transport tells of it."""
        for tells in (True, False):
            script = Script()
            script.transport.full = True
            request = script.client.upload_many(((b"x", "x") for _ in range(1000)), self.tell)
            if tells:
                script.lose()
            else:
                script.client.connectionLost(Failure(ConnectionCut()))
            self.failureResultOf(request, ConnectionCut)
            self.assert_told()

    def test_closed_while_nothing_is_asked(self) -> None:
        """A server that closes while files are read says why."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        request = script.client.upload_many([(b"a", "1")], self.tell)
        script.says(b"ERROR timeout Too slow.\n")
        script.lose()
        executor.run_all()
        error = self.failureResultOf(request, ConnectionCut).value
        self.assertIn("Too slow.", str(error))
        self.assertEqual(script.asked(), b"")
        self.assert_told()

    def test_begun_while_nothing_is_asked(self) -> None:
        """The beginning of a line that nobody asked for is not taken for that of an answer."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        request = script.client.upload_many([(b"a", "1")], self.tell)
        script.says(id_line(b"a")[:10])
        executor.run_all()
        self.assertEqual(script.asked(), b"")
        self.failureResultOf(request, UnexpectedReply)
        self.assert_cut(script)

    def test_answer_too_many(self) -> None:
        """An answer that nobody waits for is not taken for that to the next file."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        files = ((b"x", "x") for _ in range(BATCH_FILES + 1))
        request = script.client.upload_many(files, self.tell)
        executor.step()
        script.says(id_line(b"x") * (BATCH_FILES + 1))
        script.lose()
        executor.run_all()
        self.failureResultOf(request, ConnectionCut, UnexpectedReply)
        self.assertEqual(len(self.told), BATCH_FILES)

    def test_cancelled(self) -> None:
        """Taking it back takes the connection with it, and nothing more is told."""
        script = Script()
        request = script.client.upload_many([(b"a", "1"), (b"b", "2")], self.tell)
        script.says(id_line(b"a"))
        request.cancel()
        self.failureResultOf(request, CancelledError)
        script.says(id_line(b"b"))
        self.assertEqual(len(self.told), 1)
        self.assert_cut(script)

    def test_cancelled_before_anything_is_sent(self) -> None:
        """Taken back while the first files are read, it costs nothing."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        request = script.client.upload_many([(b"a", "1")], self.tell)
        request.cancel()
        executor.run_all()
        self.failureResultOf(request, CancelledError)
        self.assert_told()
        self.assert_goes_on(script)

    def test_told_raises(self) -> None:
        """What is raised when a file is told of ends the request; open answers go with it."""

        def spoil(name: str, outcome: Entry | Exception) -> None:
            self.tell(name, outcome)
            raise Spoiled

        script = Script()
        request = script.client.upload_many([(b"a", "1"), (b"b", "2")], spoil)
        script.says(id_line(b"a"))
        self.failureResultOf(request, Spoiled)
        self.assert_cut(script)
        script = Script()
        request = script.client.upload_many([(b"a", "1")], spoil)
        script.says(id_line(b"a"))
        self.failureResultOf(request, Spoiled)
        self.assert_goes_on(script)
        self.assertEqual(len(self.told), 2)

    def test_files_raise(self) -> None:
        """What the files raise ends the request, when those before are stored."""

        def files() -> Iterator[tuple[bytes, str]]:
            yield b"a", "1"
            raise Spoiled

        script = Script()
        request = script.client.upload_many(files(), self.tell)
        self.assertEqual(script.asked(), upload_of(b"a", "1"))
        self.assertNoResult(request)
        script.says(id_line(b"a"))
        self.failureResultOf(request, Spoiled)
        self.assert_told(("1", entry_of(b"a", "1")))
        self.assert_goes_on(script)

    def test_patience(self) -> None:
        """A server is given up when it is silent, and not while nothing is asked of it."""
        clock = Clock()
        executor = SteppedExecutor()
        script = Script(executor=executor)
        script.factory.patience, script.factory.clock = 60.0, clock
        files = ((b"x", "x") for _ in range(BATCH_FILES + 1))
        request = script.client.upload_many(files, self.tell)
        clock.advance(100)
        executor.step()
        clock.advance(59)
        script.says(id_line(b"x") * BATCH_FILES)
        clock.advance(100)  # the next files are still being read
        self.assertFalse(script.transport.aborted)
        executor.run_all()
        clock.advance(61)
        self.assertTrue(script.transport.aborted)
        script.lose()
        error = self.failureResultOf(request, ConnectionCut).value
        self.assertIn("60 s", str(error))

    def test_patience_after_a_large_file(self) -> None:
        """Nor while files are read behind a large one."""
        clock = Clock()
        executor = SteppedExecutor()
        script = Script(executor=executor)
        script.factory.patience, script.factory.clock = 60.0, clock
        files = [(bytes(ONE_LINE + 1), "x"), (b"a", "y")]
        request = script.client.upload_many(files, self.tell)
        executor.run_all()
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        executor.run_all()
        script.says(id_line(bytes(ONE_LINE + 1)))
        executor.step()  # the large one is closed
        self.assertEqual(len(self.told), 1)
        clock.advance(100)
        self.assertFalse(script.transport.aborted)
        executor.run_all()
        script.says(id_line(b"a"))
        self.successResultOf(request)
        self.assertEqual(clock.getDelayedCalls(), [])


class DownloadTests(BulkCase):
    """Downloads from the real server."""

    def store(self, pair: Pair, *wanted: bytes) -> list[Entry]:
        request = pair.client.upload_many(
            [(content, f"{number:04}") for number, content in enumerate(wanted)], self.tell
        )
        pair.flush()
        self.successResultOf(request)
        self.told.clear()
        return [entry_of(content, f"{number:04}") for number, content in enumerate(wanted)]

    def download(
        self, pair: Pair, files: Sequence[tuple[str, Path | str]], replace: bool = False
    ) -> None:
        request = pair.client.download_many(iter(files), self.tell, replace)
        pair.flush()
        self.assertIsNone(self.successResultOf(request))

    def test_many(self) -> None:
        """More files than several windows hold are written and told, in order."""
        pair = Pair(self)
        wanted = contents(2 * DOWNLOADS + 1)
        entries = self.store(pair, *wanted)
        folder = self.directory()
        self.download(pair, [(entry.id, folder / entry.name) for entry in entries])
        self.assert_told(*((entry.id, entry) for entry in entries))
        self.assertEqual(names_in(folder), [entry.name for entry in entries])
        for content, entry in zip(wanted, entries, strict=True):
            self.assertEqual((folder / entry.name).read_bytes(), content)

    def test_sizes(self) -> None:
        """Empty, small and large files are written in their order, through pieces of any size."""
        pair = Pair(self)
        wanted = [b"", b"a", bytes(ONE_LINE), bytes(ONE_LINE + 1), LARGE, b"b", LARGE + b"x"]
        entries = self.store(pair, *wanted)
        folder = self.directory()
        self.download(pair, [(entry.id.upper(), str(folder / entry.name)) for entry in entries])
        self.assert_told(*((entry.id.upper(), entry) for entry in entries))
        self.assertEqual([(folder / entry.name).read_bytes() for entry in entries], wanted)
        self.assertEqual(names_in(folder), [entry.name for entry in entries])

    def test_lines(self) -> None:
        """Each line is traced, and prompts are not asked for."""
        pair = Pair(self, prompted=True)
        (entry,) = self.store(pair, b"a")
        pair.lines.clear()
        self.download(pair, [(entry.id, self.directory() / "x")])
        self.assertEqual(pair.sent(), [f"DOWNLOAD {entry.id}".encode()])
        self.assertEqual(len(pair.lines), 2)

    def test_nothing(self) -> None:
        """No files are no work."""
        pair = Pair(self)
        self.download(pair, [])
        self.assert_told()
        self.assertEqual(pair.sent(), [])

    def test_one_file_spoils_nothing(self) -> None:
        """What is wrong with one file is told in its place, and the others are written."""
        pair = Pair(self)
        small, large = self.store(pair, b"a", LARGE)
        folder = self.directory()
        (folder / "mine").write_bytes(b"mine")
        self.download(
            pair,
            [
                ("0" * 31, folder / "0"),
                (small.id, folder / "1"),
                ("0" * 32, folder / "2"),
                (large.id, folder / "mine"),
                (large.id, folder / "missing" / "3"),
                (small.id, folder / "missing" / "4"),
                (small.id, folder / "nul\0"),
                (large.id, folder / "5"),
                (small.id, folder / "6"),
            ],
        )
        self.assert_told(
            ("0" * 31, BadId),
            (small.id, small),
            ("0" * 32, NoSuchFile),
            (large.id, TargetExists),
            (large.id, FileNotFoundError),
            (small.id, FileNotFoundError),
            (small.id, ValueError),
            (large.id, large),
            (small.id, small),
        )
        self.assertEqual(names_in(folder), ["1", "5", "6", "mine"])
        self.assertEqual((folder / "mine").read_bytes(), b"mine")

    def test_same_target_twice(self) -> None:
        """The first one gets it; where files may be replaced, the last one, large or small."""
        pair = Pair(self)
        entries = self.store(pair, b"a", LARGE, b"b", LARGE + b"x")
        for first, second in itertools.permutations(entries, 2):
            target = self.directory() / "x"
            files = [(first.id, target), (second.id, target)]
            self.told.clear()
            self.download(pair, files)
            self.assert_told((first.id, first), (second.id, TargetExists))
            self.assertEqual(target.stat().st_size, first.size)
            self.download(pair, files, replace=True)
            self.assertEqual(md5(target.read_bytes()).hexdigest(), second.id)
            self.assertEqual(names_in(target.parent), ["x"])

    def test_target_exists(self) -> None:
        """What is there is not asked for unless it may be replaced; a directory never is."""
        pair = Pair(self)
        (entry,) = self.store(pair, b"a")
        folder = self.directory()
        (folder / "file").write_bytes(b"mine")
        (folder / "link").symlink_to("nowhere")
        (folder / "directory").mkdir()
        files = [(entry.id, folder / name) for name in ("file", "link", "directory")]
        pair.lines.clear()
        self.download(pair, files)
        self.assertEqual(pair.sent(), [])
        self.assert_told(*[(entry.id, TargetExists)] * 2, (entry.id, TargetIsNoFile))
        self.told.clear()
        self.download(pair, files, replace=True)
        self.assert_told((entry.id, entry), (entry.id, entry), (entry.id, TargetIsNoFile))
        self.assertEqual((folder / "file").read_bytes(), b"a")
        self.assertEqual(names_in(folder), ["directory", "file", "link"])


class DownloadWindowTests(BulkCase):
    """Downloads from a server that answers when the test says so, and what it likes."""

    def begin(
        self,
        wanted: Sequence[bytes],
        executor: Executor | None = None,
        told: OnResult | None = None,
    ) -> tuple[Script, Path, Deferred[None]]:
        script = Script(executor=executor)
        folder = self.directory()
        request = script.client.download_many(
            ((md5(content).hexdigest(), folder / str(n)) for n, content in enumerate(wanted)),
            told or self.tell,
        )
        return script, folder, request

    def answer(self, content: bytes) -> bytes:
        return line_of(entry_of(content, "a")) + content

    def test_in_pieces(self) -> None:
        """Answers may come byte by byte, or all at once."""
        wanted = [b"LIST_FILES\n", b"", b"ERROR x\n"]
        whole = b"".join(map(self.answer, wanted))
        for chunks in ([whole], [bytes([byte]) for byte in whole]):
            self.told.clear()
            script, folder, request = self.begin(wanted)
            script.says(*chunks)
            self.successResultOf(request)
            self.assert_told(*((e.id, e) for e in (entry_of(c, "a") for c in wanted)))
            self.assertEqual([(folder / name).read_bytes() for name in "012"], wanted)
            self.assert_goes_on(script)

    def test_window(self) -> None:
        """A server that never answers is not asked for more than the window holds."""
        script, _, request = self.begin([b"a"] * 1000)
        self.assertEqual(script.asked().count(b"DOWNLOAD "), DOWNLOADS)
        script.says(self.answer(b"a") * BATCH_FILES)
        self.assertEqual(script.asked().count(b"DOWNLOAD "), BATCH_FILES)
        request.cancel()
        self.failureResultOf(request, CancelledError)

    def test_slow_disk(self) -> None:
        """While the disk is behind, what came is bounded, and the server held back."""
        executor = SteppedExecutor()
        script, folder, request = self.begin([bytes(ONE_LINE)] * DOWNLOADS, executor)
        executor.step()
        executor.step()
        sent = 0
        while script.transport.producerState == "producing":
            script.says(self.answer(bytes(ONE_LINE)))
            sent += 1
        self.assertEqual(sent, 2 * BATCH_BYTES // ONE_LINE)
        self.assert_told()
        while sent < DOWNLOADS:
            executor.run_all()
            while sent < DOWNLOADS and script.transport.producerState == "producing":
                script.says(self.answer(bytes(ONE_LINE)))
                sent += 1
            self.assertLessEqual(sent - len(self.told), 2 * BATCH_BYTES // ONE_LINE)
        executor.run_all()
        self.successResultOf(request)
        self.assertEqual(len(names_in(folder)), DOWNLOADS)

    def test_slow_disk_is_not_silence(self) -> None:
        """While the disk is behind, nobody loses patience with the server."""
        clock = Clock()
        executor = SteppedExecutor()
        script = Script(executor=executor)
        script.factory.patience, script.factory.clock = 60.0, clock
        folder = self.directory()
        content = bytes(ONE_LINE)
        files = [(md5(content).hexdigest(), folder / str(number)) for number in range(100)]
        request = script.client.download_many(files, self.tell)
        executor.run_all()
        while script.transport.producerState == "producing":
            script.says(self.answer(content))
        clock.advance(100)
        self.assertFalse(script.transport.aborted)
        executor.run_all()
        clock.advance(61)
        self.assertTrue(script.transport.aborted)
        script.lose()
        self.failureResultOf(request, ConnectionCut)

    def test_told_when_durable(self) -> None:
        """A file is told of when its bytes and its name are synced, and not before."""
        synced: list[bool] = []
        fsync = os.fsync

        def note(fd: int) -> None:
            synced.append(stat.S_ISDIR(os.fstat(fd).st_mode))
            self.assert_told()
            fsync(fd)

        self.patch(os, "fsync", note)
        script, _, request = self.begin([b"a", b"b", b"c"], executor := SteppedExecutor())
        executor.run_all()
        script.says(*map(self.answer, (b"a", b"b", b"c")))
        executor.step()  # the first one is alone, as nothing was being written
        self.assertEqual(synced, [False, True])
        self.assertEqual(len(self.told), 1)
        self.told.clear()
        synced.clear()
        executor.run_all()
        self.assertEqual(synced, [False, False, True])
        self.successResultOf(request)

    def test_wrong_bytes(self) -> None:
        """Flipped bytes are a mismatch of that file alone, and nothing of it stays."""
        for size in (5, ONE_LINE + 5):
            self.told.clear()
            content, flipped = bytes(size), bytes(size - 1) + b"x"
            script, folder, request = self.begin([content, b"a"])
            script.says(line_of(entry_of(content, "a")) + flipped + self.answer(b"a"))
            self.successResultOf(request)
            self.assert_told(
                (md5(content).hexdigest(), HashMismatch),
                (md5(b"a").hexdigest(), entry_of(b"a", "a")),
            )
            self.assertEqual(names_in(folder), ["1"])
            self.assert_goes_on(script)

    def test_wrong_entry(self) -> None:
        """Another file, or no entry at all, ends the request and the connection."""
        for line in (line_of(entry_of(b"b", "a")), b"OK\n", b"\x1b[31m\n", b";;\n"):
            self.told.clear()
            script, folder, request = self.begin([b"a", b"b"])
            script.says(line + b"b")
            error = self.failureResultOf(request, UnexpectedReply).value
            self.assertNotIn("\x1b", str(error))
            self.assert_told()
            self.assertEqual(names_in(folder), [])
            self.assert_cut(script)

    def test_cut(self) -> None:
        """What came whole before a cut is written and told; of the rest there is nothing."""
        for rest in (b"", line_of(entry_of(b"bb", "a")), line_of(entry_of(b"bb", "a")) + b"b"):
            self.told.clear()
            script, folder, request = self.begin([b"a", b"bb"])
            script.says(self.answer(b"a") + rest)
            script.lose()
            self.failureResultOf(request, ConnectionCut)
            self.assert_told((md5(b"a").hexdigest(), entry_of(b"a", "a")))
            self.assertEqual(names_in(folder), ["0"])

    def test_cut_in_a_large_one(self) -> None:
        """Of a large file that is cut, no part stays, and no share of the memory."""
        script, folder, request = self.begin([LARGE])
        script.factory.budget = budget = MemoryBudget(total=100, largest=100, smallest=1)
        script.says(line_of(entry_of(LARGE, "a")) + LARGE[:-1])
        self.assertLessEqual(len(names_in(folder)), 1)  # a part without a name, if there can be
        script.lose()
        self.failureResultOf(request, ConnectionCut)
        self.assert_told()
        self.assertEqual(names_in(folder), [])
        budget.join()
        self.assertEqual(budget.share, 100)

    def test_cancelled(self) -> None:
        """Taking it back takes the connection; no part of a file stays."""
        for content in (b"hello", LARGE):
            executor = SteppedExecutor()
            self.told.clear()
            script, folder, request = self.begin([b"a", content], executor)
            executor.run_all()
            script.says(self.answer(b"a"), line_of(entry_of(content, "a")) + content[:3])
            executor.step()
            script.says(content[3:4])
            request.cancel()
            executor.run_all()
            self.failureResultOf(request, CancelledError)
            self.assert_told((md5(b"a").hexdigest(), entry_of(b"a", "a")))
            self.assertEqual(names_in(folder), ["0"])
            self.assert_cut(script)

    def test_told_raises(self) -> None:
        """What is raised when a file is told of ends the request, on a silent server too."""

        def spoil(id: str, outcome: Entry | Exception) -> None:
            self.tell(id, outcome)
            if len(self.told) == raises_at:
                raise Spoiled

        raises_at = 1
        for wanted in ([b"a"], [b"a", b"b"], [b"a", b"b", b"c"]):
            self.told.clear()
            executor = SteppedExecutor()
            script = Script(executor=executor)
            folder = self.directory()
            files = [(md5(content).hexdigest(), folder / content.decode()) for content in wanted]
            request = script.client.download_many(files, spoil)
            executor.run_all()
            script.says(*map(self.answer, wanted[:2]))
            executor.run_all()
            if len(wanted) > 2:
                self.assertTrue(script.transport.aborted)
                script.lose()
            self.failureResultOf(request, Spoiled)
            self.assertEqual(len(self.told), 1)
            self.assertEqual(names_in(folder), ["a"])
        raises_at = 2
        self.told.clear()
        executor = SteppedExecutor()
        script, _, request = self.begin([b"a", b"b", b"c"], executor, told=spoil)
        executor.run_all()
        script.says(*map(self.answer, (b"a", b"b", b"c")))
        executor.run_all()
        self.failureResultOf(request, Spoiled)
        self.assertEqual(len(self.told), 2)

    def test_large_behind_small_ones(self) -> None:
        """A large file is begun when all before it are written: it may have their target."""
        executor = SteppedExecutor()
        script, folder, request = self.begin([b"a", b"b", LARGE], executor)
        executor.run_all()
        script.says(self.answer(b"a"), self.answer(b"b"), line_of(entry_of(LARGE, "a")))
        self.assertEqual(script.transport.producerState, "paused")
        executor.step()
        self.assertEqual(len(self.told), 1)
        executor.step()
        self.assertEqual(len(self.told), 2)
        self.assertEqual(names_in(folder), ["0", "1"])
        executor.step()
        self.assertEqual(script.transport.producerState, "producing")
        script.says(LARGE)
        executor.run_all()
        self.successResultOf(request)
        self.assertEqual(names_in(folder), ["0", "1", "2"])

    def test_files_raise(self) -> None:
        """What the files raise ends the request, when those before are there."""
        folder = self.directory()

        def files() -> Iterator[tuple[str, Path]]:
            yield md5(b"a").hexdigest(), folder / "a"
            raise Spoiled

        script = Script()
        request = script.client.download_many(files(), self.tell)
        self.assertNoResult(request)
        script.says(self.answer(b"a"))
        self.failureResultOf(request, Spoiled)
        self.assertEqual(names_in(folder), ["a"])
        self.assertEqual(len(self.told), 1)
        self.assert_goes_on(script)

    def test_target_taken_meanwhile(self) -> None:
        """A file that appears before the content came is not replaced, and the rest goes on."""
        for size in (5, ONE_LINE + 1):
            self.told.clear()
            content = bytes(size)
            script, folder, request = self.begin([content, b"a"])
            (folder / "0").write_bytes(b"mine")
            script.says(self.answer(content), self.answer(b"a"))
            self.successResultOf(request)
            self.assert_told(
                (md5(content).hexdigest(), TargetExists),
                (md5(b"a").hexdigest(), entry_of(b"a", "a")),
            )
            self.assertEqual((folder / "0").read_bytes(), b"mine")
            self.assertEqual(names_in(folder), ["0", "1"])
            self.assert_goes_on(script)

    def test_target_taken_at_the_last_moment(self) -> None:
        """The same, when its part is written already."""
        fsync = os.fsync
        script, folder, request = self.begin([b"a"])

        def take(fd: int) -> None:
            (folder / "0").write_bytes(b"mine")
            fsync(fd)

        self.patch(os, "fsync", take)
        script.says(self.answer(b"a"))
        self.successResultOf(request)
        self.assert_told((md5(b"a").hexdigest(), TargetExists))
        self.assertEqual(names_in(folder), ["0"])

    def test_disk_fails(self) -> None:
        """What the disk refuses is told of those files by their targets' names; no part stays."""

        def refuse(*arguments: Any, **options: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for step in ("writev", "fsync", "link", "posix_fadvise"):
            for content in (b"hello", bytes(ONE_LINE + 1)):
                if step == "posix_fadvise" and content != b"hello":
                    continue  # it is not big enough for that
                self.told.clear()
                script, folder, request = self.begin([content, b"a"])
                works = getattr(os, step)
                setattr(os, step, refuse)
                try:
                    script.says(self.answer(content), self.answer(b"a"))
                finally:
                    setattr(os, step, works)
                self.successResultOf(request)
                self.assert_told(
                    (md5(content).hexdigest(), OSError), (md5(b"a").hexdigest(), OSError)
                )
                self.assertEqual(names_in(folder), [], step)
                self.assert_goes_on(script)

    def test_directory_fails(self) -> None:
        """Files whose directory can't be synced are not told to be safe."""
        fsync = os.fsync

        def refuse(fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(fd)

        script, _, request = self.begin([b"a", b"b"])
        self.patch(os, "fsync", refuse)
        script.says(self.answer(b"a") + self.answer(b"b"))
        self.successResultOf(request)
        self.assert_told(*((md5(content).hexdigest(), OSError) for content in (b"a", b"b")))


class ReadSizeTests(BulkCase):
    """How much is read from a socket at once."""

    def test_back_to_lines(self) -> None:
        """After a large payload, reads are small again: each line is split off the whole."""
        script = Script()
        before = script.transport.bufferSize
        folder = self.directory()
        script.client.download_many([(md5(LARGE).hexdigest(), folder / "x")], self.tell)
        script.says(line_of(entry_of(LARGE, "a")) + LARGE[:10])
        self.assertGreater(script.transport.bufferSize, before)
        script.says(LARGE[10:])
        self.assertEqual(script.transport.bufferSize, before)
        self.assertEqual(len(self.told), 1)
