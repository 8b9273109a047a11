"""The pipeline of bytes: workers, the way in and the way out, the files it ends in."""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.store.contract import entries_of
from tests.support.depot import make_store
from tests.support.executors import InlineExecutor, SteppedExecutor
from xferproto.files.staged_file import StagedFile, read_exactly, sync_path
from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import Collision, ConnectionCut, Corrupt
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IUpload
from xferproto.threads.batcher import Batcher
from xferproto.threads.executor import Executor
from xferproto.threads.worker_pool import Step, WorkerPool
from xferproto.transfer.budget import KIB, MIB, MemoryBudget
from xferproto.transfer.digest import Digest, md5, sha256
from xferproto.transfer.receiver import Receiver
from xferproto.transfer.sender import Sender
from xferproto.transfer.verified import VerifiedUpload


class Broken(Exception):
    """What the work of these tests fails with."""


class LaneTests(SynchronousTestCase):
    """Work in order, one batch at a time."""

    def setUp(self) -> None:
        self.executor = SteppedExecutor()
        self.worked: list[list[int]] = []
        self.done: list[list[int]] = []
        self.failed: list[tuple[BaseException, list[int]]] = []
        self.batcher = self.make_batcher(self.executor)

    def make_batcher(self, executor: Executor) -> Batcher[int]:
        """A batcher that notes its batches, and fails at those with a negative number."""
        return Batcher(executor, self.work, self.done.append, self.note_failure)

    def work(self, batch: list[int]) -> None:
        self.worked.append(list(batch))
        if min(batch) < 0:
            raise Broken(batch)

    def note_failure(self, failure: Failure, batch: list[int]) -> None:
        assert failure.value is not None
        self.failed.append((failure.value, batch))

    def put(self, *items: int) -> None:
        for item in items:
            self.batcher.put(item)

    def test_at_once(self) -> None:
        """The first item is handed to the executor at once, and told of when it is done."""
        self.put(1)
        self.assertEqual((len(self.executor), self.worked, self.done), (1, [], []))
        self.executor.step()
        self.assertEqual((self.worked, self.done), ([[1]], [[1]]))
        self.assertEqual(len(self.executor), 0)

    def test_batches(self) -> None:
        """What comes while a batch runs is the next batch, in the order in which it came."""
        self.put(1, 2, 3, 4)
        self.executor.step()
        self.put(5)
        self.executor.run_all()
        self.assertEqual(self.worked, [[1], [2, 3, 4], [5]])
        self.assertEqual(self.done, self.worked)

    def test_never_twice_at_once(self) -> None:
        """However much waits, the executor has one batch of a batcher at a time."""
        for number in range(5):
            self.put(number, number, number)
            self.assertEqual(len(self.executor), 1)
            self.executor.step()
        self.assertEqual(len(self.executor), 1)

    def test_failure(self) -> None:
        """A failed batch is reported with its reason, and the batcher goes on with the next one."""
        self.put(-1, 2, 3)
        self.executor.step()
        self.assertEqual([(type(error), batch) for error, batch in self.failed], [(Broken, [-1])])
        self.executor.run_all()
        self.assertEqual(self.done, [[2, 3]])
        self.put(4)
        self.executor.run_all()
        self.assertEqual(self.done, [[2, 3], [4]])
        self.assertEqual(len(self.failed), 1)

    def test_drop(self) -> None:
        """What waits can be forgotten; the batch that runs ends as ever, and new items come."""
        self.put(1, 2, 3)
        self.batcher.drop()
        self.executor.run_all()
        self.assertEqual(self.done, [[1]])
        self.put(4)
        self.executor.run_all()
        self.assertEqual(self.done, [[1], [4]])

    def test_idle_at_once(self) -> None:
        """A batcher with nothing to do is idle, before its first item and after its last."""
        self.successResultOf(self.batcher.when_idle())
        self.put(1)
        self.executor.run_all()
        self.successResultOf(self.batcher.when_idle())

    def test_idle(self) -> None:
        """Those who wait for idleness are called back after the last batch, even a failed one."""
        self.put(1, -2)
        waiting = [self.batcher.when_idle(), self.batcher.when_idle()]
        self.executor.step()
        for idle in waiting:
            self.assertNoResult(idle)
        self.executor.step()
        for idle in waiting:
            self.successResultOf(idle)
        self.assertEqual(len(self.failed), 1)

    def test_idle_after_drop(self) -> None:
        """A batcher whose waiting items are forgotten is idle when the running batch is done."""
        self.put(1, 2)
        idle = self.batcher.when_idle()
        self.batcher.drop()
        self.assertNoResult(idle)
        self.executor.step()
        self.successResultOf(idle)
        self.assertEqual(len(self.executor), 0)

    def test_put_by_callback(self) -> None:
        """An item put by the callback of a batch runs next, before the batcher is idle."""

        def note(batch: list[int]) -> None:
            self.done.append(batch)
            if batch == [1]:
                batcher.put(2)

        batcher: Batcher[int] = Batcher(self.executor, self.work, note, self.note_failure)
        batcher.put(1)
        idle = batcher.when_idle()
        self.executor.step()
        self.assertNoResult(idle)
        self.executor.run_all()
        self.successResultOf(idle)
        self.assertEqual(self.done, [[1], [2]])

    def test_put_by_idle(self) -> None:
        """Who hears that the batcher is idle may put the next item."""
        self.put(1)
        self.batcher.when_idle().addCallback(lambda _: self.put(2))
        self.executor.run_all()
        self.assertEqual(self.done, [[1], [2]])

    def test_inline(self) -> None:
        """With an executor that works at once, every item is a batch, done when put returns."""
        self.batcher = self.make_batcher(InlineExecutor())
        self.put(1, -2, 3)
        self.assertEqual(self.worked, [[1], [-2], [3]])
        self.assertEqual(self.done, [[1], [3]])
        self.successResultOf(self.batcher.when_idle())

    def test_turn(self) -> None:
        """A batcher with longer turns also does what gathered meanwhile, before other work."""

        def work(batch: list[int]) -> None:
            self.work(batch)
            if batch[0] < 5:  # as the other side does, while this one works
                batcher.put(batch[0] + 1)

        batcher = Batcher(self.executor, work, self.done.append, self.note_failure, batches=3)
        batcher.put(1)
        self.executor.step()
        self.assertEqual(self.worked, [[1], [2], [3]])
        self.assertEqual(self.done, self.worked)
        self.assertEqual(len(self.executor), 1)
        self.executor.run_all()
        self.assertEqual(self.done, [[1], [2], [3], [4], [5]])
        self.successResultOf(batcher.when_idle())

    def test_failure_ends_turn(self) -> None:
        """After a batch that failed nothing is done before its failure was told."""

        def work(batch: list[int]) -> None:
            if batch == [-1]:
                batcher.put(2)
            self.work(batch)

        def drop(failure: Failure, batch: list[int]) -> None:
            self.note_failure(failure, batch)
            batcher.drop()

        batcher = Batcher(self.executor, work, self.done.append, drop, batches=3)
        batcher.put(-1)
        self.executor.run_all()
        self.assertEqual((self.worked, self.done), ([[-1]], []))
        self.assertEqual(len(self.failed), 1)

    def test_callback_breaks(self) -> None:
        """A batcher whose callback raises goes on, and does not hide the error."""

        def note(batch: list[int]) -> None:
            raise Broken

        batcher: Batcher[int] = Batcher(self.executor, self.work, note, self.note_failure)
        batcher.put(1)
        batcher.put(2)
        idle = batcher.when_idle()
        self.executor.run_all()
        self.successResultOf(idle)
        self.assertEqual(self.worked, [[1], [2]])
        gc.collect()  # an error that nobody handles is logged when its Deferred goes
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 2)


class MemoryBudgetTests(SynchronousTestCase):
    """Memory, shared fairly."""

    def test_share(self) -> None:
        """A share is the total over the members, within the largest and the smallest."""
        budget = MemoryBudget(total=100, largest=40, smallest=15)
        shares = []
        for _ in range(8):
            shares.append(budget.share)
            budget.join()
        self.assertEqual(shares, [40, 40, 40, 33, 25, 20, 16, 15])

    def test_leave(self) -> None:
        """What a member that leaves had is there for the others."""
        budget = MemoryBudget(total=100, largest=100, smallest=1)
        for _ in range(4):
            budget.join()
        self.assertEqual(budget.share, 25)
        budget.leave()
        budget.leave()
        self.assertEqual(budget.share, 50)
        budget.leave()
        budget.leave()
        self.assertEqual(budget.share, 100)

    def test_default(self) -> None:
        """By default a hundred uploads hold less than 64 MiB, and one less than 8 MiB."""
        budget = MemoryBudget()
        budget.join()
        self.assertLess(budget.share, 8 * MIB)
        for _ in range(99):
            budget.join()
        self.assertLess(100 * budget.share, 64 * MIB)
        self.assertGreaterEqual(budget.share, 64 * KIB)


class DigestTests(SynchronousTestCase):
    """Running hashes."""

    BLOCKS = (b"", b"abc", b"", b"d" * 5000, b"e")

    def assert_hashes(self, digest: Digest, algorithm: Callable[[bytes], Any]) -> None:
        """After each update, the hash is the one of all bytes so far."""
        self.assertEqual(digest.hex(), algorithm(b"").hexdigest())
        digest.update([])
        digest.update(self.BLOCKS)
        whole = b"".join(self.BLOCKS)
        self.assertEqual(digest.hex(), algorithm(whole).hexdigest())
        digest.update([b"more"])
        self.assertEqual(digest.hex(), algorithm(whole + b"more").hexdigest())

    def test_md5(self) -> None:
        """MD5 over blocks is MD5 over the whole."""
        self.assert_hashes(md5(), hashlib.md5)
        self.assertEqual(md5().hex(), "d41d8cd98f00b204e9800998ecf8427e")

    def test_sha256(self) -> None:
        """SHA-256 over blocks is SHA-256 over the whole."""
        self.assert_hashes(sha256(), hashlib.sha256)

    def test_apart(self) -> None:
        """Two digests know nothing of each other."""
        one, two = md5(), md5()
        one.update([b"abc"])
        self.assertNotEqual(one.hex(), two.hex())


class ReceiverTests(SynchronousTestCase):
    """The way in."""

    def setUp(self) -> None:
        self.executor = SteppedExecutor()
        self.budget = MemoryBudget(total=10, largest=10, smallest=1)
        self.events: list[str] = []
        self.seen: tuple[list[bytes], list[bytes]] = ([], [])
        self.broken: set[int] = set()

    def step(self, number: int) -> Step:
        """Notes the bytes that it sees, and fails while its number is in C{broken}."""

        def step(blocks: Sequence[bytes]) -> None:
            if number in self.broken:
                raise Broken(number)
            self.seen[number].extend(blocks)

        return step

    def receiver(
        self, size: int, executor: Executor | None = None, budget: MemoryBudget | None = None
    ) -> Receiver:
        """A receiver with two steps, noting what it tells."""
        return Receiver(
            size,
            [self.step(0), self.step(1)],
            WorkerPool(self.executor if executor is None else executor),
            self.budget if budget is None else budget,
            lambda: self.events.append("drained"),
            lambda: self.events.append("failed"),
        )

    def finish(self, receiver: Receiver) -> Deferred[None]:
        return Deferred.fromCoroutine(receiver.finish())

    def stop(self, receiver: Receiver) -> Deferred[None]:
        return Deferred.fromCoroutine(receiver.stop())

    def test_counts_down(self) -> None:
        """What remains is the size less all bytes that came, whether they are done or not."""
        receiver = self.receiver(10)
        remaining = [receiver.remaining]
        for data in (b"abc", b"", b"defg", b"hij"):
            receiver.write(data)
            remaining.append(receiver.remaining)
        self.assertEqual(remaining, [10, 7, 7, 3, 0])
        self.executor.run_all()

    def test_every_step(self) -> None:
        """Every step sees all bytes in order, in blocks as they came."""
        blocks = [b"abc", b"d", b"efgh", b"ij"]
        for executor in (InlineExecutor(), self.executor):
            for seen in self.seen:
                seen.clear()
            receiver = self.receiver(10, executor)
            for data in blocks:
                receiver.write(data)
            finished = self.finish(receiver)
            self.executor.run_all()
            self.successResultOf(finished)
            self.assertEqual(self.seen, (blocks, blocks))
        self.assertEqual(self.events, [])

    def test_nothing(self) -> None:
        """A receiver of no bytes finishes at once, and no step is bothered."""
        self.successResultOf(self.finish(self.receiver(0)))
        self.assertEqual(len(self.executor), 0)
        self.assertEqual(self.seen, ([], []))

    def test_finish_waits(self) -> None:
        """It is not finished before every step has done every byte."""
        receiver = self.receiver(4)
        receiver.write(b"ab")
        receiver.write(b"cd")
        finished = self.finish(receiver)
        while len(self.executor):
            self.assertNoResult(finished)
            self.executor.step()
        self.successResultOf(finished)
        self.assertEqual(self.seen, ([b"ab", b"cd"], [b"ab", b"cd"]))

    def test_full(self) -> None:
        """It is full once more than its share waits, and drained at half of it, told once."""
        receiver = self.receiver(100)
        receiver.write(b"0123456789")
        self.assertFalse(receiver.full)
        receiver.write(b"a")
        self.assertTrue(receiver.full)
        self.assertEqual(self.events, [])
        self.executor.step()
        self.assertTrue(receiver.full)  # the other step has 11 bytes yet
        self.executor.step()
        self.assertFalse(receiver.full)
        self.assertEqual(self.events, ["drained"])
        self.executor.run_all()
        self.assertEqual(self.events, ["drained"])

    def test_drained_at_half(self) -> None:
        """Where more than half of the share still waits, the sender is held back further."""
        full = []

        def look(blocks: Sequence[bytes]) -> None:
            full.append((list(blocks), receiver.full, list(self.events)))

        receiver = Receiver(
            100,
            [look],
            WorkerPool(self.executor),
            self.budget,
            lambda: self.events.append("drained"),
            self.fail,
        )
        for data in (b"01", b"234567", b"89a"):
            receiver.write(data)
        self.assertTrue(receiver.full)
        self.executor.run_all()
        # After 01, 9 bytes of 10 that may wait do.
        self.assertEqual(full, [([b"01"], True, []), ([b"234567", b"89a"], True, [])])
        self.assertFalse(receiver.full)
        self.assertEqual(self.events, ["drained"])

    def test_full_again(self) -> None:
        """A receiver that was drained fills up and is drained again."""
        receiver = self.receiver(100)
        for _ in range(3):
            receiver.write(b"0123456789a")
            self.assertTrue(receiver.full)
            self.executor.run_all()
            self.assertFalse(receiver.full)
        self.assertEqual(self.events, ["drained"] * 3)

    def test_slowest_step(self) -> None:
        """One step that does not come along is enough to hold the sender back."""
        slow = SteppedExecutor()
        quick = InlineExecutor()

        class Mixed:
            """Gives the first worker's work to one executor, the second one's to another."""

            workers: list[Any] = []

            def run(self, work: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
                chosen: Any = quick if not self.workers or work == self.workers[0] else slow
                self.workers.append(work)
                result: Deferred[Any] = chosen.run(work, *args, **kwargs)
                return result

            def report(self, callback: Any, *args: Any, **kwargs: Any) -> None:
                callback(*args, **kwargs)

        steps = [self.step(0), self.step(1)]
        receiver = Receiver(
            20,
            steps,
            WorkerPool(Mixed()),
            self.budget,
            lambda: self.events.append("drained"),
            self.fail,
        )
        receiver.write(b"0123456789")
        receiver.write(b"a")
        self.assertEqual(self.seen, ([b"0123456789", b"a"], []))
        self.assertTrue(receiver.full)
        slow.run_all()
        self.assertFalse(receiver.full)
        self.assertEqual(self.events, ["drained"])

    def test_smaller_share(self) -> None:
        """The share is the one of the moment: more receivers, and each is full earlier."""
        one = self.receiver(100)
        two = self.receiver(100)
        two.write(b"0")
        one.write(b"012345")
        self.assertTrue(one.full)
        self.executor.run_all()
        self.successResultOf(self.finish(two))
        one.write(b"012345")
        self.assertFalse(one.full)
        self.executor.run_all()

    def test_leaves_budget(self) -> None:
        """A receiver has its share until it is finished or stopped, however that ends."""
        for end in (self.finish, self.stop):
            for broken in (set[int](), {0}, {0, 1}):
                budget = MemoryBudget(total=10, largest=10, smallest=1)
                budget.join()
                receiver = self.receiver(3, budget=budget)
                self.assertEqual(budget.share, 10)  # who sends nothing takes nothing
                self.broken = broken
                receiver.write(b"abc")
                self.assertEqual(budget.share, 5)
                ended = end(receiver)
                ended.addErrback(lambda failure: failure.trap(Broken))
                self.assertEqual(budget.share, 5)
                self.executor.run_all()
                self.successResultOf(ended)
                self.assertEqual(budget.share, 10)

    def test_failure(self) -> None:
        """A step that raises is told once; what waits and what comes is dropped, and counted."""
        receiver = self.receiver(100)
        self.broken = {0}
        receiver.write(b"ab")
        receiver.write(b"cd")
        self.assertIs(receiver.failure, None)
        self.executor.step()
        self.assertEqual(self.events, ["failed"])
        self.executor.run_all()
        receiver.write(b"ef")
        self.executor.run_all()
        self.assertEqual(receiver.remaining, 94)
        self.assertEqual(self.seen, ([], []))  # the other step had not begun
        failure = receiver.failure
        assert failure is not None
        self.assertIs(failure.type, Broken)
        self.assertIs(self.failureResultOf(self.finish(receiver), Broken).value, failure.value)
        self.assertEqual(self.events, ["failed"])

    def test_both_fail(self) -> None:
        """Where both steps raise, the first is the one that is told."""
        receiver = self.receiver(100)
        self.broken = {0, 1}
        receiver.write(b"ab")
        finished = self.finish(receiver)
        self.executor.run_all()
        self.assertEqual(self.events, ["failed"])
        self.assertEqual(self.failureResultOf(finished, Broken).value.args, (0,))

    def test_failure_waits_for_others(self) -> None:
        """A failure is told by finish only when no step runs any more."""
        receiver = self.receiver(100)
        self.broken = {0}
        receiver.write(b"ab")
        finished = self.finish(receiver)
        self.executor.step()
        self.assertEqual(self.events, ["failed"])
        self.assertNoResult(finished)
        self.executor.step()
        self.failureResultOf(finished, Broken)

    def test_failure_while_full(self) -> None:
        """A full receiver that fails holds the sender back no longer, and says so first."""
        receiver = self.receiver(100)
        self.broken = {1}
        receiver.write(b"0123456789a")
        receiver.write(b"b")
        self.assertTrue(receiver.full)
        self.executor.run_all()
        self.assertFalse(receiver.full)
        self.assertEqual(self.events, ["drained", "failed"])
        receiver.write(b"0123456789a")
        self.assertFalse(receiver.full)

    def test_failure_at_once(self) -> None:
        """A step that raises before write returns leaves the receiver not full for ever."""
        self.broken = {0}
        receiver = self.receiver(100, InlineExecutor())
        receiver.write(b"0123456789a")
        self.assertEqual(self.events, ["failed"])
        self.assertFalse(receiver.full)
        self.failureResultOf(self.finish(receiver), Broken)

    def test_stop(self) -> None:
        """
        Stopping drops what has not begun, and ends when every step has seen that; what comes then
        is dropped, too.
        """
        receiver = self.receiver(100)
        receiver.write(b"ab")
        receiver.write(b"cd")
        stopped = self.stop(receiver)
        self.assertNoResult(stopped)
        receiver.write(b"ef")
        self.executor.step()
        self.assertNoResult(stopped)
        self.executor.step()
        self.successResultOf(stopped)
        self.assertEqual(len(self.executor), 0)
        self.executor.run_all()
        self.assertEqual(self.seen, ([], []))

    def test_stop_while_running(self) -> None:
        """A step that runs is waited for, and sees no more blocks after that."""
        stopped: list[Deferred[None]] = []

        def stop(blocks: Sequence[bytes]) -> None:
            self.seen[0].extend(blocks)
            if not stopped:
                stopped.append(self.stop(receiver))
                self.assertNoResult(stopped[0])

        receiver = Receiver(
            100, [stop], WorkerPool(self.executor), self.budget, self.fail, lambda: self.fail()
        )
        receiver.write(b"ab")
        receiver.write(b"cd")
        self.executor.run_all()
        self.successResultOf(stopped[0])
        self.assertEqual(self.seen[0], [b"ab"])

    def test_worker_shared(self) -> None:
        """Transfers on one worker share no failures, and do not wait for each other's end."""
        workers = WorkerPool(self.executor, 1)
        self.broken = {0}
        bad, good = (
            Receiver(10, [self.step(number)], workers, self.budget, self.fail, self.note_failed)
            for number in (0, 1)
        )
        for receiver in (bad, good, bad, good):
            receiver.write(b"ab")
        self.executor.run_all()
        self.assertEqual(self.events, ["failed"])
        self.assertEqual(self.seen, ([], [b"ab", b"ab"]))
        self.failureResultOf(self.finish(bad), Broken)
        self.successResultOf(self.finish(good))

    def note_failed(self) -> None:
        self.events.append("failed")

    def test_stop_after_failure(self) -> None:
        """Stopping ends well, whatever the steps raise."""
        receiver = self.receiver(100)
        self.broken = {0, 1}
        receiver.write(b"ab")
        stopped = self.stop(receiver)
        self.executor.run_all()
        self.successResultOf(stopped)


@implementer(IUpload)
class RecordedUpload:
    """
    An upload into nothing.

    @ivar blocks: what was written.
    @ivar ended: how it ended, each time: C{"abort"}, or the digests of the commit.
    @ivar commits: fires the commit.
    """

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.ended: list[str | Digests] = []
        self.commits: Deferred[Entry] = Deferred()
        self.broken = False

    def write(self, blocks: Sequence[bytes]) -> None:
        if self.broken:
            raise Broken
        self.blocks.extend(blocks)

    def commit(self, digests: Digests) -> Deferred[Entry]:
        self.ended.append(digests)
        return self.commits

    def abort(self) -> Deferred[None]:
        self.ended.append("abort")
        return succeed(None)


class VerifiedUploadTests(SynchronousTestCase):
    """Uploads, hashed and stored on their way."""

    DATA = b"The bytes of a file."

    def setUp(self) -> None:
        self.executor = SteppedExecutor()
        self.budget = MemoryBudget(total=10, largest=10, smallest=1)
        self.upload = RecordedUpload()
        self.assertTrue(verifyObject(IUpload, self.upload))
        self.events: list[str] = []
        self.verified = self.verify(self.upload, self.executor)

    def verify(self, upload: IUpload, executor: Executor) -> VerifiedUpload:
        return VerifiedUpload(
            upload,
            "a",
            len(self.DATA),
            WorkerPool(executor),
            self.budget,
            lambda: self.events.append("drained"),
            lambda: self.events.append("failed"),
        )

    def write(self, verified: VerifiedUpload) -> None:
        """Let the bytes come, in two blocks."""
        verified.write(self.DATA[:7])
        verified.write(self.DATA[7:])

    def digests(self) -> Digests:
        return Digests(hashlib.md5(self.DATA).hexdigest(), hashlib.sha256(self.DATA).hexdigest())

    def test_finish(self) -> None:
        """When all bytes are written, the upload is committed once, with both hashes."""
        self.write(self.verified)
        finished = Deferred.fromCoroutine(self.verified.finish())
        self.assertEqual(self.upload.ended, [])
        self.executor.run_all()
        self.assertEqual(b"".join(self.upload.blocks), self.DATA)
        self.assertEqual(self.upload.ended, [self.digests()])
        self.assertNoResult(finished)
        entry = Entry(self.digests().md5, "name", len(self.DATA))
        self.upload.commits.callback(entry)
        self.assertEqual(self.successResultOf(finished), entry)
        self.assertEqual(self.upload.ended, [self.digests()])

    def test_counts(self) -> None:
        """It tells what remains, and when it is full and drained, as a receiver does."""
        self.assertEqual(self.verified.size, 20)
        self.assertEqual((self.verified.remaining, self.verified.full), (20, False))
        self.verified.write(self.DATA[:12])
        self.assertEqual((self.verified.remaining, self.verified.full), (8, True))
        self.executor.run_all()
        self.assertFalse(self.verified.full)
        self.assertEqual(self.events, ["drained"])

    def test_writing_fails(self) -> None:
        """What can't be written is told at once, and finish aborts it before it raises why."""
        self.upload.broken = True
        self.write(self.verified)
        self.executor.run_all()
        self.assertIn("failed", self.events)
        self.assertEqual(self.upload.ended, [])
        self.failureResultOf(Deferred.fromCoroutine(self.verified.finish()), Broken)
        self.assertEqual(self.upload.ended, ["abort"])

    def test_commit_fails(self) -> None:
        """What the store refuses is raised; the commit has ended the upload, no abort follows."""
        self.write(self.verified)
        finished = Deferred.fromCoroutine(self.verified.finish())
        self.executor.run_all()
        self.upload.commits.errback(Collision())
        self.failureResultOf(finished, Collision)
        self.assertEqual(self.upload.ended, [self.digests()])

    def test_abort(self) -> None:
        """Giving up drops what is not being written yet, then aborts, and commits nothing."""
        self.write(self.verified)
        aborted = Deferred.fromCoroutine(self.verified.abort())
        self.assertEqual(self.upload.ended, [])
        self.executor.run_all()
        self.successResultOf(aborted)
        self.assertEqual(self.upload.ended, ["abort"])
        self.assertEqual(self.upload.blocks, [])

    def test_abort_after_failure(self) -> None:
        """An upload whose writing fails can be given up as well."""
        self.upload.broken = True
        self.write(self.verified)
        aborted = Deferred.fromCoroutine(self.verified.abort())
        self.executor.run_all()
        self.successResultOf(aborted)
        self.assertEqual(self.upload.ended, ["abort"])

    def test_into_store(self) -> None:
        """In a real store, a finished upload is listed under the hash of what came."""
        store = make_store(self)
        upload = self.successResultOf(store.create("name", len(self.DATA), EVERYTHING))
        verified = self.verify(upload, InlineExecutor())
        self.write(verified)
        entry = self.successResultOf(Deferred.fromCoroutine(verified.finish()))
        self.assertEqual(entry, Entry(self.digests().md5, "name", len(self.DATA)))
        self.assertEqual(
            entries_of(self.successResultOf(store.list_text("", EVERYTHING).read())), [entry]
        )
        status = self.successResultOf(store.status(entry.id, EVERYTHING))
        self.assertEqual(status.sha256, self.digests().sha256)


class Blocks:
    """
    A source that is read when the test says so.

    @ivar reads: the reads that were asked for, in order; the test fires them.
    """

    def __init__(self) -> None:
        self.reads: list[Deferred[bytes]] = []

    def __call__(self) -> Deferred[bytes]:
        self.reads.append(Deferred())
        return self.reads[-1]


class SenderTests(SynchronousTestCase):
    """The way out."""

    def setUp(self) -> None:
        self.transport = StringTransport()
        self.blocks = Blocks()
        self.sender = Sender(self.transport, self.blocks)

    def run_sender(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.sender.run())

    def give(self, number: int, data: bytes) -> bytes:
        """Let the read of that number end: all that is written by then."""
        self.blocks.reads[number].callback(data)
        written: bytes = self.transport.value()
        return written

    def test_interface(self) -> None:
        """It is a push producer."""
        self.assertTrue(verifyObject(IPushProducer, self.sender))

    def test_order(self) -> None:
        """All blocks are written in order, up to the empty one, and nothing is read after that."""
        blocks = [b"abc", b"d", b"efg", b""]
        left = list(blocks)
        sender = Sender(self.transport, lambda: succeed(left.pop(0)))
        self.successResultOf(Deferred.fromCoroutine(sender.run()))
        self.assertEqual(self.transport.value(), b"abcdefg")
        self.assertEqual(left, [])

    def test_nothing(self) -> None:
        """A source that is empty is sent at once."""
        running = self.run_sender()
        self.assertEqual(self.give(0, b""), b"")
        self.successResultOf(running)
        self.assertEqual(len(self.blocks.reads), 1)

    def test_reads_ahead(self) -> None:
        """Exactly one block is read ahead while one is sent, and two reads are never out."""
        running = self.run_sender()
        self.assertEqual(len(self.blocks.reads), 1)
        for number, written in enumerate((b"0", b"01", b"012")):
            self.assertEqual(self.give(number, str(number).encode()), written)
            self.assertEqual(len(self.blocks.reads), number + 2)
            self.assertNoResult(running)
        self.give(3, b"")
        self.successResultOf(running)
        self.assertEqual(len(self.blocks.reads), 4)

    def test_many_blocks(self) -> None:
        """Thousands of blocks that are there at once are sent without deep recursion."""
        left = [b"x"] * 5000
        sender = Sender(self.transport, lambda: succeed(left.pop() if left else b""))
        self.successResultOf(Deferred.fromCoroutine(sender.run()))
        self.assertEqual(len(self.transport.value()), 5000)

    def test_pause(self) -> None:
        """A transport that pauses in the middle of a write gets no more until it resumes."""
        running = self.run_sender()
        write = self.transport.write

        def write_and_pause(data: bytes) -> None:
            write(data)
            self.sender.pauseProducing()

        self.patch(self.transport, "write", write_and_pause)
        self.assertEqual(self.give(0, b"a"), b"a")
        self.assertEqual(self.give(1, b"b"), b"a")
        self.assertLessEqual(len(self.blocks.reads), 2)
        self.sender.resumeProducing()
        self.assertEqual(self.transport.value(), b"ab")
        self.assertEqual(self.give(2, b""), b"ab")
        self.sender.resumeProducing()
        self.successResultOf(running)

    def test_pause_before(self) -> None:
        """A sender that is paused before it runs writes nothing until it is resumed."""
        self.sender.pauseProducing()
        running = self.run_sender()
        self.assertEqual(self.give(0, b"a"), b"")
        self.sender.resumeProducing()
        self.assertEqual(self.transport.value(), b"a")
        self.give(1, b"")
        self.successResultOf(running)

    def test_pause_while_reading(self) -> None:
        """A sender that is paused while a block is read holds that block until it is resumed."""
        running = self.run_sender()
        self.assertEqual(self.give(0, b"a"), b"a")
        self.sender.pauseProducing()
        self.assertEqual(self.give(1, b"b"), b"a")
        self.sender.resumeProducing()
        self.assertEqual(self.transport.value(), b"ab")
        self.give(2, b"")
        self.successResultOf(running)

    def test_pause_and_resume(self) -> None:
        """Pausing and resuming while a block is read, in any number, changes nothing."""
        running = self.run_sender()
        for _ in range(2):
            self.sender.pauseProducing()
            self.sender.pauseProducing()
            self.sender.resumeProducing()
            self.sender.resumeProducing()
        self.assertEqual(self.give(0, b"a"), b"a")
        self.give(1, b"")
        self.successResultOf(running)

    def test_stop_while_reading(self) -> None:
        """A sender that is stopped waits for the read that is out, and writes nothing more."""
        running = self.run_sender()
        self.give(0, b"a")
        self.sender.stopProducing()
        self.assertNoResult(running)
        self.assertEqual(self.give(1, b"b"), b"a")
        self.failureResultOf(running, ConnectionCut)
        self.assertEqual(len(self.blocks.reads), 2)

    def test_stop_while_paused(self) -> None:
        """A sender that is stopped while it is paused does not wait to be resumed."""
        running = self.run_sender()
        self.patch(self.transport, "write", lambda data: self.sender.pauseProducing())
        self.give(0, b"a")
        self.give(1, b"b")
        self.assertNoResult(running)
        self.sender.stopProducing()
        self.failureResultOf(running, ConnectionCut)
        self.assertEqual(len(self.blocks.reads), 2)

    def test_stop_before(self) -> None:
        """A sender that is stopped before it runs writes nothing."""
        self.sender.stopProducing()
        running = self.run_sender()
        self.assertEqual(self.give(0, b"a"), b"")
        self.failureResultOf(running, ConnectionCut)

    def test_stop_before_end(self) -> None:
        """A sender that is stopped is cut, even where the read that was out is the end."""
        running = self.run_sender()
        self.give(0, b"a")
        self.sender.stopProducing()
        self.give(1, b"")
        self.failureResultOf(running, ConnectionCut)

    def test_read_fails(self) -> None:
        """A read that fails ends it with that error, when all blocks before are written."""
        outcomes: list[Deferred[bytes]] = [succeed(b"a"), succeed(b"b"), fail(Corrupt())]
        sender = Sender(self.transport, lambda: outcomes.pop(0))
        self.failureResultOf(Deferred.fromCoroutine(sender.run()), Corrupt)
        self.assertEqual(self.transport.value(), b"ab")

    def test_read_fails_later(self) -> None:
        """The same where the read that fails was out for a while."""
        running = self.run_sender()
        self.give(0, b"a")
        self.blocks.reads[1].errback(Corrupt())
        self.failureResultOf(running, Corrupt)
        self.assertEqual(self.transport.value(), b"a")
        self.assertEqual(len(self.blocks.reads), 2)

    def test_read_fails_while_paused(self) -> None:
        """A read ahead that fails during a pause is told when the sender is resumed."""
        running = self.run_sender()
        self.give(0, b"a")
        self.sender.pauseProducing()
        self.blocks.reads[1].errback(Corrupt())
        self.sender.resumeProducing()
        self.failureResultOf(running, Corrupt)


class IncomingFileTests(SynchronousTestCase):
    """Files that are written aside."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.file = StagedFile.new(self.path)
        self.addCleanup(self.file.close)

    def test_write(self) -> None:
        """Blocks are appended in order."""
        for blocks in ([b"a", b"bc"], [], [b""], [b"", b"d", b""], (b"e",)):
            self.file.write(blocks)
        self.assertEqual(self.path.read_bytes(), b"abcde")

    def test_many_blocks(self) -> None:
        """More blocks than one system call takes are written, whatever the remainder."""
        whole = b""
        for count in (1023, 1024, 1025, 2048, 3000):
            blocks = [b"%d," % number for number in range(count)]
            whole += b"".join(blocks)
            self.file.write(blocks)
        self.assertEqual(self.path.read_bytes(), whole)

    def test_partial(self) -> None:
        """Where the system takes only a part, the rest follows: within, at and across blocks."""
        writev = os.writev
        blocks = [b"abc", b"", b"d", b"efghij", b"", b"k" * 100]
        for part in (1, 2, 3, 4, 5, 9, 10, 11, 109):
            self.path.write_bytes(b"")
            os.lseek(self.file._fd, 0, os.SEEK_SET)
            calls: list[int] = []

            def write_part(
                fd: int, rest: Sequence[bytes], part: int = part, calls: list[int] = calls
            ) -> int:
                some = b"".join(rest)[:part]
                calls.append(len(some))
                return writev(fd, [some])

            self.patch(os, "writev", write_part)
            self.file.write(blocks)
            self.assertEqual(self.path.read_bytes(), b"".join(blocks), f"{part} at a time")
            self.assertEqual(len(calls), -(-110 // part))

    def test_exclusive(self) -> None:
        """A file that is there already is not written to."""
        self.assertRaises(FileExistsError, StagedFile.new, self.path)

    def test_discard(self) -> None:
        """A discarded file is closed and gone; doing it again does nothing."""
        self.file.write([b"abc"])
        for _ in range(2):
            self.file.discard()
            self.assertFalse(self.path.exists())
        self.assertRaises(OSError, self.file.write, [b"abc"])

    def test_discard_after_rename(self) -> None:
        """A file that was given another name stays when it is discarded."""
        self.file.write([b"abc"])
        self.file.sync()
        target = self.path.with_name("target")
        self.path.rename(target)
        self.file.discard()
        self.assertEqual(target.read_bytes(), b"abc")

    def test_sync(self) -> None:
        """A synced file is on the disk before it is closed, and takes no more."""
        synced: list[int] = []
        self.patch(os, "fsync", synced.append)
        fd = self.file._fd
        self.file.sync()
        self.assertEqual(synced, [fd])
        self.assertRaises(OSError, os.fstat, fd)
        self.assertRaises(OSError, self.file.write, [b"abc"])
        self.file.close()

    def test_sync_path(self) -> None:
        """A directory is synced itself, and its descriptor closed, even where that fails."""
        synced: list[int] = []

        def fsync(fd: int) -> None:
            self.assertTrue(os.path.samestat(os.fstat(fd), self.path.parent.stat()))
            synced.append(fd)
            raise Broken

        self.patch(os, "fsync", fsync)
        self.assertRaises(Broken, sync_path, self.path.parent)
        self.assertRaises(OSError, os.fstat, synced[0])


class ReadExactlyTests(SynchronousTestCase):
    """Reading as many bytes as are asked for."""

    DATA = b"0123456789"

    def setUp(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(self.DATA)
        self.fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def test_ranges(self) -> None:
        """Every range within the file reads as its bytes, and does not move a position."""
        for offset in range(11):
            for length in range(11 - offset):
                self.assertEqual(
                    read_exactly(self.fd, offset, length), self.DATA[offset : offset + length]
                )
        self.assertEqual(os.lseek(self.fd, 0, os.SEEK_CUR), 0)

    def test_past_end(self) -> None:
        """A range that is not all there is Corrupt, and told where the file ends."""
        for offset, length in ((0, 11), (9, 2), (10, 1)):
            error = self.assertRaises(Corrupt, read_exactly, self.fd, offset, length)
            self.assertIn("byte 10", str(error))
        self.assertRaises(Corrupt, read_exactly, self.fd, 100, 1)

    def test_short_reads(self) -> None:
        """Where the system gives only a part, the rest is asked for."""
        pread = os.pread
        for part in (1, 2, 3, 7):
            self.patch(
                os,
                "pread",
                lambda fd, length, offset, part=part: pread(fd, min(part, length), offset),
            )
            self.assertEqual(read_exactly(self.fd, 1, 9), self.DATA[1:])
            self.assertRaises(Corrupt, read_exactly, self.fd, 1, 10)
