"""The client's protocol: against the real server without a network, and against hostile ones."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from tests.support.depot import MemoryDepot
from tests.support.executors import InlineExecutor, SteppedExecutor
from tests.support.visitors import PASSWORD, peer, user
from xferproto.client.factory import XferClientFactory
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.source import ONE_LINE
from xferproto.client.target import local_name
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    REQUEST_ERRORS,
    BadCommand,
    BadDetails,
    BadId,
    BadName,
    BadRange,
    ConnectionCut,
    Denied,
    HashMismatch,
    Insecure,
    LoginRequired,
    NoSpace,
    NoSuchFile,
    RequestError,
    SourceChanged,
    TargetExists,
    TooLarge,
    UnexpectedReply,
    UnknownRequestError,
    XferError,
)
from xferproto.server.auth.users import User
from xferproto.threads.executor import Executor
from xferproto.transfer.sender import BLOCK

LARGE = b"0123456789abcdef" * (5 * BLOCK // 32)
"""A content of two and a half blocks, more than goes on one line."""

HELLO = Entry(md5(b"hello").hexdigest(), "a.txt", 5)


def entry_of(content: bytes, name: str) -> Entry:
    return Entry(md5(content).hexdigest(), name, len(content))


def line_of(entry: Entry) -> bytes:
    return f"{entry.id};{entry.name};{entry.size}\n".encode()


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class Pair:
    """
    A client and a real server, joined without a network.

    @param users: who may log in, and nobody may do anything without; or None.
    @param host: where each seems to be for the other.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        prompted: bool = False,
        max_file_size: int | None = None,
        executor: Executor | None = None,
        users: Sequence[User] | None = None,
        host: str = "192.0.2.1",
    ) -> None:
        self.depot = MemoryDepot(case, max_file_size=max_file_size, users=users)
        self.lines: list[tuple[str, bytes]] = []
        factory = XferClientFactory(
            InlineExecutor() if executor is None else executor,
            prompted,
            lambda way, line: self.lines.append((way, line)),
        )
        self.client = factory.buildProtocol(None)
        server = self.depot.factory.buildProtocol(None)
        self._pump = iosim.connect(
            server,
            iosim.FakeTransport(server, isServer=True, peerAddress=peer(host)),
            self.client,
            iosim.FakeTransport(self.client, isServer=False, peerAddress=peer(host)),
            clock=self.depot.clock,
        )

    def flush(self) -> None:
        """Let everything arrive that is on its way."""
        self._pump.flush()

    def sent(self) -> list[bytes]:
        """The lines that the client has sent."""
        return [line for way, line in self.lines if way == ">"]


class Line(StringTransport):
    """
    A transport that behaves as a socket does: it tells of its end later, never within a call.

    @ivar full: whether a producer is paused after each of its writes.
    @ivar aborted: whether the client has cut it off.
    """

    bufferSize = 64 * 1024
    full = False
    aborted = False

    def __init__(self) -> None:
        super().__init__(lenient=True)

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.full and self.producer is not None:
            self.producer.pauseProducing()

    def abortConnection(self) -> None:
        self.aborted = True


class Script:
    """A client, and a server that says what the test writes."""

    def __init__(self, prompted: bool = False, executor: Executor | None = None) -> None:
        self.factory = XferClientFactory(
            InlineExecutor() if executor is None else executor, prompted
        )
        self.client = self.factory.buildProtocol(None)
        self.transport = Line()
        self.client.makeConnection(self.transport)

    def says(self, *chunks: bytes) -> None:
        """Let the chunks arrive one by one."""
        for chunk in chunks:
            self.client.dataReceived(chunk)

    def asked(self) -> bytes:
        """What the client has sent since the last call."""
        written: bytes = self.transport.value()
        self.transport.clear()
        return written

    def lose(self) -> None:
        """The connection is gone: as a socket does, tell the producer, then the protocol."""
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.client.connectionLost(Failure(ConnectionLost()))


class Case(SynchronousTestCase):
    """What the cases below share."""

    def directory(self) -> Path:
        """A new, empty directory."""
        path = Path(self.mktemp())
        path.mkdir(parents=True)
        return path

    def file(self, content: bytes, name: str = "source.bin") -> Path:
        """A file with this content, alone in a new directory."""
        path = self.directory() / name
        path.write_bytes(content)
        return path

    def assert_goes_on(self, script: Script) -> None:
        """The connection is in step: the next request is sent, and gets its answer."""
        self.assertFalse(script.transport.aborted)
        script.asked()
        listing = script.client.list_files()
        self.assertEqual(script.asked(), b"LIST_FILES\n")
        script.says(b"No files available at the moment\nDONE\n")
        self.assertEqual(self.successResultOf(listing), [])

    def assert_cut(self, script: Script) -> None:
        """The client has closed the connection, and says so to whoever asks next."""
        self.assertTrue(script.transport.aborted)
        script.lose()
        script.asked()
        self.failureResultOf(script.client.list_files(), XferError)
        self.assertEqual(script.asked(), b"")


class OneLineTests(Case):
    """Every request, against the real server; arguments on the same line as their commands."""

    prompted: ClassVar[bool] = False

    def pair(self, max_file_size: int | None = None) -> Pair:
        return Pair(self, self.prompted, max_file_size)

    def result(self, pair: Pair, request: Deferred[Any]) -> Any:
        pair.flush()
        return self.successResultOf(request)

    def test_list_empty(self) -> None:
        """A depot without files lists none."""
        pair = self.pair()
        self.assertEqual(self.result(pair, pair.client.list_files()), [])

    def test_list_in_name_order(self) -> None:
        """A listing is the entries, in name order."""
        pair = self.pair()
        for name in ("b", "a;1", "ä/ö"):
            self.result(pair, pair.client.upload(name.encode(), name))
        listing = self.result(pair, pair.client.list_files())
        self.assertEqual(listing, [entry_of(name.encode(), name) for name in ("a;1", "b", "ä/ö")])

    def test_list_prefix(self) -> None:
        """A prefix narrows the listing to the names that begin with it."""
        pair = self.pair()
        for name in ("docs/a", "docs/b", "pictures/a"):
            self.result(pair, pair.client.upload(b"", name))
        listing = self.result(pair, pair.client.list_files("docs/"))
        self.assertEqual([entry.name for entry in listing], ["docs/a", "docs/b"])

    def test_upload_bytes(self) -> None:
        """Bytes are stored under the name that is given."""
        pair = self.pair()
        self.assertEqual(self.result(pair, pair.client.upload(b"hello", "a.txt")), HELLO)
        self.assertEqual(self.result(pair, pair.client.list_files()), [HELLO])

    def test_upload_path(self) -> None:
        """A file is stored under its own name."""
        pair = self.pair()
        source = self.file(LARGE)
        entry = self.result(pair, pair.client.upload(source))
        self.assertEqual(entry, entry_of(LARGE, "source.bin"))

    def test_upload_path_as_text(self) -> None:
        """A path may be a str."""
        pair = self.pair()
        entry = self.result(pair, pair.client.upload(str(self.file(b"hello", "a.txt"))))
        self.assertEqual(entry, HELLO)

    def test_upload_named(self) -> None:
        """A file may be stored under another name, a path and a semicolon in it."""
        pair = self.pair()
        entry = self.result(pair, pair.client.upload(self.file(LARGE), "some/where;1"))
        self.assertEqual(entry, entry_of(LARGE, "some/where;1"))

    def test_upload_around_one_line(self) -> None:
        """Contents around the size from which on the client asks first arrive whole."""
        pair = self.pair()
        for size in (ONE_LINE - 1, ONE_LINE, ONE_LINE + 1):
            content = bytes(size)
            entry = self.result(pair, pair.client.upload(content, "a"))
            self.assertEqual(entry, entry_of(content, "a"))

    def test_upload_empty(self) -> None:
        """An empty content is stored like any other."""
        pair = self.pair()
        entry = self.result(pair, pair.client.upload(b"", "nothing"))
        self.assertEqual(entry, Entry("d41d8cd98f00b204e9800998ecf8427e", "nothing", 0))

    def test_download(self) -> None:
        """A download is the same bytes, and nothing is left beside them."""
        pair = self.pair()
        for content in (b"", b"x", b"LIST_FILES\nQUIT\n", LARGE):
            target = self.directory() / "got"
            stored = self.result(pair, pair.client.upload(content, "a"))
            fetched = self.result(pair, pair.client.download(stored.id, target))
            self.assertEqual(fetched, stored)
            self.assertEqual(target.read_bytes(), content)
            self.assertEqual(names_in(target.parent), ["got"])

    def test_download_path_as_text(self) -> None:
        """A target may be a str, and the id in upper case."""
        pair = self.pair()
        target = self.directory() / "got"
        self.result(pair, pair.client.upload(b"hello", "a.txt"))
        self.result(pair, pair.client.download(HELLO.id.upper(), str(target)))
        self.assertEqual(target.read_bytes(), b"hello")

    def test_stat(self) -> None:
        """STAT tells all names, the SHA-256 and the times."""
        pair = self.pair()
        for name in ("b", "a"):
            self.result(pair, pair.client.upload(b"hello", name))
        status = self.result(pair, pair.client.stat(HELLO.id))
        self.assertEqual(status.entries, (entry_of(b"hello", "a"), entry_of(b"hello", "b")))
        self.assertEqual(status.sha256, sha256(b"hello").hexdigest())
        self.assertEqual((status.stored, status.verified), (1e9, 1e9))

    def test_disconnect(self) -> None:
        """Saying goodbye closes the connection on both sides, and says QUIT."""
        pair = self.pair()
        self.assertIsNone(self.result(pair, pair.client.disconnect()))
        self.assertEqual(pair.sent(), [b"QUIT"])
        self.assertIsNone(self.result(pair, pair.client.disconnect()))

    def test_queued(self) -> None:
        """Requests made at once are answered in order, the goodbye last."""
        pair = self.pair()
        client, folder = pair.client, self.directory()
        order: list[str] = []

        def note(request: Deferred[Any], word: str) -> Deferred[Any]:
            def ended(outcome: Any) -> Any:
                order.append(word)
                return outcome

            return request.addBoth(ended)

        uploaded = note(client.upload(LARGE, "large"), "upload")
        refused = note(client.stat("0" * 32), "refused")
        small = note(client.upload(b"hello", "a.txt"), "small")
        fetched = note(client.download(md5(LARGE).hexdigest(), folder / "large"), "download")
        listed = note(client.list_files(), "list")
        closed = note(client.disconnect(), "closed")
        late = client.list_files()
        pair.flush()
        self.assertEqual(order, ["upload", "refused", "small", "download", "list", "closed"])
        self.assertEqual(self.successResultOf(uploaded), entry_of(LARGE, "large"))
        self.failureResultOf(refused, NoSuchFile)
        self.assertEqual(self.successResultOf(small), HELLO)
        self.assertEqual(self.successResultOf(fetched), entry_of(LARGE, "large"))
        self.assertEqual(self.successResultOf(listed), [HELLO, entry_of(LARGE, "large")])
        self.successResultOf(closed)
        self.failureResultOf(late, ConnectionCut)

    def test_upload_progress(self) -> None:
        """The progress of an upload never falls and ends at its size, an empty one's too."""
        pair = self.pair()
        for content in (LARGE, b"x", b""):
            told: list[tuple[int, int]] = []
            self.result(
                pair, pair.client.upload(content, "a", lambda *now, told=told: told.append(now))
            )
            self.assertEqual({total for _, total in told}, {len(content)})
            self.assertEqual(told, sorted(told))
            self.assertEqual(told[-1], (len(content), len(content)))
            self.assertEqual(told.count(told[-1]), 1)

    def test_download_progress(self) -> None:
        """The progress of a download never falls and ends at its size."""
        pair = self.pair()
        for content in (LARGE, b"x"):
            told: list[tuple[int, int]] = []
            entry = self.result(pair, pair.client.upload(content, "a"))
            self.result(
                pair,
                pair.client.download(
                    entry.id,
                    self.directory() / "got",
                    progress=lambda *now, told=told: told.append(now),
                ),
            )
            self.assertEqual({total for _, total in told}, {len(content)})
            self.assertEqual(told, sorted(told))
            self.assertEqual(told[-1], (len(content), len(content)))
            self.assertEqual(told.count(told[-1]), 1)

    def test_empty_download_progress(self) -> None:
        """The download of an empty file ends at its size too: progress tells 0 of 0."""
        pair = self.pair()
        told: list[tuple[int, int]] = []
        entry = self.result(pair, pair.client.upload(b"", "a"))
        target = self.directory() / "got"
        self.result(
            pair, pair.client.download(entry.id, target, progress=lambda *now: told.append(now))
        )
        self.assertEqual(told, [(0, 0)])

    def test_refused(self) -> None:
        """A refusal raises the error of its symbol, and the next request is answered."""
        pair = self.pair(max_file_size=10)
        folder = self.directory()
        refusals: list[tuple[Deferred[Any], type[RequestError]]] = [
            (pair.client.stat("0" * 32), NoSuchFile),
            (pair.client.download("0" * 32, folder / "got"), NoSuchFile),
            (pair.client.upload(b"x" * 11, "a"), TooLarge),
            (pair.client.upload(b"LIST_FILES\n" * 9000, "a"), TooLarge),
        ]
        listed = pair.client.list_files()
        pair.flush()
        for refused, error in refusals:
            self.failureResultOf(refused, error)
        self.assertEqual(self.successResultOf(listed), [])
        self.assertEqual(names_in(folder), [])

    def test_target_exists(self) -> None:
        """A file that is there is not touched unless it may be replaced."""
        pair = self.pair()
        target = self.file(b"mine", "got")
        self.result(pair, pair.client.upload(b"hello", "a.txt"))
        asked = pair.sent()
        self.failureResultOf(pair.client.download(HELLO.id, target), TargetExists)
        self.assertEqual(pair.sent(), asked)
        self.assertEqual(target.read_bytes(), b"mine")
        self.result(pair, pair.client.download(HELLO.id, target, replace=True))
        self.assertEqual(target.read_bytes(), b"hello")
        self.assertEqual(names_in(target.parent), ["got"])


class PromptedTests(OneLineTests):
    """The same, with a client that asks for each command's prompt."""

    prompted = True

    def test_transcript(self) -> None:
        """Command, prompt, argument and answer alternate, as a person would type them."""
        pair = self.pair()
        self.result(pair, pair.client.upload(b"hello", "a.txt"))
        self.result(pair, pair.client.stat(HELLO.id))
        self.assertEqual(
            pair.lines[:8],
            [
                (">", b"UPLOAD"),
                ("<", b"Please send the file name and file size"),
                (">", b"a.txt;5"),
                ("<", b"Ready to receive the file"),
                ("<", HELLO.id.encode()),
                (">", b"STAT"),
                ("<", b"Please send a file ID"),
                (">", HELLO.id.encode()),
            ],
        )


class RefusedBeforeSendingTests(Case):
    """What the client finds wrong by itself: nothing is sent, and the connection goes on."""

    def setUp(self) -> None:
        self.script = Script()

    def assert_refused(self, request: Deferred[Any], *errors: type[BaseException]) -> BaseException:
        failure = self.failureResultOf(request, *errors)
        self.assertEqual(self.script.asked(), b"")
        self.assert_goes_on(self.script)
        error: BaseException = failure.value
        return error

    def test_names(self) -> None:
        """A name that no server may take is not sent to one."""
        for name in ("", "..", "../x", "/x", "a\nb", "a\\b", "x" * 256, "a\u2028b", "a\0"):
            self.assert_refused(self.script.client.upload(b"hello", name), BadName)

    def test_unnamed_bytes(self) -> None:
        """Bytes need a name."""
        self.assert_refused(self.script.client.upload(b"hello"), BadName)

    def test_name_that_is_no_utf8(self) -> None:
        """A file whose name is not UTF-8, as a file system may hold one, is refused as a name."""
        source = self.directory() / os.fsdecode(b"a\xff")
        try:
            source.write_bytes(b"hello")
        except OSError:
            self.skipTest("this file system has no such names")
        self.assert_refused(self.script.client.upload(source), BadName)

    def test_prefix(self) -> None:
        """A prefix that could end the line is not sent."""
        for prefix in ("a\nQUIT", "a\\", "\udcff"):
            self.assert_refused(self.script.client.list_files(prefix), BadName)

    def test_ids(self) -> None:
        """An id that is none is not sent."""
        target = self.directory() / "got"
        for id in ("", "x", "0" * 31, "0" * 33, "0" * 32 + "\nQUIT", "\udcff"):
            self.assert_refused(self.script.client.stat(id), BadId)
            self.assert_refused(self.script.client.download(id, target), BadId)
        self.assertEqual(names_in(target.parent), [])

    def test_no_source(self) -> None:
        """A source that is not there is an OSError that names it."""
        path = self.directory() / "missing"
        error = self.assert_refused(self.script.client.upload(path), FileNotFoundError)
        assert isinstance(error, OSError)
        self.assertEqual(str(error.filename), str(path))

    def test_source_is_directory(self) -> None:
        """A directory can't be sent."""
        self.assert_refused(self.script.client.upload(self.directory()), OSError)

    def test_source_is_fifo(self) -> None:
        """A pipe is refused instead of waited for."""
        path = self.directory() / "pipe"
        os.mkfifo(path)
        self.assert_refused(self.script.client.upload(path), OSError)

    def test_no_target_directory(self) -> None:
        """A target in a directory that is not there is an OSError."""
        target = self.directory() / "missing" / "got"
        self.assert_refused(self.script.client.download(HELLO.id, target), OSError)

    def test_target_is_directory(self) -> None:
        """A directory is never replaced, not even where a file may be."""
        target = self.directory()
        for replace in (False, True):
            self.assert_refused(
                self.script.client.download(HELLO.id, target, replace), TargetExists
            )
        self.assertEqual(names_in(target.parent), [target.name])

    def test_target_is_dangling_link(self) -> None:
        """A link to nowhere counts as being there."""
        target = self.directory() / "got"
        target.symlink_to("nowhere")
        self.assert_refused(self.script.client.download(HELLO.id, target), TargetExists)
        self.assertTrue(target.is_symlink())


class ErrorLineTests(Case):
    """What the server may refuse, word by word."""

    def test_every_symbol(self) -> None:
        """Each symbol of the protocol raises its own class with the server's text."""
        for symbol, error in REQUEST_ERRORS.items():
            script = Script()
            request = script.client.stat(HELLO.id)
            script.says(b"ERROR " + symbol.encode() + b" Some text; more of it.\n")
            failure = self.failureResultOf(request, error)
            self.assertEqual(failure.value.text, "Some text; more of it.")
            self.assert_goes_on(script)

    def test_unknown_symbol(self) -> None:
        """A symbol of a newer server is an UnknownRequestError that has it."""
        script = Script()
        request = script.client.stat(HELLO.id)
        script.says(b"ERROR too-tired Come back tomorrow.\r\n")
        error = self.failureResultOf(request, UnknownRequestError).value
        self.assertEqual((error.symbol, error.text), ("too-tired", "Come back tomorrow."))
        self.assertEqual(RequestError.symbol, "internal")
        self.assert_goes_on(script)

    def test_without_text(self) -> None:
        """A symbol alone is enough."""
        script = Script()
        request = script.client.list_files()
        script.says(b"ERROR bad-range\n")
        self.failureResultOf(request, BadRange)
        self.assert_goes_on(script)

    def test_refused_at_the_prompt(self) -> None:
        """A refusal instead of the prompt, or after the argument, leaves the connection in step."""
        script = Script(prompted=True)
        request = script.client.upload(b"hello", "a.txt")
        script.says(b"ERROR moon-phase Later.\n")
        self.failureResultOf(request, UnknownRequestError)
        self.assert_goes_on(script)
        request = script.client.upload(b"hello", "a.txt")
        script.says(b"Please send the file name and file size\n", b"ERROR no-space Full.\n")
        self.failureResultOf(request, NoSpace)
        self.assertEqual(script.asked(), b"UPLOAD\na.txt;5\n")
        self.assert_goes_on(script)

    def test_unasked(self) -> None:
        """An error that nobody asked for is why the server closes; the next request tells it."""
        script = Script()
        script.says(b"ERROR timeout You were silent for too long.\n")
        self.assertTrue(script.transport.aborted)
        script.lose()
        error = self.failureResultOf(script.client.list_files(), ConnectionCut).value
        self.assertIn("You were silent for too long.", str(error))
        self.assertEqual(script.asked(), b"")
        self.successResultOf(script.client.disconnect())

    def test_unasked_stands(self) -> None:
        """The first unasked line is the reason, whatever follows it."""
        script = Script()
        script.says(b"ERROR timeout You were silent for too long.\nbye\nbye\n")
        error = self.failureResultOf(script.client.list_files(), ConnectionCut).value
        self.assertIn("You were silent for too long.", str(error))

    def test_unasked_text_is_escaped(self) -> None:
        """Control characters of an unasked line never come out raw in the error's text."""
        for line in (b"ERROR busy a\x1b[31mb\n", b"a\x1b[31mb\n"):
            script = Script()
            script.says(line)
            script.lose()
            error = self.failureResultOf(script.client.list_files(), ConnectionCut).value
            self.assertNotIn("\x1b", str(error))

    def test_unasked_after_download(self) -> None:
        """A client that idles after a download, whose disk is on threads, still listens."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        executor.run_all()
        script.says(line_of(HELLO) + b"hello")
        executor.run_all()
        self.assertEqual(self.successResultOf(request), HELLO)
        script.asked()
        self.assertEqual(script.transport.producerState, "producing")
        script.says(b"ERROR timeout You were silent for too long.\n")
        self.assertTrue(script.transport.aborted)


class HostileTests(Case):
    """Servers that lie, babble or vanish. Nothing they send is taken for what it is not."""

    def assert_unexpected(
        self, make: Callable[[XferClientProtocol], Deferred[Any]], *chunks: bytes
    ) -> BaseException:
        script = Script()
        request = make(script.client)
        script.says(*chunks)
        error: BaseException = self.failureResultOf(request, UnexpectedReply).value
        self.assertNotIn("\x1b", str(error))
        self.assert_cut(script)
        return error

    def test_garbage_in_listing(self) -> None:
        """A listing's line that is no entry ends the request and the connection."""
        for line in (b"", b"hello", b"\x00\xff\xfe", b"ERROR", b"ERRORS busy", b";;", b"\x1b[31m"):
            self.assert_unexpected(lambda client: client.list_files(), line + b"\n")

    def test_hostile_names(self) -> None:
        """A listing with a name that no depot stores is not believed."""
        for name in (
            b"../../x",
            b"/etc/passwd",
            b"a/../b",
            b"a\x1b[31mb",
            b"a\rb",
            b"a\\b",
            b"\xff",
            b"a//b",
            b"",
            b"x" * 256,
        ):
            line = HELLO.id.encode() + b";" + name + b";5\n"
            self.assert_unexpected(lambda client: client.list_files(), line)
            target = self.directory() / "got"
            fetch = partial(XferClientProtocol.download, id=HELLO.id, target=target)
            self.assert_unexpected(fetch, line + b"hello")
            self.assertEqual(names_in(target.parent), [])

    def test_hostile_sizes(self) -> None:
        """An entry whose size is none is not believed."""
        for size in (b"", b"-1", b"+5", b"5.0", b"1_0", b"9" * 19, b"1" * 20, "５".encode()):
            line = HELLO.id.encode() + b";a;" + size + b"\n"
            self.assert_unexpected(lambda client: client.list_files(), line)

    def test_long_line(self) -> None:
        """A line without end is not waited for."""
        for chunks in ([b"x" * 5000], [b"x" * 5000 + b"\n"], [b"x" * 100] * 50):
            script = Script()
            request = script.client.list_files()
            script.says(*chunks)
            self.assert_cut(script)
            self.failureResultOf(request, UnexpectedReply)

    def test_wrong_prompt(self) -> None:
        """Another answer than the prompt, or than Ready, is not taken for it."""
        for chunks in (
            [b"Send it!\n"],
            [b"Please send the file name and file size\n", b"Go on\n"],
            [b"Please send the file name and file size\n", HELLO.id.encode() + b"\n"],
        ):
            script = Script(prompted=True)
            request = script.client.upload(b"hello", "a.txt")
            script.says(*chunks)
            self.failureResultOf(request, UnexpectedReply)
            self.assertNotIn(b"hello", script.asked())
            self.assert_cut(script)

    def test_wrong_entry(self) -> None:
        """Another file than the one that was asked for is not taken, its name and hash however."""
        target = self.directory() / "got"
        other = entry_of(b"other", "a.txt")
        self.assert_unexpected(
            lambda client: client.download(HELLO.id, target), line_of(other) + b"other"
        )
        self.assertEqual(names_in(target.parent), [])

    def test_incomplete_status(self) -> None:
        """STAT without a hash or a time that reads like one is not complete."""
        times = b"stored 2001-02-03T04:05:06.789Z\nverified 2001-02-03T04:05:06.789Z\n"
        digest = b"sha256 " + b"0" * 64 + b"\n"
        for lines in (b"", digest, times, times + b"sha256 xyz\n", digest + b"stored soon\n"):
            self.assert_gives_up(line_of(HELLO) + lines + b"DONE\n")

    def assert_gives_up(self, answer: bytes) -> None:
        script = Script()
        request = script.client.stat(HELLO.id)
        script.says(answer)
        self.failureResultOf(request, UnexpectedReply)

    def test_newer_status(self) -> None:
        """A line of STAT that a newer server adds is passed over."""
        script = Script()
        request = script.client.stat(HELLO.id)
        script.says(
            line_of(HELLO)
            + b"sha256 "
            + b"0" * 64
            + b"\nowner nobody\nstored 2001-02-03T04:05:06.789Z\n"
            + b"verified 2001-02-03T04:05:06.789Z\nDONE\n"
        )
        status = self.successResultOf(request)
        self.assertEqual((status.entries, status.stored), ((HELLO,), 981173106.789))
        self.assert_goes_on(script)

    def test_leftovers_answer_nobody(self) -> None:
        """After garbage, what else came with it is not the answer to the next request."""
        script = Script()
        first, second = script.client.list_files(), script.client.list_files()
        script.says(b"garbage\n" + line_of(HELLO) + b"DONE\n")
        self.failureResultOf(first, UnexpectedReply)
        script.lose()
        self.failureResultOf(second, ConnectionCut, UnexpectedReply)

    def test_one_answer_too_many(self) -> None:
        """A second answer to one request is not the answer to the next one."""
        script = Script()
        first = script.client.upload(b"hello", "a.txt")
        script.says(HELLO.id.encode() + b"\n" + HELLO.id.encode() + b"\n")
        self.assertEqual(self.successResultOf(first), HELLO)
        script.lose()
        self.failureResultOf(script.client.upload(b"hello", "b.txt"), ConnectionCut)

    def test_upload_mismatch(self) -> None:
        """Another id than the client's own hash is a mismatch that has both."""
        for prompted in (False, True):
            script = Script(prompted)
            request = script.client.upload(b"hello", "a.txt")
            if prompted:
                script.says(b"Please send the file name and file size\n")
                script.says(b"Ready to receive the file\n")
            other = md5(b"jello").hexdigest()
            script.says(other.encode() + b"\n")
            error = self.failureResultOf(request, HashMismatch).value
            self.assertEqual(error.ours, HELLO.id)
            self.assertIn(other, error.theirs)
            self.assertIn(other, str(error))

    def test_upload_answered_with_garbage(self) -> None:
        """An answer that is no id is never a success, and is shown escaped."""
        for line in (b"", b"OK", b"\x1b[31m", HELLO.id.upper().encode() + b" "):
            script = Script()
            request = script.client.upload(b"hello", "a.txt")
            script.says(line + b"\n")
            error = self.failureResultOf(request, HashMismatch, UnexpectedReply).value
            self.assertNotIn("\x1b", str(error))

    def test_download_mismatch(self) -> None:
        """Flipped bytes are a mismatch; nothing stays, and the connection goes on."""
        script = Script()
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        script.says(line_of(HELLO) + b"hellp")
        error = self.failureResultOf(request, HashMismatch).value
        self.assertEqual((error.ours, error.theirs), (md5(b"hellp").hexdigest(), HELLO.id))
        self.assertEqual(names_in(target.parent), [])
        self.assert_goes_on(script)

    def test_mismatch_keeps_what_was_there(self) -> None:
        """A file that may be replaced is not, by bytes that are wrong."""
        script = Script()
        target = self.file(b"mine", "got")
        request = script.client.download(HELLO.id, target, replace=True)
        script.says(line_of(HELLO) + b"hellp")
        self.failureResultOf(request, HashMismatch)
        self.assertEqual(target.read_bytes(), b"mine")
        self.assertEqual(names_in(target.parent), ["got"])

    def test_target_taken_meanwhile(self) -> None:
        """A file that appears while the download runs is not replaced."""
        script = Script()
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        script.says(line_of(HELLO) + b"hel")
        target.write_bytes(b"mine")
        script.says(b"lo")
        self.failureResultOf(request, TargetExists)
        self.assertEqual(target.read_bytes(), b"mine")
        self.assertEqual(names_in(target.parent), ["got"])
        self.assert_goes_on(script)

    def test_download_in_pieces(self) -> None:
        """A download may arrive byte by byte, with the next answer right behind it."""
        script = Script()
        target = self.directory() / "got"
        fetched, listed = script.client.download(HELLO.id, target), script.client.list_files()
        for byte in line_of(HELLO) + b"hello" + line_of(HELLO) + b"DONE\n":
            script.says(bytes([byte]))
        self.assertEqual(self.successResultOf(fetched), HELLO)
        self.assertEqual(self.successResultOf(listed), [HELLO])
        self.assertEqual(target.read_bytes(), b"hello")


class CutTests(Case):
    """Connections that end too soon, by the other side or by one's own."""

    def test_short_download(self) -> None:
        """A download that ends midway is a ConnectionCut, and no file or part of one stays."""
        for came in (b"", HELLO.id.encode(), line_of(HELLO), line_of(HELLO) + b"hell"):
            script = Script()
            target = self.directory() / "got"
            request = script.client.download(HELLO.id, target)
            if came:
                script.says(came)
            script.lose()
            self.failureResultOf(request, ConnectionCut)
            self.assertEqual(names_in(target.parent), [])

    def test_queued_requests_fail(self) -> None:
        """All requests that wait for a lost connection fail with it; a goodbye succeeds."""
        script = Script()
        target = self.directory() / "got"
        requests: Sequence[Deferred[Any]] = [
            script.client.list_files(),
            script.client.upload(b"hello", "a.txt"),
            script.client.upload(self.file(LARGE)),
            script.client.download(HELLO.id, target),
            script.client.stat(HELLO.id),
        ]
        closed = script.client.disconnect()
        script.lose()
        for request in requests:
            self.failureResultOf(request, ConnectionCut)
        self.successResultOf(closed)
        self.assertEqual(script.asked(), b"LIST_FILES\n")
        self.assertEqual(names_in(target.parent), [])

    def test_lost_while_sending(self) -> None:
        """An upload whose connection is lost midway is a ConnectionCut, its source closed."""
        script = Script()
        script.transport.full = True
        request = script.client.upload(LARGE, "a")
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        self.assertNoResult(request)
        script.lose()
        self.failureResultOf(request, ConnectionCut)

    def test_lost_while_sending_without_notice(self) -> None:
        """The same, where the transport does not stop the producer first."""
        script = Script()
        script.transport.full = True
        request = script.client.upload(LARGE, "a")
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        script.client.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(request, ConnectionCut)

    def test_lost_before_the_id(self) -> None:
        """All bytes sent and no id received is a ConnectionCut: nobody knows whether it is safe."""
        script = Script()
        request = script.client.upload(b"hello", "a.txt")
        self.assertEqual(script.asked(), b"UPLOAD a.txt;5\nhello")
        script.lose()
        self.failureResultOf(request, ConnectionCut)

    def test_refused_while_sending(self) -> None:
        """A refusal in the middle of a payload is raised, and the rest of it not sent."""
        script = Script()
        script.transport.full = True
        request = script.client.upload(LARGE, "a")
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        script.says(b"ERROR no-space The disk is full.\n")
        error = self.failureResultOf(request, NoSpace).value
        self.assertEqual(error.text, "The disk is full.")
        self.assertLess(len(script.asked()), len(LARGE))
        self.assert_cut(script)

    def test_answered_while_sending(self) -> None:
        """An id before the payload's end proves nothing."""
        script = Script()
        script.transport.full = True
        request = script.client.upload(LARGE, "a")
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        script.says(md5(LARGE).hexdigest().encode() + b"\n")
        self.failureResultOf(request, UnexpectedReply)
        self.assert_cut(script)

    def test_refused_before_the_payload_is_read(self) -> None:
        """A one-line upload, refused while its source is still being read, stays in step."""
        executor = SteppedExecutor()
        pair = Pair(self, max_file_size=3, executor=executor)
        refused = pair.client.upload(b"LIST_FILES\n", "a")
        listed = pair.client.list_files()
        pair.flush()  # the refusal is here before a byte of the payload went out
        for _ in range(9):
            executor.run_all()
            pair.flush()
        self.failureResultOf(refused, TooLarge)
        self.assertEqual(self.successResultOf(listed), [])

    def test_source_changed(self) -> None:
        """A file that shrinks while it is sent is a SourceChanged, and nothing is padded."""
        source = self.file(LARGE)
        script = Script()
        script.transport.full = True
        request = script.client.upload(source)
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        os.truncate(source, BLOCK)
        while script.transport.producer is not None:
            script.transport.producer.resumeProducing()
        self.failureResultOf(request, SourceChanged)
        self.assertLess(len(script.asked()), len(LARGE))
        self.assert_cut(script)

    def test_source_grown(self) -> None:
        """A file that grows while it is sent is a SourceChanged, and not stored."""
        source = self.file(LARGE)
        script = Script()
        script.transport.full = True
        request = script.client.upload(source)
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        with source.open("ab") as grown:
            grown.write(b"more")
        while script.transport.producer is not None:
            script.transport.producer.resumeProducing()
        self.failureResultOf(request, SourceChanged)
        self.assertLess(len(script.asked()), len(LARGE))
        self.assert_cut(script)

    def test_disk_full(self) -> None:
        """A disk that takes no more is what is raised, not the cut that follows from it."""

        def refuse(fd: int, buffers: Sequence[bytes]) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "writev", refuse)
        for content in (b"hello", b"hell"):  # all of it has come, or more was to come
            script = Script()
            target = self.directory() / "got"
            request = script.client.download(HELLO.id, target)
            script.says(line_of(HELLO), content)
            self.assertTrue(script.transport.aborted)
            script.lose()
            error = self.failureResultOf(request, OSError).value
            self.assertEqual(error.errno, errno.ENOSPC)
            self.assertEqual(names_in(target.parent), [])

    def test_disk_full_names_the_target(self) -> None:
        """An error of the disk names the file that was to be written."""

        def refuse(fd: int, buffers: Sequence[bytes]) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "writev", refuse)
        script = Script()
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        script.says(line_of(HELLO) + b"hello")
        error = self.failureResultOf(request, OSError).value
        self.assertEqual(str(error.filename), str(target))


class CancelTests(Case):
    """Requests that are taken back."""

    def test_before_its_turn(self) -> None:
        """A request that waits is taken back without a trace; the others go on."""
        script = Script()
        target = self.directory() / "got"
        first = script.client.list_files()
        second = script.client.download(HELLO.id, target)
        third = script.client.list_files()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        script.says(b"DONE\n", b"DONE\n")
        self.assertEqual(self.successResultOf(first), [])
        self.assertEqual(self.successResultOf(third), [])
        self.assertEqual(script.asked(), b"LIST_FILES\nLIST_FILES\n")
        self.assertEqual(names_in(target.parent), [])
        self.assert_goes_on(script)

    def assert_takes_connection(self, script: Script, request: Deferred[Any]) -> None:
        """Cancel a request that was sent: the connection goes with it, and all that waits."""
        waiting = script.client.list_files()
        script.asked()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.assertTrue(script.transport.aborted)
        script.lose()
        self.failureResultOf(waiting, ConnectionCut)
        self.failureResultOf(script.client.list_files(), ConnectionCut)

    def test_in_flight(self) -> None:
        """A request that was sent can only be taken back with the connection."""
        script = Script()
        self.assert_takes_connection(script, script.client.list_files())

    def test_with_nothing_behind_it(self) -> None:
        """Nothing waits behind the request: the loss of the connection is taken in quietly."""
        script = Script()
        request = script.client.list_files()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        closed = script.client.disconnect()
        script.lose()
        self.successResultOf(closed)

    def test_while_receiving(self) -> None:
        """A download that is taken back midway leaves no file and no part of one."""
        script = Script()
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        script.says(line_of(HELLO) + b"he")
        self.assert_takes_connection(script, request)
        self.assertEqual(names_in(target.parent), [])

    def test_while_sending(self) -> None:
        """An upload that is taken back midway takes the connection with it."""
        script = Script()
        script.transport.full = True
        request = script.client.upload(LARGE, "a")
        script.says(b"Please send the file name and file size\n", b"Ready to receive the file\n")
        self.assert_takes_connection(script, request)

    def test_late_bytes_answer_nobody(self) -> None:
        """What still comes after a request was taken back does not answer the next one."""
        script = Script()
        first, second = script.client.list_files(), script.client.list_files()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        script.says(line_of(HELLO) + b"DONE\n")
        script.lose()
        self.failureResultOf(second, ConnectionCut)

    def test_while_the_target_is_opened(self) -> None:
        """A download that is taken back while its file is being made leaves none."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        request.cancel()
        self.assertNoResult(request)  # the next one may want it as soon as this one has ended
        executor.run_all()
        self.failureResultOf(request, CancelledError)
        self.assertEqual(names_in(target.parent), [])
        self.assertEqual(script.asked(), b"")

    def test_while_the_last_bytes_are_written(self) -> None:
        """A download that is taken back when all bytes have come leaves no part of a file."""
        executor = SteppedExecutor()
        script = Script(executor=executor)
        target = self.directory() / "got"
        request = script.client.download(HELLO.id, target)
        executor.run_all()
        share = script.factory.budget.share
        script.says(line_of(HELLO) + b"hello")
        request.cancel()
        executor.run_all()
        self.failureResultOf(request, CancelledError)
        self.assertEqual(names_in(target.parent), [])
        for _ in range(20):
            script.factory.budget.join()
        crowded = script.factory.budget.share
        for _ in range(20):
            script.factory.budget.leave()
        other = XferClientFactory(InlineExecutor())
        for _ in range(20):
            other.budget.join()
        self.assertEqual(script.factory.budget.share, share)
        self.assertEqual(crowded, other.budget.share)


class LocalNameTests(SynchronousTestCase):
    """The file name for a stored name."""

    def test_last_component(self) -> None:
        """Only the last component of a stored name decides on a file's name."""
        for name, expected in (
            ("a.txt", "a.txt"),
            ("docs/a.txt", "a.txt"),
            ("deep/er/and deeper", "and deeper"),
            ("a;b", "a;b"),
        ):
            self.assertEqual(local_name(name), expected)


class PatienceTests(SynchronousTestCase):
    """A server that falls silent."""

    def setUp(self) -> None:
        self.clock = Clock()
        factory = XferClientFactory(InlineExecutor(), patience=60.0, clock=self.clock)
        self.client = factory.buildProtocol(None)
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.client
        self.client.makeConnection(self.transport)

    def test_silent(self) -> None:
        """A request is given up when no byte has moved for so long, and not before."""
        request = self.client.list_files()
        self.clock.advance(59)
        self.client.dataReceived(b"5d41402abc4b2a76b9719d911017c592;a;5\n")
        self.clock.advance(59)
        self.assertNoResult(request)
        self.clock.advance(1)
        self.failureResultOf(request, ConnectionCut)
        self.assertFalse(self.client.usable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle(self) -> None:
        """A connection on which nothing is asked may be silent for ever."""
        request = self.client.list_files()
        self.client.dataReceived(b"DONE\n")
        self.assertEqual(self.successResultOf(request), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.client.usable)


class LoginTests(Case):
    """L{XferClientProtocol.login}."""

    def test_welcome(self) -> None:
        """Once logged in, the user's rights count; the trace has no password."""
        for prompted in (True, False):
            pair = Pair(self, prompted, users=[user("alice")], host="127.0.0.1")
            refused = pair.client.list_files()
            pair.flush()
            self.failureResultOf(refused, LoginRequired)
            login, listing = pair.client.login("alice", PASSWORD), pair.client.list_files()
            pair.flush()
            self.assertIsNone(self.successResultOf(login))
            self.assertEqual(self.successResultOf(listing), [])
            self.assertEqual(pair.sent(), [b"LIST_FILES", b"LOGIN", b"alice;***", b"LIST_FILES"])
            self.assertNotIn(PASSWORD, repr(pair.lines))

    def test_denied(self) -> None:
        """A wrong password is an error, after which the connection goes on."""
        pair = Pair(self, users=[user("alice")], host="::1")
        login, again = pair.client.login("alice", "wrong"), pair.client.login("alice", PASSWORD)
        pair.flush()
        self.failureResultOf(login, Denied)
        pair.depot.clock.advance(1)
        pair.flush()
        self.successResultOf(again)

    def test_insecure(self) -> None:
        """Where others could read along nothing is sent, whatever the server would say."""
        pair = Pair(self, users=[user("alice")])
        self.failureResultOf(pair.client.login("alice", PASSWORD), Insecure)
        self.assertEqual(pair.lines, [])

    def test_bad(self) -> None:
        """Nor is what no server takes."""
        pair = Pair(self, users=[], host="127.0.0.1")
        for name, password in (
            ("", "x"),
            ("a;b", "x"),
            ("a", ""),
            ("a", "x\nQUIT"),
            ("a", "\udc80"),
        ):
            failure = self.failureResultOf(pair.client.login(name, password), BadDetails)
            self.assertNotIn("QUIT", str(failure.value))
        self.assertEqual(pair.lines, [])

    def test_older_server(self) -> None:
        """A server that knows no LOGIN is not sent the password."""
        script = Script()
        directlyProvides(script.transport, ISSLTransport)
        login = script.client.login("alice", PASSWORD)
        script.says(b"ERROR bad-command This is not a command.\n")
        self.failureResultOf(login, BadCommand)
        self.assertEqual(script.asked(), b"LOGIN\n")
        self.assert_goes_on(script)

    def test_other_welcome(self) -> None:
        """A server that takes the user for another is not trusted."""
        script = Script()
        directlyProvides(script.transport, ISSLTransport)
        login = script.client.login("alice", PASSWORD)
        script.says(b"Please send the user name and password\n", b"Welcome bob\n")
        self.failureResultOf(login, UnexpectedReply)
        self.assert_cut(script)
