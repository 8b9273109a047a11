"""Client and server over real TCP, with real threads, in this process."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from tests.support.held import close_store, held_by_server
from xferproto import XferClientProtocol, connect
from xferproto.depot.depot import Depot, DepotLimits
from xferproto.model.entry import Entry
from xferproto.model.errors import TooLarge
from xferproto.server.connections import GRACE, Connection, Connections
from xferproto.server.factory import XferServerFactory
from xferproto.server.line.session import DISCARD_LIMIT
from xferproto.store.local.store import LocalStore
from xferproto.threads.executor import ThreadExecutor
from xferproto.transfer.verified import VerifiedUpload

reactor: Any = _reactor

MIB = 1024 * 1024

LARGE = bytes(range(256)) * (8 * MIB // 256)


class Raw(Protocol):
    """
    A client without a client: keeps what comes.

    @ivar received: all of it.
    @ivar lost: fires when the connection is closed, with what had come.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Deferred[bytes] = Deferred()
        self._expected: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def ends_with(self, text: bytes) -> Deferred[None]:
        """Fires when what came ends with this."""
        return self._when(lambda: self.received.endswith(text))

    def counts(self, count: int) -> Deferred[None]:
        """Fires when so many bytes have come."""
        return self._when(lambda: len(self.received) >= count)

    def _when(self, condition: Callable[[], bool]) -> Deferred[None]:
        arrived: Deferred[None] = Deferred()
        self._expected.append((condition, arrived))
        self._look()
        return arrived

    def _look(self) -> None:
        while self._expected and self._expected[0][0]():
            self._expected.pop(0)[1].callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback(bytes(self.received))
        for _, arrived in self._expected:
            arrived.errback(AssertionError(f"it ended after {bytes(self.received[-200:])!r}"))


class ServerCase(TestCase):
    """
    A depot that listens on a free port of 127.0.0.1.

    @cvar max_file_size: the server's limit.
    """

    max_file_size: int | None = None

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.pools = [ThreadPool(0, threads) for threads in (8, 1, 1)]
        for pool in self.pools:
            pool.start()
            self.addCleanup(pool.stop)
        files, writer, reader = (ThreadExecutor(reactor, pool) for pool in self.pools)
        store = LocalStore(self.root, files, writer, reader, now=lambda: 1e9)
        limits = DepotLimits(self.max_file_size)
        self.factory = XferServerFactory(Depot(store, files, self.clock(), limits))
        self.addCleanup(close_store, self, store)
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.number: int = self.port.getHost().port
        self.raws: list[Raw] = []
        self.clients: list[XferClientProtocol] = []

    async def tearDown(self) -> None:  # type: ignore[override]
        for raw in self.raws:
            raw.transport.abortConnection()  # type: ignore[union-attr]
            await raw.lost
        await gatherResults([client.disconnect() for client in self.clients])
        await self.port.stopListening()
        await self.factory.stop()
        self.assertEqual(held_by_server(self.factory), {})

    def clock(self) -> IReactorTime:
        """What the server tells the time by."""
        clock: IReactorTime = reactor
        return clock

    async def raw(self) -> Any:
        """A new connection that sends and keeps bytes; a L{Raw}."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.number)
        raw = await connectProtocol(endpoint, Raw())
        self.raws.append(raw)
        return raw

    async def client(self, prompted: bool = False) -> XferClientProtocol:
        """A new client."""
        client = await connect(reactor, f"tcp:127.0.0.1:{self.number}", prompted)
        self.clients.append(client)
        return client

    def first_write(self) -> Deferred[None]:
        """Fires when the server has taken in the first bytes of an upload."""
        written: Deferred[None] = Deferred()
        original = VerifiedUpload.write

        def write(upload: VerifiedUpload, data: bytes) -> None:
            original(upload, data)
            if not written.called:
                written.callback(None)

        self.patch(VerifiedUpload, "write", write)
        return written

    def next_closed(self) -> Deferred[None]:
        """Fires when the server has lost its next connection."""
        closed: Deferred[None] = Deferred()
        original = Connections.closed

        def noted(connections: Connections, connection: Connection) -> None:
            original(connections, connection)
            if not closed.called:
                closed.callback(None)

        self.patch(Connections, "closed", noted)
        return closed

    def stored(self) -> list[str]:
        """The files in the storage directory, beside the catalogue."""
        return sorted(
            path.name
            for folder in ("objects", "incoming")
            for path in (self.root / folder).rglob("*")
            if path.is_file()
        )


class TransferTests(ServerCase):
    """Files that go up and down."""

    async def test_up_and_down(self) -> None:
        """8 MiB go up and come down the same, one line at a time and prompted."""
        source = Path(self.mktemp())
        source.write_bytes(LARGE)
        expected = Entry(md5(LARGE).hexdigest(), "large", len(LARGE))
        for prompted in (False, True):
            target = Path(self.mktemp())
            client = await self.client(prompted)
            told: list[tuple[int, int]] = []
            self.assertEqual(await client.upload(source, "large"), expected)
            self.assertEqual(await client.list_files(), [expected])
            await client.download(
                expected.id, target, progress=lambda *now, told=told: told.append(now)
            )
            self.assertEqual(target.read_bytes(), LARGE)
            self.assertEqual(told, sorted(told))
            self.assertEqual(told[-1], (len(LARGE), len(LARGE)))
            await client.disconnect()
        self.assertEqual(self.stored(), [expected.id])

    async def test_a_hundred_clients(self) -> None:
        """While large files go both ways, and one hangs midway, a hundred clients are served."""
        hanging = await self.raw()
        hanging.transport.write(b"UPLOAD hanging;1000000\n" + bytes(500_000))
        large = [await self.client() for _ in range(2)]
        clients = [await self.client() for _ in range(100)]
        await large[0].upload(LARGE, "down")
        target = Path(self.mktemp())
        transfers: list[Deferred[Entry]] = [
            large[0].download(md5(LARGE).hexdigest(), target),
            large[1].upload(LARGE[1:], "up"),
        ]
        contents = [bytes([number]) * (1000 + 80 * number) for number in range(100)]
        for client, content in zip(clients, contents, strict=True):
            transfers.append(client.upload(content, f"small/{content[0]:02}"))
        entries = await gatherResults(transfers)
        self.assertEqual(target.read_bytes(), LARGE)
        self.assertEqual(entries[1].id, md5(LARGE[1:]).hexdigest())
        listed = await clients[0].list_files("small/")
        self.assertEqual(
            [entry.id for entry in listed], [md5(content).hexdigest() for content in contents]
        )
        hanging.transport.write(bytes(500_000))
        await hanging.ends_with(md5(bytes(1_000_000)).hexdigest().encode() + b"\n")

    async def test_one_file_from_many(self) -> None:
        """The same content under two names from many clients at once is stored once."""
        clients = [await self.client() for _ in range(10)]
        content = LARGE[:300_000]
        await gatherResults(
            [client.upload(content, "ab"[number % 2]) for number, client in enumerate(clients)]
        )
        id = md5(content).hexdigest()
        self.assertEqual(
            await clients[0].list_files(),
            [Entry(id, "a", len(content)), Entry(id, "b", len(content))],
        )
        self.assertEqual(self.stored(), [id])

    async def test_pipelined(self) -> None:
        """Two hundred one-line uploads in one stream are answered in order."""
        raw = await self.raw()
        contents = [str(number).encode() for number in range(200)]
        raw.transport.write(
            b"".join(b"UPLOAD n/%s;%d\n%s" % (text, len(text), text) for text in contents)
            + b"QUIT\n"
        )
        answers = (await raw.lost).split()
        self.assertEqual(answers, [md5(text).hexdigest().encode() for text in contents])

    async def test_reset_midway(self) -> None:
        """An upload whose connection is reset midway leaves nothing."""
        raw, client = await self.raw(), await self.client()
        arrived, closed = self.first_write(), self.next_closed()
        raw.transport.write(b"UPLOAD a;8388608\n" + LARGE[:MIB])
        await arrived
        raw.transport.abortConnection()
        await closed
        self.assertEqual(await client.list_files(), [])
        self.clients.remove(client)
        await client.disconnect()
        await self.factory.stop()  # waits for the cleaning up
        self.assertEqual(self.stored(), [])

    async def test_half_closed(self) -> None:
        """An unfinished last line and an end of input, as of C{nc -N}, get their answer."""
        raw = await self.raw()
        raw.transport.write(b"LIST_FILES")
        raw.transport.loseWriteConnection()
        self.assertEqual(await raw.lost, b"No files available at the moment\nDONE\n")

    async def test_half_closed_after_upload(self) -> None:
        """An upload and an end of input right behind it are answered with the id."""
        raw = await self.raw()
        raw.transport.write(b"UPLOAD a;8388608\n" + LARGE)
        raw.transport.loseWriteConnection()
        self.assertEqual(await raw.lost, md5(LARGE).hexdigest().encode() + b"\n")

    async def test_half_closed_before_download(self) -> None:
        """Whoever has nothing more to say still gets all of a large file."""
        client, raw = await self.client(), await self.raw()
        entry = await client.upload(LARGE, "large")
        raw.transport.write(b"DOWNLOAD " + entry.id.encode())
        raw.transport.loseWriteConnection()
        came = await raw.lost
        self.assertEqual(came, f"{entry.id};large;{len(LARGE)}\n".encode() + LARGE)

    async def test_half_closed_midway(self) -> None:
        """An upload that ends before its declared size is told so, and leaves nothing."""
        raw = await self.raw()
        raw.transport.write(b"UPLOAD a;8388608\n" + LARGE[:MIB])
        raw.transport.loseWriteConnection()
        answer = await raw.lost
        self.assertTrue(answer.startswith(b"ERROR bad-details "), answer)
        self.assertIn(b"1048576 of 8388608", answer)
        await self.factory.stop()
        self.assertEqual(self.stored(), [])

    async def test_peer_that_never_reads(self) -> None:
        """A client that never reads its download holds up nobody else."""
        client, raw = await self.client(), await self.raw()
        # Larger than what the buffers of both sockets hold.
        entry = await client.upload(LARGE * 4, "large")
        raw.transport.pauseProducing()
        raw.transport.write(b"DOWNLOAD " + entry.id.encode() + b"\n")
        for number in range(3):
            await client.upload(str(number).encode(), f"small/{number}")
        target = Path(self.mktemp())
        await client.download(entry.id, target)
        self.assertEqual(target.stat().st_size, entry.size)
        self.assertEqual(len(await client.list_files()), 4)
        # It was not done with meanwhile: the rest comes when it is read.
        raw.transport.resumeProducing()
        await raw.counts(len(f"{entry.id};large;{entry.size}\n") + entry.size)

    async def test_nobody_listens(self) -> None:
        """A port on which nobody listens is a ConnectError."""
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        await self.assertFailure(connect(reactor, f"tcp:127.0.0.1:{number}"), Refused)

    def test_bad_endpoint(self) -> None:
        """A description that is none is a ValueError at once."""
        self.assertRaises(ValueError, connect, reactor, "nonsense:1:2")


class ClosingTests(ServerCase):
    """What the server says last arrives, however much the client still sends."""

    max_file_size = 1000

    async def test_line_too_long(self) -> None:
        """The error of a line that is too long arrives, megabytes behind that line."""
        raw = await self.raw()
        raw.transport.write(b"x" * 5000)
        for _ in range(8):
            raw.transport.write(LARGE[:MIB])
        answer = await raw.lost
        self.assertTrue(answer.startswith(b"ERROR line-too-long "), answer)
        self.assertTrue(answer.endswith(b".\n"), answer)

    async def test_payload_too_large_to_skip(self) -> None:
        """The error of a refused payload arrives, though the connection closes on the rest."""
        raw = await self.raw()
        size = DISCARD_LIMIT + 1
        raw.transport.write(f"UPLOAD a;{size}\n".encode() + bytes(size))
        answer = await raw.lost
        self.assertTrue(answer.startswith(b"ERROR too-large "), answer)
        self.assertTrue(answer.endswith(b".\n"), answer)

    async def test_refused_upload(self) -> None:
        """The client raises the refusal of a file, small or large, and then goes on."""
        client = await self.client()
        for size in (1001, 60_000, 200_000, DISCARD_LIMIT + 1):
            await self.assertFailure(client.upload(bytes(size), "a"), TooLarge)
            self.assertEqual(await client.list_files(), [])


class StopTests(ServerCase):
    """A server that stops."""

    def clock(self) -> IReactorTime:
        self.hand = Clock()
        return self.hand

    async def test_lets_transfers_finish(self) -> None:
        """An upload and a download that run when the server stops are finished, then closed."""
        client, up, down, idle = (
            await self.client(),
            await self.raw(),
            await self.raw(),
            await self.raw(),
        )
        entry = await client.upload(LARGE * 4, "large")
        down.transport.write(b"DOWNLOAD " + entry.id.encode() + b"\n")
        await down.counts(1)
        arrived = self.first_write()
        up.transport.write(b"UPLOAD a;8388608\n" + LARGE[:MIB])
        await arrived
        stopping = Deferred.fromCoroutine(self.factory.stop())
        await idle.lost
        up.transport.write(LARGE[MIB:])
        self.assertEqual(await up.lost, md5(LARGE).hexdigest().encode() + b"\n")
        self.assertTrue((await down.lost).endswith(LARGE))
        self.assertEqual(len(down.received), len(f"{entry.id};large;{entry.size}\n") + entry.size)
        await stopping
        self.assertIn(md5(LARGE).hexdigest(), self.stored())
        self.assertEqual(self.hand.getDelayedCalls(), [])

    async def test_cuts_what_hangs(self) -> None:
        """An upload that does not go on is cut off after the grace, and leaves nothing."""
        raw = await self.raw()
        arrived = self.first_write()
        raw.transport.write(b"UPLOAD a;8388608\n" + LARGE[:MIB])
        await arrived
        stopping = Deferred.fromCoroutine(self.factory.stop())
        self.hand.advance(GRACE - 0.1)
        self.assertFalse(stopping.called)
        self.hand.advance(0.2)
        self.assertEqual(await raw.lost, b"")
        await stopping
        self.assertEqual(self.stored(), [])

    async def test_stop_twice(self) -> None:
        """Stopping a server without connections is done at once, and may be repeated."""
        await self.factory.stop()
        await self.factory.stop()
