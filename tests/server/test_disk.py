"""A real server over disks that fail by real means: full, broken, gone; and its syncs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support.interposed import build_library
from tests.support.processes import Server, new_directory, read_line

CONTENT = os.urandom(300_000)
ID = md5(CONTENT).hexdigest().encode()
SMALL = os.urandom(1000)
"""A content that is a row of a database."""
EMPTY = [b"No files available at the moment\n"]


def upload(connection: socket.socket, name: bytes, content: bytes) -> bytes:
    """Send a one-line upload: its answer."""
    connection.sendall(b"UPLOAD %s;%d\n" % (name, len(content)) + content)
    return read_line(connection)


def listed(connection: socket.socket) -> list[bytes]:
    """The lines of a listing, without its DONE."""
    connection.sendall(b"LIST_FILES\n")
    lines = []
    while (line := read_line(connection)) != b"DONE\n":
        assert line, "the connection has ended"
        lines.append(line)
    return lines


def fetched(connection: socket.socket, id: bytes, size: int) -> bytes:
    """Download a file of a known size; what came where it is cut off, or the error."""
    connection.sendall(b"DOWNLOAD %s\n" % id)
    line = read_line(connection)
    if line.startswith(b"ERROR"):
        return line
    content = b""
    try:
        while len(content) < size and (data := connection.recv(65536)):
            content += data
    except ConnectionResetError:
        pass
    return content


class DiskCase(SynchronousTestCase):
    """Gives each test a directory."""

    def setUp(self) -> None:
        self.directory = new_directory(self)

    def entry(self, name: str, content: bytes = CONTENT) -> bytes:
        return f"{md5(content).hexdigest()};{name};{len(content)}\n".encode()


class OrderTests(DiskCase):
    """What the system is asked for before an id is sent."""

    def test_synced_before_told(self) -> None:
        """Data, directory and catalogue are synced, in this order, before the id is sent."""
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("strace is not installed")
        trace = self.directory / "trace"
        calls = "openat,rename,renameat,renameat2,fsync,fdatasync,sendto,write,writev"
        under = [strace, "-D", "-f", "-y", "-s", "64", "-o", str(trace), "-e", f"trace={calls}"]
        probe = subprocess.run([*under, "true"], capture_output=True)
        if probe.returncode:
            raise SkipTest("strace may not trace here")
        server = Server(self, self.directory, under=under)
        connection = server.connect(self)
        self.assertEqual(upload(connection, b"first", b"another content")[-1:], b"\n")
        self.assertEqual(upload(connection, b"name", CONTENT), ID + b"\n")
        small = md5(SMALL).hexdigest()
        self.assertEqual(upload(connection, b"small", SMALL), small.encode() + b"\n")
        server.signal(signal.SIGTERM)
        server.wait()
        lines = trace.read_text("utf-8", "replace").splitlines()
        told = self.find(lines, rf'(sendto|write)\(\d+<.*"{ID.decode()}\\n"', 0)
        named = self.find(lines, rf"rename.*incoming/.*objects/{ID[:2].decode()}/{ID.decode()}", 0)
        data = max(
            self.ended(lines, number)
            for number in range(named)
            if re.search(r"fsync\(\d+<[^>]*/incoming/[0-9a-f]{32}>", lines[number])
        )
        folder = self.find(lines, rf"fsync\(\d+<[^>]*/objects/{ID[:2].decode()}>", named)
        row = self.find(lines, r"(fsync|fdatasync)\(\d+<[^>]*catalogue\.sqlite-wal>", folder)
        self.assertLess(data, named)
        self.assertLess(named, folder)
        self.assertLess(folder, row)
        self.assertLess(row, told)
        told_small = self.find(lines, rf'(sendto|write)\(\d+<.*"{small}\\n"', told)
        bytes_synced = self.find(lines, r"(fsync|fdatasync)\(\d+<[^>]*small\.sqlite-wal>", told)
        row = self.find(lines, r"(fsync|fdatasync)\(\d+<[^>]*catalogue\.sqlite-wal>", bytes_synced)
        self.assertLess(row, told_small)

    def ended(self, lines: list[str], number: int) -> int:
        """The line on which a call has ended, where another thread's came in between."""
        if "<unfinished" not in lines[number]:
            return number
        thread = re.escape(lines[number].split()[0])
        return self.find(lines, rf"^{thread} .* resumed>", number)

    def find(self, lines: list[str], pattern: str, start: int) -> int:
        """The number of the first line from C{start} on that has the pattern."""
        for number in range(start, len(lines)):
            if re.search(pattern, lines[number]):
                return number
        raise AssertionError(f"{pattern} is not in the trace from line {start} on")


class FullTests(DiskCase):
    """A disk that is full."""

    def small_disk(self, size: str) -> Path:
        """A tmpfs of this size in the place of the storage directory."""
        storage = self.directory / "storage"
        storage.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(storage)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            raise SkipTest("a tmpfs can't be mounted here (it takes root)")
        self.addCleanup(subprocess.run, ["umount", "-l", str(storage)], check=True)
        return storage

    def test_told_first(self) -> None:
        """A file that will not fit is refused before its first byte; what fits is taken."""
        self.small_disk("8m")
        connection = Server(self, self.directory).connect(self)
        self.assertEqual(upload(connection, b"small", CONTENT), ID + b"\n")
        connection.sendall(b"UPLOAD\n")
        read_line(connection)
        connection.sendall(b"large;20000000\n")
        self.assertTrue(read_line(connection).startswith(b"ERROR no-space "))
        self.assertEqual(listed(connection), [self.entry("small")])
        self.assertEqual(fetched(connection, ID, len(CONTENT)), CONTENT)

    def test_promised_twice(self) -> None:
        """What is promised to an upload that runs is not promised to another one."""
        self.small_disk("8m")
        server = Server(self, self.directory)
        first, second = server.connect(self), server.connect(self)
        answers = []
        for connection in (first, second):
            connection.sendall(b"UPLOAD\n")
            read_line(connection)
            connection.sendall(b"half;5000000\n")
            answers.append(read_line(connection).split()[:2])
        self.assertEqual(answers, [[b"Ready", b"to"], [b"ERROR", b"no-space"]])
        first.close()

    def test_filled_by_others(self) -> None:
        """A disk that others fill fails the upload alone, and all goes on when there is room."""
        storage = self.small_disk("8m")
        server = Server(self, self.directory)
        connection = server.connect(self)
        self.assertEqual(upload(connection, b"before", CONTENT), ID + b"\n")
        small = md5(SMALL).hexdigest().encode()
        self.assertEqual(upload(connection, b"small", SMALL), small + b"\n")
        connection.sendall(b"UPLOAD\n")
        read_line(connection)
        connection.sendall(b"big;3000000\n")
        self.assertEqual(read_line(connection), b"Ready to receive the file\n")
        with (storage / "filler").open("wb") as filler, self.assertRaises(OSError):
            while True:
                filler.write(bytes(65536))
                filler.flush()
        connection.sendall(bytes(3000000))
        self.assertTrue(read_line(connection).startswith(b"ERROR no-space "))
        # The catalogue has no room either: nothing hangs, what is stored is served.
        for number in range(3):
            for size in (2000, 20_000):
                answer = upload(connection, b"more%d" % number, b"%d" % number * size)
                self.assertTrue(answer.startswith(b"ERROR no-space "), answer)
        stored = [self.entry("before"), self.entry("small", SMALL)]
        self.assertEqual(listed(connection), stored)
        self.assertEqual(fetched(connection, ID, len(CONTENT)), CONTENT)
        self.assertEqual(fetched(connection, small, len(SMALL)), SMALL)
        (storage / "filler").unlink()
        after = os.urandom(1000)
        self.assertEqual(
            upload(connection, b"after", after), md5(after).hexdigest().encode() + b"\n"
        )
        self.assertEqual(listed(connection), [self.entry("after", after), *stored])
        self.assertEqual(list((storage / "incoming").iterdir()), [])

    def test_no_byte_left(self) -> None:
        """With no byte left, files are deleted; killed then, the server starts, and goes on."""
        storage = self.small_disk("8m")
        contents = [os.urandom(20_000) for _ in range(20)] + [os.urandom(500) for _ in range(20)]
        ids = [md5(content).hexdigest().encode() for content in contents]
        server = Server(self, self.directory)
        connection = server.connect(self)
        self.assertEqual(upload(connection, b"kept", CONTENT), ID + b"\n")
        for id, content in zip(ids, contents, strict=True):
            self.assertEqual(upload(connection, id, content), id + b"\n")
        for killed in (False, True):
            if killed:
                server.kill()
                self.fill(storage)
                server = Server(self, self.directory)
                connection = server.connect(self)
            for id in ids[killed::2]:
                self.fill(storage)  # the room of what was deleted before is taken at once
                connection.sendall(b"DELETE %s\n" % id)
                self.assertEqual(read_line(connection), id + b"\n")
            self.assertEqual(fetched(connection, ID, len(CONTENT)), CONTENT)
        self.assertEqual(listed(connection), [self.entry("kept")])

    def fill(self, storage: Path) -> None:
        """Leave no byte on the disk."""
        with (storage / "filler").open("ab", buffering=0) as filler:
            for size in (65536, 512):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    pass

    def test_limited_files(self) -> None:
        """A limit on the size of files is no-space for the file above it, and nothing else."""
        shell = shutil.which("sh")
        assert shell is not None
        under = [shell, "-c", 'ulimit -f 2000 && exec "$@"', "sh"]
        connection = Server(self, self.directory, under=under).connect(self)
        large = os.urandom(3_000_000)
        self.assertTrue(upload(connection, b"large", large).startswith(b"ERROR no-space "))
        self.assertEqual(upload(connection, b"small", CONTENT), ID + b"\n")
        self.assertEqual(listed(connection), [self.entry("small")])


class BrokenTests(DiskCase):
    """A disk whose calls fail with EIO, by a library between the server and the system."""

    def setUp(self) -> None:
        super().setUp()
        library = build_library(self.directory, "eio")
        self.control = self.directory / "eio"
        self.server = Server(
            self,
            self.directory,
            environment={"LD_PRELOAD": str(library), "XFER_EIO": str(self.control)},
        )
        self.connection = self.server.connect(self)

    def test_write(self) -> None:
        """A write or sync that fails is answered, lists nothing, and passes."""
        for call in ("writev", "fsync"):
            self.control.write_text(call)
            answer = upload(self.connection, b"name", CONTENT)
            self.assertTrue(answer.startswith(b"ERROR internal "), answer)
            self.assertEqual(listed(self.connection), EMPTY)
            self.assertEqual(self.server.objects(), [])
        self.control.unlink()
        self.assertEqual(upload(self.connection, b"name", CONTENT), ID + b"\n")
        self.assertEqual(listed(self.connection), [self.entry("name")])

    def test_read(self) -> None:
        """A read that fails cuts the download off, with no wrong byte; the next one is right."""
        self.assertEqual(upload(self.connection, b"name", CONTENT), ID + b"\n")
        self.control.write_text("pread")
        came = fetched(self.connection, ID, len(CONTENT))
        self.assertTrue(came.startswith(b"ERROR internal ") or CONTENT.startswith(came), came[:99])
        self.assertLess(len(came), len(CONTENT))
        other = self.server.connect(self)
        other.sendall(b"VERIFY %s\n" % ID)
        self.assertTrue(read_line(other).startswith(b"ERROR internal "))
        self.control.unlink()
        self.assertEqual(fetched(other, ID, len(CONTENT)), CONTENT)
        other.sendall(b"VERIFY %s\n" % ID)
        self.assertEqual(read_line(other), ID + b"\n")


class LostTests(DiskCase):
    """A storage directory that is no longer there."""

    def test_moved_away(self) -> None:
        """It is answered and logged; nothing is written elsewhere; all goes on when it is back."""
        server = Server(self, self.directory)
        connection = server.connect(self)
        self.assertEqual(upload(connection, b"name", CONTENT), ID + b"\n")
        away = server.storage.rename(self.directory / "away")
        for request in (b"DOWNLOAD %s\n" % ID, b"VERIFY %s\n" % ID, b"DELETE %s\n" % ID):
            connection.sendall(request)
            self.assertTrue(read_line(connection).startswith(b"ERROR internal "), request)
        for content in (b"other", bytes(20_000)):
            self.assertIn(b"storage is not there", upload(connection, b"other", content))
        server.storage.mkdir()  # an empty mount point
        self.assertTrue(upload(connection, b"other", b"other").startswith(b"ERROR internal "))
        self.assertEqual(list(server.storage.iterdir()), [])
        server.storage.rmdir()
        away.rename(server.storage)
        self.assertEqual(fetched(connection, ID, len(CONTENT)), CONTENT)
        self.assertEqual(upload(connection, b"again", CONTENT), ID + b"\n")
        server.wait_for("storage is not there")


class InodeTests(DiskCase):
    """A disk that takes hardly any more files."""

    def test_tokens(self) -> None:
        """Tokens do not take the last inodes, and what holds nothing is not kept."""
        storage = self.directory / "storage"
        storage.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=200", "tmpfs", str(storage)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            raise SkipTest("a tmpfs can't be mounted here (it takes root)")
        self.addCleanup(subprocess.run, ["umount", "-l", str(storage)], check=True)
        server = Server(self, self.directory)
        connections = [server.connect(self) for _ in range(190)]
        refused = 0
        for number, connection in enumerate(connections):
            connection.sendall(b"RESUME x;9;t%d\n" % number)
            answer = read_line(connection)
            refused += answer.startswith(b"ERROR no-space ")
            self.assertTrue(answer.startswith((b"0;", b"ERROR no-space ")), answer)
        self.assertGreater(refused, 0)
        self.assertGreaterEqual(os.statvfs(storage).f_favail, 200 // 32)
        for connection in connections:
            connection.close()
        connection = server.connect(self)
        self.assertEqual(upload(connection, b"small", SMALL)[-1:], b"\n")
        server.wait_for("#190 disconnected")
        for _ in range(100):
            if not list((storage / "partial").iterdir()):
                break
            connection.sendall(b"HELP\n")
            while read_line(connection) != b"DONE\n":
                pass
        self.assertEqual(upload(connection, b"name", CONTENT), ID + b"\n")
        self.assertEqual(list((storage / "partial").iterdir()), [])


class OptionTests(DiskCase):
    """What the operator allows."""

    def test_tokens(self) -> None:
        """So many unfinished uploads under tokens as are allowed, and no more."""
        server = Server(self, self.directory, "--max-tokens", "2")
        answers = []
        for token in (b"a", b"b", b"c"):
            connection = server.connect(self)
            connection.sendall(b"RESUME n;9;%s\n" % token)
            answers.append(read_line(connection))
        self.assertEqual([answer[:2] for answer in answers[:2]], [b"0;", b"0;"])
        self.assertTrue(answers[2].startswith(b"ERROR quota-exceeded "), answers[2])
