"""The client that does not give up: what it tries again, when, how often, and from where."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import (
    ConnectError,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.client.test_protocol import LARGE, Case, Line, entry_of, names_in
from tests.support.depot import Depot, StoredDepot
from tests.support.visitors import PASSWORD, peer, user
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.retry import RetryingClient
from xferproto.client.retry_policy import BACKOFF, worth_another_try
from xferproto.depot.depot import DepotLimits
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    REQUEST_ERRORS,
    ConnectionCut,
    Denied,
    HashMismatch,
    NoSuchFile,
    RequestError,
    SourceChanged,
    TargetExists,
    TooLarge,
    UnexpectedReply,
    UnknownRequestError,
)
from xferproto.wire import codec

HASH = md5(LARGE).hexdigest()

PASSING = frozenset({"busy", "internal", "no-space", "timeout"})
"""The symbols of refusals that may pass."""


class InlinePool:
    """A pool without threads: all work is done at once."""

    def callInThreadWithCallback(
        self, told: Callable[[bool, Any], None], work: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        try:
            result = work(*args, **kwargs)
        except Exception:
            told(False, Failure())
        else:
            told(True, result)


class FakeReactor(Clock):
    """A clock that is turned by hand, with a pool without threads."""

    def getThreadPool(self) -> InlinePool:
        return InlinePool()

    def callFromThread(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        call(*args, **kwargs)


class Wire:
    """One connection to a real server, without a network, that can be cut or bent."""

    def __init__(self, depot: StoredDepot[Any], client: XferClientProtocol) -> None:
        self._client = client
        self._server = depot.factory.buildProtocol(None)
        near = peer("127.0.0.1")
        self._to_server = iosim.FakeTransport(self._server, isServer=True, peerAddress=near)
        self._to_client = iosim.FakeTransport(client, isServer=False, peerAddress=near)
        self.pump = iosim.connect(
            self._server, self._to_server, client, self._to_client, clock=depot.clock
        )

    @property
    def closed(self) -> bool:
        """Whether both sides know that it is over."""
        return not self._client.usable

    def cut(self) -> None:
        """The connection is gone, for both sides."""
        transports = self._to_server, self._to_client
        if any(transport.disconnected for transport in transports):  # it is lost once
            return
        for transport in transports:
            transport.disconnecting = transport.disconnected = True
        for protocol in (self._server, self._client):
            protocol.connectionLost(Failure(ConnectionLost()))

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
        self._client.dataReceived(data)


@implementer(IStreamClientEndpoint)
class DepotEndpoint:
    """
    Connects to a depot without a network.

    @ivar failures: what the next attempts fail with; when there are none, they go well.
    @ivar attempts: how many there were.
    @ivar wires: the connections made so far.
    @ivar hold: whether attempts wait, in C{waiting}, until they are told to go on.
    """

    def __init__(self, depot: StoredDepot[Any]) -> None:
        self._depot = depot
        self.failures: list[Exception] = []
        self.attempts = 0
        self.wires: list[Wire] = []
        self.hold = False
        self.waiting: list[Callable[[], None]] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        self.attempts += 1
        if self.failures:
            return fail(self.failures.pop(0))
        if self.hold:
            connected: Deferred[Any] = Deferred()
            self.waiting.append(lambda: connected.callback(self._connected(factory)))
            return connected
        return succeed(self._connected(factory))

    def _connected(self, factory: IProtocolFactory) -> XferClientProtocol:
        client: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.wires.append(Wire(self._depot, client))
        made: XferClientProtocol = client
        return made


@implementer(IStreamClientEndpoint)
class ScriptedEndpoint:
    """
    Connects to a server that says what the test writes.

    @ivar clients: the client's side of the connections made so far.
    """

    def __init__(self) -> None:
        self.clients: list[tuple[XferClientProtocol, Line]] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        client: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        transport = Line()
        client.makeConnection(transport)
        self.clients.append((client, transport))
        return succeed(client)

    def says(self, *chunks: bytes) -> None:
        """What the server says arrives on the newest connection, one by one."""
        client = self.clients[-1][0]
        for chunk in chunks:
            client.dataReceived(chunk)

    def lose(self) -> None:
        """The newest connection is gone."""
        client, transport = self.clients[-1]
        if transport.producer is not None:
            transport.producer.stopProducing()
        client.connectionLost(Failure(ConnectionLost()))

    def asked(self) -> bytes:
        """What the client has sent on the newest connection since the last call."""
        transport = self.clients[-1][1]
        written: bytes = transport.value()
        transport.clear()
        return written


class RetryCase(Case):
    """
    What the cases below share.

    @ivar said: the lines that the client said.
    """

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.said: list[str] = []

    def client(
        self,
        endpoint: IStreamClientEndpoint,
        tries: int = 10,
        prompted: bool = False,
        credentials: tuple[str, str] | None = None,
    ) -> RetryingClient:
        """A client that waits ten seconds more after each failure."""
        return RetryingClient(
            self.reactor,
            endpoint,
            tries,
            self.said.append,
            delay=lambda failed: 10.0 * failed,
            prompted=prompted,
            credentials=credentials,
        )

    def assert_waits(self, seconds: float, attempts: Callable[[], int]) -> None:
        """The next try is so many seconds away."""
        (call,) = self.reactor.getDelayedCalls()
        self.assertEqual(call.getTime() - self.reactor.seconds(), seconds)
        before = attempts()
        self.reactor.advance(seconds - 0.5)
        self.assertEqual(attempts(), before)
        self.reactor.advance(0.5)
        self.assertEqual(attempts(), before + 1)


class WorthTests(SynchronousTestCase):
    """Which failures may go well the next time."""

    def test_refusals(self) -> None:
        """Of the server's refusals, those that say that they may pass."""
        for symbol, error in REQUEST_ERRORS.items():
            self.assertEqual(worth_another_try(error()), symbol in PASSING, symbol)

    def test_unknown_symbols(self) -> None:
        """A request refused with a symbol that this client does not know is not tried again."""
        self.assertFalse(worth_another_try(UnknownRequestError("brand-new", "text")))

    def test_others(self) -> None:
        """Of all others, those of the network and of flipped bits."""
        for error in (
            ConnectionCut("cut"),
            HashMismatch("upload", "0", "1"),
            ConnectError(),
            ConnectionRefusedError(),
            TimeoutError(),
            NoRouteError(),
            DNSLookupError(),
        ):
            self.assertTrue(worth_another_try(error), error)
        for other in (
            SourceChanged("changed"),
            TargetExists("there"),
            UnexpectedReply("nonsense"),
            OSError(2, "none"),
            ValueError("none"),
            CancelledError(),
        ):
            self.assertFalse(worth_another_try(other), other)


class BackoffTests(SynchronousTestCase):
    """How long it waits if it is told nothing else."""

    def test_longer(self) -> None:
        """A second or two at first, then longer and longer, up to a minute or little more."""
        for failed in range(1, 200):
            self.assertTrue(1.0 <= BACKOFF(failed) <= 61.0, failed)
        self.assertLess(BACKOFF(1), 3.0)
        self.assertGreater(BACKOFF(5), BACKOFF(1))
        self.assertGreaterEqual(BACKOFF(20), 60.0)

    def test_jitter(self) -> None:
        """It is never the same for all: clients that failed together do not return together."""
        self.assertGreater(len({BACKOFF(3) for _ in range(20)}), 1)


class ConnectTests(RetryCase):
    """Depots that can't be reached."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = DepotEndpoint(Depot(self))

    def flush(self) -> None:
        """Let everything arrive."""
        for wire in self.endpoint.wires:
            if not wire.closed:
                wire.pump.flush()

    def test_at_once(self) -> None:
        """Where nothing fails nothing is said, and all requests share a connection."""
        client = self.client(self.endpoint)
        for _ in range(3):
            listing = client.list_files()
            self.flush()
            self.assertEqual(self.successResultOf(listing), [])
        self.assertEqual((self.endpoint.attempts, self.said), (1, []))

    def test_backs_off(self) -> None:
        """Each failure makes it wait as it is told to, and each is said in one line."""
        self.endpoint.failures = [ConnectionRefusedError(), TimeoutError(), DNSLookupError("x")]
        listing = self.client(self.endpoint).list_files()
        for number, seconds in enumerate((10, 20, 30), 1):
            self.assertNoResult(listing)
            self.assertEqual(len(self.said), number)
            self.assert_waits(seconds, lambda: self.endpoint.attempts)
        self.flush()
        self.assertEqual(self.successResultOf(listing), [])
        for number, line in enumerate(self.said, 1):
            self.assertEqual(len(line.splitlines()), 1)
            self.assertIn(f"in {10 * number}.0 s ({number} of 10)", line)
        self.assertIn("refused", self.said[0])

    def test_limit(self) -> None:
        """After the last try its failure is told, and nothing waits any more."""
        for tries in (1, 2, 3):
            endpoint = DepotEndpoint(Depot(self))
            endpoint.failures = [TimeoutError() for _ in range(tries - 1)]
            endpoint.failures.append(ConnectionRefusedError())
            self.said.clear()
            listing = self.client(endpoint, tries).list_files()
            for _ in range(tries - 1):
                self.reactor.advance(100)
            self.failureResultOf(listing, ConnectionRefusedError)
            self.assertEqual(endpoint.attempts, tries)
            self.assertEqual(len(self.said), tries - 1)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_limit_of_each(self) -> None:
        """Each request has all the tries for itself."""
        client = self.client(self.endpoint, tries=2)
        for _ in range(2):
            self.endpoint.failures = [TimeoutError()]
            listing = client.list_files()
            self.reactor.advance(10)
            self.flush()
            self.assertEqual(self.successResultOf(listing), [])
            self.endpoint.wires[-1].cut()

    def test_bad_description(self) -> None:
        """An endpoint that is none is told at once."""
        client = RetryingClient(self.reactor, "nonsense:depot:9000", notify=self.said.append)
        self.failureResultOf(client.list_files(), ValueError)
        self.assertEqual(self.said, [])

    def test_cancelled(self) -> None:
        """A request that is taken back while it waits is not tried again."""
        self.endpoint.failures = [TimeoutError()]
        listing = self.client(self.endpoint).list_files()
        listing.cancel()
        self.failureResultOf(listing, CancelledError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.advance(100)
        self.assertEqual(self.endpoint.attempts, 1)

    def test_two_at_once(self) -> None:
        """Requests made at once share a connection, and disconnecting leaves none open."""
        self.endpoint.hold = True
        client = self.client(self.endpoint)
        listings = [client.list_files() for _ in range(2)]
        for go_on in self.endpoint.waiting:
            go_on()
        self.flush()
        for listing in listings:
            self.assertEqual(self.successResultOf(listing), [])
        closed = client.disconnect()
        self.flush()
        self.successResultOf(closed)
        self.assertEqual([wire.closed for wire in self.endpoint.wires], [True])

    def test_two_at_once_fail(self) -> None:
        """Where the connection that they share can't be made, each is tried again for itself."""
        self.endpoint.failures = [TimeoutError(), TimeoutError()]
        client = self.client(self.endpoint)
        listings = [client.list_files() for _ in range(2)]
        for _ in range(3):
            self.reactor.advance(10)
            self.flush()
        for listing in listings:
            self.assertEqual(self.successResultOf(listing), [])

    def test_disconnect(self) -> None:
        """Disconnecting closes the connection; the next request opens another."""
        client = self.client(self.endpoint)
        self.successResultOf(client.disconnect())
        for number in (1, 2):
            listing = client.list_files()
            self.flush()
            self.successResultOf(listing)
            self.assertEqual(len(self.endpoint.wires), number)
            closed = client.disconnect()
            self.flush()
            self.successResultOf(closed)
            self.assertTrue(self.endpoint.wires[-1].closed)
        self.successResultOf(client.disconnect())
        self.assertEqual(self.said, [])

    def test_lost_while_idle(self) -> None:
        """A connection that was lost while nothing was asked is replaced without a word."""
        client = self.client(self.endpoint)
        for number in (1, 2, 3):
            listing = client.list_files()
            self.flush()
            self.successResultOf(listing)
            self.assertEqual(self.endpoint.attempts, number)
            self.endpoint.wires[-1].cut()
        self.assertEqual(self.said, [])


class LoginTests(RetryCase):
    """A client that was given a user and a password."""

    def setUp(self) -> None:
        super().setUp()
        self.depot = Depot(self, users=[user("alice")])
        self.endpoint = DepotEndpoint(self.depot)

    def flush(self) -> None:
        for wire in self.endpoint.wires:
            wire.pump.flush()

    def test_each_connection(self) -> None:
        """It logs in on every connection that it makes, before anything else."""
        client = self.client(self.endpoint, credentials=("alice", PASSWORD))
        for attempts in (1, 2):
            listings = [client.list_files(), client.list_files()]
            self.flush()
            for listing in listings:
                self.assertEqual(self.successResultOf(listing), [])
            self.assertEqual(self.endpoint.attempts, attempts)
            self.endpoint.wires[-1].cut()

    def test_denied(self) -> None:
        """A wrong password is told at once, and no connection stays; the next one is new."""
        client = self.client(self.endpoint, credentials=("alice", "wrong"))
        for attempts in (1, 2):
            listing = client.list_files()
            self.flush()
            self.depot.clock.advance(60)
            self.flush()
            self.failureResultOf(listing, Denied)
            self.assertEqual(self.endpoint.attempts, attempts)
            self.assertTrue(self.endpoint.wires[-1].closed)
        self.assertEqual(self.said, [])

    def test_cut(self) -> None:
        """A connection that is lost while it logs in is made again."""
        client = self.client(self.endpoint, credentials=("alice", PASSWORD))
        listing = client.list_files()
        self.endpoint.wires[-1].cut()
        self.reactor.advance(10)
        self.flush()
        self.assertEqual(self.successResultOf(listing), [])
        self.assertEqual(self.endpoint.attempts, 2)


class RefusedTests(RetryCase):
    """What the server says."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = ScriptedEndpoint()

    def test_passing(self) -> None:
        """A refusal that may pass is asked about again, on the same connection."""
        for symbol in sorted(PASSING):
            self.said.clear()
            client = self.client(self.endpoint)
            listing = client.list_files()
            self.assertEqual(self.endpoint.asked(), b"LIST_FILES\n")
            self.endpoint.says(f"ERROR {symbol} Not now.\n".encode())
            self.assertNoResult(listing)
            (line,) = self.said
            self.assertIn("Not now.", line)
            connections = len(self.endpoint.clients)
            self.assert_waits(10, lambda: self.endpoint.asked().count(b"LIST_FILES\n"))
            self.assertEqual(len(self.endpoint.clients), connections)
            self.endpoint.says(b"DONE\n")
            self.assertEqual(self.successResultOf(listing), [])

    def test_lasting(self) -> None:
        """A refusal that would come again is told at once, and not asked about again."""
        symbols = {*REQUEST_ERRORS, "denied", "login-required", "quota-exceeded", "brand-new"}
        for symbol in sorted(symbols - PASSING):
            client = self.client(self.endpoint)
            listing = client.list_files()
            self.endpoint.asked()
            self.endpoint.says(f"ERROR {symbol} Never.\n".encode())
            error = self.failureResultOf(listing, RequestError).value
            self.assertEqual((error.symbol, error.text), (symbol, "Never."))
            self.reactor.advance(1000)
            self.assertEqual(self.endpoint.asked(), b"")
        self.assertEqual(self.said, [])

    def test_limit(self) -> None:
        """A refusal that does not pass is told after the last try."""
        listing = self.client(self.endpoint, tries=3).list_files()
        for _ in range(3):
            self.endpoint.says(b"ERROR busy Not now.\n")
            self.reactor.advance(100)
        self.assertEqual(self.failureResultOf(listing, RequestError).value.symbol, "busy")
        self.assertEqual(len(self.said), 2)
        self.assertEqual(self.endpoint.asked(), b"LIST_FILES\n" * 3)

    def test_said_in_print(self) -> None:
        """What a server says reaches a terminal without the characters that command it."""
        self.client(self.endpoint).list_files()
        self.endpoint.says('ERROR busy \x1b[2J\x9b1m\r"gone"\u2028away\n'.encode())
        (line,) = self.said
        self.assertTrue(line.isprintable(), ascii(line))
        self.assertIn('"gone"', line)

    def test_nonsense(self) -> None:
        """A server that does not speak the protocol is not asked again."""
        listing = self.client(self.endpoint).list_files()
        self.endpoint.says(b"220 Welcome\n")
        self.failureResultOf(listing, UnexpectedReply)
        self.assertEqual(self.said, [])

    def test_mismatch(self) -> None:
        """An upload whose hash differs is sent again, on a new connection."""
        request = self.client(self.endpoint).upload(b"hello", "a.txt")
        for answer in (b"0" * 32, md5(b"hello").hexdigest().encode()):
            self.endpoint.says(b"0;" + codec.EMPTY_MD5.encode() + b"\n")
            self.endpoint.says(codec.READY + b"\n")
            self.assertTrue(self.endpoint.asked().endswith(b"\n0\nhello"))
            self.assertNoResult(request)
            self.endpoint.says(answer + b"\n")
            self.reactor.advance(10)
        self.assertEqual(self.successResultOf(request), entry_of(b"hello", "a.txt"))
        self.assertEqual((len(self.endpoint.clients), len(self.said)), (2, 1))
        self.assertTrue(self.endpoint.clients[0][1].aborted)

    def test_unusable(self) -> None:
        """A connection that went out of step is replaced, the failed request's own and others'."""
        client = self.client(self.endpoint)
        listing = client.list_files()
        self.endpoint.says(b"220 Welcome\n")
        self.failureResultOf(listing, UnexpectedReply)
        listing = client.list_files()
        self.assertEqual(len(self.endpoint.clients), 2)
        self.endpoint.says(b"DONE\n")
        self.assertEqual(self.successResultOf(listing), [])

    def test_each_request(self) -> None:
        """All requests are tried again, with all that they were given."""
        id = md5(b"").hexdigest()
        target = self.directory() / "got"
        asked: list[tuple[Callable[[RetryingClient], Deferred[Any]], bytes]] = [
            (lambda client: client.list_files("a"), b"LIST_FILES a\n"),
            (lambda client: client.stat(id), f"STAT {id}\n".encode()),
            (lambda client: client.verify(id), f"VERIFY {id}\n".encode()),
            (lambda client: client.delete(id), f"DELETE {id}\n".encode()),
            (lambda client: client.delete(id, "a"), f"DELETE {id};a\n".encode()),
            (lambda client: client.download(id, target), f"DOWNLOAD {id}\n".encode()),
        ]
        for request, line in asked:
            waiting = request(self.client(self.endpoint))
            for _ in range(3):
                self.assertEqual(self.endpoint.asked(), line)
                self.endpoint.says(b"ERROR internal Oh.\n")
                self.reactor.advance(30)
            self.assertEqual(self.endpoint.asked(), line)
            self.endpoint.says(b"ERROR denied No.\n")
            self.assertEqual(self.failureResultOf(waiting, RequestError).value.symbol, "denied")

    def test_waited(self) -> None:
        """WAIT lines are told on every try."""
        waits: list[tuple[int, str]] = []
        client = self.client(self.endpoint)
        uploading = client.upload(b"hello", "a", on_wait=lambda *wait: waits.append(wait))
        for percent in (b"1", b"2"):
            self.endpoint.says(b"WAIT " + percent + b" hashing\nERROR busy Not now.\n")
            self.reactor.advance(100)
        self.endpoint.says(b"ERROR denied No.\n")
        self.failureResultOf(uploading, Denied)
        verifying = client.verify("0" * 32, lambda *wait: waits.append(wait))
        self.endpoint.says(b"WAIT 3 verifying\n" + b"0" * 32 + b"\n")
        self.assertIsNone(self.successResultOf(verifying))
        self.assertEqual(waits, [(1, "hashing"), (2, "hashing"), (3, "verifying")])

    def test_prompted(self) -> None:
        """It asks for prompts where it is told to."""
        client = self.client(self.endpoint, prompted=True)
        client.verify("0" * 32).addErrback(lambda _: None)
        self.assertEqual(self.endpoint.asked(), b"VERIFY\n")


class TransferTests(RetryCase):
    """Files on their way to and from a real server, over connections that fail."""

    def setUp(self) -> None:
        super().setUp()
        self.depot = Depot(self)
        self.endpoint = DepotEndpoint(self.depot)

    @property
    def wire(self) -> Wire:
        """The newest connection."""
        return self.endpoint.wires[-1]

    def store(self, content: bytes = LARGE) -> Entry:
        """Store a content, without any trouble."""
        client = self.client(DepotEndpoint(self.depot))
        request = client.upload(content, "name")
        endpoint: Any = client._reconnector.endpoint
        endpoint.wires[-1].pump.flush()
        entry: Entry = self.successResultOf(request)
        return entry

    def stored(self, id: str) -> bytes:
        """The bytes that the depot has under an id."""
        return (self.depot.root / "objects" / id[:2] / id).read_bytes()

    def talk(self, rounds: int) -> bytes:
        """
        Let both sides say so much to each other, that the payload comes next.

        @return: what the client has written then.
        """
        for _ in range(rounds):
            self.wire.to_server(self.wire.up())
            self.wire.to_client(self.wire.down())
        return self.wire.up()

    def test_upload_goes_on(self) -> None:
        """An upload over connections that are cut sends every byte once."""
        for source in (self.file(LARGE, "name"), LARGE[::-1]):
            content = LARGE if isinstance(source, Path) else source
            assert isinstance(content, bytes)
            request = self.client(self.endpoint).upload(source, "name")
            self.said.clear()
            sent = 0
            for count in (1000, 100_000, 1):
                payload = self.talk(2)
                self.assertTrue(payload == content[sent:])
                self.wire.to_server(payload[:count])
                sent += count
                self.wire.cut()
                self.assertNoResult(request)
                self.reactor.advance(100)
            payload = self.talk(2)
            self.assertTrue(payload == content[sent:])
            self.wire.to_server(payload)
            self.wire.pump.flush()
            entry = self.successResultOf(request)
            self.assertEqual(entry, entry_of(content, "name"))
            self.assertTrue(self.stored(entry.id) == content)
            self.assertEqual(len(self.said), 3)

    def test_upload_with_a_lost_answer(self) -> None:
        """An upload whose answer was lost sends nothing again."""
        request = self.client(self.endpoint).upload(self.file(LARGE), "name")
        self.wire.to_server(self.talk(2))
        self.wire.cut()
        self.reactor.advance(10)
        self.assertEqual(self.talk(2), b"")
        self.assertEqual(self.successResultOf(request), entry_of(LARGE, "name"))
        self.assertEqual(len(self.said), 1)

    def test_upload_flipped(self) -> None:
        """An upload with a flipped bit is never a success; it is sent again, and is then."""
        request = self.client(self.endpoint).upload(self.file(LARGE), "name")
        payload = self.talk(2)
        self.wire.to_server(payload[:-1] + b"x")
        self.wire.pump.flush()
        self.assertNoResult(request)
        (line,) = self.said
        self.assertIn(HASH, line)
        self.reactor.advance(10)
        self.wire.pump.flush()
        self.assertEqual(self.successResultOf(request), entry_of(LARGE, "name"))
        self.assertTrue(self.stored(HASH) == LARGE)

    def test_upload_changed(self) -> None:
        """A file that changes between two tries is sent as it is then, from its beginning."""
        source = self.file(LARGE, "name")
        request = self.client(self.endpoint).upload(source)
        self.wire.to_server(self.talk(2)[:1000])
        self.wire.cut()
        source.write_bytes(b"other")
        self.reactor.advance(10)
        self.wire.pump.flush()
        self.assertEqual(self.successResultOf(request), entry_of(b"other", "name"))
        self.assert_nothing_kept()

    def assert_nothing_kept(self) -> None:
        """The depot has no part of an upload, and the client nothing to do."""
        self.assertEqual(self.successResultOf(self.depot.store.maintenance.partials()), [])
        self.assertEqual(list((self.depot.root / "partial").iterdir()), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_upload_growing(self) -> None:
        """A file that grows while it is sent leaves nothing behind, however often it is tried."""
        source = self.file(LARGE, "name")
        for token in (None, "one", "two", "sha256:" + "0" * 64):
            prompted = token == "two"
            request = self.client(self.endpoint, prompted=prompted).upload(source, token=token)
            self.wire.to_server(self.talk(2 if prompted else 1))
            said = self.wire.down()
            self.assertIn(codec.READY, said)
            self.wire.to_server(b"x" * 1000)
            with source.open("ab") as opened:
                opened.write(b"more")
            growing = self.wire
            self.wire.to_client(said)
            growing.cut()
            self.wire.pump.flush()
            self.failureResultOf(request, SourceChanged)
            self.assert_nothing_kept()
        request = self.client(self.endpoint).upload(source)
        self.wire.pump.flush()
        self.assertEqual(self.successResultOf(request).size, len(LARGE) + 16)

    def test_upload_growing_away(self) -> None:
        """Where the depot is away by then, that the file was changed is told all the same."""
        source = self.file(LARGE, "name")
        request = self.client(self.endpoint).upload(source)
        self.wire.to_server(self.talk(1))
        said = self.wire.down()
        source.write_bytes(LARGE + b"more")
        self.endpoint.failures = [ConnectError()]
        self.wire.to_client(said)
        self.failureResultOf(request, SourceChanged)

    def test_upload_growing_stopped(self) -> None:
        """Who stops it while what came is discarded is not told of the file, but stops."""
        source = self.file(LARGE, "name")
        request = self.client(self.endpoint).upload(source)
        self.wire.to_server(self.talk(1))
        said = self.wire.down()
        source.write_bytes(LARGE + b"more")
        growing = self.wire
        self.wire.to_client(said)
        growing.cut()
        self.assertNoResult(request)  # a new connection is asked to discard
        request.cancel()
        self.failureResultOf(request, CancelledError)

    def test_upload_gone(self) -> None:
        """A file that is gone by the next try is told, and not looked for again."""
        source = self.file(LARGE, "name")
        request = self.client(self.endpoint).upload(source)
        self.wire.to_server(self.talk(2)[:1000])
        self.wire.cut()
        source.unlink()
        self.reactor.advance(10)
        self.failureResultOf(request, FileNotFoundError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_too_large(self) -> None:
        """A file that the depot does not take is not offered again."""
        self.depot.core.limits = DepotLimits(file_size=10)
        request = self.client(self.endpoint).upload(LARGE, "name")
        self.wire.pump.flush()
        self.failureResultOf(request, TooLarge)
        self.assertEqual(self.said, [])

    def test_download_goes_on(self) -> None:
        """A download over connections that are cut asks for every byte once."""
        self.store()
        target = self.directory() / "got"
        request = self.client(self.endpoint).download(HASH, target)
        came = 0
        for count in (1000, 100_000, 1):
            asked = self.wire.up()
            offset = f";{came}" if came else ""
            self.assertEqual(asked, f"DOWNLOAD {HASH}{offset}\n".encode())
            self.wire.to_server(asked)
            entry, _, payload = self.wire.down().partition(b"\n")
            self.assertEqual(len(payload), len(LARGE) - came)
            self.wire.to_client(entry + b"\n" + payload[:count])
            came += count
            self.wire.cut()
            self.assertNoResult(request)
            self.assertEqual(len(names_in(target.parent)), 1)
            self.reactor.advance(100)
        self.wire.pump.flush()
        self.assertEqual(self.successResultOf(request), entry_of(LARGE, "name"))
        self.assertTrue(target.read_bytes() == LARGE)
        self.assertEqual(names_in(target.parent), ["got"])
        self.assertEqual(len(self.said), 3)

    def test_tries_without_headway(self) -> None:
        """Tries are those in a row that bring nothing; any number may bring something."""
        self.store(LARGE[::-1])
        id = md5(LARGE[::-1]).hexdigest()
        target = self.directory() / "got"

        def upload(came: int) -> None:
            self.wire.to_server(self.talk(2)[:came])

        def download(came: int) -> None:
            self.wire.to_server(self.wire.up())
            entry, _, payload = self.wire.down().partition(b"\n")
            self.wire.to_client(entry + b"\n" + payload[:came])

        # What an upload has brought is known only when the next try begins behind it.
        asked: list[
            tuple[Callable[[RetryingClient], Deferred[Any]], Callable[[int], None], list[int]]
        ] = [
            (lambda client: client.upload(self.file(LARGE), "name"), upload, [1]),
            (lambda client: client.download(id, target), download, []),
        ]
        for ask, bring, first in asked:
            self.endpoint.wires.clear()
            self.said.clear()
            request = ask(self.client(self.endpoint, tries=3))
            for came in (1000, 1, 0, 1, 0, 5, 0, 7, 0, 0, *(0 for _ in first)):
                self.assertNoResult(request)
                bring(came)
                self.wire.cut()
                self.reactor.advance(100)
            self.failureResultOf(request, ConnectionCut)
            self.assertEqual(len(self.endpoint.wires), 10 + len(first))
            self.assertEqual(
                [line[-9:-1] for line in self.said],
                [f"({n} of 3)" for n in (*first, 1, 1, 2, 1, 2, 1, 2, 1, 2)],
            )
            request = ask(self.client(self.endpoint, tries=1))
            self.wire.pump.flush()
            self.successResultOf(request)

    def test_never_right(self) -> None:
        """A download that is wrong each time is told after as many tries as there are."""
        self.store()
        target = self.directory() / "got"
        request = self.client(self.endpoint, tries=3).download(HASH, target)
        for number in range(1, 4):
            self.assertNoResult(request)
            self.wire.to_server(self.wire.up())
            self.wire.to_client(self.wire.down()[:-1] + b"x")
            self.wire.pump.flush()  # the depot is asked to verify it
            self.assertEqual(len(self.said), min(number, 2))
            self.reactor.advance(100)
        self.failureResultOf(request, HashMismatch)

    def test_token(self) -> None:
        """An upload goes under the token that it is given, on every try."""
        request = self.client(self.endpoint).upload(b"hello", "a.txt", token="my:token")
        for _ in range(2):
            self.assertEqual(self.wire.up(), b"RESUME a.txt;5;my:token\n")
            self.wire.cut()
            self.reactor.advance(100)
        self.wire.pump.flush()
        self.assertEqual(self.successResultOf(request), entry_of(b"hello", "a.txt"))

    def test_download_flipped(self) -> None:
        """A download with a flipped bit is never a success; it is fetched again, and is then."""
        self.store()
        target = self.directory() / "got"
        request = self.client(self.endpoint).download(HASH, target)
        self.wire.to_server(self.wire.up())
        self.wire.to_client(self.wire.down()[:-1] + b"x")
        self.wire.pump.flush()  # the depot is asked to verify it
        self.assertNoResult(request)
        self.assertFalse(target.exists())
        self.reactor.advance(10)
        self.wire.pump.flush()
        self.assertEqual(self.successResultOf(request), entry_of(LARGE, "name"))
        self.assertTrue(target.read_bytes() == LARGE)
        self.assertEqual(len(self.said), 1)

    def test_download_of_nothing(self) -> None:
        """A file that is not there is not asked for again."""
        target = self.directory() / "got"
        request = self.client(self.endpoint).download("0" * 32, target)
        self.wire.pump.flush()
        self.failureResultOf(request, NoSuchFile)
        self.assertFalse(target.exists())
        self.assertEqual(self.said, [])

    def test_target_exists(self) -> None:
        """A target that is there is told at once, and replaced where that is wanted."""
        self.store()
        target = self.file(b"mine", "got")
        client = self.client(self.endpoint)
        request = client.download(HASH, target)
        self.failureResultOf(request, TargetExists)
        self.assertEqual(target.read_bytes(), b"mine")
        request = client.download(HASH, target, replace=True)
        self.wire.pump.flush()
        self.successResultOf(request)
        self.assertTrue(target.read_bytes() == LARGE)
        self.assertEqual(self.said, [])

    def test_progress(self) -> None:
        """The progress of both ways goes through all tries, and ends at the size."""
        told: list[tuple[int, int]] = []
        client = self.client(self.endpoint)
        request = client.upload(self.file(LARGE), "name", lambda *now: told.append(now))
        self.wire.to_server(self.talk(2)[:1000])
        self.wire.cut()
        told.clear()
        self.reactor.advance(10)
        self.wire.pump.flush()
        self.successResultOf(request)
        self.assertEqual((told[0], told[-1]), ((1000, len(LARGE)), (len(LARGE), len(LARGE))))
        told.clear()
        target = self.directory() / "got"
        request = client.download(HASH, target, progress=lambda *now: told.append(now))
        self.wire.pump.flush()
        self.successResultOf(request)
        self.assertEqual(told[-1], (len(LARGE), len(LARGE)))
