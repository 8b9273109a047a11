"""The classic protocol over transports in memory: each exchange, and what goes wrong in one."""

from __future__ import annotations

import random
import re
from hashlib import md5, sha256

from twisted.trial.unittest import SynchronousTestCase

from tests.support.classic import (
    ID_PROMPT,
    NO_FILES,
    PROMPT,
    READY,
    ClassicDepot,
    Peer,
    id_of,
)
from tests.support.collision import FIRST, SECOND
from tests.support.depot import NO_SMALL
from tests.support.executors import SteppedExecutor
from tests.support.processes import PROJECT
from tests.support.visitors import peer as address
from tests.support.visitors import user
from xferproto.model.entry import Digests
from xferproto.model.identity import NOBODY, Identity, Right, View
from xferproto.server.classic import session
from xferproto.server.classic.session import LONG_SILENCE, PAUSE, SILENCE
from xferproto.server.limits import Limits
from xferproto.server.traffic.inbox import LONGEST

HELLO = b"hello"
DIGESTS = Digests(md5(HELLO).hexdigest(), sha256(HELLO).hexdigest())
ID = id_of(HELLO)
ENTRY = ID + b";a.txt;5"


class ClassicCase(SynchronousTestCase):
    """A depot of the classic protocol, in which small and large contents are stored alike."""

    def setUp(self) -> None:
        self.depot = ClassicDepot(self)

    def assert_refused(self, peer: Peer, symbol: str, answers: list[bytes]) -> None:
        """The last answer is an error, behind which the connection is closed, whatever comes."""
        self.assertTrue(answers[-1].startswith(f"ERROR {symbol} ".encode()), answers)
        self.assertNotIn(b"\n", answers[-1])
        self.assertTrue(peer.transport.half_closed)
        self.assertEqual(peer.send(b"LIST_FILES", b"UPLOAD\na;1\nx"), [])
        self.depot.clock.pump([1.0] * 5)
        self.assertFalse(peer.transport.connected)
        self.assertEqual(peer.answers(), [])

    def listed(self) -> list[bytes]:
        """What another client finds."""
        peer = self.depot.peer()
        found = peer.send(b"LIST_FILES") + peer.answers(20)
        peer.lose()
        self.assertEqual(found.pop(), b"DONE")
        return found


class ExchangeTests(ClassicCase):
    """What the reference client does."""

    small: int | None = None

    def setUp(self) -> None:
        if self.small is None:
            super().setUp()
        else:
            self.depot = ClassicDepot(self, small=self.small)

    def test_empty(self) -> None:
        """Where nothing is stored, a text says so; DONE comes after a pause, alone."""
        peer = self.depot.peer()
        self.assertEqual(peer.answers(3), [])
        self.assertEqual(peer.send(b"LIST_FILES"), [NO_FILES])
        self.depot.clock.advance(PAUSE * 0.9)
        self.assertEqual(peer.answers(), [])
        self.assertEqual(peer.answers(1), [b"DONE"])
        self.assertEqual(peer.send(b"LIST_FILES"), [NO_FILES])

    def test_session(self) -> None:
        """A file is stored, listed and fetched, on one connection."""
        peer = self.depot.peer()
        self.assertEqual(peer.send(b"UPLOAD"), [PROMPT])
        self.assertEqual(peer.send(b"a.txt;5"), [])
        self.assertEqual(peer.say(b""), [READY])
        self.assertEqual(peer.send(b"hel", b"lo"), [ID])
        self.depot.clock.advance(0.1)
        self.assertEqual(peer.send(b"EOF"), [])
        self.assertEqual(peer.send(b"LIST_FILES"), [ENTRY])
        self.assertEqual(peer.answers(1), [b"DONE"])
        self.assertEqual(peer.send(b"DOWNLOAD"), [ID_PROMPT])
        self.assertEqual(peer.send(ID), [HELLO])
        self.assertEqual(peer.answers(1), [b"EOF"])
        self.assertEqual(peer.answers(1), [ID])
        self.assertEqual(peer.send(b"UPLOAD"), [PROMPT])

    def test_line_ends(self) -> None:
        """As nc sends it, with a line end behind each message, and all at once."""
        for end in (b"\n", b"\r\n"):
            peer = self.depot.peer()
            come = end.join([b"UPLOAD", b"a.txt;5", b"helloEOF", b"DOWNLOAD", ID, b""])
            answers = peer.send(come) + peer.answers(2)
            self.assertEqual(answers, [PROMPT, READY, ID, ID_PROMPT, HELLO, b"EOF", ID])

    def test_byte_by_byte(self) -> None:
        """Every message cut between all its bytes, faster than silence would end it."""
        peer = self.depot.peer()
        answers: list[bytes] = []
        for message in (b"UPLOAD", b"a.txt;5", b"hello", b"EOF", b"LIST_FILES", b"DOWNLOAD", ID):
            for byte in message:
                self.depot.clock.advance(SILENCE / 2)
                answers += peer.send(bytes([byte]))
            answers += peer.say(b"") + peer.answers(10)
        self.assertEqual(answers, [PROMPT, READY, ID, ENTRY, b"DONE", ID_PROMPT, HELLO, b"EOF", ID])

    def test_markers(self) -> None:
        """A marker may be joined to the bytes or what follows, be cut, or never come."""
        for number, rest in enumerate(
            ([b"EOF", b"LIST_FILES"], [b"E", b"OF", b"LIST", b"_FILES"], [b"EOFLIST_FILES"])
        ):
            peer = self.depot.peer()
            peer.send(b"UPLOAD\n", b"a.txt;5\n")
            self.assertEqual(peer.send(b"hello" + rest[0], *rest[1:])[:2], [ID, ENTRY], number)
        peer = self.depot.peer()
        peer.upload(b"a.txt", HELLO)
        self.assertEqual(peer.send(b"LIST_FILES"), [ENTRY])

    def test_content_ends_with_marker(self) -> None:
        """The declared size counts, so a file may end with the marker, or be nothing else."""
        for content in (b"xEOF", b"EOF", b"EOFEOF", b"E", b"UPLOAD\n", b"\r\n", b"\nEOF\n"):
            peer = self.depot.peer()
            self.assertEqual(peer.upload(b"a", content), [PROMPT, READY, id_of(content)])
            peer.send(b"DOWNLOAD")
            self.assertEqual(peer.send(id_of(content)), [content])

    def test_empty_file(self) -> None:
        """The MD5 of an empty file comes after a pause: nothing else parts it from READY."""
        peer = self.depot.peer()
        peer.send(b"UPLOAD")
        self.assertEqual(peer.say(b"empty;0"), [READY])
        self.assertEqual(peer.answers(1), [id_of(b"")])
        self.assertEqual(peer.send(b"EOF", b"DOWNLOAD"), [ID_PROMPT])
        self.assertEqual(peer.send(id_of(b"")), [b"EOF"])
        self.assertEqual(peer.answers(1), [id_of(b"")])

    def test_upper_case_id(self) -> None:
        peer = self.depot.peer()
        peer.upload(b"a", HELLO)
        peer.send(b"DOWNLOAD")
        self.assertEqual(peer.send(ID.upper()) + peer.answers(2), [HELLO, b"EOF", ID])

    def test_many(self) -> None:
        """No more than a thousand files are listed, one to a message, page by page."""
        self.assertEqual(session.MOST_LISTED, 1000)
        self.patch(session, "PAGE", 3)
        names = [b"%04d" % number for number in range(11)]
        self.depot.store_all(names)
        peer = self.depot.peer()
        for most in (12, 11, 10, 3, 1):
            self.patch(session, "MOST_LISTED", most)
            answers = peer.send(b"LIST_FILES") + peer.answers(15)
            self.assertEqual(answers.pop(), b"DONE")
            self.assertEqual(answers, [b"%s;%s;4" % (id_of(name), name) for name in names[:most]])

    def test_long_names(self) -> None:
        """Every message of a listing is one that a client's buffer takes."""
        name = "/".join(["ü" * 127] * 4).encode()
        self.depot.peer().upload(name, HELLO)
        (entry,) = self.listed()
        self.assertEqual(entry, ID + b";" + name + b";5")
        self.assertLess(len(entry), 4096)

    def test_at_once(self) -> None:
        """Many clients in the midst of everything."""
        peers = [self.depot.peer() for _ in range(20)]
        contents = [random.Random(number).randbytes(number * 5000) for number in range(1, 21)]
        for peer in peers:
            peer.send(b"UPLOAD")
        for number, peer in enumerate(peers):
            peer.send(b"%d;%d\n" % (number, len(contents[number])))
        for start in range(0, 100_000, 4096):
            for peer, content in zip(peers, contents, strict=True):
                if content[start:]:
                    peer.send(content[start : start + 4096])
        for peer, content in zip(peers, contents, strict=True):
            peer.send(b"DOWNLOAD")
            self.assertEqual(
                b"".join(peer.send(id_of(content)) + peer.answers(2)),
                content + b"EOF" + id_of(content),
            )

    def test_specified(self) -> None:
        """The session of the specification, message by message."""
        text = (PROJECT / "docs" / "protocol.md").read_text("utf-8").partition("## Appendix")[2]
        match = re.search(r"```text\n(.*?)```", text, re.DOTALL)
        assert match is not None
        peer = self.depot.peer()
        answers: list[bytes] = []
        for line in match[1].splitlines():
            mark, message = line[:1], line[2:].encode()
            if mark == "<":
                self.assertEqual(answers.pop(0), message)
                continue
            self.assertEqual(answers, [])
            answers = peer.answers(1) if mark == "*" else peer.send(message)
            if b";" in message:
                answers += peer.say(b"")
        self.assertEqual(answers, [])


class LargeTests(ExchangeTests):
    """The same where every content is a file of its own."""

    small = NO_SMALL


class RefusalTests(ClassicCase):
    """Each error ends the connection."""

    def test_no_command(self) -> None:
        for come in (b"GET / HTTP/1.1\r\n\r\n", b"HELP\n", b"list_files", b"\0", b"x" * 100_000):
            peer = self.depot.peer()
            self.assert_refused(peer, "bad-command", peer.send(come))

    def test_nothing_behind_is_run(self) -> None:
        """What stands behind a line of another protocol is never a command."""
        peer = self.depot.peer()
        come = b"POST / HTTP/1.1\r\nHost: x\r\n\r\nUPLOAD\na.txt;5\nhello"
        self.assert_refused(peer, "bad-command", peer.send(come))
        peer = self.depot.peer()
        self.assert_refused(peer, "bad-command", peer.send(*(bytes([byte]) for byte in come)))
        self.assertEqual(self.listed(), [NO_FILES])

    def test_our_method(self) -> None:
        """Nor is one behind a method that is a command, wherever it is cut."""
        for cut in range(1, 12):
            come = b"UPLOAD / HTTP/1.1\r\n\r\nUPLOAD\na.txt;5\nhello"
            peer = self.depot.peer()
            answers = peer.send(come[:cut], come[cut:])
            symbol = "bad-details" if cut == 6 else "bad-command"
            self.assert_refused(peer, symbol, answers)
        self.assertEqual(self.listed(), [NO_FILES])

    def test_line_ends_only(self) -> None:
        """They may be before a message, but not so many that keeping them takes memory."""
        for before in ([], [b"UPLOAD"], [b"DOWNLOAD"]):
            with self.subTest(before=before):
                peer = self.depot.peer()
                peer.send(b"LIST_FILES")
                peer.answers(20)
                peer.send(*before)
                self.assertEqual(peer.send(b"\r\n" * (LONGEST // 2)), [])
                self.assert_refused(peer, "line-too-long", peer.send(b"\n"))

    def test_incomplete(self) -> None:
        """A part of a command, or of an id, is not waited for without end."""
        for before, come, symbol in (
            ([], b"LIST", "bad-command"),
            ([b"DOWNLOAD"], ID[:20], "bad-id"),
        ):
            peer = self.depot.peer()
            peer.send(*before)
            self.assertEqual(peer.send(come), [])
            self.depot.clock.advance(LONG_SILENCE)
            self.assert_refused(peer, symbol, peer.answers())

    def test_details(self) -> None:
        for details, symbol in (
            (b"a", "bad-details"),
            (b"a;x", "bad-details"),
            (b"a;99999999999999999999", "bad-details"),
            (b"../a;5", "bad-name"),
            (b"a\x1b[1m;5", "bad-name"),
            (b"\xff\xfe;5", "bad-name"),
            (b"x" * 1025 + b";5", "bad-name"),
            (b"x" * 50_000, "bad-details"),
        ):
            peer = self.depot.peer()
            peer.send(b"UPLOAD")
            self.assert_refused(peer, symbol, peer.send(details) + peer.say(b""))

    def test_ids(self) -> None:
        for id, symbol in (
            (b"x" * 32, "bad-id"),
            (b"1\n", "bad-id"),
            (ID + ID, "bad-id"),
            (ID, "no-such-file"),
        ):
            peer = self.depot.peer()
            peer.send(b"DOWNLOAD")
            self.assert_refused(peer, symbol, peer.send(id))

    def test_marker_alone(self) -> None:
        """A marker is no command, and comes once."""
        peer = self.depot.peer()
        self.assert_refused(peer, "bad-command", peer.send(b"EOF"))
        peer = self.depot.peer()
        peer.upload(b"a", HELLO)
        self.assert_refused(peer, "bad-command", peer.send(b"EOFEOF"))

    def test_more_than_declared(self) -> None:
        """Bytes behind the declared ones are no part of the file, and no command."""
        peer = self.depot.peer()
        peer.send(b"UPLOAD\na.txt;5\n")
        answers = peer.send(b"hello and more")
        self.assertEqual(answers[0], ID)
        self.assert_refused(peer, "bad-command", answers)

    def test_collision(self) -> None:
        peer = self.depot.peer()
        peer.upload(b"a", FIRST)
        answers = peer.send(b"UPLOAD") + peer.say(b"b;%d" % len(SECOND)) + peer.send(SECOND)
        self.assert_refused(peer, "collision", answers)

    def test_file_size(self) -> None:
        self.depot = ClassicDepot(self, max_file_size=4)
        peer = self.depot.peer()
        peer.send(b"UPLOAD")
        self.assert_refused(peer, "too-large", peer.say(b"a;5"))

    def test_quota(self) -> None:
        self.depot = ClassicDepot(self, quota=10_000)
        self.depot.peer().upload(b"a", bytes(4000))
        peer = self.depot.peer()
        peer.send(b"UPLOAD")
        self.assert_refused(peer, "quota-exceeded", peer.say(b"b;4000"))

    def test_failing_disk(self) -> None:
        """A disk that fails in the midst of an upload ends it."""
        self.depot = ClassicDepot(self, small=NO_SMALL)
        peer = self.depot.peer()
        peer.send(b"UPLOAD")
        peer.say(b"a;100")

        def fail(blocks: object) -> None:
            raise OSError(28, "No space left on device")

        incoming = peer.channel.inbox._upload._incoming  # type: ignore[union-attr]
        self.patch(incoming, "write", fail)
        answers = peer.send(b"x" * 50)
        self.assert_refused(peer, "internal", answers)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_damaged(self) -> None:
        """A download that fails midway is cut off: no error could be told from its bytes."""
        self.depot = ClassicDepot(self, small=NO_SMALL)
        content = bytes(3 * 2**20)
        self.depot.peer().upload(b"a", content)
        peer = self.depot.peer()
        peer.send(b"DOWNLOAD")
        path = self.depot.root / "objects" / id_of(content).decode()[:2] / id_of(content).decode()
        real = self.depot.store.open

        def open_and_cut(*arguments: object) -> object:
            opening = real(*arguments)  # type: ignore[arg-type]
            path.chmod(0o600)
            with path.open("r+b") as file:
                file.truncate(2**20)
            return opening

        self.patch(self.depot.store, "open", open_and_cut)
        answers = peer.send(id_of(content)) + peer.answers(5)
        self.assertTrue(peer.transport.aborted)
        self.assertNotIn(b"EOF", answers)
        self.assertLess(sum(map(len, answers)), len(content))


class RightTests(ClassicCase):
    """What strangers may do holds, and no more; it is looked up for each command."""

    def peer(self, *rights: Right) -> Peer:
        self.depot = ClassicDepot(self, Identity(rights=frozenset(rights), view=View(all=False)))
        return self.depot.peer()

    def test_nothing(self) -> None:
        for command, argument in (
            (b"LIST_FILES\n", b""),
            (b"UPLOAD\n", b"a;5\n"),
            (b"DOWNLOAD\n", ID),
        ):
            peer = self.peer()
            answers = peer.send(command + argument)
            self.assertIn(b"Strangers may not", answers[-1])
            self.assertNotIn(b"LOGIN", answers[-1])
            self.assert_refused(peer, "login-required", answers)

    def test_write_only(self) -> None:
        peer = self.peer(Right.WRITE)
        self.assertEqual(peer.upload(b"a", HELLO)[-1], ID)
        peer.send(b"DOWNLOAD\n")
        self.assert_refused(peer, "login-required", peer.send(ID))

    def test_read_only(self) -> None:
        peer = self.peer(Right.LIST, Right.READ)
        self.assertEqual(peer.send(b"LIST_FILES") + peer.answers(1), [NO_FILES, b"DONE"])
        self.assert_refused(peer, "login-required", peer.send(b"UPLOAD\na;5\n"))

    def test_own(self) -> None:
        """Strangers see what strangers stored, and no user's files."""
        self.depot = ClassicDepot(self, Identity(view=View(all=False)), users=[user("alice")])
        own = self.depot.store.put("a", HELLO, DIGESTS, View("alice", False))
        self.successResultOf(own)
        peer = self.depot.peer()
        self.assertEqual(peer.send(b"LIST_FILES") + peer.answers(1), [NO_FILES, b"DONE"])
        peer.send(b"DOWNLOAD")
        self.assert_refused(peer, "no-such-file", peer.send(ID))

    def test_login_timeout(self) -> None:
        """Who may do nothing is not kept."""
        self.depot = ClassicDepot(self, NOBODY)
        peer = self.depot.peer()
        self.depot.clock.pump([1.0] * 60)
        self.assert_refused(peer, "timeout", peer.answers())


class TrafficTests(ClassicCase):
    """Every limit of connections holds."""

    def wait(self, seconds: float) -> None:
        self.depot.clock.pump([1.0] * round(seconds))

    def test_idle(self) -> None:
        """Between messages; bytes that make no message do not count."""
        for come in ([], [b"UPLOAD\n"], [b"UPLOAD\na;5\nhelloEOF"]):
            peer = self.depot.peer()
            peer.send(*come)
            self.wait(599)
            self.assertEqual(peer.answers(), [])
            self.wait(2)
            self.assert_refused(peer, "timeout", peer.answers())

    def test_stalled_upload(self) -> None:
        peer = self.depot.peer()
        peer.send(b"UPLOAD\na;50\n", b"x")
        self.wait(61)
        self.assert_refused(peer, "timeout", peer.answers())
        self.assertEqual(self.listed(), [NO_FILES])

    def test_slow_upload(self) -> None:
        """A byte now and then is too little."""
        peer = self.depot.peer()
        peer.send(b"UPLOAD\na;50000\n")
        for _ in range(302):
            peer.channel.dataReceived(b"x")
            self.wait(1)
            if peer.transport.half_closed:
                break
        self.assert_refused(peer, "timeout", peer.answers())

    def test_stalled_reader(self) -> None:
        """Who reads nothing of a listing gets no more, and is cut off."""
        self.depot.store_all([b"%d" % number for number in range(50)])
        peer = self.depot.peer()
        peer.transport.stuck = True
        peer.send(b"LIST_FILES")
        self.wait(30)
        self.assertEqual(len(peer.transport.dataBuffer), len(ID) + 4)
        peer.transport.take(len(ID) + 4)
        self.wait(3)
        self.assertEqual(len(peer.transport.dataBuffer), len(ID) + 4)
        self.wait(62)
        self.assertTrue(peer.transport.aborted)

    def test_slow_download(self) -> None:
        """The marker comes a pause after all bytes are on their way, however slow the peer is."""
        self.depot.peer().upload(b"a", HELLO)
        peer = self.depot.peer()
        peer.send(b"DOWNLOAD")
        peer.transport.stuck = True
        self.assertEqual(peer.send(ID), [HELLO])
        self.wait(20)
        self.assertEqual(peer.answers(), [])
        peer.transport.stuck = False
        peer.transport.take(5)
        self.wait(3)
        self.assertEqual(peer.answers(3), [b"EOF", ID])

    def test_back_pressure_up(self) -> None:
        """A disk that does not follow holds the peer back."""
        executor = SteppedExecutor()
        self.depot = ClassicDepot(self, executor=executor, small=NO_SMALL)
        peer = self.depot.peer()
        peer.send(b"UPLOAD\na;%d\n" % 2**25)
        executor.run_all()
        self.assertEqual(peer.answers(), [READY])
        sent = 0
        while not peer.transport.paused:
            peer.send(bytes(2**16))
            sent += 2**16
        self.assertLess(sent, 2**23)
        self.wait(100)  # it is not the peer who is waited for
        executor.run_all()
        self.assertFalse(peer.transport.paused)
        peer.lose()

    def test_back_pressure_down(self) -> None:
        """A peer that does not read is sent no more than a few blocks."""
        self.depot = ClassicDepot(self, small=NO_SMALL)
        content = random.Random(1).randbytes(2**23)
        self.depot.peer().upload(b"a", content)
        peer = self.depot.peer()
        peer.send(b"DOWNLOAD")
        peer.channel.pauseProducing()
        self.assertEqual(peer.send(id_of(content)), [])
        peer.channel.resumeProducing()
        self.assertEqual(b"".join(peer.answers(2)), content + b"EOF" + id_of(content))

    def test_rate(self) -> None:
        """The bandwidth of a connection is limited, both ways."""
        self.depot = ClassicDepot(self, limits=Limits(rate=10_000))
        peer = self.depot.peer()
        peer.send(b"UPLOAD\na;20000\n")
        peer.send(bytes(10_000))
        self.assertTrue(peer.transport.paused)
        self.wait(2)
        self.assertFalse(peer.transport.paused)
        self.assertEqual(peer.send(bytes(10_000)), [id_of(bytes(20_000))])
        self.wait(2)
        came = sum(map(len, peer.send(b"DOWNLOAD\n" + id_of(bytes(20_000)))))
        self.assertLess(came, 10_000)
        self.wait(1)
        came += sum(map(len, peer.answers()))
        self.assertLess(came, 20_000)
        self.depot.clock.pump([PAUSE] * 60)
        self.assertEqual(peer.answers()[-2:], [b"EOF", id_of(bytes(20_000))])

    def test_connections(self) -> None:
        """Connections are limited, in all and per address."""
        self.depot = ClassicDepot(self, limits=Limits(connections=3, per_peer=2))
        for _ in range(2):
            self.depot.peer(address("192.0.2.1"))
        for host, most in (("192.0.2.1", False), ("192.0.2.2", True), ("192.0.2.3", False)):
            made = self.depot.classic.buildProtocol(address(host))
            self.assertEqual(hasattr(made, "inbox"), most)
            if most:
                self.depot.peer(address(host))


class EndTests(ClassicCase):
    """Connections that end, wherever they are."""

    def test_lost(self) -> None:
        """A connection that is lost leaves nothing behind, at any point."""
        executor = SteppedExecutor()
        whole = [b"UPLOAD", b"\n", b"a;5", b"\n", b"he", b"llo", b"EOF", b"LIST_FILES"]
        whole += [b"DOWNLOAD", ID]
        for small in (NO_SMALL, 100):
            self.depot = ClassicDepot(self, executor=executor, small=small)
            for count in range(len(whole) + 1):
                for steps in range(4):
                    peer = self.depot.peer()
                    peer.send(*whole[:count])
                    for _ in range(steps):
                        if len(executor):
                            executor.step()
                    peer.lose()
                    executor.run_all()
                    self.assertEqual(len(self.depot.core._work), 0)
            self.depot.end()

    def test_input_ends(self) -> None:
        """Who sends no more still gets the answer to what was sent."""
        self.depot.peer().upload(b"a.txt", HELLO)
        peer = self.depot.peer()
        peer.send(b"LIST_FILES")
        self.assertEqual(peer.half_close() + peer.answers(2), [b"DONE"])
        self.assertFalse(peer.transport.connected)
        peer = self.depot.peer()
        peer.send(b"DOWNLOAD\n" + ID)
        peer.half_close()
        self.assertEqual(peer.answers(2), [b"EOF", ID])
        self.assertFalse(peer.transport.connected)

    def test_input_ends_early(self) -> None:
        """In the midst of a message, or of a file."""
        for come, symbol in (
            (b"UPL", b"bad-command"),
            (b"UPLOAD\na", b"bad-details"),
            (b"UPLOAD\na;5\nhell", b"bad-details"),
            (b"DOWNLOAD\n" + ID[:5], b"bad-id"),
        ):
            peer = self.depot.peer()
            peer.send(come)
            self.assertTrue(peer.half_close()[-1].startswith(b"ERROR " + symbol))
            self.assertFalse(peer.transport.connected)
        for come in (b"", b"UPLOAD\n", b"DOWNLOAD\r\n"):
            peer = self.depot.peer()
            peer.send(come)
            self.assertEqual(peer.half_close(), [])
            self.assertFalse(peer.transport.connected)
        self.assertEqual(self.listed(), [NO_FILES])

    def test_stop(self) -> None:
        """A server that stops closes idle connections at once, and lets an upload finish."""
        idle, asked, sending = (self.depot.peer() for _ in range(3))
        asked.send(b"UPLOAD\n")
        sending.send(b"UPLOAD\na;5\nhel")
        stopping = self.depot.stop_classic()
        self.assertFalse(idle.transport.connected)
        self.assertFalse(asked.transport.connected)
        self.assertNoResult(stopping)
        self.assertEqual(sending.send(b"lo")[-1], ID)
        self.depot.clock.pump([1.0] * 3)
        self.assertFalse(sending.transport.connected)
        self.successResultOf(stopping)

    def test_stop_cuts_off(self) -> None:
        """One that does not finish is cut off."""
        peer = self.depot.peer()
        peer.send(b"UPLOAD\na;5\nhel")
        stopping = self.depot.stop_classic()
        self.depot.clock.pump([1.0] * 6)
        self.assertTrue(peer.transport.aborted)
        self.successResultOf(stopping)
