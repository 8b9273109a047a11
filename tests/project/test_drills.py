"""The fault drills, small: tests/drills has them, and says how to run them long."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from twisted.internet import reactor, tcp
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.drills import flip, kill, net, power
from tests.drills.__main__ import arguments
from tests.drills.depot import Failed, content
from tests.drills.fault import Fault, Kind, Way
from tests.drills.journal import Journal
from tests.drills.proxy import Proxy
from tests.drills.strict import StrictDisk
from tests.drills.trace import calls
from tests.drills.wire import in_parallel

SEED = 20


class Echo(Protocol):
    """Sends back what comes; ends when it ends."""

    transport: tcp.Connection

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Talker(Protocol):
    """Collects what comes back, until so much has, or the connection ends."""

    transport: tcp.Connection

    def __init__(self, wanted: int) -> None:
        self.came = b""
        self.chunks = 0
        self.enough: Deferred[None] = Deferred()
        self.ended: Deferred[str] = Deferred()
        self._wanted = wanted

    def dataReceived(self, data: bytes) -> None:
        self.came += data
        self.chunks += 1
        if len(self.came) >= self._wanted and not self.enough.called:
            self.enough.callback(None)

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None and reason.type is not None
        if not self.enough.called:
            self.enough.callback(None)
        self.ended.callback(reason.type.__name__)


class ProxyTests(TestCase):
    """The proxy does to a connection what it was told, and nothing else."""

    SENT = bytes(range(256)) * 200

    async def through(self, fault: Fault | None) -> tuple[Talker, str, list[Fault]]:
        """Send L{SENT} to an echo through a fault; what came back, and how it ended."""
        factory = Factory.forProtocol(Echo)
        factory.noisy = False
        listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        where = listening.getHost()
        proxy = Proxy(reactor, lambda: ("127.0.0.1", where.port), lambda: fault)
        proxy.start()
        try:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.port)
            talker = await connectProtocol(endpoint, Talker(len(self.SENT)))
            talker.transport.write(self.SENT)
            await talker.enough
            talker.transport.loseConnection()
            ended = await talker.ended
        finally:
            await proxy.stop()
            await listening.stopListening()
        return talker, ended, proxy.struck

    async def test_nothing(self) -> None:
        """Without a fault, all goes through."""
        talker, ended, _ = await self.through(None)
        self.assertEqual((talker.came, ended), (self.SENT, "ConnectionDone"))

    async def test_cut(self) -> None:
        """A cut lets exactly so many bytes through, and ends in good order."""
        fault = Fault(Kind.CUT, Way.DOWN, 1000)
        talker, ended, struck = await self.through(fault)
        self.assertEqual((talker.came, ended), (self.SENT[:1000], "ConnectionDone"))
        self.assertEqual(struck, [fault])

    async def test_reset(self) -> None:
        """A reset ends it without order."""
        talker, ended, _ = await self.through(Fault(Kind.RESET, Way.UP, 1000))
        self.assertTrue(self.SENT[:1000].startswith(talker.came))
        self.assertEqual(ended, "ConnectionLost")

    async def test_half_open(self) -> None:
        """What is sent into a half-open connection is lost; a reset comes later."""
        talker, ended, _ = await self.through(Fault(Kind.HALF_OPEN, Way.DOWN, 1000, seconds=0.1))
        self.assertTrue(self.SENT[:1000].startswith(talker.came))
        self.assertEqual(ended, "ConnectionLost")

    async def test_whole(self) -> None:
        """Stalls, splits and delays change no byte."""
        for kind in (Kind.STALL, Kind.SPLIT, Kind.DELAY):
            for way in Way:
                talker, ended, struck = await self.through(Fault(kind, way, 1000, seconds=0.02))
                self.assertEqual((talker.came, ended), (self.SENT, "ConnectionDone"))
                self.assertEqual(len(struck), 1)
                if (kind, way) == (Kind.SPLIT, Way.DOWN):
                    self.assertGreater(talker.chunks, 50)

    async def test_flip(self) -> None:
        """A flip turns one bit over, the one it was told."""
        for at in (0, 1000, len(self.SENT) - 1):
            talker, _, _ = await self.through(Fault(Kind.FLIP, Way.UP, at, bit=7))
            expected = bytearray(self.SENT)
            expected[at] ^= 0x80
            self.assertEqual(talker.came, bytes(expected))


class JournalTests(SynchronousTestCase):
    """The journal knows what may be listed."""

    def test_doubt(self) -> None:
        """What is in doubt becomes what the listing shows."""
        journal = Journal()
        here, gone = (content(Random(seed), 10, 10) for seed in (1, 2))
        for one in (here, gone):
            journal.asked_to_store("name", one)
        journal.settle({(here.md5, "name")})
        self.assertEqual(set(journal.acknowledged), {(here.md5, "name")})
        self.assertEqual(journal.doubtful, set())
        journal.asked_to_delete((here.md5, "name"))
        self.assertEqual(journal.doubtful, {(here.md5, "name")})
        journal.settle(set())
        self.assertEqual(journal.acknowledged, {})

    def test_command_line(self) -> None:
        """The command line says how much, and with which seed."""
        asked = arguments(["flip", "--transfers", "7", "--seed", "3", "--depot", "depot:9000"])
        self.assertEqual((asked.drill, asked.count, asked.seed), ("flip", 7, 3))
        self.assertEqual(asked.depot, ("depot", 9000))


STRICT = """\
7 mkdir("/d/a", 0700) = 0
7 openat(AT_FDCWD</>, "/d/a/f", O_RDWR|O_CREAT, 0600) = 3</d/a/f>
7 write(3</d/a/f>, "12", 2) = 2
8 fsync(3</d/a/f> <unfinished ...>
7 pwrite64(3</d/a/f>, "3", 1, 2) = 1
8 <... fsync resumed>) = 0
7 rename("/d/a/f", "/d/a/g") = 0
7 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:77]>, "ok", 2, 0, NULL, 0) = 2
7 openat(AT_FDCWD</>, "/d/a", O_RDONLY) = 4</d/a>
7 fsync(4</d/a>) = 0
7 unlink("/d/a/g") = 0
7 openat(AT_FDCWD</>, "/d", O_RDONLY) = 5</d>
7 fsync(5</d>) = 0
"""
"""A trace, with its texts as they are."""


class StrictDiskTests(SynchronousTestCase):
    """What a disk keeps that was synced, and what it need not keep."""

    def disk(self) -> StrictDisk:
        text = re.sub(
            '"[^"]*"',
            lambda match: '"{}"'.format("".join(f"\\x{ord(one):02x}" for one in match[0][1:-1])),
            STRICT,
        )
        return StrictDisk(Path("/d"), calls(text.splitlines()))

    def test_safe(self) -> None:
        """Bytes and names are safe from the sync on that began behind them; in line numbers."""
        safe = [(change.ended, change.safe) for change in self.disk().changes]
        self.assertEqual(safe, [(0, 12), (1, 9), (2, 5), (4, None), (6, 9), (10, None)])

    def test_told(self) -> None:
        """What each client was sent is counted."""
        self.assertEqual(self.disk().told, {77: [(0, 0), (7, 2)]})

    def test_written(self) -> None:
        """A directory is as the changes leave it that are kept."""
        disk = self.disk()
        changes = disk.changes
        for kept, expected in (
            (changes[:3], {"a/f": b"12"}),
            (changes[:4], {"a/f": b"123"}),
            ([*changes[:2], changes[3]], {"a/f": b"\0\0" + b"3"}),
            (changes[:5], {"a/g": b"123"}),
            ([changes[0], changes[4]], {"a/g": b""}),
            (changes, {}),
            (changes[1:3], {}),
        ):
            target = Path(self.mktemp())
            disk.write(kept, target)
            files = [path for path in target.rglob("*") if path.is_file()]
            found = {str(path.relative_to(target)): path.read_bytes() for path in files}
            self.assertEqual(found, expected)

    def test_left(self) -> None:
        """Whatever is left has what was safe, and nothing that comes behind the cut."""
        disk = self.disk()
        for seed in range(50):
            for cut in range(disk.length + 1):
                left = disk.left(cut, Random(seed))
                for change in disk.changes:
                    if change.safe is not None and change.safe < cut:
                        self.assertIn(change, left)
                self.assertTrue(all(change.ended < cut for change in left))


class DrillTests(TestCase):
    """Each drill, small: no promise is broken."""

    async def test_kill(self) -> None:
        """After each kill and restart, all is there that was acknowledged, and nothing else."""
        tally = await kill.drill(reactor, 8, SEED)
        self.assertEqual(tally.failures, [])
        self.assertEqual(tally.rounds, 8)
        self.assertGreater(sum(tally.requests.values()), 0)

    async def test_flip(self) -> None:
        """No transfer with a flipped bit is reported as a success and is none."""
        tally = await flip.drill(reactor, 100, SEED)
        self.assertEqual(tally.failures, [])
        self.assertEqual((tally.struck.total(), tally.litter), (100, 0))
        self.assertGreater(tally.told.total(), 20)

    async def test_net(self) -> None:
        """Whatever the network does, everything arrives, and is right."""
        tally = await net.drill(reactor, 40, SEED)
        self.assertEqual(tally.failures, [])
        self.assertEqual(tally.verified.total(), 40)
        self.assertGreater(tally.resumed, 0)

    async def test_power(self) -> None:
        """After each power cut, all is there that was acknowledged, and nothing else."""
        try:
            tally = await power.drill(reactor, 15, SEED, clients=2)
        except Failed as error:
            raise SkipTest(str(error)) from None
        self.assertEqual(tally.failures, [])
        self.assertEqual(tally.cuts, 15)
        self.assertGreater(tally.stored, 0)
        self.assertGreater(tally.unsynced, 0)

    async def test_parallel_failure(self) -> None:
        """A failure among things that run side by side is told when all have ended."""
        ended = []

        async def good() -> None:
            ended.append(1)

        async def bad() -> None:
            raise ValueError("bad")

        outcome = Deferred.fromCoroutine(in_parallel([bad, good, good], 2))
        ((fired, failure),) = await DeferredList([outcome], consumeErrors=True)
        self.assertFalse(fired)
        self.assertIsInstance(failure, Failure)
        self.assertEqual(len(ended), 2)
