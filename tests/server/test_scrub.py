"""The scrub: its pace, its order, what it finds, how it stops; by a clock turned by hand."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import listed, put, stored_bytes
from tests.support.depot import NO_SMALL, overwrite
from tests.support.executors import InlineExecutor, SteppedExecutor
from tests.support.held import close_store
from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt
from xferproto.model.identity import EVERYTHING
from xferproto.server.maintenance.scrub import INTERVAL, PAUSE, Scrub
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.store.local.store import LocalStore
from xferproto.threads.executor import Executor
from xferproto.transfer import hashing

BLOCK = 100
"""Bytes that are hashed at a time here."""

RATE = 10
"""Bytes a second: a block takes ten."""


class ScrubTestCase(SynchronousTestCase):
    """
    A store and a scrub that share a clock.

    @cvar small: the most bytes of a small content.
    @ivar ahead: seconds by which the time of day is ahead of the clock that paces.
    """

    small = NO_SMALL

    def setUp(self) -> None:
        self.patch(hashing, "HASH_BLOCK", BLOCK)
        self.root = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.ahead = 1e9
        inline = InlineExecutor()
        self.store = LocalStore(self.root, inline, inline, inline, self.now, small=self.small)
        self.addCleanup(close_store, self, self.store)
        self.running: list[Scrub] = []
        self.addCleanup(self.stop_all)

    def now(self) -> float:
        """The time of day."""
        return self.clock.seconds() + self.ahead

    def put(self, data: bytes) -> Entry:
        """Store a content, and let a second pass."""
        entry: Entry = self.successResultOf(put(self.store, f"of {len(data)}", data))
        self.clock.advance(1)
        return entry

    def scrub(self, rate: int = RATE, executor: Executor | None = None) -> Scrub:
        """A scrub that runs, until the test ends if not before."""
        used = InlineExecutor() if executor is None else executor
        scrub = Scrub(self.store, used, self.clock, rate, self.now)
        self.running.append(scrub)
        scrub.start()
        return scrub

    def stop_all(self) -> None:
        """Stop what runs; nothing may stay behind."""
        for scrub in self.running:
            self.successResultOf(scrub.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def pass_time(self, seconds: int) -> None:
        """Let time pass, second by second."""
        self.clock.pump([1] * seconds)

    def make_due(self) -> None:
        """Let so much time pass that all is due that is stored by now."""
        self.ahead += INTERVAL

    def verified(self, entry: Entry) -> float:
        """When a content was verified, seconds by the clock that paces since it was set up."""
        status = self.successResultOf(self.store.status(entry.id, EVERYTHING))
        verified: float = status.verified
        return verified

    def path(self, entry: Entry) -> Path:
        """Where a content lies."""
        return self.root / "objects" / entry.id[:2] / entry.id

    def assert_good(self, *entries: Entry) -> None:
        """These, and no others, are listed."""
        found = self.successResultOf(listed(self.store))
        self.assertEqual(found, sorted(entries, key=lambda entry: entry.name))


class PaceTests(ScrubTestCase):
    """When it does what."""

    def test_rate(self) -> None:
        """A content takes as long as its bytes at the rate, and is verified at its end."""
        entry = self.put(bytes(1000))
        self.make_due()
        began = self.now()
        self.scrub()
        self.pass_time(99)
        self.assertLess(self.verified(entry), began)
        self.pass_time(1)
        self.assertEqual(self.verified(entry), began + 100)

    def test_reads_as_it_goes(self) -> None:
        """It reads a block at a time, and the next one when the rate allows that."""
        self.put(bytes(1000))
        self.make_due()
        read: list[int] = []
        pread = os.pread

        def counted(fd: int, length: int, offset: int) -> bytes:
            read.append(length)
            return pread(fd, length, offset)

        with patch.object(os, "pread", counted):
            self.scrub()
            for blocks in range(1, 10):
                self.assertEqual(sum(read), blocks * BLOCK)
                self.pass_time(10)

    def test_rest_of_a_block(self) -> None:
        """A content that is no whole number of blocks takes its time to the byte."""
        entry = self.put(bytes(250))
        self.make_due()
        began = self.now()
        self.scrub()
        self.pass_time(24)
        self.assertLess(self.verified(entry), began)
        self.pass_time(1)
        self.assertEqual(self.verified(entry), began + 25)

    def test_slow_disk(self) -> None:
        """What the disk takes longer for than the rate is not waited for once more."""
        entry = self.put(bytes(200))
        self.make_due()
        began = self.now()
        executor = SteppedExecutor()
        self.scrub(executor=executor)
        for _ in range(2):
            self.clock.advance(50)
            executor.run_all()
            self.clock.advance(0)
        self.assertEqual(self.verified(entry), began + 100)

    def test_very_slow(self) -> None:
        """However slow the rate is, it is kept: a block may take longer than a pause."""
        entry = self.put(bytes(300))
        self.make_due()
        began = self.now()
        self.scrub(rate=1)
        self.assertGreater(BLOCK, PAUSE)
        self.pass_time(299)
        self.assertLess(self.verified(entry), began)
        self.pass_time(1)
        self.assertEqual(self.verified(entry), began + 300)

    def test_empty_content(self) -> None:
        """A content of no bytes is verified at once."""
        entry = self.put(b"")
        self.make_due()
        began = self.now()
        self.scrub()
        self.pass_time(1)
        self.assertEqual(self.verified(entry), began)

    def test_empty_store(self) -> None:
        """Where nothing is stored it looks again after a pause, and finds what came then."""
        self.scrub()
        self.pass_time(10)
        entry = self.put(bytes(10))
        self.make_due()
        self.pass_time(int(PAUSE) + 2)
        self.assertGreater(self.verified(entry), 1e9 + INTERVAL)


class OrderTests(ScrubTestCase):
    """What is due, and in which order."""

    def test_oldest_first(self) -> None:
        """Contents are verified in the order in which that was done last, all of them."""
        entries = [self.put(bytes(size)) for size in (30, 10, 50, 40, 20)]
        self.assertNotEqual(entries, sorted(entries, key=lambda entry: entry.id))
        self.make_due()
        self.scrub()
        self.pass_time(16)
        times = [self.verified(entry) for entry in entries]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[0], 1e9 + INTERVAL)

    def test_within_a_day(self) -> None:
        """What was verified within a day is left alone, then verified soon after."""
        entry = self.put(bytes(10))
        stored = self.verified(entry)
        self.ahead += INTERVAL - 100
        self.scrub()
        self.pass_time(98)
        self.assertEqual(self.verified(entry), stored)
        self.pass_time(int(PAUSE) + 4)
        self.assertGreater(self.verified(entry), stored + INTERVAL - 1)

    def test_once_a_day(self) -> None:
        """A content is not verified again before another day is over."""
        entry = self.put(bytes(10))
        self.make_due()
        self.scrub()
        self.pass_time(2)
        verified = self.verified(entry)
        self.assertGreater(verified, 1e9 + INTERVAL)
        self.pass_time(1000)
        self.assertEqual(self.verified(entry), verified)
        self.make_due()
        self.pass_time(int(PAUSE) + 2)
        self.assertGreater(self.verified(entry), verified + INTERVAL - 1)

    def test_future(self) -> None:
        """A time in the future is one of a clock that was wrong: the content is due."""
        self.ahead += 1e6
        entry = self.put(bytes(10))
        self.ahead -= 1e6
        began = self.now()
        self.scrub()
        self.pass_time(2)
        self.assertEqual(self.verified(entry), began + 1)

    def test_future_among_others(self) -> None:
        """A time in the future makes a content due also where others were verified just now."""
        self.ahead += 1e9
        entry = self.put(bytes(10))
        self.ahead -= 1e9
        other = self.put(bytes(20))
        stored = self.verified(other)
        self.scrub()
        self.pass_time(4)
        self.assertLess(self.verified(entry), 1.5e9)
        self.assertEqual(self.verified(other), stored)

    def test_names_once(self) -> None:
        """A content with many names is hashed once."""
        entry = self.put(bytes(100))
        for name in "abc":
            self.successResultOf(put(self.store, name, bytes(100)))
        self.make_due()
        began = self.now()
        self.scrub()
        self.pass_time(50)
        self.assertEqual(self.verified(entry), began + 10)


class DamageTestCase(ScrubTestCase):
    """Contents for it to look at."""

    def three(self) -> list[Entry]:
        """Three contents, due in this order."""
        entries = [self.put(bytes(size)) for size in (10, 20, 30)]
        self.make_due()
        return entries

    def assert_damaged(self, entry: Entry) -> None:
        """A content is known to be damaged."""
        self.failureResultOf(self.store.open(entry.id, EVERYTHING), Corrupt)
        self.failureResultOf(self.store.status(entry.id, EVERYTHING), Corrupt)


class DamageTests(DamageTestCase):
    """What it finds, wherever the bytes lie."""

    def test_flipped(self) -> None:
        """A flipped bit is found; the content is quarantined, and the others are verified."""
        entries = self.three()
        overwrite(self.root, entries[0].id, b"\x01" + bytes(9))
        began = self.now()
        self.scrub()
        self.pass_time(10)
        self.assert_damaged(entries[0])
        self.assert_good(*entries[1:])
        for entry in entries[1:]:
            self.assertGreater(self.verified(entry), began)
        (aside,) = (self.root / "quarantine").iterdir()
        self.assertEqual(aside.read_bytes(), b"\x01" + bytes(9))

    def test_missing_or_cut(self) -> None:
        """A file that is gone or cut off is found, and the others are verified."""
        entries = self.three()
        overwrite(self.root, entries[0].id, None)
        overwrite(self.root, entries[1].id, bytes(5))
        began = self.now()
        self.scrub()
        self.pass_time(10)
        for entry in entries[:2]:
            self.assert_damaged(entry)
        self.assert_good(entries[2])
        self.assertGreater(self.verified(entries[2]), began)

    def test_healed(self) -> None:
        """What was damaged and sent again is verified again when it is due."""
        entry = self.put(bytes(10))
        overwrite(self.root, entry.id, b"x" * 10)
        self.make_due()
        self.scrub()
        self.pass_time(2)
        self.assert_damaged(entry)
        self.put(bytes(10))
        healed = self.verified(entry)
        self.pass_time(200)
        self.assertEqual(self.verified(entry), healed)
        self.make_due()
        self.pass_time(int(PAUSE) + 2)
        self.assertGreater(self.verified(entry), healed + INTERVAL - 1)

    def test_deleted_while_hashed(self) -> None:
        """A content that is deleted while it is hashed is nothing to tell of; it goes on."""
        one, other = self.put(bytes(200)), self.put(bytes(10))
        self.make_due()
        began = self.now()
        self.scrub()
        self.pass_time(5)
        self.successResultOf(self.store.delete(one.id, None, EVERYTHING))
        self.pass_time(30)
        self.assert_good(other)
        self.assertGreater(self.verified(other), began)

    def test_catalogue_fails(self) -> None:
        """A catalogue that can't be asked for once is logged, and asked again later."""
        entry = self.put(bytes(10))
        self.make_due()
        began = self.now()
        failing: Deferred[None] = fail(OSError(errno.EIO, os.strerror(errno.EIO)))
        with patch.object(self.store.maintenance, "oldest_check", lambda *told: failing):
            self.scrub()
        self.pass_time(int(PAUSE) + 2)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertGreater(self.verified(entry), began)

    def test_catalogue_fails_at_the_end(self) -> None:
        """A result that can't be recorded is logged; the content is hashed again later."""
        entry = self.put(bytes(10))
        self.make_due()
        began = self.now()
        failing: Deferred[bool] = fail(OSError(errno.EIO, os.strerror(errno.EIO)))
        with patch.object(self.store.maintenance, "checked", lambda *told: failing):
            self.scrub()
            self.pass_time(2)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.pass_time(int(PAUSE) + 2)
        self.assertGreater(self.verified(entry), began)


class SmallDamageTests(DamageTests):
    """The same among small contents."""

    small = SMALL_SIZE


class FileTests(DamageTestCase):
    """What it finds where a file can be open, or not be read."""

    def test_cut_while_hashed(self) -> None:
        """A file that is cut off while it is hashed is found, too."""
        entry = self.put(bytes(300))
        self.make_due()
        self.scrub()
        self.pass_time(5)
        os.truncate(self.path(entry), 150)
        self.pass_time(30)
        self.assert_damaged(entry)

    def refuse(self, refused: set[str]) -> None:
        """From now on these contents can't be read: the disk says EIO."""
        pread = os.pread
        inodes = {self.root / "objects" / id[:2] / id for id in refused}

        def read(fd: int, length: int, offset: int) -> bytes:
            if any(os.path.samestat(os.fstat(fd), path.stat()) for path in inodes):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return pread(fd, length, offset)

        patched = patch.object(os, "pread", read)
        patched.start()
        self.addCleanup(patched.stop)
        self.readable = patched.stop

    def test_unreadable(self) -> None:
        """An error of the disk is logged, says nothing of the content, and is tried again later."""
        entry = self.put(bytes(10))
        self.make_due()
        stored = self.verified(entry)
        self.refuse({entry.id})
        self.scrub()
        self.pass_time(int(PAUSE) - 1)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assert_good(entry)
        self.assertEqual(self.verified(entry), stored)
        self.pass_time(1)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.readable()
        self.pass_time(int(PAUSE) + 2)
        self.assertGreater(self.verified(entry), stored + INTERVAL - 1)
        self.assertEqual(self.successResultOf(stored_bytes(self.store, entry.id)), bytes(10))

    def test_unreadable_among_others(self) -> None:
        """A content that can't be read for good does not keep the others from being verified."""
        entries = self.three()
        self.refuse({entries[0].id})
        began = self.now()
        self.scrub()
        self.pass_time(5 * int(PAUSE))
        self.assertGreater(len(self.flushLoggedErrors(OSError)), 0)
        self.assert_good(*entries)
        for entry in entries[1:]:
            self.assertGreater(self.verified(entry), began)


class StopTests(ScrubTestCase):
    """The end."""

    def stop(self, scrub: Scrub) -> Deferred[None]:
        """Stop it."""
        return Deferred.fromCoroutine(scrub.stop())

    def test_before_start(self) -> None:
        """One that was never started is stopped at once."""
        scrub = Scrub(self.store, InlineExecutor(), self.clock, RATE, self.now)
        self.successResultOf(self.stop(scrub))

    def test_while_nothing_is_due(self) -> None:
        """While it waits for something to be due it stops at once, and does nothing more."""
        entry = self.put(bytes(10))
        stored = self.verified(entry)
        scrub = self.scrub()
        self.successResultOf(self.stop(scrub))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.make_due()
        self.pass_time(200)
        self.assertEqual(self.verified(entry), stored)

    def test_while_pacing(self) -> None:
        """While it waits for the next block it stops at once, and lets go of the file."""
        entry = self.put(bytes(300))
        self.make_due()
        stored = self.verified(entry)
        before = os.dup(0)
        os.close(before)
        scrub = self.scrub()
        self.pass_time(5)
        self.successResultOf(self.stop(scrub))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        after = os.dup(0)
        os.close(after)
        self.assertEqual(after, before)
        self.assertEqual(self.verified(entry), stored)
        self.assert_good(entry)

    def test_while_hashing(self) -> None:
        """While a block is hashed, stopping waits for that block and no further one."""
        entry = self.put(bytes(300))
        self.make_due()
        stored = self.verified(entry)
        executor = SteppedExecutor()
        scrub = self.scrub(executor=executor)
        self.assertEqual(len(executor), 1)
        stopping = self.stop(scrub)
        self.assertNoResult(stopping)
        executor.step()
        self.successResultOf(stopping)
        self.assertEqual(len(executor), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.verified(entry), stored)

    def test_while_hashing_what_is_wrong(self) -> None:
        """A stop in the middle of a damaged content decides nothing about it."""
        entry = self.put(bytes(300))
        overwrite(self.root, entry.id, b"x" * 300)
        self.make_due()
        scrub = self.scrub()
        self.successResultOf(self.stop(scrub))
        self.assert_good(entry)

    def test_twice(self) -> None:
        """Stopping again changes nothing."""
        self.put(bytes(300))
        self.make_due()
        scrub = self.scrub()
        for _ in range(2):
            self.successResultOf(self.stop(scrub))

    def test_after_the_catalogue_failed(self) -> None:
        """A catalogue that failed does not make the stop fail."""
        failing: Deferred[None] = fail(OSError(errno.EIO, os.strerror(errno.EIO)))
        with patch.object(self.store.maintenance, "oldest_check", lambda *told: failing):
            scrub = Scrub(self.store, InlineExecutor(), self.clock, RATE, self.now)
            scrub.start()
        self.successResultOf(self.stop(scrub))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_another_one_goes_on(self) -> None:
        """What one did not come to is what the next one begins with."""
        first, second = self.put(bytes(100)), self.put(bytes(200))
        self.make_due()
        began = self.now()
        scrub = self.scrub()
        self.pass_time(15)
        self.successResultOf(self.stop(scrub))
        self.assertEqual(self.verified(first), began + 10)
        self.scrub()
        self.pass_time(21)
        self.assertEqual(self.verified(first), began + 10)
        self.assertEqual(self.verified(second), began + 35)
        oldest = self.successResultOf(self.store.maintenance.oldest_check())
        self.assertEqual(oldest, (first.id, began + 10))
