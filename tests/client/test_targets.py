"""What a download may replace, and what its file takes over from the one that was there."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.client.test_protocol import LARGE, Case, Pair, names_in
from xferproto.client.target import PartFile
from xferproto.model.entry import Entry
from xferproto.model.errors import TargetExists, TargetIsNoFile

SMALL = b"small"

Fetch = Callable[[Entry, Path, bool], Exception | None]
"""Fetches an entry to a target, replacing what is there or not: what that fails with."""


class TargetCase(Case):
    """A depot with a small content and a large one, and each way to fetch them."""

    def setUp(self) -> None:
        self.pair = Pair(self)
        self.entries = []
        for content in (SMALL, LARGE):
            request = self.pair.client.upload(content, "name")
            self.pair.flush()
            self.entries.append(self.successResultOf(request))

    def fetched(self, request: Deferred[Any]) -> Exception | None:
        failures: list[Any] = []
        request.addCallbacks(lambda _: None, failures.append)
        self.pair.flush()
        self.assertTrue(request.called)
        return failures[0].value if failures else None

    def alone(self, entry: Entry, target: Path, replace: bool) -> Exception | None:
        return self.fetched(self.pair.client.download(entry.id, target, replace))

    def resumed(self, entry: Entry, target: Path, replace: bool) -> Exception | None:
        return self.fetched(self.pair.client.download(entry.id, target, replace, resume=True))

    def with_others(self, entry: Entry, target: Path, replace: bool) -> Exception | None:
        outcomes: list[Entry | Exception] = []
        request = self.pair.client.download_many(
            [(entry.id, target)], lambda id, outcome: outcomes.append(outcome), replace
        )
        self.assertIsNone(self.fetched(request))
        (outcome,) = outcomes
        return outcome if isinstance(outcome, Exception) else None

    def each(self) -> Iterator[tuple[Entry, Fetch]]:
        """Each content, with each way to fetch it."""
        for entry in self.entries:
            for fetch in (self.alone, self.resumed, self.with_others):
                yield entry, fetch


class NoFileTests(TargetCase):
    """What is no regular file stays, also where a file may be replaced."""

    def special(self, directory: Path) -> list[Path]:
        """One of each kind, and a link to each."""
        os.mkfifo(directory / "pipe")
        (directory / "directory").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            # By a relative path: that of a socket has to be short.
            before = Path.cwd()
            os.chdir(directory)
            try:
                listener.bind("socket")
            finally:
                os.chdir(before)
        names = ["pipe", "directory", "socket"]
        if os.geteuid() == 0:
            try:
                os.mknod(directory / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
                names.append("device")
            except PermissionError:  # root of a container
                pass
        for name in names:
            (directory / f"link to {name}").symlink_to(name)
        (directory / "link to the system's").symlink_to("/dev/null")
        # What this is a link to, when it is looked at, is a regular file or nothing.
        (directory / "link to an open file").symlink_to(f"/proc/self/fd/{2**20}")
        return sorted(directory.iterdir())

    def test_stays(self) -> None:
        """Each is refused, by a replacing download too, and nothing lies beside it."""
        directory = self.directory()
        targets = self.special(directory)
        before = [os.lstat(target) for target in targets]
        for entry, fetch in self.each():
            for target in targets:
                for replace in (False, True):
                    error = fetch(entry, target, replace)
                    self.assertIsInstance(error, TargetIsNoFile, f"{target} {replace}")
        self.assertEqual(names_in(directory), [target.name for target in targets])
        for target, status in zip(targets, before, strict=True):
            now = os.lstat(target)
            self.assertEqual((now.st_mode, now.st_ino), (status.st_mode, status.st_ino))

    def test_meanwhile(self) -> None:
        """What comes there while the download is under way stays too."""
        for moment in ("sync", "place"):
            target = self.directory() / "x"
            target.write_bytes(b"old")
            part = PartFile(target, replace=True)
            part.write([b"new"])
            if moment == "place":
                part.sync()
            target.unlink()
            os.mkfifo(target)
            self.assertRaises(TargetIsNoFile, part.publish if moment == "sync" else part.place)
            part.leave()
            self.assertEqual(names_in(target.parent), ["x"])
            self.assertTrue(stat.S_ISFIFO(target.stat().st_mode))

    def test_still_there(self) -> None:
        """It counts as a target that is there, for who knows of no more."""
        self.assertTrue(issubclass(TargetIsNoFile, TargetExists))


class ReplacedTests(TargetCase):
    """What a file takes over from the one that it replaces."""

    def test_mode(self) -> None:
        """Its permissions, whatever they are; not the bits that run it as somebody else."""
        for entry, fetch in self.each():
            for mode, kept in (
                (0o600, 0o600),
                (0o640, 0o640),
                (0o755, 0o755),
                (0o444, 0o444),
                (0o6755, 0o755),
            ):
                target = self.directory() / "x"
                target.write_bytes(b"old")
                target.chmod(mode)
                self.assertIsNone(fetch(entry, target, True))
                self.assertEqual(stat.S_IMODE(target.stat().st_mode), kept)
                self.assertEqual(target.stat().st_size, entry.size)
                self.assertEqual(names_in(target.parent), ["x"])

    def test_new(self) -> None:
        """A file that replaces none has the mode that the umask says."""
        before = os.umask(0o027)
        try:
            for entry, fetch in self.each():
                for replace in (False, True):
                    target = self.directory() / "x"
                    self.assertIsNone(fetch(entry, target, replace))
                    self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640)
        finally:
            os.umask(before)

    def test_never_open(self) -> None:
        """What comes for a file that others can't read can't be read by them on its way either."""
        for id in (None, "0" * 32):
            target = self.directory() / "x"
            target.write_bytes(b"old")
            target.chmod(0o600)
            part = PartFile(target, replace=True, id=id)
            (beside,) = (path for path in target.parent.iterdir() if path != target)
            self.assertEqual(stat.S_IMODE(beside.stat().st_mode) & 0o077, 0)
            part.leave()

    def test_full_disk(self) -> None:
        """The error of a full disk names the target, and the part where one is kept."""

        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for id, came in ((None, b"abc"), ("0" * 32, b""), ("0" * 32, b"abc")):
            target = self.directory() / "x"
            part = PartFile(target, replace=False, id=id)
            part.write([came])
            kept = part._file.path if id and came else None
            steps: tuple[tuple[str, Callable[..., None], tuple[Any, ...]], ...] = (
                ("writev", part.write, ([b"d"],)),
                ("fsync", part.sync, ()),
            )
            for method, step, arguments in steps:
                with self.patched(method, full):
                    error = self.assertRaises(OSError, step, *arguments)
                self.assertEqual(error.filename, str(target))
                self.assertEqual(error.filename2, kept and str(kept))
            part.leave()
            self.assertEqual(list(target.parent.iterdir()), [kept] if kept else [])

    @contextlib.contextmanager
    def patched(self, name: str, replacement: Callable[..., object]) -> Iterator[None]:
        patch = self.patch(os, name, replacement)
        try:
            yield
        finally:
            patch.restore()

    def test_owner(self) -> None:
        """Its owner and group, where the process may give them."""
        if os.geteuid() != 0:
            self.skipTest("only root gives files away")
        for entry, fetch in self.each():
            target = self.directory() / "x"
            target.write_bytes(b"old")
            os.chown(target, 12345, 23456)
            target.chmod(0o640)
            self.assertIsNone(fetch(entry, target, True))
            status = target.stat()
            self.assertEqual(
                (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)), (12345, 23456, 0o640)
            )

    def test_other_group(self) -> None:
        """Where the group can't be given, ours may no more than everybody may."""

        def refuse(*arguments: object) -> None:
            raise PermissionError

        target = self.directory() / "x"
        target.write_bytes(b"old")
        target.chmod(0o660)
        part = PartFile(target, replace=True)
        own = target.stat()
        (other := list(own))[stat.ST_GID] += 1
        self.patch(os, "fchown", refuse)
        self.patch(Path, "stat", lambda path: os.stat_result(other) if path == target else own)
        part.sync()
        self.assertEqual(stat.S_IMODE(os.lstat(part._file.path).st_mode), 0o600)
        part.leave()

    def test_links(self) -> None:
        """A link is replaced itself, what it leads to stays; so do other names of the file."""
        for entry, fetch in self.each():
            directory = self.directory()
            (directory / "secret").write_bytes(b"old")
            (directory / "secret").chmod(0o600)
            (directory / "link").symlink_to("secret")
            (directory / "nowhere").symlink_to("missing")
            (directory / "hard").hardlink_to(directory / "secret")
            for name in ("link", "nowhere", "hard"):
                self.assertIsNone(fetch(entry, directory / name, True))
                status = os.lstat(directory / name)
                self.assertTrue(stat.S_ISREG(status.st_mode))
                self.assertEqual(status.st_size, entry.size)
                if name != "nowhere":
                    self.assertEqual(stat.S_IMODE(status.st_mode), 0o600)
            self.assertEqual((directory / "secret").read_bytes(), b"old")
            self.assertEqual(names_in(directory), ["hard", "link", "nowhere", "secret"])
