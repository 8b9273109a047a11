"""Files that are written past the page cache: the same bytes, whatever comes in between."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot
from xferproto.files.direct_io import ALIGNMENT, BLOCK, LIMIT, WORTH_IT
from xferproto.files.staged_file import StagedFile

PROJECT = Path(__file__).resolve().parents[2]


def is_direct(file: StagedFile) -> bool:
    return file._direct is not None


class DirectTests(SynchronousTestCase):
    """One file."""

    def new(self) -> StagedFile:
        # Beside the sources: a temporary directory in memory would not do it.
        directory = Path(tempfile.mkdtemp(prefix="_trial_temp-direct-", dir=PROJECT))
        self.addCleanup(shutil.rmtree, directory)
        file = StagedFile.new(directory / "file")
        file.pass_cache()
        self.addCleanup(file.close)
        if not is_direct(file):
            raise self.skipTest("this file system can't be written past its cache")
        return file

    def test_lengths(self) -> None:
        """Of every length around a block and a sector, all bytes are there, and no more."""
        content = os.urandom(2 * BLOCK + ALIGNMENT + 1)
        for size in (0, 1, ALIGNMENT - 1, ALIGNMENT, BLOCK - 1, BLOCK, BLOCK + 1, len(content)):
            file = self.new()
            file.write([content[:size]])
            self.assertEqual(file.size, size)
            file.sync()
            self.assertEqual(file.path.read_bytes(), content[:size], size)

    def test_blocks(self) -> None:
        """However it is cut into blocks."""
        content = os.urandom(3 * BLOCK + 12345)
        cuts = random.Random(1)
        file = self.new()
        position = 0
        while position < len(content):
            blocks = []
            for _ in range(cuts.randrange(1, 4)):
                count = cuts.choice((1, 511, 70_000, 1_048_576))
                blocks.append(content[position : position + count])
                position += count
            file.write(blocks)
        file.sync()
        self.assertEqual(file.path.read_bytes(), content)

    def test_closed(self) -> None:
        """What was written is there after a close without a sync, too."""
        file = self.new()
        file.write([b"content"])
        file.close()
        self.assertEqual(file.path.read_bytes(), b"content")

    def test_short_writes(self) -> None:
        """A disk that takes less than it is given gets the rest."""
        content = os.urandom(BLOCK + 100)
        write = os.write

        def short(fd: int, data: memoryview) -> int:
            return write(fd, data[: ALIGNMENT if len(data) > ALIGNMENT else len(data)])

        file = self.new()
        with mock.patch.object(os, "write", short):
            file.write([content])
            file.sync()
        self.assertEqual(file.path.read_bytes(), content)

    def test_full(self) -> None:
        """That the disk is full is told at a write or at the sync, and leaves nothing behind."""
        for size in (BLOCK, 10):
            file = self.new()
            full = OSError(errno.ENOSPC, "full")
            with mock.patch.object(os, "write", side_effect=full):
                with self.assertRaises(OSError):
                    file.write([bytes(size)])
                    file.sync()
                file.close()
        for _ in range(LIMIT):  # all places are free again
            self.assertTrue(is_direct(self.new()))

    def test_limit(self) -> None:
        """So many at once, and no more; the others are written as usual."""
        files = [self.new() for _ in range(LIMIT)]
        one_more = StagedFile.new(Path(self.mktemp()))
        one_more.pass_cache()
        self.assertFalse(is_direct(one_more))
        one_more.write([b"x"])
        one_more.sync()
        self.assertEqual(one_more.path.read_bytes(), b"x")
        for file in files:
            file.discard()
        self.assertTrue(is_direct(self.new()))

    def test_not_aligned(self) -> None:
        """A file that has an odd number of bytes already is written as usual."""
        file = StagedFile.new(Path(self.mktemp()))
        file.write([b"odd"])
        file.pass_cache()
        self.assertFalse(is_direct(file))
        file.discard()

    def test_refused(self) -> None:
        """Where the file system does not do it, the file is written as usual."""
        file = StagedFile.new(Path(self.mktemp()))
        refusal = OSError(errno.EINVAL, "no")
        with mock.patch.object(fcntl, "fcntl", side_effect=refusal):
            file.pass_cache()
        self.assertFalse(is_direct(file))
        file.write([b"x"])
        file.sync()
        self.assertEqual(file.path.read_bytes(), b"x")


class UploadTests(SynchronousTestCase):
    """Through the server."""

    def test_large(self) -> None:
        """A large upload comes back as it was; one that is cut short leaves nothing."""
        depot = Depot(self)
        content = os.urandom(WORTH_IT + 777)
        session = depot.connect()
        id = session.send(b"UPLOAD large;%d\n" % len(content), content).strip()
        answer = depot.connect().send(b"DOWNLOAD " + id + b"\n")
        self.assertEqual(answer[-len(content) :], content)
        cut = depot.connect()
        cut.send(b"UPLOAD cut;%d\n" % len(content), content[:-1])
        cut.lose()
        self.assertEqual(len(depot.files()), 1)


class NamelessTests(SynchronousTestCase):
    """A file that has no name until it is whole."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        file = StagedFile.nameless(self.folder / "name", 0o640)
        if file is None:
            raise self.skipTest("this system has no files without names")
        self.file = file
        self.addCleanup(file.close)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_place(self) -> None:
        """It appears when it is placed, whole, with its permissions."""
        self.file.write([b"con", b"tent"])
        self.file.sync()
        self.assertEqual(self.names(), [])
        self.file.place(self.folder / "name", False)
        self.assertEqual(self.names(), ["name"])
        self.assertEqual((self.folder / "name").read_bytes(), b"content")
        self.assertEqual((self.folder / "name").stat().st_mode & 0o007, 0)

    def test_never_replaces(self) -> None:
        """A file that took the name meanwhile stays."""
        self.file.write([b"new"])
        self.file.sync()
        (self.folder / "name").write_bytes(b"old")
        self.assertRaises(FileExistsError, self.file.place, self.folder / "name", False)
        self.file.discard()
        self.assertEqual((self.folder / "name").read_bytes(), b"old")
        self.assertEqual(self.names(), ["name"])

    def test_discard(self) -> None:
        """One that is given up leaves nothing, nor takes away what has its name."""
        (self.folder / "name").write_bytes(b"old")
        self.file.write([b"new"])
        self.file.discard()
        self.assertEqual(self.names(), ["name"])

    def test_not_there(self) -> None:
        """Where there are no such files, one is told so; other failures are failures."""
        for number in (errno.EOPNOTSUPP, errno.EISDIR):
            refusal = OSError(number, "no")
            with mock.patch.object(os, "open", side_effect=refusal):
                self.assertIs(StagedFile.nameless(self.folder / "a", 0o600), None)
        with mock.patch.object(os, "open", side_effect=OSError(errno.EACCES, "no")):
            self.assertRaises(OSError, StagedFile.nameless, self.folder / "a", 0o600)
