"""What a local store keeps beside its objects: partials, marks, quarantine, promised room."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred

from tests.store.contract import begin, digests_of, entry_of, go_on, hold, listed, stored_bytes
from tests.store.test_local_store import (
    LocalStoreTestCase,
    RecordedExecutor,
    object_path,
    open_store,
    watched_calls,
)
from tests.support.collision import FIRST, SECOND
from tests.support.depot import NO_SMALL, overwrite
from tests.support.executors import GatedExecutor, InlineExecutor, SteppedExecutor
from tests.support.held import close_store
from xferproto.model.entry import PartialStatus
from xferproto.model.errors import (
    Busy,
    Collision,
    Corrupt,
    NoSpace,
    NoSuchFile,
    QuotaExceeded,
    RequestError,
)
from xferproto.model.identity import EVERYTHING, View
from xferproto.store.interface import FLAT_COST, IPartial, IUpload
from xferproto.store.local import catalogue_contents
from xferproto.store.local.objects import Objects
from xferproto.store.local.space import (
    SPARE,
    SPARE_FILES,
    Reservation,
    Space,
    free_bytes,
    free_files,
)
from xferproto.store.local.store import LocalStore
from xferproto.store.reservation import HORIZON, WINDOW
from xferproto.threads.executor import Executor
from xferproto.transfer.stored_check import verify


def names_in(root: Path, folder: str) -> list[str]:
    """The names of the files in a folder of the storage directory, sorted."""
    return sorted(path.name for path in (root / folder).iterdir())


class PartialTestCase(LocalStoreTestCase):
    """What the cases below share."""

    def resume(
        self,
        store: LocalStore,
        size: int = 7,
        token: str = "token",
        sha256: str | None = None,
        name: str = "name",
    ) -> IPartial:
        """An upload under a token that was let in."""
        partial: IPartial = self.successResultOf(
            store.resume(name, size, token, sha256, EVERYTHING)
        )
        return partial

    def hold(self, store: LocalStore, data: bytes, size: int = 7, token: str = "token") -> None:
        """An upload under a token that ends when these of its bytes have come."""
        self.successResultOf(hold(store, token, data, size))

    def assert_holds_partial(self, store: LocalStore, data: bytes, size: int = 7) -> None:
        """An upload under C{token} would go on from exactly these bytes."""
        partial = self.resume(store, size)
        self.assertEqual(partial.offset, len(data))
        if data:
            self.assertEqual(self.successResultOf(partial.read(0, len(data))), data)
        self.successResultOf(partial.abort())

    def assert_no_litter(self, store: LocalStore, root: Path) -> None:
        """Every file in C{partial/} is of an unfinished upload that the operator can see."""
        partials = self.successResultOf(store.maintenance.partials())
        self.assertLessEqual(len(names_in(root, "partial")), len(partials))


class PersistenceTests(PartialTestCase):
    """Unfinished uploads, and a store that is opened again."""

    def test_reopened(self) -> None:
        """An unfinished upload survives a restart: its bytes, its start and its idle time."""
        store = open_store(self.root)
        self.hold(store, b"cont")
        self.successResultOf(store.maintenance.age_partials(10, 100))
        self.close(store)
        store = self.open()
        self.assertEqual(
            self.successResultOf(store.maintenance.partials()),
            [PartialStatus("token", "name", 7, held=4, started=1e9, idle=10.0)],
        )
        self.assert_holds_partial(store, b"cont")
        entry = self.successResultOf(go_on(self.resume(store), b"content"))
        self.assert_holds(store, self.root, {"name": b"content"})
        self.assertEqual(entry, entry_of("name", b"content"))
        self.assertEqual(names_in(self.root, "partial"), [])

    def test_finished_token_reopened(self) -> None:
        """A token that has ended well stands for its content after a restart, too."""
        store = open_store(self.root)
        self.successResultOf(go_on(self.resume(store), b"content"))
        self.close(store)
        partial = self.resume(self.open())
        self.assertEqual((partial.offset, partial.known), (7, digests_of(b"content")))
        self.successResultOf(partial.abort())

    def test_finished_while_counted(self) -> None:
        """What is held counts, also where the upload ends between the two looks of a count."""
        files = GatedExecutor()
        store = self.open(files=files)
        self.hold(store, b"cont")
        partial = self.resume(store)
        files.open = False
        counting = store.usage(None)
        files.open = True
        self.successResultOf(go_on(partial, b"content"))
        files.run_all()
        self.assertEqual(self.successResultOf(counting), 4 + FLAT_COST)  # the rest is claimed
        self.assertEqual(self.successResultOf(store.usage(None)), 7 + 2 * FLAT_COST)

    def test_killed_while_active(self) -> None:
        """What was written when the server was killed is held; the token is free."""
        partial = self.resume(self.open())
        partial.write([b"con", b"te"])
        copy = self.copy(self.root)
        store = self.open(copy)
        self.assert_holds_partial(store, b"conte")
        self.successResultOf(partial.abort())

    def test_killed_while_known(self) -> None:
        """A known content whose server was killed before it got its name is as it was."""
        store = self.open()
        self.put(store, "stored", b"content")
        partial = self.resume(store, sha256=digests_of(b"content").sha256)
        copy = self.copy(self.root)
        store = self.open(copy)
        self.assert_holds(store, copy, {"stored": b"content"})
        self.assert_no_litter(store, copy)
        self.successResultOf(partial.abort())

    def test_file_without_row(self) -> None:
        """A file of an upload that the catalogue does not know is removed at the start."""
        store = open_store(self.root)
        self.hold(store, b"cont")
        self.close(store)
        (self.root / "partial" / ("0" * 64)).write_bytes(b"litter")
        store = self.open()
        self.assertEqual(len(names_in(self.root, "partial")), 1)
        self.assert_holds_partial(store, b"cont")

    def test_killed_before_row(self) -> None:
        """A server killed between the file of a new upload and its row leaves nothing."""
        copies: list[Path] = []
        store = self.open(writer=RecordedExecutor(lambda: copies.append(self.copy(self.root))))
        partial = self.resume(store)
        (copy,) = copies
        self.assertEqual(len(names_in(copy, "partial")), 1)
        store = self.open(copy)
        self.assertEqual(names_in(copy, "partial"), [])
        self.assertEqual(self.successResultOf(store.maintenance.partials()), [])
        self.assert_holds_partial(store, b"")
        self.successResultOf(partial.abort())

    def test_row_without_file(self) -> None:
        """An upload whose file is gone holds nothing, and can be sent from its beginning."""
        store = open_store(self.root)
        self.hold(store, b"cont")
        self.close(store)
        (name,) = names_in(self.root, "partial")
        (self.root / "partial" / name).unlink()
        store = self.open()
        (status,) = self.successResultOf(store.maintenance.partials())
        self.assertEqual((status.token, status.held), ("token", 0))
        self.assert_holds_partial(store, b"")
        self.successResultOf(go_on(self.resume(store), b"content"))
        self.assert_holds(store, self.root, {"name": b"content"})

    def test_expired(self) -> None:
        """What an expired upload held is removed from the disk, once its time is up."""
        store = self.open()
        self.hold(store, b"cont")
        self.successResultOf(store.maintenance.age_partials(100, 100))
        self.assertEqual(len(names_in(self.root, "partial")), 1)
        self.successResultOf(store.maintenance.age_partials(1, 100))
        self.assertEqual(names_in(self.root, "partial"), [])
        self.assertEqual(self.successResultOf(store.maintenance.partials()), [])

    def test_restart_is_one_file(self) -> None:
        """Starting over leaves no file of what was held."""
        store = self.open()
        self.hold(store, b"cont")
        partial = self.resume(store)
        self.successResultOf(partial.restart())
        self.assertEqual(len(names_in(self.root, "partial")), 1)
        self.successResultOf(go_on(partial, b"another"))
        self.assertEqual(names_in(self.root, "partial"), [])

    def test_collision_leaves_no_file(self) -> None:
        """What an upload that collides had sent is removed."""
        store = self.open()
        self.put(store, "first", FIRST)
        partial = self.resume(store, len(SECOND))
        self.failureResultOf(go_on(partial, SECOND), Collision)
        self.assertEqual(names_in(self.root, "partial"), [])
        self.assert_holds(store, self.root, {"first": FIRST})

    def test_stored_already_leaves_no_file(self) -> None:
        """An upload whose content turns out to be stored already leaves no file."""
        store = self.open()
        self.put(store, "stored", b"content")
        self.successResultOf(go_on(self.resume(store), b"content"))
        self.assertEqual(names_in(self.root, "partial"), [])
        self.assert_holds(store, self.root, dict.fromkeys(("stored", "name"), b"content"))

    def test_known_leaves_no_file(self) -> None:
        """What was held of a content that came another way is removed with its last use."""
        store = self.open()
        self.hold(store, b"cont")
        self.put(store, "stored", b"content")
        partial = self.resume(store, sha256=digests_of(b"content").sha256)
        self.successResultOf(partial.commit(digests_of(b"content")))
        self.assert_no_litter(store, self.root)

    def test_known_is_not_there(self) -> None:
        """A content whose bytes have gone from the disk is no known one: it is sent again."""
        store = self.open()
        self.put(store, "stored", b"content")
        overwrite(self.root, entry_of("", b"content").id, None)
        partial = self.resume(store, sha256=digests_of(b"content").sha256)
        self.assertIsNone(partial.known)
        self.successResultOf(go_on(partial, b"content"))
        self.assertEqual(
            self.successResultOf(stored_bytes(store, entry_of("", b"content").id)), b"content"
        )

    def test_known_is_another(self) -> None:
        """A known content that another one with its MD5 has replaced meanwhile gets no name."""
        store = self.open()
        self.put(store, "stored", FIRST)
        partial = self.resume(store, len(FIRST), sha256=digests_of(FIRST).sha256)
        self.assertEqual(partial.known, digests_of(FIRST))
        self.successResultOf(store.delete(entry_of("", FIRST).id, None, EVERYTHING))
        self.put(store, "stored", SECOND)
        self.failureResultOf(partial.commit(digests_of(FIRST)), NoSuchFile)
        self.assertEqual(self.successResultOf(listed(store)), [entry_of("stored", SECOND)])

    def test_usage(self) -> None:
        """What a running upload has added counts when it has ended, and not before."""
        store = self.open()
        self.hold(store, b"cont")
        partial = self.resume(store)
        partial.write([b"en"])
        self.assertEqual(self.successResultOf(store.usage(None)), 4 + FLAT_COST)
        self.successResultOf(partial.abort())
        self.assertEqual(self.successResultOf(store.usage(None)), 6 + FLAT_COST)

    def test_descriptors(self) -> None:
        """Uploads under tokens leave no file descriptor open, however they end."""
        store = self.open()
        self.put(store, "first", FIRST)
        before = os.dup(0)
        os.close(before)
        for _ in range(3):
            self.hold(store, b"cont")
            partial = self.resume(store)
            self.failureResultOf(store.resume("name", 7, "token", None, EVERYTHING), Busy)
            self.successResultOf(partial.restart())
            self.successResultOf(go_on(partial, b"content"))
            self.failureResultOf(go_on(self.resume(store, len(SECOND)), SECOND), Collision)
            self.successResultOf(store.delete(entry_of("", b"content").id, None, EVERYTHING))
        after = os.dup(0)
        os.close(after)
        self.assertEqual(after, before)


class ReversedExecutor(SteppedExecutor):
    """Does what came last first, as threads may."""

    def step(self) -> None:
        self._waiting.insert(0, self._waiting.pop())
        super().step()


class ExpiryTests(PartialTestCase):
    """Uploads that go on in the moment in which they expire."""

    def expire_and_resume(self, executor: SteppedExecutor, steps: int) -> None:
        """Go on with an expired upload when so many steps of its removal are done."""
        self.root = Path(self.mktemp()).absolute()
        store = open_store(self.root)
        self.hold(store, b"cont")
        self.successResultOf(store.maintenance.age_partials(101, 1000))
        self.close(store)
        store = self.open(files=executor)
        expiring = store.maintenance.age_partials(0, 100)
        for _ in range(min(steps, len(executor))):
            executor.step()
        outcomes: list[IPartial] = []
        resuming = store.resume("name", 7, "token", None, EVERYTHING)
        resuming.addCallbacks(outcomes.append, lambda failure: failure.trap(Busy))
        executor.run_all()
        self.successResultOf(expiring)
        if not outcomes:  # for the moment
            store.resume("name", 7, "token", None, EVERYTHING).addCallback(outcomes.append)
            executor.run_all()
        (partial,) = outcomes
        commit = Deferred.fromCoroutine(go_on(partial, b"content"))
        executor.run_all()
        self.assertEqual(self.successResultOf(commit), entry_of("name", b"content"))
        self.assertEqual((self.root / object_path(b"content")).read_bytes(), b"content")
        self.assertEqual(names_in(self.root, "partial"), [])

    def test_in_order(self) -> None:
        """An upload that goes on while it expires is refused for the moment, or goes well."""
        for steps in range(4):
            self.expire_and_resume(SteppedExecutor(), steps)

    def test_in_disorder(self) -> None:
        """The same, where the disk's work is not done in the order in which it came."""
        for steps in range(4):
            self.expire_and_resume(ReversedExecutor(), steps)

    def test_active_is_what_is_active_now(self) -> None:
        """Uploads that end while time is passing do not disturb the passing of time."""
        writer = SteppedExecutor()
        store = self.open(writer=writer)
        resuming = [store.resume("name", 7, token, None, EVERYTHING) for token in ("a", "b")]
        writer.run_all()
        partials = [self.successResultOf(each) for each in resuming]
        for partial in partials:
            partial.write([b"c"])
        ageing = store.maintenance.age_partials(1000, 100)
        for partial in partials:  # they were active when the time had passed
            self.successResultOf(partial.abort())
        writer.run_all()
        self.successResultOf(ageing)
        idle = [partial.idle for partial in self.successResultOf(store.maintenance.partials())]
        self.assertEqual(idle, [0.0, 0.0])


class CrashTests(PartialTestCase):
    """Crashes between any two steps of what changes a store beside plain uploads."""

    def crashes(
        self, prepare: Callable[[LocalStore], None], change: Callable[[LocalStore], None]
    ) -> list[tuple[str, Path]]:
        """
        Each step of a change, and the directory as a crash before it leaves it.

        The last one is what there is when nothing is left to do.
        """
        left: list[tuple[str, Path]] = []
        root = self.root = Path(self.mktemp()).absolute()

        def crash(step: str) -> None:
            left.append((step, self.copy(root)))

        store = self.open(writer=RecordedExecutor(lambda: crash("commit")))
        prepare(store)
        left.clear()
        with watched_calls(root, crash):
            change(store)
        crash("nothing")
        return left

    def deletion(self, *names: str, name: str | None = None) -> list[tuple[str, Path]]:
        """The crashes of deleting a name, or all, of a content with these names."""

        def prepare(store: LocalStore) -> None:
            self.put(store, "stored", b"stored before")
            for each in names:
                self.put(store, each, b"content")

        def change(store: LocalStore) -> None:
            self.successResultOf(store.delete(entry_of("", b"content").id, name, EVERYTHING))

        return self.crashes(prepare, change)

    def assert_deletes(
        self, crashes: list[tuple[str, Path]], before: dict[str, bytes], after: dict[str, bytes]
    ) -> None:
        """Up to the commit all is as before, from it on as after; no litter lies at any time."""
        committed = False
        stored = {"stored": b"stored before"}
        for step, root in crashes:
            store = open_store(root)
            try:
                self.assert_holds(store, root, {**stored, **(after if committed else before)})
                self.assertEqual(names_in(root, "incoming"), [])
            except AssertionError as error:
                self.fail(f"after a crash before {step}: {error}")
            finally:
                self.close(store)
            committed = committed or step == "commit"
        self.assertTrue(committed)

    def test_deletion_order(self) -> None:
        """The mark is set before the row goes, that goes before the bytes, the mark goes last."""
        steps = [step for step, _ in self.deletion("name")]
        self.assertEqual(
            [step for step in steps if not step.startswith("fsync")],
            ["open mark", "commit", "unlink folder", "unlink mark", "nothing"],
        )

    def test_deletion(self) -> None:
        """A crash before any step of a deletion leaves the content whole, or nothing of it."""
        for name in ("name", None):
            self.assert_deletes(self.deletion("name", name=name), {"name": b"content"}, {})

    def test_deletion_of_one_name(self) -> None:
        """A crash while one of two names is deleted leaves the content with both, or the other."""
        one, both = {"one": b"content"}, dict.fromkeys(("one", "two"), b"content")
        self.assert_deletes(self.deletion("one", "two", name="two"), both, one)
        self.assert_deletes(self.deletion("one", "two"), both, {})

    def test_deletion_refused(self) -> None:
        """A deletion that is refused leaves no mark."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        for id, name in ((entry.id, "other"), ("0" * 32, None)):
            self.failureResultOf(store.delete(id, name, EVERYTHING), NoSuchFile)
            self.assert_holds(store, self.root, {"name": b"content"})

    def test_deletion_of_missing_bytes(self) -> None:
        """A content whose file is gone already can be deleted."""
        store = self.open()
        entry = self.put(store, "name", b"content")
        (self.root / object_path(b"content")).unlink()
        self.successResultOf(store.delete(entry.id, None, EVERYTHING))
        self.assert_holds(store, self.root, {})

    def commit_of_partial(self, stored: bool) -> list[tuple[str, Path]]:
        """The crashes of committing an upload under a token, whose content is stored already."""
        partials: list[IPartial] = []

        def prepare(store: LocalStore) -> None:
            if stored:
                self.put(store, "stored", b"content")
            self.hold(store, b"cont")
            partials.append(self.resume(store))
            partials[0].write([b"ent"])

        def change(store: LocalStore) -> None:
            self.successResultOf(partials[0].commit(digests_of(b"content")))

        return self.crashes(prepare, change)

    def assert_survives(self, stored: bool) -> None:
        """After a crash before any step the upload can go on, and nothing lies about at its end."""
        before = {"stored": b"content"} if stored else {}
        committed = False
        for step, root in self.commit_of_partial(stored):
            store = open_store(root)
            try:
                contents = {**before, **({"name": b"content"} if committed else {})}
                self.assert_holds(store, root, contents)
                self.assert_no_litter(store, root)
                partial = self.resume(store)
                self.assertIn(partial.offset, (7,) if committed else (0, 7))
                if partial.known is None:
                    self.successResultOf(go_on(partial, b"content"))
                else:
                    self.successResultOf(partial.commit(partial.known))
                self.assert_holds(store, root, {**before, "name": b"content"})
                self.assertEqual(names_in(root, "partial"), [])
            except AssertionError as error:
                self.fail(f"after a crash before {step}: {error}")
            finally:
                self.close(store)
            committed = committed or step == "commit"
        self.assertTrue(committed)

    def test_commit_of_partial(self) -> None:
        """A crash while an upload under a token is committed loses nothing that was listed."""
        self.assert_survives(stored=False)

    def test_commit_of_stored(self) -> None:
        """The same, where the content is stored already."""
        self.assert_survives(stored=True)

    def test_quarantining(self) -> None:
        """A crash before any step of a quarantining leaves a content that its bytes heal."""
        id = entry_of("", b"content").id

        def prepare(store: LocalStore) -> None:
            self.put(store, "name", b"content")
            (self.root / object_path(b"content")).write_bytes(b"context")

        def tell(store: LocalStore) -> None:
            content = self.successResultOf(store.open(id, EVERYTHING))
            checking = store.maintenance.checked(id, digests_of(b"context"), content)
            self.assertIs(self.successResultOf(checking), False)
            content.close()

        committed = False
        for step, root in self.crashes(prepare, tell):
            store = open_store(root)
            entries = self.successResultOf(listed(store))
            self.assertEqual(len(entries), 0 if committed else 1, step)
            if committed:
                self.failureResultOf(store.open(id, EVERYTHING), Corrupt)
                self.assertIs(self.successResultOf(store.maintenance.missed(id)), False, step)
            else:
                tell(store)
            self.put(store, "name", b"content")
            self.assert_holds(store, root, {"name": b"content"})
            self.close(store)
            committed = committed or step == "commit"
        self.assertTrue(committed)


class CommitFailureTests(PartialTestCase):
    """Commits of uploads under tokens that the disk refuses."""

    def fail_at(self, failing: str, number: int) -> None:
        """Commit an upload under a token while this step fails; then go on with it."""
        self.root = Path(self.mktemp()).absolute()
        store = self.open()
        self.hold(store, b"cont")
        partial = self.resume(store)

        def fail(step: str) -> None:
            if step == failing:
                raise OSError(number, os.strerror(number))

        async def go_on_or_abort() -> None:
            # As the receiver does: what can't be written is aborted.
            try:
                partial.write([b"ent"])
            except Exception:
                await partial.abort()
                raise
            await partial.commit(digests_of(b"content"))

        with watched_calls(self.root, fail):
            self.failureResultOf(go_on_or_abort(), OSError, NoSpace)
        self.assertEqual(self.successResultOf(listed(store)), [], failing)
        partial = self.resume(store)
        self.assertIn(partial.offset, (0, 4, 7), failing)
        self.successResultOf(go_on(partial, b"content"))
        self.assert_holds(store, self.root, {"name": b"content"})
        self.assertEqual(names_in(self.root, "partial"), [])

    def test_disk(self) -> None:
        """An upload that the disk refuses at its end can go on, and nothing lies about then."""
        steps = ("writev file", "fsync file", "open mark", "mkdir folder", "fsync objects")
        for step in (*steps, "rename partial", "fsync folder"):
            for number in (errno.ENOSPC, errno.EIO):
                self.fail_at(step, number)

    def test_catalogue_full(self) -> None:
        """What came stays where the catalogue has no room for the row: it need not come again."""
        store = self.open()
        self.hold(store, b"content")
        with patch.object(catalogue_contents, "add_content", side_effect=NoSpace()):
            self.failureResultOf(self.resume(store).commit(digests_of(b"content")), NoSpace)
        self.assertEqual(self.successResultOf(listed(store)), [])
        self.assert_holds_partial(store, b"content")

    def test_folder_not_synced(self) -> None:
        """What came stays where the new name can't be made durable."""
        store = self.open()
        self.hold(store, b"content")

        def fail(step: str) -> None:
            if step == "fsync folder":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with watched_calls(self.root, fail):
            self.failureResultOf(self.resume(store).commit(digests_of(b"content")), NoSpace)
        self.assert_holds_partial(store, b"content")


class QuarantineTests(PartialTestCase):
    """Bytes that turn out to be wrong."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.open()
        self.entry = self.put(self.store, "name", b"content")
        self.object = self.root / object_path(b"content")

    def verify(self, executor: Executor | None = None) -> Deferred[bool]:
        """Hash the stored bytes again."""

        async def checkpoint(done: int) -> None:
            pass

        used = InlineExecutor() if executor is None else executor
        return Deferred.fromCoroutine(
            verify(self.store, self.entry.id, used, checkpoint, EVERYTHING)
        )

    def quarantined(self) -> dict[str, bytes]:
        """What lies in the quarantine, by name."""
        folder = self.root / "quarantine"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def test_right(self) -> None:
        """Bytes that are right are left where they are."""
        self.assertIs(self.successResultOf(self.verify()), True)
        self.assertEqual(self.quarantined(), {})
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_flipped(self) -> None:
        """Bytes that are wrong are put aside, named by id and time; the right ones heal."""
        self.object.write_bytes(b"context")
        self.assertIs(self.successResultOf(self.verify()), False)
        self.assertFalse(self.object.exists())
        aside = {f"{self.entry.id}.1000000000": b"context"}
        self.assertEqual(self.quarantined(), aside)
        self.put(self.store, "other", b"content")
        contents = dict.fromkeys(("name", "other"), b"content")
        self.assert_holds(self.store, self.root, contents)
        self.assertEqual(self.quarantined(), aside)

    def test_not_put_aside(self) -> None:
        """What is damaged and could not be put aside is not taken for the content either."""
        self.object.write_bytes(b"context")

        def refuse(step: str) -> None:
            if step == "rename folder":
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        with watched_calls(self.root, refuse):
            self.failureResultOf(self.verify(), OSError)
        self.assertTrue(self.object.exists())
        self.failureResultOf(self.store.status(self.entry.id, EVERYTHING), Corrupt)
        partial = self.resume(self.store, sha256=digests_of(b"content").sha256)
        self.assertIsNone(partial.known)
        self.successResultOf(go_on(partial, b"content"))
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_other_length(self) -> None:
        """A file that is too short or too long is put aside as well."""
        self.object.write_bytes(b"conten")
        self.assertIs(self.successResultOf(self.verify()), False)
        self.assertEqual(list(self.quarantined().values()), [b"conten"])

    def test_missing(self) -> None:
        """Where there are no bytes none are put aside, and the content is damaged all the same."""
        self.object.unlink()
        self.assertIs(self.successResultOf(self.verify()), False)
        self.assertEqual(self.quarantined(), {})
        self.failureResultOf(self.store.open(self.entry.id, EVERYTHING), Corrupt)
        self.put(self.store, "name", b"content")
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_missing_folder(self) -> None:
        """The same where the file's folder is gone too: it is found damaged, and heals."""
        shutil.rmtree(self.object.parent)
        self.assertIs(self.successResultOf(self.verify()), False)
        self.assertEqual(self.successResultOf(listed(self.store)), [])
        self.put(self.store, "name", b"content")
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_put_back_without_folder(self) -> None:
        """A content whose folder is gone is put back by whoever sends it again."""
        shutil.rmtree(self.object.parent)
        self.put(self.store, "name", b"content")
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_reopened(self) -> None:
        """What was found damaged is so after a restart, and heals then."""
        self.object.write_bytes(b"context")
        self.successResultOf(self.verify())
        self.close(self.store)
        store = self.open()
        self.assertEqual(self.successResultOf(listed(store)), [])
        self.failureResultOf(store.open(self.entry.id, EVERYTHING), Corrupt)
        self.put(store, "name", b"content")
        self.assert_holds(store, self.root, {"name": b"content"})

    def test_verified_twice_at_once(self) -> None:
        """Of two that hash wrong bytes, the slower one does not take the healed ones away."""
        self.object.write_bytes(b"context")
        executor = SteppedExecutor()
        slow = self.verify(executor)
        self.assertNoResult(slow)
        self.assertIs(self.successResultOf(self.verify()), False)
        self.put(self.store, "name", b"content")
        executor.run_all()
        self.successResultOf(slow)
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_unreadable(self) -> None:
        """An error of the disk passes: it says nothing of the bytes, and nothing is put aside."""

        def refuse(fd: int, length: int, offset: int) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with patch.object(os, "pread", refuse):
            self.failureResultOf(self.verify(), OSError)
        self.assertEqual(self.quarantined(), {})
        self.assert_holds(self.store, self.root, {"name": b"content"})


class Disk:
    """
    A disk of 3200 bytes, of which a 32nd is spare.

    @ivar free: how many are free.
    @ivar broken: what asking it fails with.
    """

    total = 3200
    spare = 100

    def __init__(self, available: int) -> None:
        self.free = available + self.spare
        self.broken: OSError | None = None

    def __call__(self, path: Path) -> tuple[int, int]:
        if self.broken is not None:
            raise self.broken
        return self.free, self.total


class SpaceTests(PartialTestCase):
    """Room that is promised when an upload begins, on a disk with 1000 bytes for it."""

    def setUp(self) -> None:
        super().setUp()
        self.inodes, self.time = (10**6, 10**6), 0.0
        self.disk = Disk(1000)
        self.store = self.open_on_disk()
        self.uploads: list[IUpload] = []
        self.addCleanup(self.assert_nothing_held)

    def assert_nothing_held(self) -> None:
        """When all uploads have ended, nothing is reserved, and no token is taken."""
        for upload in self.uploads:
            self.successResultOf(upload.abort())
        self.assertEqual(self.store._space.held, set())
        self.assertEqual(self.store._resumable.leases.taken(), ())

    def resume(self, *args: Any, **kwargs: Any) -> IPartial:
        """As for all partials; it is ended with the test."""
        partial = super().resume(*args, **kwargs)
        self.uploads.append(partial)
        return partial

    def open_on_disk(self, files: Executor | None = None) -> LocalStore:
        """A store on the disk, in a new directory."""
        self.root = Path(self.mktemp()).absolute()
        inline = InlineExecutor()
        files = inline if files is None else files
        self.space = Space(self.root, self.disk, lambda path: self.inodes, lambda: self.time)
        store = LocalStore(self.root, files, inline, inline, lambda: 1e9, self.space, NO_SMALL)
        self.addCleanup(close_store, self, store)
        return store

    def create(self, size: int) -> IUpload:
        """An upload that there is room for."""
        upload: IUpload = self.successResultOf(self.store.create("name", size, EVERYTHING))
        self.uploads.append(upload)
        return upload

    def write(self, upload: IUpload, data: bytes) -> None:
        """Write, and let the disk have so much less."""
        upload.write([data])
        self.disk.free -= len(data)

    def assert_room(self, size: int) -> None:
        """There is room for so many bytes, and not for one more."""
        self.failureResultOf(self.store.create("name", size + 1, EVERYTHING), NoSpace)
        upload = self.create(size)
        self.successResultOf(upload.abort())

    def test_before_the_first_byte(self) -> None:
        """An upload that does not fit is NoSpace when it begins, and leaves nothing."""
        self.failureResultOf(self.store.create("name", 1001, EVERYTHING), NoSpace)
        self.assert_holds(self.store, self.root, {})
        self.assert_room(1000)

    def test_running_upload_counts(self) -> None:
        """What is promised to a running upload is not promised again, until that is aborted."""
        upload = self.create(600)
        self.assert_room(400)
        self.successResultOf(upload.abort())
        self.assert_room(1000)
        self.successResultOf(upload.abort())
        self.assert_room(1000)

    def test_written_bytes_count_once(self) -> None:
        """What is written is no longer promised: it is gone from what is free."""
        upload = self.create(1000)
        for _ in range(10):
            self.assert_room(0)
            self.write(upload, bytes(100))
        self.assert_room(0)
        self.disk.free += 1000
        self.successResultOf(upload.abort())
        self.assert_room(1000)

    def test_committed(self) -> None:
        """A committed upload is promised nothing more."""
        data = bytes(600)
        upload = self.create(600)
        self.write(upload, data)
        self.successResultOf(upload.commit(digests_of(data)))
        self.assert_room(400)

    def test_refused_commit(self) -> None:
        """An upload that is refused at its end gives back what it was promised."""
        self.put(self.store, "first", FIRST)
        upload = self.successResultOf(begin(self.store, "second", SECOND))
        self.failureResultOf(upload.commit(digests_of(SECOND)), Collision)
        self.assert_room(1000)

    def test_failed_write(self) -> None:
        """An upload whose writing fails gives back what it was promised, when it is aborted."""

        def refuse(fd: int, buffers: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        upload = self.create(600)
        with patch.object(os, "writev", refuse):
            self.assertRaises(NoSpace, upload.write, [b"x"])
        self.assert_room(400)
        self.successResultOf(upload.abort())
        self.assert_room(1000)

    def test_part_of_a_write(self) -> None:
        """Where the disk takes a part of the bytes before it fails, that part is not promised."""
        writev = os.writev

        def refuse(fd: int, buffers: list[memoryview]) -> int:
            if self.disk.free <= 700:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = writev(fd, [buffers[0][:400]])
            self.disk.free -= written
            return written

        upload = self.create(1000)
        with patch.object(os, "writev", refuse):
            self.assertRaises(NoSpace, upload.write, [bytes(600)])
        self.assertEqual(self.disk.free, 700)
        self.assert_room(0)
        self.successResultOf(upload.abort())
        self.assert_room(600)

    def test_failed_create(self) -> None:
        """An upload that could not begin for any reason is promised nothing."""
        self.disk.broken = OSError(errno.EIO, os.strerror(errno.EIO))
        self.failureResultOf(self.store.create("name", 600, EVERYTHING), OSError)
        self.disk.broken = None
        self.assert_room(1000)

    def test_at_once(self) -> None:
        """Of uploads that begin at once, never more are let in than fit."""
        files = SteppedExecutor()
        store = self.open_on_disk(files)
        for sizes in ((600, 600), (400, 400, 400), (1000, 1), (500, 500)):
            begun = [store.create("name", size, EVERYTHING) for size in sizes]
            files.run_all()
            let_in: list[IUpload] = []
            for each in begun:
                each.addCallbacks(let_in.append, lambda failure: failure.trap(NoSpace))
            if sum(sizes) <= 1000:
                self.assertEqual(len(let_in), len(sizes))
            self.assertLess(len(let_in), 3)
            aborted = [upload.abort() for upload in let_in]
            files.run_all()
            for each_aborted in aborted:
                self.successResultOf(each_aborted)
        all_of_it = store.create("name", 1000, EVERYTHING)
        files.run_all()
        upload: IUpload = self.successResultOf(all_of_it)
        upload.abort()
        files.run_all()

    def test_partial_counts(self) -> None:
        """A running upload under a token is promised what it lacks."""
        partial = self.resume(self.store, 1000)
        self.assert_room(0)
        self.write(partial, bytes(400))
        self.assert_room(0)
        self.successResultOf(partial.abort())
        self.assert_room(600)

    def test_held_bytes_count_once(self) -> None:
        """What is held already is not promised again when an upload goes on."""
        partial = self.resume(self.store, 1000)
        self.write(partial, bytes(400))
        self.successResultOf(partial.abort())
        partial = self.resume(self.store, 1000)
        self.assert_room(0)
        self.write(partial, bytes(600))
        self.successResultOf(partial.commit(digests_of(bytes(1000))))
        self.assert_room(0)
        self.assert_holds(self.store, self.root, {"name": bytes(1000)})

    def test_restart(self) -> None:
        """An upload that starts over is promised all of it."""
        self.hold(self.store, bytes(400), 1000)
        partial = self.resume(self.store, 1000)
        self.assert_room(400)  # of which the disk has not heard yet
        self.successResultOf(partial.restart())
        self.assert_room(0)
        self.successResultOf(partial.abort())
        self.assert_room(1000)

    def test_nothing_is_held(self) -> None:
        """However an upload ends, nothing is promised to it any more: not even no bytes."""
        space = self.space
        ends: list[Callable[[IUpload], Deferred[Any]]] = [
            lambda upload: upload.abort(),
            lambda upload: upload.commit(digests_of(b"content")),
            lambda upload: upload.commit(digests_of(FIRST)),  # which is another content's
        ]
        self.put(self.store, "first", SECOND)
        for number, end in enumerate(ends):
            partial = self.resume(self.store, token=f"token{number}")
            for upload in (self.create(7), partial):
                upload.write([b"content"[getattr(upload, "offset", 0) :]])
                self.assertGreater(len(space.held), 0)
                end(upload).addErrback(lambda failure: failure.trap(Collision))
            self.assertEqual(space.held, set())
        known = self.resume(self.store, sha256=digests_of(b"content").sha256)
        self.successResultOf(known.commit(digests_of(b"content")))
        self.successResultOf(self.store.delete(digests_of(b"content").md5, None, EVERYTHING))
        restarted = self.resume(self.store)
        self.successResultOf(restarted.restart())
        self.assertEqual(len(space.held), 1)
        self.successResultOf(restarted.abort())
        for broken in (None, OSError(errno.EIO, os.strerror(errno.EIO))):
            self.disk.free, self.disk.broken = 0, broken
            self.failureResultOf(self.store.create("name", 7, EVERYTHING))
            self.failureResultOf(self.store.resume("name", 7, "new", None, EVERYTHING))
        self.assertEqual(space.held, set())

    def test_restart_without_room(self) -> None:
        """Starting over without room is NoSpace, and the token is free once that is aborted."""
        self.hold(self.store, bytes(400), 1000)
        partial = self.resume(self.store, 1000)
        self.disk.free -= 500
        self.failureResultOf(partial.restart(), NoSpace)
        self.successResultOf(partial.abort())
        self.disk.free += 500
        self.assert_room(1000)
        self.successResultOf(self.resume(self.store, 1000).abort())

    def test_refused_partial(self) -> None:
        """A new upload under a token that does not fit is NoSpace, and leaves nothing."""
        for token in ("a", "b", "b"):
            self.failureResultOf(self.store.resume("name", 1001, token, None, EVERYTHING), NoSpace)
        self.assert_room(1000)
        self.assertEqual(self.successResultOf(self.store.maintenance.partials()), [])
        self.assertEqual(names_in(self.root, "partial"), [])
        self.successResultOf(self.resume(self.store, 1000, "a").abort())

    def test_refused_going_on(self) -> None:
        """An upload that has no room to go on keeps what it holds, and goes on when there is."""
        self.hold(self.store, b"cont")
        self.disk.free = Disk.spare
        self.failureResultOf(self.store.resume("name", 7, "token", None, EVERYTHING), NoSpace)
        (status,) = self.successResultOf(self.store.maintenance.partials())
        self.assertEqual(status.held, 4)
        self.disk.free += 3
        self.successResultOf(go_on(self.resume(self.store), b"content"))
        self.assert_holds(self.store, self.root, {"name": b"content"})

    def test_known_needs_no_room(self) -> None:
        """A content that is stored gets one more name on a disk that is full."""
        self.put(self.store, "stored", b"content")
        self.disk.free = 0
        partial = self.resume(self.store, sha256=digests_of(b"content").sha256)
        self.successResultOf(partial.commit(digests_of(b"content")))
        contents = dict.fromkeys(("stored", "name"), b"content")
        self.assert_holds(self.store, self.root, contents)

    def test_empty(self) -> None:
        """An empty file fits as long as the spare room is there."""
        self.disk.free = Disk.spare
        self.successResultOf(self.create(0).abort())
        self.disk.free -= 1
        self.failureResultOf(self.store.create("name", 0, EVERYTHING), NoSpace)

    def test_everything_is_read(self) -> None:
        """On a full disk all that is stored is listed, read and deleted."""
        entry = self.put(self.store, "name", b"content")
        self.disk.free = 0
        self.failureResultOf(self.store.create("other", 1, EVERYTHING), RequestError)
        self.assert_holds(self.store, self.root, {"name": b"content"})
        self.successResultOf(self.store.delete(entry.id, None, EVERYTHING))

    def test_spare(self) -> None:
        """Of a large disk a fixed number of bytes is spare, of a small one a 32nd."""
        for total, spare in ((3200, 100), (SPARE * 32, SPARE), (SPARE * 3200, SPARE)):
            found = (spare + 5, total)
            space = Space(self.root, lambda path, found=found: found)  # type: ignore[misc]
            fits: Reservation = space.reserve(5)
            space.check()
            space.reserve(1)
            self.assertRaises(NoSpace, space.check)
            fits.release()
            space.check()

    def test_slow(self) -> None:
        """A slow upload is promised what it will use soon; others may have the rest, and do."""
        upload = self.create(1000)
        self.write(upload, b"x")
        self.time += WINDOW
        soon = int(HORIZON / WINDOW)
        self.assert_room(999 - soon)
        other = self.create(999 - soon)
        self.write(upload, bytes(soon))
        self.assertRaises(NoSpace, upload.write, [b"x"])
        self.successResultOf(other.abort())
        self.write(upload, b"x")
        self.successResultOf(upload.abort())
        self.assertEqual(self.store._space.held, set())

    def test_steady(self) -> None:
        """One that goes on at its pace keeps what it was promised, and grows with its pace."""
        upload = self.create(1000)
        for pace in (1, 99, 100, 100):
            self.write(upload, bytes(pace))
            self.time += WINDOW
        self.assert_room(0)
        self.write(upload, bytes(700))
        self.successResultOf(upload.abort())

    def test_slow_partial(self) -> None:
        """One under a token that loses its room keeps what came, and goes on later."""
        partial = self.resume(self.store, 1000)
        self.write(partial, b"cont")
        self.time += 2 * WINDOW
        partial_room = 4 * int(HORIZON / WINDOW / 2)
        other = self.create(996 - partial_room)
        self.assertRaises(NoSpace, partial.write, [bytes(996)])
        self.successResultOf(partial.abort())
        (status,) = self.successResultOf(self.store.maintenance.partials())
        self.assertEqual(status.held, 4)
        self.successResultOf(other.abort())

    def test_no_files(self) -> None:
        """Where the disk takes hardly any more files, no new one is made; what is there goes on."""
        self.hold(self.store, b"cont")
        for left, total in ((SPARE_FILES, 10**6), (31, 1000)):
            self.inodes = (left, total)
            self.failureResultOf(self.store.create("name", 5, EVERYTHING), NoSpace)
            self.failureResultOf(self.store.resume("name", 0, "other", None, EVERYTHING), NoSpace)
        self.assertEqual(len(names_in(self.root, "partial")), 1)
        self.successResultOf(go_on(self.resume(self.store), b"content"))
        self.inodes = (0, 0)  # as on file systems without such a limit
        self.successResultOf(self.create(5).abort())
        self.assertEqual(self.store._space.held, set())

    def test_real(self) -> None:
        """The real disk has some room, and not more than its size."""
        free, total = free_bytes(self.root)
        self.assertTrue(0 <= free <= total, (free, total))
        with self.assertRaises(OSError):
            free_bytes(self.root / "missing")
        free, total = free_files(self.root)
        self.assertTrue(0 <= free <= total, (free, total))


class MostTokensTests(PartialTestCase):
    """How many tokens an owner may have: three."""

    def setUp(self) -> None:
        super().setUp()
        inline = InlineExecutor()
        self.store = LocalStore(self.root, inline, inline, inline, lambda: 1e9, tokens=3)
        self.addCleanup(close_store, self, self.store)

    def begin(self, token: str, owner: str = "") -> Deferred[None]:
        async def work() -> None:
            partial = await self.store.resume("name", 7, token, None, View(owner))
            partial.write([b"cont"])
            await partial.abort()

        return Deferred.fromCoroutine(work())

    def test_unfinished(self) -> None:
        """One more is refused, and leaves nothing; another owner has their own."""
        for owner in ("", "kim", "kim.2"):
            for token in ("a", "b", "c"):
                self.successResultOf(self.begin(token, owner))
            failure = self.failureResultOf(self.begin("d", owner), QuotaExceeded)
            self.assertIn("3 unfinished uploads", failure.getErrorMessage())
            self.successResultOf(self.begin("c", owner))
        self.assertEqual(len(names_in(self.root, "partial")), 9)
        self.successResultOf(go_on(self.resume(self.store, 7, "a"), b"content"))
        self.successResultOf(self.begin("d"))
        self.failureResultOf(self.begin("e"), QuotaExceeded)
        self.assertEqual(self.store._resumable.leases.taken(), ())
        self.assertEqual(self.store._space.held, set())

    def test_finished(self) -> None:
        """One more takes the place of the longest unused that stands for a content."""
        for token in ("a", "b", "c"):
            self.successResultOf(go_on(self.resume(self.store, 7, token), b"content"))
            self.successResultOf(self.store.maintenance.age_partials(10, 100))
        self.successResultOf(go_on(self.resume(self.store, 7, "d"), b"content"))
        for token, known in (("b", True), ("d", True), ("c", True), ("a", False)):
            partial = self.resume(self.store, 7, token)
            self.assertEqual(partial.known is not None, known, token)
            self.successResultOf(partial.abort())


class ObjectsTests(PartialTestCase):
    """The names of the files of unfinished uploads."""

    def test_token_is_no_path(self) -> None:
        """Whatever a token looks like, its file lies in C{partial/} and nowhere else."""
        self.root.mkdir()
        objects = Objects(self.root)
        for token in ("..", ".", "a:b", "A:B", "x" * 128):
            objects.partial(token).close()
        self.assertEqual(len(names_in(self.root, "partial")), 5)
        self.assertEqual(
            sorted(path.name for path in self.root.iterdir()),
            ["incoming", "objects", "partial", "quarantine"],
        )
