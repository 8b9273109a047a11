"""One upload without any protocol: whatever happens, it ends once, and gives back what it had."""

from __future__ import annotations

from hashlib import md5
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.executors import GatedExecutor
from tests.support.held import held_by_depot
from tests.support.scripted_store import ScriptedStore, ScriptedUpload
from xferproto.depot.account import Account
from xferproto.depot.admission import NEW, SLOTS
from xferproto.depot.depot import Depot, DepotLimits
from xferproto.depot.opening import PROBE
from xferproto.depot.upload import Upload
from xferproto.depot.uploader import Uploader
from xferproto.model.entry import Digests
from xferproto.model.errors import (
    BadDetails,
    BadRange,
    Busy,
    Collision,
    ConnectionCut,
    NoSpace,
    QuotaExceeded,
    TooLarge,
)
from xferproto.model.identity import ANYONE, Identity
from xferproto.store.interface import FLAT_COST
from xferproto.store.reservation import WINDOW

HELLO = md5(b"hello").hexdigest()
QUOTA = 1_000_000


class Noting(Uploader):
    """
    A sender that notes what it is told.

    @ivar heard: that.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []

    def drained(self) -> None:
        self.heard.append("drained")

    def failed(self) -> None:
        self.heard.append("failed")

    def probe(self) -> None:
        self.heard.append("probe")


class UploadCase(SynchronousTestCase):
    """A depot over a store that answers when it is told to."""

    def setUp(self) -> None:
        self.store = ScriptedStore()
        self.clock = Clock()
        self.executor = GatedExecutor()
        limits = DepotLimits(file_size=10**9, quota=QUOTA)
        self.depot = Depot(self.store.store, self.executor, self.clock, limits)
        self.account = Account(self.depot, "", lambda: ANYONE)
        self.uploader = Noting()
        self.addCleanup(self.assert_nothing_held)

    def assert_nothing_held(self) -> None:
        self.executor.run_all()
        self.assertEqual(held_by_depot(self.depot), {})

    def begin(self, size: int = 5) -> Upload:
        upload = self.successResultOf(self.account.begin("a", size, self.uploader))
        assert isinstance(upload, Upload)
        return upload

    def resume(self, size: int = 5, **more: Any) -> Deferred[Upload]:
        return self.account.resume("a", size, "t", uploader=self.uploader, **more)

    def reserved(self) -> int:
        return self.depot.quota._all.reserved

    def last(self) -> ScriptedUpload:
        return self.store.uploads[-1]


class PlainTests(UploadCase):
    """Without a token."""

    def test_stored(self) -> None:
        """The bytes are counted, hashed and committed."""
        upload = self.begin()
        self.assertEqual((upload.name, upload.size, upload.offset), ("a", 5, 0))
        self.assertFalse(upload.resumable or upload.known)
        self.assertEqual(self.reserved(), 5 + FLAT_COST)
        upload.write(b"hel")
        self.assertEqual(upload.remaining, 2)
        upload.write(b"lo")
        entry = self.successResultOf(upload.finish())
        self.assertEqual((entry.id, self.last().written), (HELLO, b"hello"))
        self.assertEqual(self.last().ended, ["commit"])
        self.assertEqual(self.depot.quota._all.room(QUOTA), QUOTA - 5 - FLAT_COST)

    def test_empty(self) -> None:
        """One of no bytes is finished at once."""
        entry = self.successResultOf(self.begin(0).finish())
        self.assertEqual(entry.size, 0)

    def test_too_large(self) -> None:
        """The limit of a file is checked before anything is asked of the store."""
        for begin in (self.account.begin, self.account.begin_now):
            self.assertRaises(TooLarge, begin, "a", 10**9 + 1)
        self.assertRaises(TooLarge, self.account.resume, "a", 10**9 + 1, "t")
        self.assertEqual(self.store.questions, [])

    def test_quota(self) -> None:
        """What would exceed the quota is not begun."""
        self.failureResultOf(self.account.begin("a", QUOTA), QuotaExceeded)
        self.assertEqual(self.store.uploads, [])

    def test_own_quota(self) -> None:
        """So is what would exceed the user's own."""
        account = Account(self.depot, "kim", lambda: Identity("kim", quota=FLAT_COST + 4))
        self.failureResultOf(account.begin("a", 5), QuotaExceeded)

    def test_missing(self) -> None:
        """What lacks bytes is not stored."""
        upload = self.begin()
        upload.write(b"hel")
        error = self.failureResultOf(upload.finish(), BadDetails).value
        self.assertIn("3 of 5", str(error))
        self.assertEqual(self.last().ended, ["abort"])

    def test_aborted(self) -> None:
        """One that is given up stores nothing, and frees its room; twice is once."""
        upload = self.begin()
        upload.write(b"hel")
        for _ in range(2):
            self.successResultOf(upload.abort())
        self.assertEqual(self.last().ended, ["abort"])
        self.assertEqual(self.reserved(), 0)

    def test_after_the_end(self) -> None:
        """Nothing can be done with one that was given up, or finished."""
        upload = self.begin()
        upload.abort()
        self.failureResultOf(upload.finish(), ConnectionCut)
        upload.write(b"hello")
        self.assertEqual((self.last().written, self.last().ended), (b"", ["abort"]))
        upload = self.begin()
        upload.write(b"hello")
        self.store.held.add("commit")
        finishing = upload.finish()
        self.failureResultOf(upload.finish(), ConnectionCut)
        self.successResultOf(upload.abort())
        self.store.answer("commit")
        self.successResultOf(finishing)
        self.assertEqual(self.last().ended, ["commit"])

    def test_not_begun(self) -> None:
        """Where the store fails to begin one, nothing is kept for it."""
        for error in (NoSpace(), OSError("a cable is loose")):
            self.store.fail_next("create", error)
            self.failureResultOf(self.account.begin("a", 5), type(error))
            self.assertEqual(held_by_depot(self.depot), {})

    def test_not_written(self) -> None:
        """Where the disk is full, the sender hears of it, and learns why when it finishes."""
        upload = self.begin()
        self.last().full = True
        upload.write(b"hel")
        self.assertEqual(self.uploader.heard, ["failed"])
        self.assertEqual(upload.remaining, 2)
        self.failureResultOf(upload.finish(), NoSpace)
        self.assertEqual(self.last().ended, ["abort"])

    def test_not_committed(self) -> None:
        """Where the store refuses it in the end, its room is free again."""
        for error in (Collision(), OSError("a cable is loose")):
            self.store.fail_next("commit", error)
            upload = self.begin()
            upload.write(b"hello")
            self.failureResultOf(upload.finish(), type(error))
            self.assertEqual(self.reserved(), 0)

    def test_held_back(self) -> None:
        """The sender is held back while the disk does not follow, and called when it may go on."""
        upload = self.begin(10**4)
        self.executor.open = False
        self.patch(self.depot.incoming, "_largest", 100)
        self.patch(self.depot.incoming, "_smallest", 1)
        upload.write(bytes(1000))
        self.assertTrue(upload.full)
        self.executor.run_all()
        self.assertFalse(upload.full)
        self.assertEqual(self.uploader.heard, ["drained"])
        self.successResultOf(upload.abort())


class GrowingTests(UploadCase):
    """So little came for so long that its room was not kept for it."""

    def setUp(self) -> None:
        super().setUp()
        self.size = QUOTA - FLAT_COST
        self.upload = self.begin(self.size)
        self.clock.advance(WINDOW)
        self.depot.quota._all.look()
        self.clock.advance(NEW)
        self.store.held.add("usage")
        self.rest = bytes(self.size)

    def crowd(self) -> None:
        """Others have stored meanwhile what the upload would need."""
        self.store.stored = QUOTA
        self.depot.quota.deleted()
        self.depot.quota._all._used = QUOTA

    def test_room(self) -> None:
        """Where there is room after all it is stored, also where it is finished meanwhile."""
        self.crowd()
        self.upload.write(self.rest)
        self.assertTrue(self.upload.full)
        self.assertEqual(self.upload.remaining, 0)
        finishing = self.upload.finish()
        self.assertNoResult(finishing)
        self.store.stored = 0
        self.store.answer("usage")
        self.assertEqual(self.successResultOf(finishing).size, self.size)

    def test_in_pieces(self) -> None:
        """What is written although it is full waits in its order."""
        self.crowd()
        for piece in (self.rest[:10], self.rest[10:20]):
            self.upload.write(piece)
        self.assertEqual(self.upload.remaining, self.size - 20)
        self.assertEqual(self.last().written, b"")
        self.store.stored = 0
        self.store.answer("usage")
        self.assertEqual(self.last().written, bytes(20))
        self.assertEqual(self.uploader.heard, ["drained"])
        self.successResultOf(self.upload.abort())

    def test_no_room(self) -> None:
        """Where there is none it fails, and the sender hears of it."""
        self.crowd()
        self.upload.write(self.rest[:10])
        self.store.answer("usage")
        self.assertEqual(self.uploader.heard, ["failed"])
        self.failureResultOf(self.upload.finish(), QuotaExceeded)

    def test_no_room_in_the_end(self) -> None:
        """So it does where it is being finished."""
        self.crowd()
        self.upload.write(self.rest)
        finishing = self.upload.finish()
        self.store.answer("usage")
        self.failureResultOf(finishing, QuotaExceeded)
        self.assertEqual(self.uploader.heard, [])
        self.assertEqual(self.last().ended, ["abort"])

    def test_aborted(self) -> None:
        """One that is given up meanwhile takes no more."""
        for answer in (0, QUOTA):
            with self.subTest(answer):
                self.crowd()
                self.upload.write(self.rest[:10])
                self.successResultOf(self.upload.abort())
                self.store.stored = answer
                self.store.answer("usage")
                self.assertEqual(self.last().written, b"")
                self.assertEqual(self.uploader.heard, [])
                self.store.held.clear()
                self.store.stored = 0
                self.depot.quota.deleted()
                self.setUp()
        self.successResultOf(self.upload.abort())


class TokenTests(UploadCase):
    """Under a token."""

    def test_new(self) -> None:
        """Nothing is held; all is taken, and stored."""
        upload = self.successResultOf(self.resume())
        self.assertEqual((upload.offset, upload.held_md5), (0, md5(b"").hexdigest()))
        self.assertTrue(upload.resumable)
        self.assertEqual(list(self.depot.tokens), [("", "t")])
        self.successResultOf(upload.resume(0))
        upload.write(b"hello")
        self.assertEqual(self.successResultOf(upload.finish()).id, HELLO)
        self.assertEqual(self.depot.tokens, {})

    def test_gone_on(self) -> None:
        """What is held is hashed and told of, and comes first."""
        self.store.partial = ScriptedUpload(self.store, b"hel")
        progress: list[tuple[int, int]] = []
        upload = self.successResultOf(
            self.resume(progress=lambda done, total: progress.append((done, total)))
        )
        self.assertEqual((upload.offset, upload.held_md5), (3, md5(b"hel").hexdigest()))
        self.assertEqual((progress[0], progress[-1]), ((0, 3), (3, 3)))
        self.failureResultOf(upload.resume(2), BadRange)
        self.successResultOf(upload.resume(3))
        self.assertEqual(upload.remaining, 2)
        upload.write(b"lo")
        self.assertEqual(self.successResultOf(upload.finish()).id, HELLO)
        self.assertEqual(self.last().written, b"hello")

    def test_started_over(self) -> None:
        """From 0 on all is sent anew."""
        self.store.partial = ScriptedUpload(self.store, b"xyz")
        upload = self.successResultOf(self.resume())
        self.successResultOf(upload.resume(0))
        upload.write(b"hello")
        self.assertEqual(self.successResultOf(upload.finish()).id, HELLO)
        self.failureResultOf(upload.resume(0), ConnectionCut)

    def test_known(self) -> None:
        """No byte of a known content is taken; it is not sent anew unless the sender wants so."""
        for offset, sent in ((5, b""), (0, b"hello")):
            known = Digests(HELLO, "0" * 64)
            self.store.partial = ScriptedUpload(self.store, known=known)
            upload = self.successResultOf(self.resume())
            self.assertTrue(upload.known)
            self.assertEqual((upload.offset, upload.held_md5), (5, HELLO))
            self.successResultOf(upload.resume(offset))
            self.assertEqual(upload.remaining, len(sent))
            upload.write(sent)
            self.assertEqual(self.successResultOf(upload.finish()).id, HELLO)

    def test_known_not_committed(self) -> None:
        """Where its name can't be recorded, nothing is kept for it."""
        self.store.partial = ScriptedUpload(self.store, known=Digests(HELLO, "0" * 64))
        upload = self.successResultOf(self.resume())
        self.successResultOf(upload.resume(5))
        self.store.fail_next("commit", NoSpace())
        self.failureResultOf(upload.finish(), NoSpace)
        self.assertEqual(self.last().ended, ["commit", "abort"])

    def test_not_resumed(self) -> None:
        """One that was not resumed can't be finished."""
        upload = self.successResultOf(self.resume())
        self.failureResultOf(upload.finish(), BadDetails)
        self.assertEqual(self.last().ended, ["abort"])

    def test_aborted(self) -> None:
        """What came is kept, written first, and counts; the token is free at once."""
        upload = self.successResultOf(self.resume())
        self.successResultOf(upload.resume(0))
        self.executor.open = False
        upload.write(b"hel")
        self.last().grown = 3
        aborting = upload.abort()
        self.assertEqual(self.depot.tokens, {})
        self.assertNoResult(aborting)
        self.executor.run_all()
        self.successResultOf(aborting)
        self.assertEqual((self.last().written, self.last().ended), (b"hel", ["abort"]))
        self.assertEqual(self.depot.quota._all.room(QUOTA), QUOTA - 3)

    def test_aborted_before(self) -> None:
        """One that was not resumed yet keeps what it has."""
        self.store.partial = ScriptedUpload(self.store, b"hel")
        upload = self.successResultOf(self.resume())
        self.successResultOf(upload.abort())
        self.failureResultOf(upload.resume(3), ConnectionCut)
        self.assertEqual(self.last().ended, ["abort"])

    def test_aborted_while_restarting(self) -> None:
        """One that starts over is given up when the store is through."""
        self.store.partial = ScriptedUpload(self.store, b"xyz")
        upload = self.successResultOf(self.resume())
        self.store.held.add("restart")
        resuming = upload.resume(0)
        self.failureResultOf(upload.resume(0), ConnectionCut)
        self.failureResultOf(upload.finish(), ConnectionCut)
        upload.abort()
        self.assertEqual(self.last().ended, [])
        self.store.answer("restart")
        self.failureResultOf(resuming, ConnectionCut)
        self.assertEqual(self.last().ended, ["abort"])

    def test_not_restarted(self) -> None:
        """Where it can't start over, it has ended."""
        self.store.partial = ScriptedUpload(self.store, b"xyz")
        upload = self.successResultOf(self.resume())
        self.store.fail_next("restart", NoSpace())
        self.failureResultOf(upload.resume(0), NoSpace)
        self.assertEqual(self.last().ended, ["abort"])
        self.successResultOf(upload.abort())

    def test_not_read(self) -> None:
        """Where what is held can't be read, it stays."""
        self.store.partial = ScriptedUpload(self.store, b"hel")
        self.store.fail_next("read", OSError("a cable is loose"))
        self.failureResultOf(self.resume(), OSError)
        self.assertEqual(self.last().ended, ["abort"])

    def test_quota(self) -> None:
        """What would exceed the quota is refused with the token in hand."""
        self.failureResultOf(self.resume(QUOTA + 1), QuotaExceeded)
        self.assertEqual(self.store.questions, ["resume", "usage"])

    def test_busy(self) -> None:
        """Who wants a token that is held has its sender probed, and gets it when it is free."""
        first = self.successResultOf(self.resume())
        self.store.fail_next("resume", *[Busy()] * 3)
        second = self.account.resume("b", 5, "t")
        self.assertEqual(self.uploader.heard, ["probe"])
        self.successResultOf(first.abort())
        self.clock.pump([PROBE / 20] * 3)
        self.successResultOf(self.successResultOf(second).abort())

    def test_given_on(self) -> None:
        """One that is given up while another takes its token leaves that alone."""
        first = self.successResultOf(self.resume())
        self.store.held.add("abort")
        first.abort()
        second = self.successResultOf(self.resume())
        self.store.answer("abort")
        self.assertEqual(self.depot.tokens, {("", "t"): self.uploader})
        self.store.held.clear()
        self.successResultOf(second.abort())

    def test_busy_for_long(self) -> None:
        """Whose sender is there keeps it."""
        self.store.fail_next("resume", *[Busy()] * 100)
        waiting = self.resume()
        self.clock.pump([PROBE / 20] * 19)
        self.assertNoResult(waiting)
        self.clock.pump([PROBE / 20] * 2)
        self.failureResultOf(waiting, Busy)


class LostTests(UploadCase):
    """The connection of the sender is lost at each of the waits before the first byte."""

    def lose(self, beginning: Deferred[Any]) -> None:
        self.assertNoResult(beginning)
        beginning.cancel()
        self.failureResultOf(beginning, CancelledError)

    def test_counting(self) -> None:
        """While the store counts; who asks at the same time is answered all the same."""
        self.store.held.add("usage")
        beginning, other = self.account.begin("a", 5), self.account.begin("b", 0)
        self.lose(beginning)
        self.store.answer("usage")
        self.assertEqual(len(self.store.uploads), 1)
        self.successResultOf(self.successResultOf(other).abort())

    def test_small(self) -> None:
        """So with a small one."""
        self.store.small = 10
        self.store.held.add("usage")
        self.assertIs(self.account.begin_now("a", 5), None)
        beginning = self.account.begin("a", 5)
        self.lose(beginning)
        self.store.answer("usage")

    def test_waiting_for_a_turn(self) -> None:
        """While others are let in."""
        uploads = [self.begin(0) for _ in range(SLOTS)]
        self.lose(self.account.begin("a", 5))
        self.assertEqual(len(self.store.uploads), SLOTS)
        for upload in uploads:
            self.successResultOf(upload.abort())

    def test_creating(self) -> None:
        """While the store begins it: that is given up."""
        self.store.held.add("create")
        for answer in (True, False):
            self.lose(self.account.begin("a", 5))
            if answer:
                self.store.answer("create")
                self.assertEqual(self.last().ended, ["abort"])
            else:
                self.store.refuse("create", NoSpace())

    def test_creating_fails(self) -> None:
        """A failure that nobody waits for any more is logged."""
        self.store.held.add("create")
        self.lose(self.account.begin("a", 5))
        self.store.refuse("create", OSError("a cable is loose"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_resuming(self) -> None:
        """While the store looks for what it holds, and while it counts then."""
        for question in ("resume", "usage"):
            self.store.held = {question}
            self.depot.quota.deleted()
            self.depot.quota._all._used = None
            self.lose(self.resume())
            self.store.held.clear()
            self.store.answer(question)
            self.assertEqual(held_by_depot(self.depot), {})
        self.assertEqual(self.store.uploads, [])

    def test_resuming_without_quota(self) -> None:
        """So where there is no quota: what the store has got hold of is let go of."""
        self.depot = Depot(self.store.store, self.executor, self.clock)
        self.account = Account(self.depot, "", lambda: ANYONE)
        self.store.held.add("resume")
        self.lose(self.resume())
        self.store.answer("resume")
        self.assertEqual(self.last().ended, ["abort"])

    def test_hashing(self) -> None:
        """While what is held is hashed."""
        self.store.partial = ScriptedUpload(self.store, b"hel")
        self.store.held.add("read")
        self.lose(self.resume())
        self.store.answer("read")
        self.assertEqual(self.last().ended, ["abort"])

    def test_waiting_for_the_token(self) -> None:
        """While another one has the token."""
        self.store.fail_next("resume", *[Busy()] * 10)
        self.lose(self.resume())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SmallTests(UploadCase):
    """Those that are kept in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.store.small = 10

    def begin_small(self) -> Any:
        upload = self.account.begin_now("a", 5)
        if upload is None:
            return self.successResultOf(self.account.begin("a", 5))
        return upload

    def test_stored(self) -> None:
        """They are put in one piece."""
        for _ in range(2):  # the second one by what is known
            upload = self.begin_small()
            self.assertFalse(upload.resumable or upload.known or upload.full)
            upload.write(b"hel")
            self.assertEqual(upload.remaining, 2)
            upload.write(b"lo")
            self.assertEqual(self.successResultOf(upload.finish()).id, HELLO)
            self.failureResultOf(upload.finish(), ConnectionCut)
        self.assertEqual(self.store.questions, ["usage", "put", "put"])

    def test_large(self) -> None:
        """One that is not small has to be begun."""
        self.assertIs(self.account.begin_now("a", 11), None)

    def test_aborted(self) -> None:
        """What was given up is not stored."""
        upload = self.begin_small()
        upload.write(b"hello")
        for _ in range(2):
            self.successResultOf(upload.abort())
        self.failureResultOf(upload.finish(), ConnectionCut)
        self.assertEqual(self.store.questions, ["usage"])

    def test_missing(self) -> None:
        """Nor is what lacks bytes."""
        upload = self.begin_small()
        upload.write(b"hel")
        self.failureResultOf(upload.finish(), BadDetails)

    def test_refused(self) -> None:
        """What the store refuses frees its room."""
        upload = self.begin_small()
        upload.write(b"hello")
        self.store.fail_next("put", NoSpace())
        self.failureResultOf(upload.finish(), NoSpace)
        self.assertEqual(self.reserved(), 0)

    def test_put(self) -> None:
        """A content in memory is stored in one go, whatever its size."""
        for content in (b"", b"hello", b"hello" * 100):
            entry = self.successResultOf(self.account.put("a", content))
            self.assertEqual((entry.id, entry.size), (md5(content).hexdigest(), len(content)))
        self.failureResultOf(self.account.put("a", bytes(QUOTA)), QuotaExceeded)

    def test_put_lost(self) -> None:
        """Who has given it all and is gone has it stored."""
        self.store.held.add("put")
        putting = self.account.put("a", b"hello")
        putting.cancel()
        self.failureResultOf(putting, CancelledError)
        self.store.answer("put")
        self.assertEqual(self.depot.quota._all.room(QUOTA), QUOTA - 5 - FLAT_COST)

    def test_stop(self) -> None:
        """Who stops waits for what is being stored."""
        self.store.held.add("put")
        upload = self.begin_small()
        upload.write(b"hello")
        finishing = upload.finish()
        stopping = Deferred.fromCoroutine(self.depot.stop())
        self.assertNoResult(stopping)
        self.store.answer("put")
        self.successResultOf(finishing)
        self.successResultOf(stopping)
