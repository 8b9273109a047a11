"""RESUME, VERIFY and DELETE where something goes wrong, or goes on elsewhere meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.support.collision import COLLISION_ID, FIRST, SECOND
from tests.support.depot import NO_SMALL, Depot, Session, make_store, overwrite, small_rows
from tests.support.executors import InlineExecutor, SteppedExecutor
from xferproto.depot.opening import PROBE
from xferproto.model.entry import PartialStatus
from xferproto.model.errors import Busy, Collision, Corrupt, Internal, NoSpace, NoSuchFile, TooLarge
from xferproto.server.connections import GRACE
from xferproto.server.line.keepalive import INTERVAL
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.store.local.store import LocalStore
from xferproto.transfer.hashing import HASH_BLOCK
from xferproto.transfer.sender import BLOCK
from xferproto.wire.states import State

READY = b"Ready to receive the file\n"
NONE = b"No files available at the moment\nDONE\n"
HELLO = md5(b"hello").hexdigest().encode()

LONG = bytes(3 * HASH_BLOCK)
"""A content that is hashed in three blocks."""

LONG_ID = md5(LONG).hexdigest().encode()


def id_of(content: bytes) -> bytes:
    return md5(content).hexdigest().encode()


def held(content: bytes) -> bytes:
    """The answer to RESUME where this is held."""
    return b"%d;%s\n" % (len(content), id_of(content))


def fail(*_: object, **__: object) -> None:
    """What a broken disk does."""
    raise OSError(errno.EIO, os.strerror(errno.EIO), "/secret/path")


class ResumeCase(SynchronousTestCase):
    """A depot whose files are read, hashed and written at once."""

    def setUp(self) -> None:
        self.depot = Depot(self)

    def resume(
        self, size: int = 5, token: bytes = b"t", name: bytes = b"a", depot: Depot | None = None
    ) -> tuple[Session, bytes]:
        """A connection that has asked to resume, and what it was answered."""
        session = (depot or self.depot).connect()
        return session, session.send(b"RESUME %s;%d;%s\n" % (name, size, token))

    def hold(self, content: bytes, size: int = 5, token: bytes = b"t") -> None:
        """Let this come under a token, and no more."""
        session, _ = self.resume(size, token)
        self.assertTrue(session.send(b"0\n", content).startswith(READY))
        session.lose()

    def assert_refused(self, answer: bytes, error: type[Exception]) -> None:
        """The answer is one line, of this error."""
        symbol = cast(str, getattr(error, "symbol"))  # noqa: B009
        self.assertTrue(answer.startswith(b"ERROR %s " % symbol.encode()), answer)
        self.assertEqual(answer.count(b"\n"), 1)

    def listing(self) -> bytes:
        return self.depot.connect().send(b"LIST_FILES\n")

    def partials(self) -> list[PartialStatus]:
        found: Sequence[PartialStatus] = self.successResultOf(
            self.depot.store.maintenance.partials()
        )
        return list(found)

    def partial_files(self) -> list[bytes]:
        """What lies on disk under tokens."""
        return [path.read_bytes() for path in (self.depot.root / "partial").iterdir()]


class HeldTests(ResumeCase):
    """What is kept of an upload, and what is told of it."""

    def test_lost(self) -> None:
        """A connection that is lost keeps all that came; no byte of it is listed."""
        session, answer = self.resume()
        self.assertEqual(answer, held(b""))
        session.send(b"0\nh", b"el")
        session.lose()
        self.assertEqual(self.listing(), NONE)
        session, answer = self.resume()
        self.assertEqual(answer, held(b"hel"))
        self.assertEqual(session.send(b"3\nlo"), READY + HELLO + b"\n")
        self.assertEqual(self.listing(), b"%s;a;5\nDONE\n" % HELLO)
        self.assertEqual(self.partial_files(), [])

    def test_each_byte(self) -> None:
        """It may be lost after every byte."""
        for count in range(5):
            session, answer = self.resume()
            self.assertEqual(answer, held(b"hello"[:count]))
            session.send(b"%d\n" % count, b"hello"[count : count + 1])
            session.lose()
        session, answer = self.resume()
        self.assertEqual(answer, held(b"hello"))
        self.assertEqual(session.send(b"5\n"), READY + HELLO + b"\n")

    def test_half_closed(self) -> None:
        """A client that sends no more is told how much is missing, and what came is kept."""
        session, _ = self.resume()
        session.send(b"0\nhel")
        self.assertIn(b" 3 of 5 declared bytes; what came is kept.\n", session.half_close())
        self.assertEqual(self.resume()[1], held(b"hel"))

    def test_half_closed_again(self) -> None:
        """The second time, too, the numbers are those of the whole file."""
        self.hold(b"hel")
        session, _ = self.resume()
        session.send(b"3\nl")
        self.assertIn(b" 4 of 5 declared bytes; what came is kept.\n", session.half_close())

    def test_left_at_offset(self) -> None:
        """A client that leaves, or is refused, when it is asked for the offset changes nothing."""
        self.hold(b"hel")
        for leave in (
            Session.lose,
            Session.half_close,
            lambda session: session.send(b"2\n"),
            lambda session: session.send(b"x\n"),
            lambda session: session.send(b"3 \n"),
            lambda session: session.send(b"x" * 5000) and session.lose(),
        ):
            session, answer = self.resume()
            self.assertEqual(answer, held(b"hel"))
            leave(session)
            self.assertEqual(self.depot.core.tokens, {})
            self.assertEqual(self.partial_files(), [b"hel"])

    def test_restarted(self) -> None:
        """Offset 0 forgets what came before any new byte is there."""
        self.hold(b"hel")
        session, _ = self.resume()
        self.assertEqual(session.send(b"0\n"), READY)
        session.lose()
        self.assertEqual(self.resume()[1], held(b""))

    def test_waiting_in_lanes(self) -> None:
        """Bytes that wait to be hashed and written when the connection is lost are kept, too."""
        executor = SteppedExecutor()
        depot = Depot(self, executor)
        session, _ = self.resume(depot=depot)
        executor.run_all()
        session.answer()
        self.assertEqual(session.send(b"0\n", b"h", b"e", b"l"), READY)
        self.assertGreater(len(executor), 0)
        session.lose()
        session, answer = self.resume(depot=depot)
        self.assertEqual(answer, b"")  # what came is still being written
        executor.run_all()
        depot.clock.advance(PROBE / 2)
        executor.run_all()
        self.assertEqual(session.answer(), held(b"hel"))
        self.assertEqual(session.send(b"3\nlo"), READY)
        executor.run_all()
        self.assertEqual(session.answer(), HELLO + b"\n")

    def test_lost_when_complete(self) -> None:
        """When the connection is lost behind the last byte, the content is stored."""
        executor = SteppedExecutor()
        depot = Depot(self, executor)
        session, _ = self.resume(depot=depot)
        executor.run_all()
        session.send(b"0\nhello")
        session.lose()
        executor.run_all()
        session, answer = self.resume(depot=depot)
        executor.run_all()
        self.assertEqual(answer + session.answer(), held(b"hello"))
        self.assertEqual(depot.connect().send(b"LIST_FILES\n"), b"%s;a;5\nDONE\n" % HELLO)

    def test_reopened(self) -> None:
        """A new store on the same directory has what came, and goes on."""
        root, inline = Path(self.mktemp()), InlineExecutor()
        self.depot.core.store = store = LocalStore(root, inline, inline, inline, lambda: 1e9)
        self.hold(b"hel")
        self.hold(b"hello", token=b"done")
        self.successResultOf(store.close())
        self.depot.core.store = make_store(self, root)
        session, answer = self.resume()
        self.assertEqual(answer, held(b"hel"))
        self.assertEqual(session.send(b"3\nlo"), READY + HELLO + b"\n")
        session, answer = self.resume(token=b"done", name=b"b")
        self.assertEqual(answer, held(b"hello"))
        self.assertEqual(session.send(b"5\n"), READY + HELLO + b"\n")

    def test_changed_on_disk(self) -> None:
        """A partial that was changed behind the server's back shows in the MD5 and the length."""
        self.hold(b"hel")
        (path,) = (self.depot.root / "partial").iterdir()
        path.write_bytes(b"hal")
        session, answer = self.resume()
        self.assertEqual(answer, held(b"hal"))
        session.lose()
        path.write_bytes(b"h")
        session, answer = self.resume()
        self.assertEqual(answer, held(b"h"))
        session.lose()
        path.unlink()
        self.assertEqual(self.resume()[1], held(b""))

    def test_size_below(self) -> None:
        """A declared size that is less than what is held means another file."""
        self.hold(b"hel")
        session, answer = self.resume(2)
        self.assertEqual(answer, held(b""))
        self.assertEqual(session.send(b"0\nhi"), READY + id_of(b"hi") + b"\n")

    def test_size_above(self) -> None:
        """With a greater size than before, what came is the beginning of that."""
        self.hold(b"hel")
        session, answer = self.resume(6)
        self.assertEqual(answer, held(b"hel"))
        self.assertEqual(session.send(b"3\np m"), READY + id_of(b"help m") + b"\n")

    def test_other_name(self) -> None:
        """The operator sees the name of the last try."""
        self.hold(b"hel")
        session, _ = self.resume(name=b"b")
        session.lose()
        self.assertEqual(self.partials(), [PartialStatus("t", "b", 5, 3, 1e9, 0)])

    def test_tokens_apart(self) -> None:
        """Each token has bytes of its own; its case counts."""
        for token, content in ((b"t", b"hel"), (b"T", b"wo"), (b"t.", b""), (b"sha256:t", b"h")):
            self.hold(content, token=token)
        for token, content in ((b"t", b"hel"), (b"T", b"wo"), (b"t.", b""), (b"sha256:t", b"h")):
            self.assertEqual(self.resume(token=token)[1], held(content))

    def test_expired(self) -> None:
        """One that is idle for too long is forgotten; one that a connection has is not."""
        self.hold(b"hel")
        self.hold(b"wo", token=b"u")
        session, _ = self.resume()
        self.successResultOf(self.depot.store.maintenance.age_partials(11, 10))
        self.assertEqual(self.partial_files(), [b"hel"])
        self.assertEqual(session.send(b"3\nlo"), READY + HELLO + b"\n")
        self.assertEqual(self.resume(token=b"u")[1], held(b""))


class RefusedTests(ResumeCase):
    """Uploads under a token that the server does not store."""

    def test_collision(self) -> None:
        """Other bytes with the same MD5 are refused; the token is forgotten, the first stays."""
        self.depot.connect().send(b"UPLOAD first;128\n", FIRST)
        self.hold(SECOND[:100], 128)
        session, answer = self.resume(128)
        self.assertEqual(answer, held(SECOND[:100]))
        answer = session.send(b"100\n", SECOND[100:])
        self.assertTrue(answer.startswith(READY))
        self.assert_refused(answer.removeprefix(READY), Collision)
        self.assertIs(session.protocol.state, State.COMMAND)
        self.assertEqual(self.partial_files(), [])
        self.assertEqual(self.partials(), [])
        id = COLLISION_ID.encode()
        self.assertEqual(self.listing(), b"%s;first;128\nDONE\n" % id)
        answer = self.depot.connect().send(b"DOWNLOAD %s\n" % id)
        self.assertEqual(answer, b"%s;first;128\n" % id + FIRST)
        self.assertEqual(self.resume(128)[1], held(b""))

    def test_collision_of_two(self) -> None:
        """Of two that come at once, the one that is complete first is stored."""
        first, _ = self.resume(128, b"1")
        second, _ = self.resume(128, b"2", b"b")
        first.send(b"0\n", FIRST[:-1])
        second.send(b"0\n", SECOND[:-1])
        self.assert_refused(
            first.send(FIRST[-1:]).removeprefix(COLLISION_ID.encode() + b"\n")
            + second.send(SECOND[-1:]),
            Collision,
        )
        self.assertEqual(self.listing(), b"%s;a;128\nDONE\n" % COLLISION_ID.encode())

    def test_known_by_sha256_only(self) -> None:
        """The hash of the one is not taken for the other, though their MD5 is one."""
        self.depot.connect().send(b"UPLOAD first;128\n", FIRST)
        for content, answer in ((FIRST, held(FIRST)), (SECOND, held(b""))):
            token = b"sha256:" + sha256(content).hexdigest().encode()
            self.assertEqual(self.resume(128, token)[1], answer)

    def test_too_large(self) -> None:
        """A size above the limit is refused at once, and nothing is begun."""
        depot = Depot(self, max_file_size=4)
        session, answer = self.resume(depot=depot)
        self.assert_refused(answer, TooLarge)
        self.assertIs(session.protocol.state, State.COMMAND)
        session, answer = self.resume(4, depot=depot)
        self.assertEqual(answer, held(b""))
        self.assertEqual(session.send(b"0\nhell"), READY + id_of(b"hell") + b"\n")

    def test_full(self) -> None:
        """When the disk fills up, what could be written is kept, and the rest is taken away."""
        self.hold(b"he")
        session, _ = self.resume()
        self.assertEqual(session.send(b"2\nl"), READY)

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full = self.patch(os, "writev", refuse)
        self.assert_refused(session.send(b"l"), NoSpace)
        self.assertIs(session.protocol.state, State.DISCARDING)
        full.restore()
        answer = session.send(b"oRESUME a;5;t\n")
        self.assertEqual(answer, held(b"hel"))
        self.assertEqual(session.send(b"3\nlo"), READY + HELLO + b"\n")

    def test_not_synced(self) -> None:
        """Bytes that the disk does not keep are not stored, and need not be sent again."""
        session, _ = self.resume()
        broken = self.patch(os, "fsync", fail)
        answer = session.send(b"0\nhello").removeprefix(READY)
        broken.restore()
        self.assert_refused(answer, Internal)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.listing(), NONE)
        self.assertEqual(session.send(b"RESUME a;5;t\n"), held(b"hello"))
        self.assertEqual(session.send(b"5\n"), READY + HELLO + b"\n")

    def test_deleted_meanwhile(self) -> None:
        """A known content that is deleted before the offset comes is not said to be stored."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        token = b"sha256:" + sha256(b"hello").hexdigest().encode()
        resumed, answer = self.resume(token=token, name=b"b")
        self.assertEqual(answer, held(b"hello"))
        session.send(b"DELETE %s\n" % HELLO)
        answer = resumed.send(b"5\n")
        listing = self.listing()
        if answer.endswith(HELLO + b"\n"):
            self.assertEqual(listing, b"%s;b;5\nDONE\n" % HELLO)
            answer = session.send(b"DOWNLOAD %s\n" % HELLO)
            self.assertEqual(answer, b"%s;b;5\nhello" % HELLO)
        else:
            self.assertEqual(listing, NONE)

    def test_damaged_meanwhile(self) -> None:
        """Nor is one that is found to be damaged, and naming it does not heal it."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        token = b"sha256:" + sha256(b"hello").hexdigest().encode()
        resumed, answer = self.resume(token=token, name=b"b")
        self.assertEqual(answer, held(b"hello"))
        overwrite(self.depot.root, HELLO.decode(), b"hallo")
        self.assert_refused(session.send(b"VERIFY %s\n" % HELLO), Corrupt)
        answer = resumed.send(b"5\n")
        self.assertFalse(answer.endswith(HELLO + b"\n"), answer)
        self.assertEqual(self.listing(), NONE)

    def test_upload_after_refusal(self) -> None:
        """An UPLOAD on a connection whose RESUME was refused is an UPLOAD again."""
        session, _ = self.resume()
        session.send(b"1\n")
        session.send(b"UPLOAD a;9\nhel")
        self.assertIn(b" 3 of 9 declared bytes; nothing was stored.\n", session.half_close())
        self.assertEqual(self.partial_files(), [])


class BusyTests(ResumeCase):
    """More than one connection with one token."""

    def wait(self, seconds: float) -> None:
        self.depot.clock.pump([PROBE / 50] * round(seconds / (PROBE / 50)))

    def test_live(self) -> None:
        """A connection that is there is protected: the other is refused after a while."""
        first, _ = self.resume()
        first.send(b"0\nhel")
        second, answer = self.resume()
        self.assertEqual(answer, b"")
        self.assertIs(second.protocol.state, State.WORKING)
        self.wait(PROBE - 0.5)
        self.assertEqual(second.answer(), b"")
        self.wait(1)
        self.assert_refused(second.answer(), Busy)
        self.assertIs(second.protocol.state, State.COMMAND)
        self.assertEqual(first.send(b"lo"), HELLO + b"\n")
        self.assertEqual(self.depot.timers(), [])

    def test_lost_meanwhile(self) -> None:
        """When the first is lost in this time, the second goes on with what came."""
        first, _ = self.resume()
        first.send(b"0\nhel")
        second, _ = self.resume()
        self.wait(PROBE / 2)
        self.assertEqual(second.answer(), b"")
        first.lose()
        self.wait(PROBE / 10)
        self.assertEqual(second.answer(), held(b"hel"))
        self.assertEqual(second.send(b"3\nlo"), READY + HELLO + b"\n")
        self.assertEqual(self.depot.core.tokens, {})

    def test_done_meanwhile(self) -> None:
        """When the first is done in this time, the second is told that all is there."""
        first, _ = self.resume()
        first.send(b"0\nhel")
        second, _ = self.resume(name=b"b")
        first.send(b"lo")
        self.wait(PROBE / 10)
        self.assertEqual(second.answer(), held(b"hello"))
        self.assertEqual(second.send(b"5\n"), READY + HELLO + b"\n")
        self.assertEqual(self.listing(), b"%s;a;5\n%s;b;5\nDONE\n" % (HELLO, HELLO))

    def test_at_once(self) -> None:
        """Of two that ask at the same time, one gets the token, and the other when that is lost."""
        executor = SteppedExecutor()
        depot = Depot(self, executor)
        first, _ = self.resume(depot=depot)
        second, _ = self.resume(depot=depot)
        executor.run_all()
        self.assertEqual((first.answer(), second.answer()), (held(b""), b""))
        first.send(b"0\nhel")
        first.lose()
        executor.run_all()
        depot.clock.advance(PROBE / 2)
        executor.run_all()
        self.assertEqual(second.answer(), held(b"hel"))

    def test_at_offset(self) -> None:
        """A connection that was told what is held, and says nothing, has the token, too."""
        first, _ = self.resume()
        second, _ = self.resume()
        self.wait(PROBE + 1)
        self.assert_refused(second.answer(), Busy)
        first.lose()
        self.assertEqual(self.resume()[1], held(b""))

    def test_second_is_lost(self) -> None:
        """When the one that waits is lost, nothing changes for the first."""
        first, _ = self.resume()
        first.send(b"0\nhel")
        second, _ = self.resume()
        second.lose()
        self.wait(PROBE + 1)
        self.assertEqual(second.answer(), b"")
        self.assertEqual(first.send(b"lo"), HELLO + b"\n")
        self.assertEqual(self.depot.timers(), [])

    def test_other_tokens(self) -> None:
        """Connections with other tokens, or none, do not wait."""
        first, _ = self.resume()
        first.send(b"0\nhel")
        self.assertEqual(self.resume(token=b"u")[1], held(b""))
        answer = self.depot.connect().send(b"UPLOAD a;5\nhello")
        self.assertEqual(answer, HELLO + b"\n")

    def test_released(self) -> None:
        """Each way in which an upload ends gives the token free at once."""
        for end in (
            Session.lose,
            Session.half_close,
            lambda session: session.send(b"9\n"),
            lambda session: session.send(b"0\nhel") and session.half_close(),
            lambda session: session.send(b"0\nhello"),
        ):
            session, _ = self.resume()
            end(session)
            other, answer = self.resume()
            self.assertNotEqual(answer, b"")
            session.lose()
            other.lose()
        self.assertEqual(self.depot.core.tokens, {})

    def test_released_by_failure(self) -> None:
        """So does each way in which the store can fail."""
        self.hold(b"hel")
        token = b"sha256:" + sha256(b"hello").hexdigest().encode()
        self.depot.connect().send(b"UPLOAD a;5\nhello")
        for where, what, of, offset in (
            (os, "pread", b"t", None),
            (self.depot.store._partial_files, "open", b"t", b"0\n"),
            (os, "writev", b"u", b"0\nhello"),
            (os, "fsync", b"v", b"0\nworld"),
            (self.depot.store._publisher, "add_name", token, b"5\n"),
        ):
            with self.subTest(what):
                if offset is None:
                    broken = self.patch(where, what, fail)
                    session, answer = self.resume(token=of)
                else:
                    session, _ = self.resume(token=of)
                    broken = self.patch(where, what, fail)
                    answer = session.send(offset).removeprefix(READY)
                broken.restore()
                self.assert_refused(answer, Internal)
                self.assertNotIn(b"secret", answer)
                self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
                self.assertIs(session.protocol.state, State.COMMAND)
                other, answer = self.resume(token=of)
                self.assertNotEqual(answer, b"")
                other.lose()
                self.assertEqual(self.depot.core.tokens, {})
                session.lose()


class WorkCase(ResumeCase):
    """A depot that works only when it is told to."""

    def setUp(self) -> None:
        self.executor = SteppedExecutor()
        self.depot = Depot(self, self.executor, small=NO_SMALL)

    def store(self, content: bytes) -> None:
        session = self.depot.connect()
        session.send(b"UPLOAD a;%d\n" % len(content))
        self.executor.run_all()
        session.send(content)
        self.executor.run_all()
        session.lose()

    def hold(self, content: bytes, size: int = 5, token: bytes = b"t") -> None:
        session, _ = self.resume(size, token)
        self.executor.run_all()
        session.send(b"0\n", content)
        self.executor.run_all()
        session.lose()
        self.executor.run_all()


class WaitTests(WorkCase):
    """WAIT lines: while RESUME or VERIFY keeps the client waiting, and at no other time."""

    def waits(self, session: Session, block: int = 2) -> list[bytes]:
        """
        What is sent until nothing is left to do, with a long time after each step.

        @param block: how many steps a block takes.
        """
        lines: list[bytes] = []
        while len(self.executor):
            self.depot.clock.advance(INTERVAL)
            lines += session.answer().splitlines()
            self.executor.step()
        self.depot.clock.advance(INTERVAL)
        return lines + session.answer().splitlines()

    def test_resume(self) -> None:
        """While what is held is hashed, they tell how far that is; then comes what is held."""
        self.hold(LONG[:-1], len(LONG))
        session, _ = self.resume(len(LONG))
        self.executor.step()
        lines = self.waits(session)
        self.assertEqual(lines.pop(), held(LONG[:-1]).strip())
        self.assertGreater(len(lines), 3)
        self.assertTrue(all(line.endswith(b" hashing") for line in lines), lines)
        percents = [int(line.split()[1]) for line in lines]
        self.assertEqual(percents, sorted(percents))
        self.assertEqual((percents[0], {*percents}), (0, {0, 33, 66}))
        self.assertEqual({line.split()[0] for line in lines}, {b"WAIT"})

    def test_interval(self) -> None:
        """The first one is sent after 5 seconds, not before, and one each 5 seconds after that."""
        self.hold(b"hel")
        session, _ = self.resume()
        self.executor.step()
        while not self.depot.timers():
            self.executor.step()
        self.depot.clock.advance(INTERVAL - 0.5)
        self.assertEqual(session.answer(), b"")
        self.depot.clock.advance(0.5)
        self.assertEqual(session.answer(), b"WAIT 0 hashing\n")
        self.depot.clock.pump([1.0] * 10)
        self.assertEqual(session.answer(), b"WAIT 0 hashing\n" * 2)
        self.executor.run_all()
        self.assertEqual(session.answer(), held(b"hel"))
        self.depot.clock.advance(10 * INTERVAL)
        self.assertEqual(session.answer(), b"")

    def test_storing(self) -> None:
        """They come between the last byte and the id, too, but not while bytes are awaited."""
        session, _ = self.resume()
        self.executor.run_all()
        session.answer()
        self.assertEqual(session.send(b"0\nhell"), READY)
        self.depot.clock.advance(3 * INTERVAL)
        self.assertEqual(session.answer(), b"")
        session.send(b"o")
        *lines, id = self.waits(session)
        self.assertEqual(id, HELLO)
        self.assertEqual({*lines}, {b"WAIT 100 storing"})

    def test_quick(self) -> None:
        """What takes less than 5 seconds has none."""
        session, answer = self.resume()
        self.executor.run_all()
        answer += session.answer() + session.send(b"0\nhello")
        self.executor.run_all()
        answer += session.answer() + session.send(b"VERIFY %s\n" % HELLO)
        self.executor.run_all()
        answer += session.answer()
        self.assertEqual(answer, held(b"") + READY + b"%s\n%s\n" % (HELLO, HELLO))
        self.assertEqual(self.depot.timers(), [])

    def test_verify(self) -> None:
        """VERIFY tells how far the hashing is."""
        self.store(LONG)
        session = self.depot.connect()
        session.send(b"VERIFY %s\n" % LONG_ID)
        *lines, id = self.waits(session)
        self.assertEqual(id, LONG_ID)
        self.assertTrue(all(line.endswith(b" verifying") for line in lines), lines)
        self.assertEqual({int(line.split()[1]) for line in lines}, {0, 33, 66})

    def test_verify_damaged(self) -> None:
        """They come before an error as well, and stop with it."""
        self.store(b"hello")
        path = self.depot.root / "objects" / HELLO[:2].decode() / HELLO.decode()
        path.write_bytes(b"hallo")
        session = self.depot.connect()
        session.send(b"VERIFY %s\n" % HELLO)
        *lines, error = self.waits(session)
        self.assertIn(b"WAIT 0 verifying", lines)
        self.assert_refused(error + b"\n", Corrupt)
        self.assertEqual(self.depot.timers(), [])

    def test_no_others(self) -> None:
        """No other command has any, however long it takes."""
        self.store(b"hello")
        for command, answer in (
            (b"UPLOAD b;5\nworld", id_of(b"world") + b"\n"),
            (b"UPLOAD\nb;5\n", b"Please send the file name and file size\n" + READY),
            (b"DOWNLOAD %s\n" % HELLO, b"%s;a;5\nhello" % HELLO),
            (b"DELETE %s;a\n" % HELLO, HELLO + b"\n"),
            (b"LIST_FILES c\n", NONE),
        ):
            session = self.depot.connect()
            written = session.send(command)
            while len(self.executor):
                self.depot.clock.advance(INTERVAL)
                written += session.answer()
                self.executor.step()
            self.depot.clock.advance(INTERVAL)
            self.assertEqual(written + session.answer(), answer)
            session.lose()
            self.executor.run_all()

    def test_upload_after_failure(self) -> None:
        """Nor has an UPLOAD behind a RESUME that failed when it was to start over."""
        self.hold(b"hel")
        session, _ = self.resume()
        self.executor.run_all()
        self.patch(self.depot.store._partial_files, "open", fail)
        session.send(b"0\n")
        self.executor.run_all()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertIs(session.protocol.state, State.COMMAND)
        session.answer()
        session.send(b"UPLOAD a;5\nhello")
        self.assertEqual(self.waits(session), [HELLO])


class LostTests(WorkCase):
    """Connections that are lost while the server works."""

    def test_while_opening(self) -> None:
        """One that is lost before it is told what is held gives the token free."""
        self.hold(b"hel")
        for steps in range(6):
            session, _ = self.resume()
            for _ in range(min(steps, len(self.executor))):
                self.executor.step()
            session.lose()
            self.executor.run_all()
            self.assertIn(session.answer(), (b"", held(b"hel")))
            self.assertEqual(self.depot.core.tokens, {})
            self.assertEqual(self.depot.timers(), [])
            self.assertEqual(self.partial_files(), [b"hel"])

    def test_while_hashing(self) -> None:
        """The hashing of what is held ends with the connection, block by block."""
        self.hold(LONG[:-1], len(LONG))
        session, _ = self.resume(len(LONG))
        while not self.depot.timers():
            self.executor.step()
        session.lose()
        self.executor.step()
        self.executor.step()
        self.executor.step()
        self.assertEqual(len(self.executor), 0)
        self.assertEqual(self.depot.timers(), [])
        session, _ = self.resume(len(LONG))
        self.executor.run_all()
        self.assertEqual(session.answer(), held(LONG[:-1]))

    def test_while_starting_over(self) -> None:
        """One that is lost while what is held is forgotten gives the token free."""
        self.hold(b"hel")
        session, _ = self.resume()
        self.executor.run_all()
        session.send(b"0\n")
        self.assertIs(session.protocol.state, State.WORKING)
        session.lose()
        self.executor.run_all()
        self.assertEqual(self.depot.core.tokens, {})
        session, _ = self.resume()
        self.executor.run_all()
        self.assertEqual(session.answer(), held(b""))

    def test_while_verifying(self) -> None:
        """The hashing of VERIFY ends with the connection, and changes nothing."""
        self.store(LONG)
        session = self.depot.connect()
        session.send(b"VERIFY %s\n" % LONG_ID)
        self.executor.step()
        session.lose()
        self.executor.step()
        self.executor.step()
        self.assertEqual(len(self.executor), 0)
        self.assertEqual(self.depot.timers(), [])
        self.assertEqual(session.answer(), b"")
        self.assertEqual(self.listing(), b"%s;a;%d\nDONE\n" % (LONG_ID, len(LONG)))

    def test_while_deleting(self) -> None:
        """What was to be deleted is deleted."""
        self.store(b"hello")
        session = self.depot.connect()
        session.send(b"DELETE %s\n" % HELLO)
        session.lose()
        self.executor.run_all()
        self.assertEqual(self.listing(), NONE)
        self.assertEqual(self.depot.files(), [])

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.depot.factory.stop())

    def test_stop_at_offset(self) -> None:
        """A server that stops closes a connection that it has asked for the offset, and waits."""
        self.hold(b"hel")
        session, _ = self.resume()
        self.executor.run_all()
        stopped = self.stop()
        self.assertFalse(session.transport.connected)
        self.assertNoResult(stopped)
        self.executor.run_all()
        self.successResultOf(stopped)
        self.assertEqual(self.depot.core.tokens, {})
        self.assertEqual(self.partial_files(), [b"hel"])

    def test_stop_while_receiving(self) -> None:
        """An upload that is not complete in time is cut off, and what came is kept."""
        session, _ = self.resume()
        self.executor.run_all()
        session.send(b"0\nhel")
        stopped = self.stop()
        self.assertTrue(session.transport.connected)
        self.depot.clock.advance(GRACE)
        self.assertFalse(session.transport.connected)
        self.assertNoResult(stopped)
        self.executor.run_all()
        self.successResultOf(stopped)
        self.assertEqual(self.partial_files(), [b"hel"])

    def test_stop_and_complete(self) -> None:
        """One that is complete in time is stored and answered."""
        session, _ = self.resume()
        self.executor.run_all()
        session.send(b"0\nhel")
        session.answer()
        stopped = self.stop()
        session.send(b"lo")
        self.executor.run_all()
        self.assertEqual(session.answer(), HELLO + b"\n")
        session.lose()
        self.successResultOf(stopped)

    def test_stop_while_hashing(self) -> None:
        """A server that stops while it hashes what is held does not wait for all of it."""
        self.hold(LONG[:-1], len(LONG))
        session, _ = self.resume(len(LONG))
        while not self.depot.timers():
            self.executor.step()
        stopped = self.stop()
        self.depot.clock.advance(GRACE)
        self.assertFalse(session.transport.connected)
        self.executor.run_all()
        self.successResultOf(stopped)
        self.assertEqual(self.depot.timers(), [])

    def test_stop_before_offset(self) -> None:
        """Nor for an offset that does not come; but for the partial to be put away."""
        self.hold(b"hel")
        session, _ = self.resume()
        stopped = self.stop()
        self.executor.run_all()
        self.assertEqual(session.answer(), held(b"hel"))
        self.depot.clock.advance(GRACE)
        self.assertFalse(session.transport.connected)
        self.assertNoResult(stopped)
        self.executor.run_all()
        self.successResultOf(stopped)

    def test_stop_while_busy(self) -> None:
        """A server that stops does not wait for ever for one that waits for a token."""
        first, _ = self.resume()
        self.executor.run_all()
        self.resume()
        stopped = self.stop()
        self.assertFalse(first.transport.connected)
        self.depot.clock.pump([PROBE / 20] * 20)
        self.executor.run_all()
        self.depot.clock.pump([GRACE / 5] * 6)
        self.executor.run_all()
        self.successResultOf(stopped)
        self.assertEqual(self.depot.timers(), [])


class DeleteTests(WorkCase):
    """DELETE while the content is used."""

    def test_download(self) -> None:
        """A download that runs goes on to its end."""
        content = b"".join(b"%08d" % number for number in range(BLOCK // 2))
        self.store(content)
        id = id_of(content)
        session = self.depot.connect()
        session.send(b"DOWNLOAD %s\n" % id)
        self.executor.step()
        self.assertIs(session.protocol.state, State.SENDING)
        other = self.depot.connect()
        other.send(b"DELETE %s\n" % id)
        self.executor.run_all()
        self.assertEqual(other.answer(), id + b"\n")
        self.assertEqual(self.listing(), NONE)
        self.assertEqual(self.depot.files(), [])
        self.assertEqual(session.answer(), b"%s;a;%d\n" % (id, len(content)) + content)
        self.assert_refused(session.send(b"DOWNLOAD %s\n" % id), NoSuchFile)

    def test_upload(self) -> None:
        """An upload that is complete behind the removal is stored."""
        self.store(b"hello")
        session = self.depot.connect()
        session.send(b"UPLOAD b;5\n")
        self.executor.run_all()
        other = self.depot.connect()
        other.send(b"DELETE %s\n" % HELLO)
        session.send(b"hello")
        self.executor.run_all()
        self.assertEqual(session.answer(), HELLO + b"\n")
        self.assertEqual(self.listing(), b"%s;b;5\nDONE\n" % HELLO)
        session.send(b"DOWNLOAD %s\n" % HELLO)
        self.executor.run_all()
        self.assertEqual(session.answer(), b"%s;b;5\nhello" % HELLO)


class VerifyTests(ResumeCase):
    """
    Stored bytes that are wrong, in object files.

    @cvar small: the most bytes of a small content.
    """

    small = NO_SMALL

    def setUp(self) -> None:
        self.depot = Depot(self, small=self.small)
        self.session = self.depot.connect()
        self.session.send(b"UPLOAD a;5\nhelloUPLOAD b;5\nhello")

    def spoil(self, id: bytes, content: bytes | None) -> None:
        """Change the stored bytes of a content, or take them away."""
        overwrite(self.depot.root, id.decode(), content)

    def damage(self) -> None:
        """Change a stored byte, and let it be found."""
        self.spoil(HELLO, b"hallo")
        self.assert_refused(self.session.send(b"VERIFY %s\n" % HELLO), Corrupt)

    def assert_healed(self, names: bytes) -> None:
        """The content is listed under these names, and good."""
        self.assertEqual(
            self.listing(),
            b"".join(b"%s;%c;5\n" % (HELLO, name) for name in names) + b"DONE\n",
        )
        answer = self.session.send(b"DOWNLOAD %s\n" % HELLO)
        self.assertEqual(answer, b"%s;a;5\nhello" % HELLO)
        self.assertEqual(self.session.send(b"VERIFY %s\n" % HELLO), HELLO + b"\n")

    def test_corrupt(self) -> None:
        """They are listed no more, and all that asks for them is told."""
        self.damage()
        self.assertEqual(self.listing(), NONE)
        for command in (b"VERIFY", b"STAT", b"DOWNLOAD"):
            self.assert_refused(self.session.send(b"%s %s\n" % (command, HELLO)), Corrupt)

    def test_gone(self) -> None:
        """So are bytes that are gone, or of another length."""
        for content in (None, b"hell"):
            self.spoil(HELLO, content)
            self.assert_refused(self.session.send(b"VERIFY %s\n" % HELLO), Corrupt)
            self.assertEqual(self.listing(), NONE)
            self.session.send(b"UPLOAD a;5\nhello")
            self.assert_healed(b"ab")

    def test_upload_heals(self) -> None:
        """The same content, uploaded again, is listed again under all its names."""
        self.damage()
        self.assertEqual(self.session.send(b"UPLOAD c;5\nhello"), HELLO + b"\n")
        self.assert_healed(b"abc")

    def test_resume_heals(self) -> None:
        """RESUME does so, too; a damaged content does not count as known."""
        self.damage()
        token = b"sha256:" + sha256(b"hello").hexdigest().encode()
        session, answer = self.resume(token=token)
        self.assertEqual(answer, held(b""))
        self.assertEqual(session.send(b"0\nhello"), READY + HELLO + b"\n")
        self.assert_healed(b"ab")

    def test_finished_token(self) -> None:
        """Nor does one that is known by the token that it came under."""
        self.hold(b"hello")
        self.damage()
        self.assertEqual(self.resume()[1], held(b""))

    def test_delete(self) -> None:
        """A damaged content can be deleted, and stored anew."""
        self.damage()
        self.assertEqual(self.session.send(b"DELETE %s\n" % HELLO), HELLO + b"\n")
        self.assert_refused(self.session.send(b"DOWNLOAD %s\n" % HELLO), NoSuchFile)
        self.session.send(b"UPLOAD a;5\nhello")
        self.assert_healed(b"a")

    def test_collision(self) -> None:
        """Other bytes with the id don't take the place of damaged ones."""
        id = COLLISION_ID.encode()
        self.session.send(b"UPLOAD first;128\n", FIRST)
        self.spoil(id, SECOND)
        self.assert_refused(self.session.send(b"VERIFY %s\n" % id), Corrupt)
        self.assert_refused(self.session.send(b"UPLOAD x;128\n", SECOND), Collision)
        self.assertEqual(self.session.send(b"UPLOAD y;128\n", FIRST), id + b"\n")
        self.assertIn(b"%s;first;128\n%s;y;128\n" % (id, id), self.listing())

    def test_quarantined(self) -> None:
        """What was there instead is kept for whoever investigates."""
        self.damage()
        (aside,) = (self.depot.root / "quarantine").iterdir()
        self.assertEqual(aside.read_bytes(), b"hallo")
        self.assertTrue(aside.name.startswith(HELLO.decode()))
        self.assertEqual(self.depot.files(), [])
        self.assertEqual(small_rows(self.depot.root), [])


class SmallVerifyTests(VerifyTests):
    """The same, among small contents."""

    small = SMALL_SIZE


class AsideExecutor(SteppedExecutor):
    """One that can let the work of one connection wait while the others go on."""

    def put_aside(self) -> Sequence[tuple[Deferred[Any], Callable[[], Any]]]:
        """Take away all that waits."""
        aside, self._waiting = self._waiting, []
        return aside

    def put_back(self, aside: Sequence[tuple[Deferred[Any], Callable[[], Any]]]) -> None:
        """What was taken away waits again."""
        self._waiting += aside


class HealedMeanwhileTests(WorkCase):
    """Bytes that are put back while a VERIFY still looks at the wrong ones."""

    def setUp(self) -> None:
        self.executor = self.aside = AsideExecutor()
        self.damage()

    def damage(self) -> None:
        """A new depot, with one content, whose bytes are gone."""
        self.depot = Depot(self, self.executor, small=NO_SMALL)
        self.store(b"hello")
        self.path = self.depot.root / "objects" / HELLO[:2].decode() / HELLO.decode()
        self.path.unlink()

    def assert_healed(self) -> None:
        """The content is listed, and can be had."""
        self.assertEqual(self.listing(), b"%s;a;5\nDONE\n" % HELLO)
        session = self.depot.connect()
        answer = session.send(b"DOWNLOAD %s\n" % HELLO)
        self.executor.run_all()
        self.assertEqual(answer + session.answer(), b"%s;a;5\nhello" % HELLO)

    def test_quarantined(self) -> None:
        """Another VERIFY is quicker, and then the content is uploaded again."""
        self.path.write_bytes(b"hallo")
        slow, quick = self.depot.connect(), self.depot.connect()
        slow.send(b"VERIFY %s\n" % HELLO)
        self.executor.step()  # opens them
        aside = self.aside.put_aside()
        quick.send(b"VERIFY %s\n" % HELLO)
        self.executor.run_all()
        self.assert_refused(quick.answer(), Corrupt)
        self.store(b"hello")
        self.assert_healed()
        self.aside.put_back(aside)
        self.executor.run_all()
        self.assert_healed()

    def test_put_back(self) -> None:
        """The bytes are gone when they are looked for, and back when that is told."""
        for steps in range(12):
            with self.subTest(steps):
                self.damage()
                slow, other = self.depot.connect(), self.depot.connect()
                other.send(b"UPLOAD a;5\nhello")
                for _ in range(min(steps, len(self.executor))):
                    self.executor.step()
                slow.send(b"VERIFY %s\n" % HELLO)
                self.executor.run_all()
                self.assertEqual(other.answer(), HELLO + b"\n")
                self.assert_healed()


class LogTests(ResumeCase):
    """What the log tells of these commands."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[str]:
        """What was logged since the last call: each line printable, and one."""
        lines = [
            formatEvent(event)
            for event in self.events
            if event["log_namespace"].startswith("xfer") and "connected" not in event["log_format"]
        ]
        self.events.clear()
        for line in lines:
            self.assertTrue(line.isprintable(), line)
        return lines

    def test_resume(self) -> None:
        """A lost connection, and what was added by the next one."""
        self.hold(b"hel")
        self.assertEqual(
            self.lines(),
            ['#1 upload of "a" cut short after 3 of 5 declared bytes; what came is kept'],
        )
        session, _ = self.resume()
        session.send(b"3\nlo")
        (line,) = self.lines()
        self.assertTrue(line.startswith(f'#2 stored "a" size=5 id={HELLO.decode()} bytes=2 '))

    def test_known(self) -> None:
        """A content that was known already: no byte was sent."""
        self.hold(b"hello")
        self.lines()
        session, _ = self.resume(name=b"b")
        session.send(b"5\n")
        (line,) = self.lines()
        self.assertTrue(line.startswith(f'#2 stored "b" size=5 id={HELLO.decode()} bytes=0 '))

    def test_refused(self) -> None:
        """Refusals, with their symbols; a name that is none of the log's lines stays quoted."""
        session = self.depot.connect()
        session.send(b"RESUME a;5;\x1b[2J\n")
        session.send("RESUME a\u2028#9 stored;5;t\n".encode())
        session.send(b"RESUME a;5;t\n")
        session.send(b"\x1b[2J\n")
        symbols = [line.partition(": ")[2].split()[0] for line in self.lines()]
        self.assertEqual(symbols, ["bad-token", "bad-name", "bad-range"])

    def test_busy(self) -> None:
        """A connection that waited for a token in vain."""
        self.resume()
        self.resume()
        self.depot.clock.pump([PROBE / 10] * 15)
        self.assertEqual([line.partition(": ")[2].split()[0] for line in self.lines()], ["busy"])

    def test_delete(self) -> None:
        """What was removed: one name, quoted, or all."""
        name = "a\u202e b".encode()
        session = self.depot.connect()
        session.send(b"UPLOAD %s;5\nhelloUPLOAD b;5\nhello" % name)
        self.lines()
        session.send(b"DELETE %s;%s\nDELETE %s\n" % (HELLO, name, HELLO))
        one, all_of_them = self.lines()
        self.assertTrue(one.startswith(f'#1 deleted {HELLO.decode()} "a'), one)
        self.assertEqual(all_of_them, f"#1 deleted {HELLO.decode()} all names")

    def test_damaged(self) -> None:
        """Damage is told by the store, the refusal by the connection."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        self.lines()
        overwrite(self.depot.root, HELLO.decode(), b"hallo")
        session.send(b"VERIFY %s\n" % HELLO)
        damaged, refused = self.lines()
        self.assertTrue(damaged.startswith(f"{HELLO.decode()} is damaged"), damaged)
        self.assertTrue(
            refused.startswith(f"#1 refused VERIFY {HELLO.decode()}: corrupt "), refused
        )

    def test_expired(self) -> None:
        """A partial that was forgotten."""
        self.hold(b"hel")
        self.lines()
        self.successResultOf(self.depot.store.maintenance.age_partials(11, 10))
        (line,) = self.lines()
        self.assertIn("expired", line)
