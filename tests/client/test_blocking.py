"""The blocking face of the client, called by threads of this process, against a real server."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import md5
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.support import visitors
from tests.support.certificates import Authority, write, write_authority
from tests.support.depot import overwrite
from tests.support.processes import PATIENCE, FakeDepot, Server, new_directory
from tests.support.visitors import PASSWORD
from xferproto import BlockingClient, Entry, RequestError, TargetExists, TLSFailed, XferError
from xferproto.client.blocking import reactor_thread
from xferproto.client.blocking.call import Call
from xferproto.model.errors import (
    BadName,
    CertificateError,
    ConnectionCut,
    Corrupt,
    Denied,
    NoSuchFile,
    TooLarge,
)

LARGE = 40 * 1024 * 1024
"""Enough bytes for a transfer to have a middle."""


def entry(content: bytes, name: str) -> Entry:
    """The entry of a content."""
    return Entry(md5(content).hexdigest(), name, len(content))


def threads() -> set[threading.Thread]:
    """Those that belong to clients."""
    return {thread for thread in threading.enumerate() if thread.daemon and thread.name == "xfer"}


def silent(connection: socket.socket) -> None:
    """A server that takes everything and says nothing."""
    while connection.recv(65536):
        pass


class BlockingCase(SynchronousTestCase):
    """A server, and clients of it."""

    options: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.directory = new_directory(self)
        self.before = set(threading.enumerate())
        self.addCleanup(self.assert_ended)

    def assert_ended(self) -> None:
        """No client has left a thread behind."""
        left = [
            thread
            for thread in set(threading.enumerate()) - self.before
            if thread.name == "xfer" or thread.name.startswith("PoolThread")
        ]
        self.assertEqual(left, [])

    def serve(self, *options: str | Path, port: int = 0) -> Server:
        """Start a server."""
        server = Server(self, self.directory, *options, "--port", str(port))
        server.drain()
        return server

    def client(self, port: int, **options: Any) -> BlockingClient:
        """A client, closed after the test."""
        client = BlockingClient(f"tcp:127.0.0.1:{port}", **options)
        self.addCleanup(client.close)
        return client

    def file(self, name: str, content: bytes) -> Path:
        """A file to be sent."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


class RequestTests(BlockingCase):
    """The requests for one file."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve()
        self.depot = self.client(self.server.port)

    def test_damage(self) -> None:
        """What is damaged is told each time, until it is stored again."""
        stored = [self.depot.upload(b"hello", name) for name in ("a", "b")]
        self.assertEqual(self.depot.list_damaged(), [])
        overwrite(self.server.storage, stored[0].id, b"hullo")
        for _ in range(2):
            self.assertRaises(Corrupt, self.depot.verify, stored[0].id)
            self.assertEqual(self.depot.list_damaged(), stored)
            self.assertEqual(self.depot.list_damaged("b"), stored[1:])
        self.depot.upload(b"hello", "b")
        self.assertEqual(self.depot.list_damaged(), [])

    def test_session(self) -> None:
        """Each request returns its answer."""
        path = self.file("greeting.txt", b"hello\n")
        stored = self.depot.upload(path)
        self.assertEqual(stored, entry(b"hello\n", "greeting.txt"))
        self.assertEqual(
            self.depot.upload(str(path), "b/greeting"), entry(b"hello\n", "b/greeting")
        )
        self.assertEqual(
            [found.name for found in self.depot.list_files()], ["b/greeting", path.name]
        )
        self.assertEqual([found.name for found in self.depot.list_files("b/")], ["b/greeting"])
        self.assertEqual(len(self.depot.stat(stored.id).entries), 2)
        self.depot.verify(stored.id)
        copy = self.directory / "copy"
        self.assertEqual(self.depot.download(stored.id, copy).id, stored.id)
        self.assertEqual(copy.read_bytes(), b"hello\n")
        self.assertRaises(TargetExists, self.depot.download, stored.id, copy)
        self.depot.download(stored.id, str(copy), replace=True)
        self.depot.delete(stored.id, "b/greeting")
        self.assertEqual(self.depot.list_files(), [stored])
        self.depot.delete(stored.id)
        self.assertEqual(self.depot.list_files(), [])

    def test_bytes(self) -> None:
        """Contents go from memory, of whatever kind, and come back into it."""
        for content in (b"", b"hello", bytearray(b"array"), memoryview(b"seen"), bytes(LARGE)):
            stored = self.depot.upload(content, "content")
            self.assertEqual(stored, entry(bytes(content), "content"))
            self.assertEqual(self.depot.read(stored.id), bytes(content))
        self.assertRaises(BadName, self.depot.upload, b"nameless")

    def test_bounded(self) -> None:
        """What is too large for memory is refused, and the client goes on."""
        stored = self.depot.upload(b"four", "four")
        self.assertEqual(self.depot.read(stored.id, largest=4), b"four")
        error = self.assertRaises(TooLarge, self.depot.read, stored.id, largest=3)
        self.assertIn("4 bytes", str(error))
        large = self.depot.upload(bytes(LARGE), "large")
        self.assertRaises(TooLarge, self.depot.read, large.id, largest=LARGE - 1)
        self.assertEqual(len(self.depot.read(large.id, LARGE)), LARGE)

    def test_wrong_content(self) -> None:
        """Nothing is read from a connection on which other bytes came."""
        id = md5(b"right").hexdigest()

        def script(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(f"{id};name;5\nwrong".encode())

        depot = self.client(FakeDepot(self, script).port, tries=1)
        self.assertRaises(XferError, depot.read, id)

    def test_progress(self) -> None:
        """Progress is told on the thread that waits, and to the end."""
        told: list[tuple[int, int]] = []
        where = set()

        def progress(done: int, total: int) -> None:
            told.append((done, total))
            where.add(threading.current_thread())

        path = self.file("large", bytes(LARGE))
        requests: list[Callable[[], Any]] = [
            lambda: self.depot.upload(path, progress=progress),
            lambda: self.depot.upload(b"small", "small", progress),
            lambda: self.depot.download(md5(bytes(LARGE)).hexdigest(), "copy", progress=progress),
            lambda: self.depot.read(md5(b"small").hexdigest(), progress=progress),
        ]
        for request in requests:
            told.clear()
            size = request()
            size = len(size) if isinstance(size, bytes) else size.size
            self.assertEqual(told[-1], (size, size))
            self.assertEqual(told, sorted(told))
        self.assertEqual(where, {threading.current_thread()})

    def test_progress_fails(self) -> None:
        """What a callback raises comes out; the request is cancelled, and goes on the next time."""

        def progress(done: int, total: int) -> None:
            begun.append(done)
            if done > LARGE // 4:
                raise ZeroDivisionError

        path = self.file("large", os.urandom(LARGE))
        begun: list[int] = []
        self.assertRaises(ZeroDivisionError, self.depot.upload, path, progress=progress)
        self.assertEqual(self.depot.list_files(), [])
        begun.clear()
        stored = self.depot.upload(path, progress=lambda done, total: begun.append(done))
        self.assertGreater(begun[0], 0)
        self.assertEqual(self.depot.list_files(), [stored])

    def test_request_in_callback(self) -> None:
        """A callback may make requests: their turn comes after this one."""
        names: list[str] = []

        def progress(done: int, total: int) -> None:
            if done == total:
                names.extend(found.name for found in self.depot.list_files())

        self.depot.upload(self.file("large", bytes(LARGE)), progress=progress)
        self.assertEqual(names, ["large"])

    def test_errors(self) -> None:
        """Errors are those of the library, raised from the line that asked."""
        try:
            self.depot.stat("0" * 32)
        except NoSuchFile as error:
            self.assertEqual(error.symbol, "no-such-file")
            self.assertIsNone(error.__cause__)
            frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
            self.assertEqual(frames[:2], ["test_errors", "stat"])
            self.assertIn("read_line", frames)
        else:
            self.fail("no error")
        self.assertRaises(FileNotFoundError, self.depot.upload, self.directory / "nowhere")
        self.assertRaises(OSError, self.depot.upload, self.directory)
        self.assertRaises(RequestError, self.depot.verify, "no id")
        self.assertRaises(BadName, self.depot.upload, b"", "../x")
        self.assertRaises(RequestError, self.depot.list_files, "\n")
        self.assertRaises(TypeError, self.depot.upload, 5)
        self.assertEqual(self.depot.list_files(), [])

    def test_threads(self) -> None:
        """Many threads may use one client at once."""

        def work(number: int) -> None:
            content = os.urandom(100_000 + number)
            stored = self.depot.upload(content, f"file{number}")
            self.assertEqual(self.depot.read(stored.id), content)
            self.assertIn(stored, self.depot.list_files(f"file{number}"))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(64)))
        self.assertEqual(len(self.depot.list_files()), 64)
        self.assertEqual(len(threads()), 1)


class ManyTests(BlockingCase):
    """The requests for many files."""

    def setUp(self) -> None:
        super().setUp()
        self.port = self.serve().port
        self.depot = self.client(self.port)

    def test_up_and_down(self) -> None:
        """Thousands go up and come down, each with its outcome in its place."""
        contents = [os.urandom(number % 50) + b"%d" % number for number in range(2500)]
        names = [f"some/{number:04}" for number in range(2500)]
        outcomes = self.depot.upload_many(zip(contents, names, strict=True))
        stored = [entry(*pair) for pair in zip(contents, names, strict=True)]
        self.assertEqual(outcomes, list(zip(names, stored, strict=True)))
        listed = self.depot.list_files()
        self.assertEqual([found.name for found in listed], names)
        copies = self.directory / "copies"
        copies.mkdir()
        wanted = [(found.id, copies / f"{number:04}") for number, found in enumerate(listed)]
        fetched = self.depot.download_many(wanted)
        self.assertEqual([id for id, _ in fetched], [found.id for found in listed])
        self.assertTrue(all(isinstance(outcome, Entry) for _, outcome in fetched))
        for content, (_, copy) in zip(contents, wanted, strict=True):
            self.assertEqual(copy.read_bytes(), content)

    def test_failures(self) -> None:
        """What fails is told in its place, and the others go on."""
        large = self.file("large", bytes(LARGE))
        outcomes = self.depot.upload_many(
            [
                (b"a", "a"),
                (b"b", "../b"),
                (self.directory / "nowhere", "c"),
                (large, "large"),
                (b"d", "d"),
            ]
        )
        self.assertEqual([name for name, _ in outcomes], ["a", "../b", "c", "large", "d"])
        kinds = [type(outcome) for _, outcome in outcomes]
        self.assertEqual(kinds, [Entry, BadName, FileNotFoundError, Entry, Entry])
        copy = self.file("copy", b"mine")
        ids = [md5(content).hexdigest() for content in (b"a", b"nothing", bytes(LARGE))]
        targets: list[tuple[str, Path | str]] = [
            (ids[0], copy),
            (ids[1], "new"),
            (ids[2], str(self.directory / "new")),
        ]
        kinds = [type(outcome) for _, outcome in self.depot.download_many(targets)]
        self.assertEqual(kinds, [TargetExists, NoSuchFile, Entry])
        self.assertEqual(copy.read_bytes(), b"mine")
        outcomes = self.depot.download_many(targets[:1], replace=True)
        self.assertEqual(outcomes, [(ids[0], entry(b"a", "a"))])
        self.assertEqual(copy.read_bytes(), b"a")

    def test_none(self) -> None:
        """There may be none at all."""
        self.assertEqual(self.depot.upload_many([]), [])
        self.assertEqual(self.depot.download_many(iter(())), [])

    def test_own_thread(self) -> None:
        """The files are taken, and the outcomes told, on the thread that waits."""
        where = set()

        def files() -> Iterator[tuple[bytes, str]]:
            for number in range(3000):
                where.add(threading.current_thread())
                yield b"%d" % number, str(number)

        def told(name: str, outcome: Entry | Exception) -> None:
            where.add(threading.current_thread())
            names.append(name)

        names: list[str] = []
        outcomes = self.depot.upload_many(files(), told)
        self.assertEqual(names, [str(number) for number in range(3000)])
        self.assertEqual([name for name, _ in outcomes], names)
        self.assertEqual(where, {threading.current_thread()})

    def test_slow_files(self) -> None:
        """Each file is sent when it is there, whenever the next one may be."""
        names: list[str] = []

        def files() -> Iterator[tuple[bytes, str]]:
            for number in range(5):
                yield b"%d" % number, str(number)
                while not other.list_files(str(number)):
                    pass

        other = self.client(self.port)
        self.depot.upload_many(files(), lambda name, outcome: names.append(name))
        self.assertEqual(len(names), 5)

    def test_few_ahead(self) -> None:
        """Of files without end, no more are taken than fit into memory."""
        taken: list[int] = [0]
        ahead: list[int] = []

        def files() -> Iterator[tuple[bytes, str]]:
            for number in range(1000):
                taken[0] += 1
                yield b"%060000d" % number, str(number)

        def told(name: str, outcome: Entry | Exception) -> None:
            ahead.append(taken[0] - len(ahead))

        self.depot.upload_many(files(), told)
        self.assertLess(max(ahead), 500)
        self.assertEqual(len(ahead), 1000)

    def test_files_fail(self) -> None:
        """What the files raise comes out when those before are stored."""

        def files() -> Iterator[tuple[bytes, str]]:
            yield b"a", "a"
            raise ZeroDivisionError

        told: list[str] = []
        self.assertRaises(
            ZeroDivisionError,
            self.depot.upload_many,
            files(),
            lambda name, outcome: told.append(name),
        )
        self.assertEqual(told, ["a"])
        self.assertEqual(self.depot.list_files(), [entry(b"a", "a")])

    def test_told_fails(self) -> None:
        """So does what is raised by whoever is told, and the client goes on."""

        def told(name: str, outcome: Entry | Exception) -> None:
            raise ZeroDivisionError

        files = ((b"%d" % number, str(number)) for number in range(10000))
        self.assertRaises(ZeroDivisionError, self.depot.upload_many, files, told)
        self.assertLess(len(self.depot.list_files()), 10000)
        ids = [(found.id, self.directory / found.name) for found in self.depot.list_files()]
        self.assertRaises(ZeroDivisionError, self.depot.download_many, ids, told)
        self.assertEqual(self.depot.upload(b"b", "b"), entry(b"b", "b"))

    def test_no_pairs(self) -> None:
        """Files that are no pairs are refused by what they are."""
        for files in (["name"], [b"content"], [("a", "b", "c")], [None]):
            error = self.assertRaises(TypeError, self.depot.upload_many, files)
            self.assertIn(type(files[0]).__name__, str(error))
        self.assertRaises(TypeError, self.depot.upload_many, None)
        self.assertRaises(TypeError, self.depot.upload_many, [(5, "name")])

    def test_threads(self) -> None:
        """Several threads may each send many over one client."""

        def work(number: int) -> int:
            files = ((b"%d" % n, f"{number}/{n}") for n in range(500))
            return len(self.depot.upload_many(files))

        with ThreadPoolExecutor(4) as pool:
            self.assertEqual(list(pool.map(work, range(4))), [500] * 4)
        self.assertEqual(len(self.depot.list_files()), 2000)


class LifeTests(BlockingCase):
    """Clients begin and end."""

    def test_with(self) -> None:
        """The thread begins with the first request and ends with the last client."""
        port = self.serve().port
        with BlockingClient(f"tcp:127.0.0.1:{port}") as first:
            self.assertEqual(threads(), set())
            first.list_files()
            self.assertEqual(len(threads()), 1)
            with self.client(port) as second:
                second.list_files()
                self.assertEqual(len(threads()), 1)
            first.list_files()
        self.assertEqual(threads(), set())

    def test_closed(self) -> None:
        """A closed client says so, however often it is closed."""
        for depot in (self.client(self.serve().port), self.client(1)):
            with depot:
                pass
            depot.close()
            for request in (depot.list_files, depot.__enter__, partial(depot.upload_many, [])):
                self.assertIn("closed", str(self.assertRaises(RuntimeError, request)))
            self.assertIn("closed", repr(depot))

    def test_nothing_left(self) -> None:
        """No descriptor is left behind either, however many clients there were."""
        port = self.serve().port

        def use() -> int:
            for _ in range(10):
                with self.client(port) as depot:
                    depot.list_files()
            return len(list(Path("/proc/self/fd").iterdir()))

        self.assertEqual(use(), use())

    def test_closed_under_way(self) -> None:
        """Closing a client ends what other threads have under way."""

        def script(connection: socket.socket) -> None:
            connection.recv(1)
            asked.set()
            silent(connection)

        asked = threading.Event()
        depot = self.client(FakeDepot(self, script).port)
        raised: list[BaseException] = []

        def ask() -> None:
            try:
                depot.list_files()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        self.assertTrue(asked.wait(PATIENCE))
        depot.close()
        thread.join()
        self.assertEqual([type(error) for error in raised], [RuntimeError])
        self.assertIn("closed", str(raised[0]))

    def current(self) -> list[Any]:
        """The reactor's thread, where there is one."""
        thread = reactor_thread._current
        return [] if thread is None else [thread]

    def test_forgotten(self) -> None:
        """A client that nobody has any more lets go of its connection, and of the thread."""
        depot = BlockingClient(f"tcp:127.0.0.1:{self.serve().port}")
        depot.list_files()
        (thread,) = threads()
        gone = weakref.ref(depot)
        del depot
        gc.collect()
        self.assertIsNone(gone())
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())

    def test_deadlock(self) -> None:
        """The thread that would have to answer is refused."""
        depot = self.client(self.serve().port)
        depot.list_files()
        (thread,) = self.current()
        raised: list[BaseException] = []
        done = threading.Event()

        def ask() -> None:
            for request in (depot.list_files, depot.close):
                try:
                    request()
                except RuntimeError as error:
                    raised.append(error)
            done.set()

        thread.post(ask)
        done.wait(PATIENCE)
        self.assertEqual(["another thread" in str(error) for error in raised], [True, True])

    def test_timeout(self) -> None:
        """A request that takes too long is cancelled, and its connection closed."""
        ended = threading.Event()

        def script(connection: socket.socket) -> None:
            try:
                silent(connection)
            finally:
                ended.set()

        depot = self.client(FakeDepot(self, script).port, timeout=0.2)
        error = self.assertRaises(TimeoutError, depot.list_files)
        self.assertIn("longer", str(error))
        self.assertTrue(ended.wait(PATIENCE))

    def test_no_timeout(self) -> None:
        """A timeout that is not reached changes nothing."""
        depot = self.client(self.serve().port, timeout=3600)
        self.assertEqual(depot.list_files(), [])

    def test_silent_goodbye(self) -> None:
        """A server that does not close its side is left nevertheless."""
        self.patch(reactor_thread, "CLOSING", 0.1)

        def script(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"DONE\n")
            gone.wait(PATIENCE)

        gone = threading.Event()
        with self.client(FakeDepot(self, script).port) as depot:
            self.assertEqual(depot.list_files(), [])
        gone.set()

    def test_arguments(self) -> None:
        """It has to be said where the depot is, once, and in a way that can be."""
        wrong: list[dict[str, Any]] = [
            {},
            {"endpoint": ""},
            {"host": ""},
            {"endpoint": "tcp:127.0.0.1:1", "host": "127.0.0.1"},
            {"endpoint": "tcp:127.0.0.1:1", "tls": True},
            {"endpoint": "tls:127.0.0.1:1"},
            {"endpoint": "SSL:127.0.0.1:1"},
            {"host": "127.0.0.1", "ca": "ca.pem"},
            {"host": "127.0.0.1", "tls": True, "fingerprint": "x"},
            {"host": "127.0.0.1", "tls": True, "key": "key.pem"},
        ]
        for arguments in wrong:
            self.assertRaises(ValueError, BlockingClient, **arguments)
        self.assertRaises(
            CertificateError, BlockingClient, host="127.0.0.1", tls=True, ca="nowhere.pem"
        )
        depot = BlockingClient("nonsense:5", tries=1, credentials=("alice", "secret"))
        self.assertNotIn("secret", repr(depot))
        self.assertRaises(ValueError, depot.list_files)
        depot.close()

    def test_nobody_there(self) -> None:
        """Where no server is, the last failure to connect is raised."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        for depot in (
            self.client(port, tries=1),
            BlockingClient(host="127.0.0.1", port=port, tries=1),
        ):
            with depot:
                self.assertRaises(ConnectionRefusedError, depot.list_files)


class CallTests(SynchronousTestCase):
    """A request that a thread waits for, and what ends it."""

    def setUp(self) -> None:
        self.posted: list[str] = []

    def call(self, request: Deferred[str]) -> Call[str]:
        """A call on whose behalf there is no other thread."""

        def post(function: Callable[..., object], *arguments: object) -> bool:
            self.posted.append(function.__name__)
            function(*arguments)
            return True

        return Call(lambda call: request, post, lambda call: None)

    def test_reason(self) -> None:
        """One that is cancelled tells why, whatever it was that was cancelled."""
        connecting: Deferred[str] = Deferred(
            lambda cancelled: cancelled.errback(ConnectingCancelledError(None))
        )
        call = self.call(connecting)
        call.begin()
        call.cancel(RuntimeError("closed"))
        error = self.assertRaises(RuntimeError, call.wait, None, lambda: None)
        self.assertEqual(str(error), "closed")

    def test_cancelled_before(self) -> None:
        """One that is cancelled before it has begun does not begin."""
        call = self.call(Deferred(lambda _: self.fail("it has begun")))
        call.cancel(RuntimeError("closed"))
        call.begin()
        self.successResultOf(call.ended)
        self.assertRaises(RuntimeError, call.wait, None, lambda: None)

    def test_interrupted_asking(self) -> None:
        """An interruption before the request was made ends it: nothing is waited for."""

        def ask() -> None:
            raise KeyboardInterrupt

        call = self.call(Deferred())
        self.assertRaises(KeyboardInterrupt, call.wait, None, ask)
        self.assertEqual(self.posted, ["cancel"])
        self.successResultOf(call.ended)

    def test_interrupted_under_way(self) -> None:
        """One in the middle cancels it."""

        def ask() -> None:
            call.begin()
            raise KeyboardInterrupt

        request: Deferred[str] = Deferred()
        call = self.call(request)
        self.assertRaises(KeyboardInterrupt, call.wait, None, ask)
        self.successResultOf(call.ended)
        self.assertTrue(request.called)

    def test_interrupted_at_end(self) -> None:
        """One in the moment that the end has come is not followed by a wait for another end."""

        class Interrupted(SimpleQueue[Any]):
            def get(self, block: bool = True, timeout: float | None = None) -> Any:
                super().get(block, timeout)
                raise KeyboardInterrupt

        request: Deferred[str] = Deferred()
        call = self.call(request)
        call._mail = Interrupted()
        call.begin()
        request.callback("done")
        self.assertRaises(KeyboardInterrupt, call.wait, None, lambda: None)
        self.assertTrue(call._mail.empty())


class SafeTests(BlockingCase):
    """TLS, and users."""

    def test_tls(self) -> None:
        """Who is there is checked, by authority or by fingerprint."""
        authority = Authority()
        ca = write_authority(self.directory, authority)
        files = write(self.directory, "server", authority.issue("localhost"))
        server = self.serve("--tls-cert", files.cert, "--tls-key", files.key)
        for terms in ({"ca": ca}, {"fingerprint": files.fingerprint}):
            with BlockingClient(host="localhost", port=server.port, tls=True, **terms) as depot:
                stored = depot.upload(bytes(LARGE), "large")
                self.assertEqual(len(depot.read(stored.id)), LARGE)
                self.assertIn("localhost port", repr(depot))
        with BlockingClient(host="localhost", port=server.port, tls=True) as depot:
            self.assertRaises(TLSFailed, depot.list_files)
        with BlockingClient(host="localhost", port=server.port, tries=1) as depot:
            self.assertRaises(ConnectionCut, depot.list_files)

    def test_users(self) -> None:
        """Credentials are used on each connection."""
        users = self.directory / "users.toml"
        rights = 'rights = ["list", "read", "write", "delete"]\nsees = "own"\n'
        visitors.write(users, f'[alice]\npassword = "{visitors.hashed(PASSWORD)}"\n{rights}')
        port = self.serve("--users", users).port
        with self.client(port, credentials=("alice", PASSWORD)) as depot:
            self.assertEqual(depot.upload(b"a", "a"), entry(b"a", "a"))
        with self.client(port, credentials=("alice", "wrong")) as depot:
            self.assertRaises(Denied, depot.list_files)

    def test_unix(self) -> None:
        """A depot at a UNIX socket is reached by its endpoint."""
        path = self.directory / "socket"
        server = Server(
            self,
            self.directory,
            "--endpoint",
            "tcp:0:interface=127.0.0.1",
            "--endpoint",
            f"unix:{path}",
        )
        server.wait_for("listening on")
        server.drain()
        with BlockingClient(f"unix:{path}") as depot:
            self.assertEqual(depot.list_files(), [])


class RetryTests(BlockingCase):
    """The server is killed in the middle, and another one started in its place."""

    def restart(self, server: Server) -> None:
        """Kill a server, and start another one in its place."""
        server.signal(signal.SIGKILL)
        server.wait()
        self.serve(port=server.port)

    def killed_at(self, server: Server, part: float) -> Callable[[int, int], None]:
        """A progress callback that has the server killed when so much is through."""
        killed: list[bool] = []

        def progress(done: int, total: int) -> None:
            self.told.append(done)
            if done >= part * total and not killed:
                killed.append(True)
                self.restart(server)

        self.told: list[int] = []
        return progress

    def test_one(self) -> None:
        """An upload and a download go on, and say so on their thread."""
        server = self.serve("--rate", "64M")
        said: list[tuple[str, threading.Thread]] = []
        depot = self.client(
            server.port,
            tries=50,
            notify=lambda line: said.append((line, threading.current_thread())),
        )
        path = self.file("large", os.urandom(LARGE))
        stored = depot.upload(path, progress=self.killed_at(server, 0.5))
        self.assertEqual(stored, entry(path.read_bytes(), "large"))
        self.assertEqual({thread for _, thread in said}, {threading.current_thread()})
        self.assertTrue(all("Trying again" in line for line, _ in said) and said)

    def test_many(self) -> None:
        """All of many files are stored, and told of once."""
        server = self.serve()
        depot = self.client(server.port, tries=50)
        told: list[str] = []

        def tell(name: str, outcome: Entry | Exception) -> None:
            told.append(name)
            if len(told) == 1000:
                self.restart(server)

        files = ((b"%d" % number, str(number)) for number in range(5000))
        outcomes = depot.upload_many(files, tell)
        self.assertEqual(sorted(told, key=int), [str(number) for number in range(5000)])
        self.assertTrue(all(isinstance(outcome, Entry) for _, outcome in outcomes))
        self.assertEqual(len(depot.list_files()), 5000)
