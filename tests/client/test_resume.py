"""The client where things went wrong before: resumed transfers, changed sources, checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from tests.client.test_protocol import HELLO, LARGE, Case, Script, entry_of, line_of, names_in
from tests.support.depot import Depot
from tests.support.executors import InlineExecutor
from xferproto.client.factory import XferClientFactory
from xferproto.client.source import BytesSource, FileSource
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    BadId,
    BadName,
    BadToken,
    Busy,
    ConnectionCut,
    Corrupt,
    HashMismatch,
    NoSuchFile,
    SourceChanged,
    TargetExists,
    UnexpectedReply,
)
from xferproto.transfer.sender import BLOCK
from xferproto.wire import codec

HASH = md5(LARGE).hexdigest()

EMPTY = b"0;" + codec.EMPTY_MD5.encode() + b"\n"
"""What a server says that holds nothing."""

READY = codec.READY + b"\n"


class Link:
    """
    A connection between a client and a real server, without a network, that can be cut midway.

    @ivar lines: each line of the wire, with its direction.
    """

    def __init__(self, depot: Depot, prompted: bool = False) -> None:
        self.lines: list[tuple[str, bytes]] = []
        factory = XferClientFactory(
            InlineExecutor(), prompted, lambda way, line: self.lines.append((way, line))
        )
        self.client = factory.buildProtocol(None)
        self._server = depot.factory.buildProtocol(None)
        self._to_server = iosim.makeFakeServer(self._server)
        self._to_client = iosim.makeFakeClient(self.client)
        self._pump = iosim.connect(
            self._server, self._to_server, self.client, self._to_client, clock=depot.clock
        )

    def flush(self) -> None:
        """Let everything arrive that is on its way."""
        self._pump.flush()

    def sent(self) -> list[bytes]:
        """The lines that the client has sent."""
        return [line for way, line in self.lines if way == ">"]

    def until(self, line: bytes) -> None:
        """Let things arrive until the client has this line, and nothing more."""
        while ("<", line) not in self.lines:
            assert self._pump.pump(), f"{line!r} never came"

    def up(self) -> bytes:
        """What the client has written and the server does not have yet; it is taken away."""
        data: bytes = self._to_client.getOutBuffer() or b""
        return data

    def down(self) -> bytes:
        """What the server has written and the client does not have yet; it is taken away."""
        data: bytes = self._to_server.getOutBuffer() or b""
        return data

    def to_server(self, data: bytes) -> None:
        """Let bytes arrive at the server."""
        self._server.dataReceived(data)

    def to_client(self, data: bytes) -> None:
        """Let bytes arrive at the client."""
        self.client.dataReceived(data)

    def cut(self) -> None:
        """The connection is gone, for both sides."""
        transports = self._to_server, self._to_client
        if any(transport.disconnected for transport in transports):  # it is lost once
            return
        for transport in transports:
            transport.disconnecting = transport.disconnected = True
        for protocol in (self._server, self.client):
            protocol.connectionLost(Failure(ConnectionLost()))


def cut_upload(link: Link, count: int) -> None:
    """Let an upload come as far as this many bytes of its payload, and cut it off."""
    link.until(codec.READY)
    link.to_server(link.up()[:count])
    link.cut()


def cut_download(link: Link, count: int) -> None:
    """Let a download come as far as this many bytes of its payload, and cut it off."""
    link.to_server(link.up())
    entry, _, payload = link.down().partition(b"\n")
    link.to_client(entry + b"\n" + payload[:count])
    link.cut()


class LinkedCase(Case):
    """
    What the cases with a real server share.

    @ivar depot: the server's side of all links.
    """

    prompted: ClassVar[bool] = False

    def setUp(self) -> None:
        self.depot = Depot(self)

    def link(self) -> Link:
        return Link(self.depot, self.prompted)

    def result(self, link: Link, request: Deferred[Any]) -> Any:
        """What a request fires with, once everything has arrived."""
        link.flush()
        return self.successResultOf(request)

    def stored(self, id: str) -> bytes:
        """The bytes that the depot has under an id."""
        return (self.depot.root / "objects" / id[:2] / id).read_bytes()

    def store(self, content: bytes, name: str = "a") -> Entry:
        """Store a content, by a plain upload."""
        link = self.link()
        entry: Entry = self.result(link, link.client.upload(content, name))
        return entry

    def listed(self) -> list[Entry]:
        """What the depot lists."""
        link = self.link()
        entries: list[Entry] = self.result(link, link.client.list_files())
        return entries

    def offset(self, link: Link) -> int:
        """Where the client said to go on: the line before Ready."""
        at = link.lines.index(("<", codec.READY))
        return int(link.lines[at - 1][1])


class ResumeTests(LinkedCase):
    """Uploads under tokens, arguments on the same line as their commands."""

    def test_new(self) -> None:
        """Contents of all sizes are stored, the ones that are bytes too."""
        for content in (b"", b"x", b"LIST_FILES\nQUIT\n", LARGE):
            for source in (self.file(content, "source"), content):
                link = self.link()
                entry = self.result(link, link.client.resume(source, "name"))
                self.assertEqual(entry, entry_of(content, "name"))
                self.assertEqual(self.stored(entry.id), content)

    def test_own_name(self) -> None:
        """A file goes by its own name unless it is given another."""
        link = self.link()
        entry = self.result(link, link.client.resume(str(self.file(LARGE, "own;name"))))
        self.assertEqual(entry, entry_of(LARGE, "own;name"))

    def test_connection_goes_on(self) -> None:
        """Requests behind an upload under a token get their own answers."""
        link = self.link()
        client = link.client
        first, second = client.resume(LARGE, "a"), client.resume(LARGE, "b")
        listing = client.list_files()
        self.assertEqual(self.result(link, first), entry_of(LARGE, "a"))
        self.assertEqual(self.successResultOf(second), entry_of(LARGE, "b"))
        self.assertEqual(len(self.successResultOf(listing)), 2)

    def test_cut(self) -> None:
        """What came before a cut is not sent again: only the rest is."""
        for count in (1, 100, BLOCK, BLOCK + 1, len(LARGE) - 1):
            source = self.file(LARGE, f"cut at {count}")
            link = self.link()
            request = link.client.resume(source)
            cut_upload(link, count)
            self.failureResultOf(request, ConnectionCut)
            self.assertEqual([e for e in self.listed() if e.name == source.name], [])
            again = self.link()
            request = again.client.resume(source)
            again.until(codec.READY)
            payload = again.up()
            self.assertEqual(self.offset(again), count)
            self.assertTrue(payload == LARGE[count:])
            again.to_server(payload)
            self.assertEqual(self.result(again, request), entry_of(LARGE, source.name))
            self.assertTrue(self.stored(HASH) == LARGE)
            self.result(again, again.client.delete(HASH))

    def test_cut_often(self) -> None:
        """An upload may be cut off as often as it will; what came stays."""
        source = self.file(LARGE)
        for expected in (0, 1000, 2000, 3000):
            link = self.link()
            request = link.client.resume(source)
            cut_upload(link, 1000)
            self.failureResultOf(request, ConnectionCut)
            self.assertEqual(self.offset(link), expected)
        link = self.link()
        self.assertEqual(self.result(link, link.client.resume(source)).id, HASH)
        self.assertEqual(self.offset(link), 4000)

    def test_lost_answer(self) -> None:
        """An upload whose answer was lost is told again, and no byte of it sent."""
        for source in (self.file(LARGE), LARGE + b"bytes"):
            link = self.link()
            request = link.client.resume(source, "name")
            link.until(codec.READY)
            link.to_server(link.up())
            self.assertEqual(len(link.down()), 33)  # the id, on its way
            link.cut()
            self.failureResultOf(request, ConnectionCut)
            again = self.link()
            request = again.client.resume(source, "name")
            again.until(codec.READY)
            self.assertEqual(again.up(), b"")
            size = len(LARGE) + (0 if isinstance(source, Path) else 5)
            self.assertEqual(self.result(again, request).size, size)
            self.assertEqual(self.offset(again), size)

    def test_other_prefix(self) -> None:
        """Where the server holds something else than the source begins with, all is sent."""
        link = self.link()
        request = link.client.resume(b"x" + LARGE[1:], "name", "my-token")
        cut_upload(link, 1000)
        self.failureResultOf(request, ConnectionCut)
        for source in (self.file(LARGE), LARGE):
            link = self.link()
            request = link.client.resume(source, "name", "my-token")
            self.assertEqual(self.result(link, request), entry_of(LARGE, "name"))
            self.assertEqual(self.offset(link), 0 if isinstance(source, Path) else len(LARGE))
        self.assertTrue(self.stored(HASH) == LARGE)

    def test_other_content_finished(self) -> None:
        """A token that stands for another content of this size does not hide the new one."""
        link = self.link()
        other = b"x" + LARGE[1:]
        self.result(link, link.client.resume(other, "name", "my-token"))
        entry = self.result(link, link.client.resume(LARGE, "name", "my-token"))
        self.assertEqual(entry, entry_of(LARGE, "name"))
        self.assertTrue(self.stored(HASH) == LARGE)
        self.assertEqual(len(self.listed()), 2)

    def test_known(self) -> None:
        """Bytes that the depot has already are not sent: they get one more name."""
        self.store(LARGE, "first")
        link = self.link()
        request = link.client.resume(LARGE, "second")
        link.until(codec.READY)
        self.assertEqual(link.up(), b"")
        self.assertEqual(self.result(link, request), entry_of(LARGE, "second"))
        self.assertEqual([entry.name for entry in self.listed()], ["first", "second"])

    def test_known_file(self) -> None:
        """Nor is a file whose hash is told as the token."""
        self.store(LARGE, "first")
        link = self.link()
        token = "sha256:" + sha256(LARGE).hexdigest()
        entry = self.result(link, link.client.resume(self.file(LARGE), "second", token))
        self.assertEqual(entry, entry_of(LARGE, "second"))
        self.assertEqual(self.offset(link), len(LARGE))

    def test_known_wrongly(self) -> None:
        """A hash that is told of another file of the same size does not pass that off as it."""
        self.store(LARGE, "first")
        other = b"x" + LARGE[1:]
        link = self.link()
        token = "sha256:" + sha256(LARGE).hexdigest()
        entry = self.result(link, link.client.resume(self.file(other), "second", token))
        self.assertEqual(entry, entry_of(other, "second"))
        self.assertTrue(self.stored(entry.id) == other)

    def test_held_under_the_hash_of_what_came_otherwise(self) -> None:
        """What was held of a content that came otherwise does not get in the way."""
        other = b"x" + LARGE[1:]
        token = "sha256:" + sha256(LARGE).hexdigest()
        link = self.link()
        request = link.client.resume(LARGE, "first", token)
        cut_upload(link, 1000)
        self.failureResultOf(request, ConnectionCut)
        self.store(LARGE, "first")
        link = self.link()
        entry = self.result(link, link.client.resume(self.file(other), "second", token))
        self.assertEqual(entry, entry_of(other, "second"))
        self.assertTrue(self.stored(entry.id) == other)

    def test_progress(self) -> None:
        """The progress begins where the upload goes on, never falls, and ends at the size."""
        source = self.file(LARGE)
        link = self.link()
        link.client.resume(source).addErrback(lambda _: None)
        cut_upload(link, 1000)
        told: list[tuple[int, int]] = []
        link = self.link()
        request = link.client.resume(source, progress=lambda *now: told.append(now))
        self.result(link, request)
        self.assertEqual((told[0], told[-1]), ((1000, len(LARGE)), (len(LARGE), len(LARGE))))
        self.assertEqual(told, sorted(told))
        self.assertEqual(told.count(told[-1]), 1)

    def test_progress_of_nothing(self) -> None:
        """An upload that has nothing to send says once that all is there: once it is proven."""
        for content in (LARGE, b""):
            self.store(content)
            told: list[tuple[int, int]] = []
            link = self.link()
            token = f"sha256:{sha256(content).hexdigest()}"
            request = link.client.resume(
                content, "b", token, progress=lambda *now, told=told: told.append(now)
            )
            self.result(link, request)
            self.assertEqual(told, [(len(content), len(content))])


class PromptedResumeTests(ResumeTests):
    """The same, where the client asks for each prompt first."""

    prompted = True


class TokenTests(Case):
    """The tokens that stand for a source."""

    def test_bytes(self) -> None:
        """Bytes go under their SHA-256."""
        script = Script()
        script.client.resume(b"hello", "a.txt")
        digest = sha256(b"hello").hexdigest()
        self.assertEqual(script.asked(), f"RESUME a.txt;5;sha256:{digest}\n".encode())

    def test_file(self) -> None:
        """A file's token stands as long as the file does, and is what the grammar takes."""
        path = self.file(b"hello", "a.txt")
        tokens = set()
        for spelling in (path, path.absolute(), path.parent / "." / path.name):
            source = FileSource(spelling)
            tokens.add(source.token())
            source.close()
        (token,) = tokens
        self.assertEqual(codec.parse_resume(f"a.txt;5;{token}".encode()).token, token)
        self.assertNotIn("a.txt", token)

    def test_file_changed(self) -> None:
        """A file that is touched, grown, replaced or another one has another token."""
        path = self.file(b"hello", "a.txt")
        tokens = []

        def note(path: Path) -> None:
            source = FileSource(path)
            tokens.append(source.token())
            source.close()

        note(path)
        os.utime(path, (1, 1))
        note(path)
        path.write_bytes(b"hello!")
        os.utime(path, (1, 1))
        note(path)
        other = path.with_name("b.txt")
        other.write_bytes(b"hello!")
        os.utime(other, (1, 1))
        note(other)
        other.rename(path)
        note(path)
        self.assertEqual(len(set(tokens)), len(tokens))

    def test_bytes_of_no_change(self) -> None:
        """The token of bytes depends on nothing but them."""
        self.assertEqual(BytesSource(b"x").token(), BytesSource(b"x").token())
        self.assertNotEqual(BytesSource(b"x").token(), BytesSource(b"y").token())

    def test_own(self) -> None:
        """One's own word is used as it is."""
        script = Script()
        script.client.resume(b"hello", "a.txt", "my.own-token:1")
        self.assertEqual(script.asked(), b"RESUME a.txt;5;my.own-token:1\n")

    def test_bad(self) -> None:
        """A token or name that the server would refuse is refused before anything is sent."""
        script = Script()
        for token in ("a b", "é", "x" * 129, "a\nQUIT"):
            self.failureResultOf(script.client.resume(b"hello", "a.txt", token), BadToken)
        self.failureResultOf(script.client.resume(b"hello", "../a", "token"), BadName)
        self.failureResultOf(script.client.resume(self.directory() / "missing"), OSError)
        self.assertEqual(script.asked(), b"")
        self.assert_goes_on(script)

    def test_semicolon(self) -> None:
        """A token with a semicolon is none, though the line would read like another request."""
        for token in ("a;b", "9;t", ";", "5;t;"):
            script = Script()
            self.failureResultOf(script.client.resume(b"hello", "a.txt", token), BadToken)
            self.assertEqual(script.asked(), b"")


class ScriptedTests(Case):
    """Servers that wait, refuse, or talk nonsense."""

    def test_wait_lines(self) -> None:
        """WAIT lines are no answers, wherever they come."""
        script = Script()
        request = script.client.resume(b"hello", "a.txt")
        script.says(b"WAIT 0 hashing\n", b"WAIT 50 hashing\n" + EMPTY, b"WAIT 1 x\n", READY)
        script.says(b"WAIT 0 storing\nWAIT 50 storing\n", b"WAIT 99 st", b"oring\n")
        self.assertNoResult(request)
        script.says(HELLO.id.encode() + b"\n")
        self.assertEqual(self.successResultOf(request), HELLO)
        self.assert_goes_on(script)

    def test_wait_lines_of_verify(self) -> None:
        """So they are while a stored file is hashed again."""
        script = Script()
        request = script.client.verify(HELLO.id)
        script.says(b"WAIT 0 verifying\nWAIT 12 verifying\n")
        self.assertNoResult(request)
        script.says(HELLO.id.encode() + b"\n")
        self.assertIsNone(self.successResultOf(request))
        self.assert_goes_on(script)

    def test_waited(self) -> None:
        """Who asked is told what WAIT lines say; those that say nothing are passed over."""
        waits: list[tuple[int, str]] = []
        script = Script()
        request = script.client.resume(b"hello", "a.txt", on_wait=lambda *wait: waits.append(wait))
        script.says(b"WAIT 0 hashing\n", b"WAIT 101 hashing\nWAIT 50 hash", b"ing it\r\n", EMPTY)
        script.says(b"WAIT \nWAIT x\n", READY, b"WAIT 100 \x1b[2J\xff\n")
        self.assertNoResult(request)
        script.says(HELLO.id.encode() + b"\n")
        self.assertEqual(self.successResultOf(request), HELLO)
        self.assertEqual(waits, [(0, "hashing"), (50, "hashing it"), (100, "\x1b[2J\ufffd")])
        self.assert_goes_on(script)

    def test_waited_of_verify(self) -> None:
        """Each is told of its own request's, and of no other's."""
        waits: list[tuple[int, str]] = []
        script = Script()
        client = script.client
        first = client.verify(HELLO.id, lambda *wait: waits.append(wait))
        second = client.verify(HELLO.id)
        script.says(b"WAIT 12 verifying\n" + HELLO.id.encode() + b"\n", b"WAIT 1 verifying\n")
        self.assertIsNone(self.successResultOf(first))
        self.assertNoResult(second)
        script.says(HELLO.id.encode() + b"\n")
        self.assertIsNone(self.successResultOf(second))
        self.assertEqual(waits, [(12, "verifying")])
        self.assert_goes_on(script)

    def test_waited_raises(self) -> None:
        """What goes wrong with who is told ends the request, before, within and after the bytes."""

        def waited(percent: int, what: str) -> None:
            raise ZeroDivisionError

        for full in (False, True):
            for before in ([], [EMPTY], [EMPTY, READY]):
                script = Script()
                request = script.client.resume(LARGE, "a", on_wait=waited)
                script.says(*before)
                script.transport.full = full
                script.says(b"WAIT 0 hashing\n")
                self.failureResultOf(request, ZeroDivisionError)
                script.says(b"WAIT 0 hashing\n" + HASH.encode() + b"\n")
                self.assert_cut(script)

    def test_more_than_the_source(self) -> None:
        """A server that claims to hold more than there is gets all of it."""
        script = Script()
        request = script.client.resume(b"hello", "a.txt", "token")
        script.says(b"6;" + md5(b"hello!").hexdigest().encode() + b"\n")
        script.says(READY)
        self.assertEqual(script.asked(), b"RESUME a.txt;5;token\n0\nhello")
        script.says(HELLO.id.encode() + b"\n")
        self.assertEqual(self.successResultOf(request), HELLO)

    def test_all_of_the_source(self) -> None:
        """A server that holds all, proven, gets nothing; its id is compared all the same."""
        for answer in (HELLO.id, "0" * 32):
            script = Script()
            request = script.client.resume(b"hello", "a.txt", "token")
            script.says(b"5;" + HELLO.id.encode() + b"\n", READY)
            self.assertEqual(script.asked(), b"RESUME a.txt;5;token\n5\n")
            script.says(answer.encode() + b"\n")
            if answer == HELLO.id:
                self.assertEqual(self.successResultOf(request), HELLO)
            else:
                self.failureResultOf(request, HashMismatch)

    def test_flipped_prefix(self) -> None:
        """An upload that went on is compared as a whole: the prefix counts."""
        script = Script()
        request = script.client.resume(b"hello", "a.txt", "token")
        script.says(b"2;" + md5(b"he").hexdigest().encode() + b"\n", READY)
        self.assertEqual(script.asked(), b"RESUME a.txt;5;token\n2\nllo")
        script.says(md5(b"hallo").hexdigest().encode() + b"\n")
        error = self.failureResultOf(request, HashMismatch).value
        self.assertEqual(error.ours, HELLO.id)
        self.assertIn(md5(b"hallo").hexdigest(), error.theirs)
        self.assert_cut(script)

    def test_refused(self) -> None:
        """A refusal is raised, and the connection goes on."""
        script = Script()
        request = script.client.resume(b"hello", "a.txt")
        script.says(b"ERROR busy Another connection is sending.\n")
        self.failureResultOf(request, Busy)
        self.assert_goes_on(script)

    def test_refused_offset(self) -> None:
        """So it does where the offset is refused."""
        script = Script()
        request = script.client.resume(b"hello", "a.txt")
        script.says(EMPTY, b"ERROR busy Another connection is sending.\n")
        self.failureResultOf(request, Busy)
        self.assert_goes_on(script)

    def test_nonsense(self) -> None:
        """What is no offset;md5 is told, quoted, and the connection is given up."""
        for line in (b"", b"hello", b"5", b"5;x", b"-1;" + HELLO.id.encode(), b"\x1b[2J;1"):
            script = Script()
            request = script.client.resume(b"hello", "a.txt")
            script.says(line + b"\n")
            error = self.failureResultOf(request, UnexpectedReply).value
            self.assertNotIn("\x1b", str(error))
            self.assert_cut(script)

    def test_cut(self) -> None:
        """A connection that ends anywhere in between is a ConnectionCut."""
        answers = (EMPTY, READY)
        for count in range(3):
            script = Script()
            request = script.client.resume(self.file(b"hello"))
            script.says(*answers[:count])
            self.assertNoResult(request)
            script.lose()
            self.failureResultOf(request, ConnectionCut)

    def test_cancelled(self) -> None:
        """An upload that is taken back takes the connection with it."""
        answers = (EMPTY, READY)
        for count in range(3):
            script = Script()
            request = script.client.resume(self.file(b"hello"))
            script.says(*answers[:count])
            request.cancel()
            self.failureResultOf(request, CancelledError)
            self.assert_cut(script)


class SourceChangedTests(Case):
    """Files that change while they are sent."""

    def assert_noticed(self, change: Callable[[Path], None], held: int = 0) -> None:
        """A change while a file is sent is told, and not all of it is sent."""
        source = self.file(LARGE)
        os.utime(source, (1, 1))
        script = Script()
        script.transport.full = True
        request = script.client.resume(source, "name", "token")
        script.says(f"{held};{md5(LARGE[:held]).hexdigest()}\n".encode(), READY)
        self.assertNoResult(request)
        change(source)
        while script.transport.producer is not None:
            script.transport.producer.resumeProducing()
        error = self.failureResultOf(request, SourceChanged).value
        self.assertIn("changed", str(error))
        payload = script.asked().split(b"\n", 2)[2]
        self.assertLess(len(payload), len(LARGE) - held)
        self.assert_cut(script)

    def test_touched(self) -> None:
        """A file whose time of change is another."""
        for held in (0, 1000):
            self.assert_noticed(lambda path: os.utime(path, (2, 2)), held)

    def test_written(self) -> None:
        """A file that was written to, its size the same."""

        def write(path: Path) -> None:
            with path.open("r+b") as opened:
                opened.write(b"x")

        self.assert_noticed(write)

    def test_grown(self) -> None:
        """A file that grew, its time the same."""

        def grow(path: Path) -> None:
            with path.open("ab") as opened:
                opened.write(b"x")
            os.utime(path, (1, 1))

        self.assert_noticed(grow)

    def test_shrunk(self) -> None:
        """A file that shrank, its time the same."""

        def shrink(path: Path) -> None:
            os.truncate(path, len(LARGE) - 1)
            os.utime(path, (1, 1))

        self.assert_noticed(shrink)

    def test_replaced(self) -> None:
        """Another file of its name, with its size and time."""

        def replace(path: Path) -> None:
            other = path.with_name("other")
            other.write_bytes(LARGE)
            os.utime(other, (1, 1))
            other.rename(path)

        self.assert_noticed(replace)

    def test_removed(self) -> None:
        """A file that is there no more."""
        self.assert_noticed(Path.unlink)

    def test_shrunk_below_what_is_held(self) -> None:
        """A file that is shorter, by now, than what the server holds of it."""
        source = self.file(LARGE)
        script = Script()
        request = script.client.resume(source, "name", "token")
        os.truncate(source, 10)
        script.says(f"1000;{md5(LARGE[:1000]).hexdigest()}\n".encode())
        self.failureResultOf(request, SourceChanged)
        self.assert_cut(script)

    def test_nothing_stored(self) -> None:
        """What was sent of a file that changed is not listed, and the new one is stored whole."""
        depot = Depot(self)
        source = self.file(LARGE)
        link = Link(depot)
        request = link.client.resume(source)
        link.until(b"0;" + codec.EMPTY_MD5.encode())
        source.write_bytes(LARGE[::-1])
        os.utime(source, (2, 2))
        link.flush()
        self.failureResultOf(request, SourceChanged)
        link.cut()
        link = Link(depot)
        request = link.client.resume(source)
        listing = link.client.list_files()
        link.flush()
        self.assertEqual(self.successResultOf(request), entry_of(LARGE[::-1], source.name))
        self.assertEqual(len(self.successResultOf(listing)), 1)


class CheckTests(LinkedCase):
    """VERIFY and DELETE."""

    def test_verify(self) -> None:
        """A file that is right is verified; the case of its id does not matter."""
        entry = self.store(LARGE)
        link = self.link()
        for id in (entry.id, entry.id.upper()):
            self.assertIsNone(self.result(link, link.client.verify(id)))

    def test_verify_corrupt(self) -> None:
        """A damaged file is Corrupt, then unlisted, until it is uploaded again."""
        entry = self.store(LARGE)
        path = self.depot.root / "objects" / entry.id[:2] / entry.id
        path.write_bytes(b"x" + LARGE[1:])
        link = self.link()
        for _ in range(2):
            request = link.client.verify(entry.id)
            link.flush()
            self.failureResultOf(request, Corrupt)
            self.assertEqual(self.listed(), [])
        self.assertEqual(self.result(link, link.client.resume(LARGE, "a")), entry)
        self.assertIsNone(self.result(link, link.client.verify(entry.id)))
        self.assertEqual(self.listed(), [entry])

    def test_unknown(self) -> None:
        """What is not there can be neither verified nor deleted; the connection goes on."""
        entry = self.store(LARGE)
        link = self.link()
        client = link.client
        requests = [
            client.verify("0" * 32),
            client.delete("0" * 32),
            client.delete(entry.id, "other"),
        ]
        link.flush()
        for request in requests:
            self.failureResultOf(request, NoSuchFile)
        self.assertEqual(self.listed(), [entry])
        self.assertEqual(self.result(link, client.list_files()), [entry])

    def test_delete(self) -> None:
        """A file is deleted name by name, or whole."""
        for name in ("a", "b;1", "c/d"):
            self.store(LARGE, name)
        link = self.link()
        self.assertIsNone(self.result(link, link.client.delete(HASH, "b;1")))
        self.assertEqual([entry.name for entry in self.listed()], ["a", "c/d"])
        self.assertIsNone(self.result(link, link.client.delete(HASH.upper())))
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.depot.files(), [])

    def test_bad_arguments(self) -> None:
        """Ids and names that are none are refused before anything is sent."""
        script = Script()
        for id in ("", "x", "0" * 31, "0" * 33, "0" * 32 + "\nQUIT", "0" * 32 + ";name"):
            self.failureResultOf(script.client.verify(id), BadId)
            self.failureResultOf(script.client.delete(id), BadId)
        for name in ("", "../a", "a\nQUIT", "/a"):
            self.failureResultOf(script.client.delete(HELLO.id, name), BadName)
        self.assertEqual(script.asked(), b"")
        self.assert_goes_on(script)

    def test_other_answer(self) -> None:
        """An answer that is not the id is no answer."""
        for ask in ("verify", "delete"):
            script = Script()
            request = getattr(script.client, ask)(HELLO.id)
            script.says(b"0" * 32 + b"\n")
            self.failureResultOf(request, UnexpectedReply)
            self.assert_cut(script)


class PromptedCheckTests(CheckTests):
    """The same, where the client asks for each prompt first."""

    prompted = True


class DownloadTests(LinkedCase):
    """Downloads that keep what came."""

    def setUp(self) -> None:
        super().setUp()
        self.entry = self.store(LARGE)
        self.target = self.directory() / "got"

    def parts(self) -> list[Path]:
        """What lies beside the target."""
        return [path for path in self.target.parent.iterdir() if path != self.target]

    def cut(self, count: int) -> Path:
        """A download that is cut off after this many bytes: its part."""
        link = self.link()
        request = link.client.download(HASH, self.target, resume=True)
        cut_download(link, count)
        self.failureResultOf(request, ConnectionCut)
        self.assertFalse(self.target.exists())
        (part,) = self.parts()
        return part

    def fetch(self, link: Link | None = None, replace: bool = False) -> list[bytes]:
        """A download that goes well, and leaves nothing but its target: what was asked for."""
        link = link or self.link()
        request = link.client.download(HASH, self.target, replace, resume=True)
        self.assertEqual(self.result(link, request), self.entry)
        self.assertTrue(self.target.read_bytes() == LARGE)
        self.assertEqual(names_in(self.target.parent), ["got"])
        return [line for line in link.sent() if HASH.encode() in line]

    def test_new(self) -> None:
        """A download that is never cut off asks for all, and leaves the target alone."""
        self.assertEqual(self.fetch(), [b"DOWNLOAD " + HASH.encode()])

    def test_empty(self) -> None:
        """An empty file is fetched like any other."""
        entry = self.store(b"", "empty")
        link = self.link()
        request = link.client.download(entry.id, self.target, resume=True)
        self.assertEqual(self.result(link, request), entry)
        self.assertEqual(self.target.read_bytes(), b"")
        self.assertEqual(names_in(self.target.parent), ["got"])

    def test_cut(self) -> None:
        """What came before a cut is kept in a hidden file, and only the rest asked for."""
        for count in (1, 1000, BLOCK + 1, len(LARGE) - 1):
            part = self.cut(count)
            self.assertTrue(part.name.startswith("."))
            self.assertTrue(part.read_bytes() == LARGE[:count])
            self.assertEqual(self.fetch(), [f"DOWNLOAD {HASH};{count}".encode()])
            self.target.unlink()

    def test_cut_often(self) -> None:
        """A download may be cut off as often as it will; what came stays."""
        for size in (1000, 2000, 3000):
            self.assertEqual(self.cut(1000).stat().st_size, size)
        self.assertEqual(self.fetch(), [f"DOWNLOAD {HASH};3000".encode()])

    def test_complete_part(self) -> None:
        """A part that has all bytes is checked, and none is sent."""
        part = self.cut(1000)
        part.write_bytes(LARGE)
        self.assertEqual(self.fetch(), [f"DOWNLOAD {HASH};{len(LARGE)}".encode()])

    def assert_fetched_anew(self, wrong: bytes) -> None:
        """A part with these bytes is thrown away, and all is fetched, on the same connection."""
        part = self.cut(1000)
        part.write_bytes(wrong)
        asked = f"DOWNLOAD {HASH};{len(wrong)}".encode()
        self.assertEqual(self.fetch(), [asked, b"DOWNLOAD " + HASH.encode()])

    def test_wrong_part(self) -> None:
        """A part with a flipped bit is found out at the end, and thrown away."""
        self.assert_fetched_anew(b"x" + LARGE[1:1000])

    def test_wrong_complete_part(self) -> None:
        """So is one that has as many bytes as the file."""
        self.assert_fetched_anew(b"x" + LARGE[1:])

    def test_part_too_long(self) -> None:
        """So is one that has more."""
        self.assert_fetched_anew(LARGE + b"x")

    def test_wrong_again(self) -> None:
        """Where what is fetched anew is wrong as well, that is told, and nothing of it kept."""
        part = self.cut(1000)
        part.write_bytes(b"x" * 1000)
        link = self.link()
        request = link.client.download(HASH, self.target, resume=True)
        link.to_server(link.up())
        link.to_client(link.down())
        link.to_server(link.up())
        link.to_client(link.down()[:-1] + b"x")
        self.failureResultOf(request, HashMismatch)
        self.assertFalse(self.target.exists())
        self.assertEqual(self.fetch(link)[-1], b"DOWNLOAD " + HASH.encode())

    def test_mismatch_leaves_nothing(self) -> None:
        """A download that is wrong from its beginning leaves nothing."""
        link = self.link()
        request = link.client.download(HASH, self.target, resume=True)
        link.to_server(link.up())
        link.to_client(link.down()[:-1] + b"x")
        self.failureResultOf(request, HashMismatch)
        self.assertEqual(names_in(self.target.parent), [])

    def test_refused_leaves_nothing(self) -> None:
        """A download that is refused leaves nothing, and the connection goes on."""
        link = self.link()
        request = link.client.download("0" * 32, self.target, resume=True)
        link.flush()
        self.failureResultOf(request, NoSuchFile)
        self.assertEqual(names_in(self.target.parent), [])
        self.fetch(link)

    def test_refused_keeps_the_part(self) -> None:
        """A file that is gone for the moment does not take what came of it away."""
        part = self.cut(1000)
        link = self.link()
        self.result(link, link.client.delete(HASH))
        request = link.client.download(HASH, self.target, resume=True)
        link.flush()
        self.failureResultOf(request, NoSuchFile)
        self.assertEqual(part.read_bytes(), LARGE[:1000])
        self.store(LARGE)
        self.assertEqual(self.fetch(), [f"DOWNLOAD {HASH};1000".encode()])

    def test_locked(self) -> None:
        """Two downloads do not write into one part: the second is refused, the first goes well."""
        first, second = self.link(), self.link()
        running = first.client.download(HASH, self.target, resume=True)
        first.to_server(first.up())
        first.to_client(first.down()[:1000])
        refused = second.client.download(HASH, self.target, resume=True)
        second.flush()
        error = self.failureResultOf(refused, OSError).value
        self.assertIn("in use by another download", str(error))
        self.assertEqual(second.sent(), [])
        first.cut()
        self.failureResultOf(running, ConnectionCut)
        (asked,) = self.fetch(second)
        self.assertTrue(asked.startswith(f"DOWNLOAD {HASH};".encode()), asked)

    def test_parts_apart(self) -> None:
        """The parts of another content and of another target are not touched."""
        part = self.cut(1000)
        other = self.store(b"other", "other")
        link = self.link()
        request = link.client.download(other.id, self.target, resume=True)
        self.assertEqual(self.result(link, request), other)
        self.target.unlink()
        beside = self.target.with_name("beside")
        self.result(link, link.client.download(HASH, beside, resume=True))
        beside.unlink()
        self.assertEqual(self.parts(), [part])
        self.assertEqual(part.read_bytes(), LARGE[:1000])

    def test_target_exists(self) -> None:
        """A file that is there is not replaced unless that is wanted; nothing is asked for."""
        self.target.write_bytes(b"mine")
        link = self.link()
        request = link.client.download(HASH, self.target, resume=True)
        link.flush()
        self.failureResultOf(request, TargetExists)
        self.assertEqual(link.sent(), [])
        self.assertEqual(names_in(self.target.parent), ["got"])
        self.assertEqual(self.target.read_bytes(), b"mine")
        self.fetch(replace=True)

    def test_target_exists_meanwhile(self) -> None:
        """A file that appears while the download runs is not replaced; what came is kept."""
        link = self.link()
        request = link.client.download(HASH, self.target, resume=True)
        link.to_server(link.up())
        self.target.write_bytes(b"mine")
        link.to_client(link.down())
        self.failureResultOf(request, TargetExists)
        self.assertEqual(self.target.read_bytes(), b"mine")
        self.target.unlink()
        self.assertEqual(self.fetch(), [f"DOWNLOAD {HASH};{len(LARGE)}".encode()])

    def test_not_kept(self) -> None:
        """A download that is not to be resumed keeps nothing, and uses nothing that was kept."""
        part = self.cut(1000)
        link = self.link()
        request = link.client.download(HASH, self.target)
        cut_download(link, 500)
        self.failureResultOf(request, ConnectionCut)
        self.assertEqual(self.parts(), [part])
        link = self.link()
        self.result(link, link.client.download(HASH, self.target))
        self.assertEqual(link.sent()[-1], b"DOWNLOAD " + HASH.encode())
        self.assertEqual(self.parts(), [part])

    def test_cancelled(self) -> None:
        """A download that is taken back keeps what came."""
        link = self.link()
        request = link.client.download(HASH, self.target, resume=True)
        link.to_server(link.up())
        entry, _, payload = link.down().partition(b"\n")
        link.to_client(entry + b"\n" + payload[:1000])
        request.cancel()
        self.failureResultOf(request, CancelledError)
        link.cut()
        self.assertEqual(self.fetch(), [f"DOWNLOAD {HASH};1000".encode()])

    def test_progress(self) -> None:
        """The progress goes on from what came before, never falls, and ends at the size."""
        for count in (1000, len(LARGE)):
            self.cut(1000).write_bytes(LARGE[:count])
            told: list[tuple[int, int]] = []
            link = self.link()
            request = link.client.download(
                HASH,
                self.target,
                progress=lambda *now, told=told: told.append(now),
                resume=True,
            )
            self.result(link, request)
            self.assertEqual(told[-1], (len(LARGE), len(LARGE)))
            self.assertEqual(told, sorted(told))
            self.assertEqual(told.count(told[-1]), 1)
            self.assertGreaterEqual(told[0][0], 1000)
            self.target.unlink()

    def test_shorter_file(self) -> None:
        """A server whose file is shorter than what it was asked from is not believed."""
        script = Script()
        part = self.cut(1000)
        request = script.client.download(HASH, self.target, resume=True)
        script.says(line_of(Entry(HASH, "a", 999)))
        self.failureResultOf(request, UnexpectedReply)
        self.assertEqual(part.read_bytes(), LARGE[:1000])
        self.assert_cut(script)


class CaseOfTheseTests(SynchronousTestCase):
    """What these tests stand on."""

    def test_large(self) -> None:
        """The large content takes several blocks, so that a cut can come between them."""
        self.assertGreater(len(LARGE), 2 * BLOCK)
