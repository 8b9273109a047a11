"""What a client has on its disk before it tells of it, or forgets it: the order of syncs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.client.test_protocol import LARGE, Pair
from tests.support.watched import Done, WatchCase, age, tree
from xferproto.watch import open_writers
from xferproto.watch.journal import Journal
from xferproto.watch.moves import WRITTEN
from xferproto.watch.open_writers import Writing
from xferproto.watch.recheck import PERIOD


def path_of(fd: int) -> Path:
    """What a descriptor is open on."""
    return Path(f"/proc/self/fd/{fd}").readlink()


class SyncCase(SynchronousTestCase):
    """Tests that look at each sync."""

    def on_sync(self, seen: Callable[[Path], object]) -> None:
        """Have this called with what was synced, behind each sync."""
        fsync = os.fsync

        def synced(fd: int) -> None:
            fsync(fd)
            seen(path_of(fd))

        self.patch(os, "fsync", synced)


class DownloadTests(SyncCase):
    """A file that is fetched alone."""

    def test_download(self) -> None:
        """The bytes are synced, then the directory with the name; then it is told of."""
        for content in (b"hello", LARGE):
            every: list[dict[str, Any]] = [{}, {"replace": True}, {"resume": True}]
            for options in every:
                pair = Pair(self)
                storing = pair.client.upload(content, "name")
                pair.flush()
                stored = self.successResultOf(storing)
                target = Path(self.mktemp()).absolute() / "target"
                target.parent.mkdir()
                if options.get("replace"):
                    target.write_bytes(b"old")
                steps: list[str] = []

                def seen(path: Path, target: Path = target, steps: list[str] = steps) -> None:
                    if path == target.parent:
                        steps.append("name" if target.exists() else "early")
                    elif path.parent == target.parent or path.name.startswith("#"):
                        steps.append("bytes")

                self.on_sync(seen)
                told = pair.client.download(stored.id, target, **options)
                pair.flush()
                self.successResultOf(told)
                self.assertEqual(steps, ["bytes", "name"], options)
                self.assertEqual(target.read_bytes(), content)


class WatchTests(WatchCase, SyncCase):
    """The unattended client."""

    def carry(self, path: str) -> list[list[Path]]:
        """Carry one file: what was synced each time before rows were forgotten."""
        age(self.write(path))
        synced: list[Path] = []
        before: list[list[Path]] = []
        self.on_sync(synced.append)
        forget = Journal.forget

        def forgotten(journal: Journal, paths: Iterable[str]) -> None:
            before.append(list(synced))
            forget(journal, paths)

        self.patch(Journal, "forget", forgotten)
        self.start()
        self.settle()
        self.assertTrue(before)
        return before

    def test_sent(self) -> None:
        """Both directories of a move are synced before the journal forgets the file."""
        before = self.carry("sub/name")
        self.assertIn("sent/sub/name", tree(self.root))
        for directory in ("sub", "sent/sub", "sent"):
            self.assertIn(self.root / directory, before[-1])

    def test_deleted(self) -> None:
        """So is the directory of a file that is deleted."""
        self.configure(done=Done.DELETE)
        before = self.carry("sub/name")
        self.assertEqual(tree(self.root), [])
        self.assertIn(self.root / "sub", before[-1])

    def test_failed(self) -> None:
        """The reason of a failure is synced, then its name beside the file, then all is told."""
        before = self.carry("sub/a\\b")
        self.assertIn("failed/sub/a\\b", tree(self.root))
        (reason,) = [path for path in before[-1] if path.name == WRITTEN]
        directory = self.root / "failed/sub"
        self.assertEqual(reason.parent, directory)
        self.assertGreater(
            len(before[-1]) - before[-1][::-1].index(directory), before[-1].index(reason)
        )
        self.assertIn(self.root / "sub", before[-1])

    def test_brought_back(self) -> None:
        """Both directories of a file that is moved back are synced before its row is forgotten."""
        self.patch(open_writers, "writers_of", lambda path: Writing.UNKNOWN)
        before = self.carry("sub/name")
        with (self.root / "sent/sub/name").open("ab") as file:
            file.write(b"more")
        moved = before.pop()
        before.clear()
        self.advance(2 * PERIOD)
        for directory in ("sub", "sent/sub"):
            self.assertIn(self.root / directory, before[0][len(moved) :])

    def test_journal(self) -> None:
        """Each commit of the journal waits for the disk."""
        opened: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def noted(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
            opened.append(connect(*arguments, **keywords))
            return opened[-1]

        self.patch(sqlite3, "connect", noted)
        with contextlib.closing(Journal(Path(self.mktemp()))):
            (journal,) = opened
            self.assertEqual(journal.execute("PRAGMA journal_mode").fetchone(), ("wal",))
            self.assertGreaterEqual(journal.execute("PRAGMA synchronous").fetchone(), (2,))
