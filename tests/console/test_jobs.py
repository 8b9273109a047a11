"""Work over as many connections as there are: fewer than wanted, and fewer than there were."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tests.client.test_retry import RetryCase, ScriptedEndpoint
from tests.console.test_transfers import ConsoleCase, contents
from tests.support.console import Ended
from tests.support.processes import Server
from tests.support.visitors import PASSWORD
from xferproto.client import login
from xferproto.client.factory import XferClientFactory, connect
from xferproto.client.retry import RetryingClient
from xferproto.client.source import ONE_LINE
from xferproto.console.first_connection import FirstTry
from xferproto.console.session import Session
from xferproto.console.transfers.connections import Jobs, all_of
from xferproto.model.errors import ConnectionCut, Denied

BUSY = b"ERROR busy This server has as many connections as it takes; try again later.\n"


class AllOfTests(SynchronousTestCase):
    """Works at the same time."""

    def test_first_failure(self) -> None:
        """One fails, the others end at once when they are cancelled: that is told once."""
        waiting: list[Deferred[None]] = [Deferred() for _ in range(4)]

        async def work(deferred: Deferred[None]) -> None:
            await deferred

        whole = Deferred.fromCoroutine(all_of([work(deferred) for deferred in waiting]))
        waiting[2].errback(Denied())
        self.failureResultOf(whole, Denied)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled(self) -> None:
        """All are cancelled with the whole."""
        waiting: list[Deferred[None]] = [Deferred() for _ in range(3)]

        async def work(deferred: Deferred[None]) -> None:
            await deferred

        whole = Deferred.fromCoroutine(all_of([work(deferred) for deferred in waiting]))
        whole.cancel()
        self.failureResultOf(whole, CancelledError)
        self.assertTrue(all(deferred.called for deferred in waiting))


class FakeClient:
    """
    A client of a connection that is never made.

    @ivar connecting: fires when it is.
    """

    def __init__(self, connecting: Deferred[None]) -> None:
        self.connecting = connecting

    def connect(self) -> Deferred[None]:
        return self.connecting


class FakeSession:
    """
    Makes clients.

    @param connecting: what becomes of their connections, one after the other.
    @ivar notes: what was told.
    """

    def __init__(self, *connecting: Deferred[None]) -> None:
        self.notes: list[str] = []
        self.output = SimpleNamespace(note=self.notes.append)
        self._connecting = deque(connecting)

    def client(self) -> FakeClient:
        return FakeClient(self._connecting.popleft())


class JobsTests(SynchronousTestCase):
    """
    The connections of one call.

    @ivar queue: what is left to be done.
    @ivar steps: what is under way, with the client that does it.
    @ivar done: what was done, with the client that did it.
    """

    def setUp(self) -> None:
        self.queue = deque(range(6))
        self.steps: dict[int, tuple[Any, Deferred[None]]] = {}
        self.done: list[tuple[Any, int]] = []
        self.first = FakeClient(succeed(None))

    async def work(self, client: Any) -> None:
        while self.queue:
            number = self.queue.popleft()
            step: Deferred[None] = Deferred()
            self.steps[number] = (client, step)
            try:
                await step
            except BaseException:
                self.queue.appendleft(number)
                raise
            finally:
                del self.steps[number]
            self.done.append((client, number))

    def run_over(self, session: FakeSession, most: int) -> Deferred[None]:
        jobs = Jobs(cast(Session, session), self.work, lambda: bool(self.queue))
        return Deferred.fromCoroutine(jobs.run(cast(RetryingClient, self.first), most))

    def finish(self) -> None:
        while self.steps:
            next(iter(self.steps.values()))[1].callback(None)

    def numbers(self) -> list[int]:
        return sorted(number for _, number in self.done)

    def test_all(self) -> None:
        """Where all connections are there, all are used; the first one from the beginning."""
        connecting: Deferred[None] = Deferred()
        whole = self.run_over(FakeSession(succeed(None), connecting), 3)
        self.assertEqual(len(self.steps), 2)
        connecting.callback(None)
        self.assertEqual(len({client for client, _ in self.steps.values()}), 3)
        self.finish()
        self.successResultOf(whole)
        self.assertEqual(self.numbers(), list(range(6)))

    def test_refused(self) -> None:
        """Those that are refused are done without, and that is said once."""
        session = FakeSession(fail(ConnectionCut("Too many.")), fail(ConnectionCut("Too many.")))
        whole = self.run_over(session, 3)
        self.finish()
        self.successResultOf(whole)
        self.assertEqual(self.done, [(self.first, number) for number in range(6)])
        self.assertEqual(session.notes, ["There are fewer connections than --jobs: Too many."])

    def test_slow(self) -> None:
        """A connection that is not there when all is done is waited for no longer."""
        connecting: Deferred[None] = Deferred()
        whole = self.run_over(FakeSession(connecting), 2)
        self.finish()
        self.successResultOf(whole)
        self.assertTrue(connecting.called)

    def test_lost(self) -> None:
        """What one had that is lost is done by the others, who may have been through already."""
        whole = self.run_over(FakeSession(succeed(None)), 2)
        lost = self.steps[0][1]
        while len(self.steps) > 1 or self.queue:
            next(step for _, step in self.steps.values() if step is not lost).callback(None)
        self.assertEqual(self.numbers(), [1, 2, 3, 4, 5])
        lost.errback(ConnectionCut("Lost."))
        self.assertNoResult(whole)
        self.finish()
        self.successResultOf(whole)
        self.assertEqual(self.numbers(), list(range(6)))
        self.assertNotEqual(self.done[-1][0], self.first)

    def test_all_lost(self) -> None:
        """When the last one is lost, that is why it ends; what is left is left."""
        whole = self.run_over(FakeSession(succeed(None)), 2)
        self.steps[1][1].errback(ConnectionRefusedError())
        self.assertNoResult(whole)
        self.steps[0][1].errback(ConnectionCut("Lost."))
        error = self.failureResultOf(whole, ConnectionCut).value
        self.assertEqual(str(error), "Lost.")
        self.assertEqual(sorted(self.queue), list(range(6)))

    def test_refused_for_all(self) -> None:
        """What is not about one connection ends the others too."""
        connecting: Deferred[None] = Deferred()
        whole = self.run_over(FakeSession(succeed(None), connecting), 3)
        self.steps[1][1].errback(Denied())
        self.failureResultOf(whole, Denied)
        self.assertEqual(self.steps, {})
        self.assertTrue(connecting.called)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing(self) -> None:
        """Where there is nothing to be done, nobody connects."""
        self.queue.clear()
        self.successResultOf(self.run_over(FakeSession(), 0))


class ConnectTests(RetryCase):
    """A client that asks on every connection whether the server lets it in."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = ScriptedEndpoint()

    def refuse(self) -> None:
        """The server has too many connections."""
        self.endpoint.says(BUSY)
        self.endpoint.lose()

    def test_let_in(self) -> None:
        """It is there when the server has answered, and not asked again."""
        client = self.client(self.endpoint)
        for lines in ((b"HELP\n", b"DONE\n"), (b"", b"")):
            connecting = client.connect()
            self.assertEqual(self.endpoint.asked(), lines[0])
            self.endpoint.says(lines[1])
            self.successResultOf(connecting)
        client.list_files()
        self.assertEqual(self.endpoint.asked(), b"LIST_FILES\n")

    def test_refused(self) -> None:
        """One too many is a connection that is lost, not a refusal of a request; tried once."""
        self.patch(login, "is_private", lambda transport: True)
        for credentials in (None, ("alice", PASSWORD)):
            client = self.client(self.endpoint, credentials=credentials)
            connecting = client.connect()
            self.refuse()
            error = self.failureResultOf(connecting, ConnectionCut).value
            self.assertIn("as many connections as it takes", str(error))
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refused_later(self) -> None:
        """So is one on which a request was to be tried again."""
        client = self.client(self.endpoint, tries=3)
        connecting = client.connect()
        self.endpoint.says(b"DONE\n")
        self.successResultOf(connecting)
        request = client.verify("0" * 32)
        self.endpoint.lose()
        for seconds in (10, 20):
            self.assertNoResult(request)
            self.reactor.advance(seconds)
            self.refuse()
        self.failureResultOf(request, ConnectionCut)

    def test_cancelled(self) -> None:
        """A cancelled connection is a CancelledError, whatever its endpoint calls it."""

        class Slow:
            def __init__(self, *errors: Exception) -> None:
                self.errors = errors

            def connect(self, factory: object) -> Deferred[Any]:
                return Deferred(self.cancel)

            def cancel(self, connecting: Deferred[Any]) -> None:
                for error in self.errors:
                    connecting.errback(error)

        class Resolver:
            def resolveHostName(self, *arguments: Any, **more: Any) -> None: ...

        reactor = cast(Any, MemoryReactorClock())
        alsoProvides(reactor, IReactorPluggableNameResolver)
        reactor.nameResolver = Resolver()
        for endpoint in (
            HostnameEndpoint(reactor, b"depot.example", 9000),
            FirstTry(cast(Any, HostnameEndpoint(reactor, b"127.0.0.1", 9000))),
            Slow(ConnectingCancelledError(None)),
            Slow(DNSLookupError("Couldn't find the hostname '127.0.0.1'.")),
            Slow(ConnectionCut("The connection was lost.")),
            Slow(),
        ):
            request = RetryingClient(self.reactor, endpoint).list_files()
            request.cancel()
            self.failureResultOf(request, CancelledError)
            connecting = connect(self.reactor, endpoint)
            connecting.cancel()
            self.failureResultOf(connecting, CancelledError)

    def test_cancelled_late(self) -> None:
        """A connection that is made although it was cancelled is closed."""
        transport = StringTransportWithDisconnection()

        def connects(factory: object) -> Deferred[Any]:
            client = cast(XferClientFactory, factory).buildProtocol(None)
            transport.protocol = client
            client.makeConnection(transport)
            return Deferred(lambda made: made.callback(client))

        connecting = connect(self.reactor, SimpleNamespace(connect=connects))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertFalse(transport.connected)


class FewConnectionsTests(ConsoleCase):
    """The commands, with a server that takes fewer connections than they want."""

    most = 1

    def started(self, *options: str) -> Server:
        return super().started(*options, "--max-connections", str(self.most))

    def done(self, *arguments: str | Path) -> Ended:
        """It goes well, with nothing that should not have happened."""
        ended = self.xfer(*arguments)
        self.assertEqual(ended.status, 0, ended)
        for words in ("should not", "Error", "unfinished", "Trying again", "failed"):
            self.assertNotIn(words, ended.err)
        return ended

    def test_each(self) -> None:
        """Each command does all its work over the connections that there are."""
        for number in range(6):
            self.file(f"d/small{number}", b"%d" % number)
            self.file(f"d/large{number}", bytes([number]) * (ONE_LINE + 1))
        self.done("put", "d", "-j", "1", "--prefix", "one")
        self.done("put", "d", "-j", "4")
        self.done("get", "d", "-j", "4", "-o", "got")
        self.assertEqual(contents(self.home / "got/d"), contents(self.home / "d"))
        said = self.done("verify", "--all", "-j", "4").err
        self.assertIn("There are fewer connections than --jobs", said)
        self.assertIn("12 verified", said)
        self.assertEqual(len(self.done("sums", "--sha256", "-j", "4").out.splitlines()), 24)
        self.assertEqual(len(self.done("rm", "-ry", "d", "-j", "4").out.splitlines()), 12)


class TwoConnectionsTests(FewConnectionsTests):
    """The same, with two."""

    most = 2
