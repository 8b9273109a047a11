"""C{xfer put} and C{xfer get}, as installed, against a real server."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.console import Ended, Running, environment, until, xfer
from tests.support.forked import XFER
from tests.support.processes import Server, new_directory

MIB = 1024 * 1024

SLOW = ("--rate", str(MIB))
"""Options of a server with which a large file is under way for a minute."""


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def contents(root: Path) -> dict[str, str]:
    """The MD5 of every file below a directory, by its relative path."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, hashlib.md5)
            found[str(path.relative_to(root))] = digest.hexdigest()
    return found


class ConsoleCase(SynchronousTestCase):
    """A server, and a user's directory."""

    def setUp(self) -> None:
        self.home = new_directory(self)
        self.depot = new_directory(self)
        self.server = self.started()
        self.variables = {"XFER_ENDPOINT": f"unix:{self.depot / 'socket'}"}

    def started(self, *options: str) -> Server:
        # A UNIX socket: the next server listens at the same place, whatever ports are taken.
        (self.depot / "socket").unlink(missing_ok=True)
        server = Server(self, self.depot, "--endpoint", f"unix:{self.depot / 'socket'}", *options)
        server.drain()
        return server

    def restart(self, *options: str) -> None:
        """Kill the server, and start it again."""
        self.server.kill()
        self.server = self.started(*options)

    def xfer(self, *arguments: str | Path, input: bytes | None = None) -> Ended:
        return xfer(self.home, *arguments, input=input, variables=self.variables)

    def running(self, *arguments: str | Path, terminal: bool = False) -> Running:
        return Running(self, self.home, *arguments, terminal=terminal, variables=self.variables)

    def objects(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """What C{--json} says of an xfer that goes well."""
        ended = self.xfer(*arguments, "--json")
        self.assertEqual((ended.status, ended.err), (0, ""), ended)
        return ended.objects()

    def file(self, name: str, content: bytes) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def check(self, sums: str, tool: str = "md5sum") -> None:
        """The sums are those of the files in the user's directory, as the usual tool sees them."""
        subprocess.run(
            [tool, "--check", "--strict", "--quiet"],
            cwd=self.home,
            input=sums.encode("utf-8", "surrogateescape"),
            check=True,
        )


class RoundTripTests(ConsoleCase):
    """Files up and down."""

    def tree(self) -> dict[str, str]:
        """A directory of many kinds of files: their hashes."""
        rng = random.Random(6)
        for name, size in (
            ("a/empty", 0),
            ("a/b/small", 10),
            ('with space/é;ü "x".txt', 100),
            (".hidden", 5),
            ("a/just small", 64 * 1024),
            ("a/just large", 64 * 1024 + 1),
            ("large", 3 * MIB + 7),
            ("same as large", 0),
        ):
            self.file(f"src/{name}", rng.randbytes(size))
        shutil.copy(self.home / "src/large", self.home / "src/same as large")
        for number in range(300):
            self.file(f"src/many/{number}", rng.randbytes(number % 7))
        (self.home / "src/nothing in it").mkdir()
        (self.home / "src/link").symlink_to("large")
        return contents(self.home / "src")

    def test_tree(self) -> None:
        """A directory goes up and comes down as it was; a second time nothing is carried."""
        tree = self.tree()
        del tree["link"]
        up = self.xfer("put", "src")
        self.assertEqual(up.status, 0, up.err)
        self.assertEqual(len(up.out.splitlines()), len(tree))
        self.check(up.out)
        self.assertRegex(
            up.err,
            rf"^xfer: {len(tree) - 1} files stored \([0-9.]+ MiB sent\); 1 there already "
            r"\(3 MiB\); left out: 1 symbolic link, 1 empty directory\n$",
        )
        again = self.objects("put", "src/")
        self.assertEqual(
            Counter(one["event"] for one in again), {"present": len(tree), "summary": 1}
        )
        self.assertEqual(again[-1]["moved"], 0)

        down = self.xfer("get", "src", "-o", "down")
        self.assertEqual(down.status, 0, down.err)
        self.check(down.out)
        self.assertEqual(contents(self.home / "down/src"), tree)
        again = self.objects("get", "src/", "-o", "down")
        self.assertEqual(
            Counter(one["event"] for one in again), {"present": len(tree), "summary": 1}
        )

    def test_paths(self) -> None:
        """What names begin with, and where they come down: as with scp."""
        self.file("d/e/f.txt", b"f")
        for arguments, name in (
            (["d/e/f.txt"], "f.txt"),
            (["d/e"], "e/f.txt"),
            (["d/."], "e/f.txt"),
            (["d/e", "--name", "n/m"], "n/m/f.txt"),
            (["d/e", "--prefix", "p/q/"], "p/q/e/f.txt"),
            (["d/e/f.txt", "--name", "g", "--prefix", "p"], "p/g"),
        ):
            (stored, _) = self.objects("put", *arguments)
            self.assertEqual(stored["name"], name)
            self.assertEqual(stored["path"].replace("./", ""), "d/e/f.txt")
        for arguments, paths in (
            (["f.txt"], ["f.txt"]),
            (["p/q/e"], ["e/f.txt"]),
            (["p/q/e/f.txt"], ["f.txt"]),
            (["p/"], ["p/g", "p/q/e/f.txt"]),
            (["p/g", "-o", "other.txt"], ["other.txt"]),
            ([md5(b"f").upper(), "-o", "by-id/"], ["by-id/f.txt"]),
            (["e/f", "-o", "."], ["f.txt"]),
            (
                ["--all", "-o", "all"],
                [f"all/{name}" for name in ("e/f.txt", "f.txt", "n/m/f.txt", "p/g", "p/q/e/f.txt")],
            ),
        ):
            got = self.objects("get", *arguments)
            self.assertEqual(sorted(one["path"] for one in got[:-1]), sorted(paths))
            for path in paths:
                self.assertEqual((self.home / path).read_bytes(), b"f")

    def test_streams(self) -> None:
        """Standard input goes up under a name; standard output gets what is proven, no more."""
        content = random.Random(7).randbytes(5 * MIB)
        up = self.xfer("put", "-", "--name", "in/stream", input=content)
        self.assertEqual((up.status, up.out), (0, f"{md5(content)}  in/stream\n"), up.err)
        self.xfer("put", "-", "--name", "in/empty", input=b"")
        down = subprocess.run(
            [XFER, "get", "in/stream", "in/empty", "in/stream", "-o", "-"],
            cwd=self.home,
            env=environment(self.home, **self.variables),
            capture_output=True,
            check=True,
        )
        self.assertEqual(down.stdout, 2 * content)

    def test_stdin_needs_a_name(self) -> None:
        """Standard input without a name is wrong usage, and so is a name for many."""
        self.file("a", b"")
        for arguments in (["-"], ["-", "a"], ["a", "a", "--name", "b"], ["a", "--name", ""], []):
            ended = self.xfer("put", *arguments)
            self.assertEqual(ended.status, 2, ended)
            self.assertEqual(len(ended.err.splitlines()), 1, ended.err)
        for arguments in ([], ["a", "--all"], ["a", "-o", ""], ["a", "-o", "-", "--json"]):
            self.assertEqual(self.xfer("get", *arguments).status, 2)

    def test_bad_files(self) -> None:
        """What can't be stored is told one by one, with why and what to do; the rest goes on."""
        self.file("src/good", b"good")
        self.file("src/bad\\name", b"bad")
        self.file("src/\udcff\udcfe", b"bad")
        self.file("src/new\nline", b"bad")
        os.mkfifo(self.home / "src/pipe")
        self.file("other/good", b"other")
        up = self.xfer("put", "src", "missing", "src/pipe", "other/good", "--name", "x")
        self.assertEqual(up.status, 2)
        up = self.xfer("put", "src", "missing", "src/pipe", "src/good", "other/good")
        self.assertEqual(up.status, 1)
        self.assertEqual(
            up.out.splitlines(), [f"{md5(b'good')}  src/good", f"{md5(b'good')}  good"]
        )
        *failures, summary = up.err.splitlines()
        self.assertEqual(len(failures), 6, up.err)
        for what in (
            "src/bad\\name",
            "new\\nline",
            "\\udcff\\udcfe",
            "missing",
            "pipe",
            "other/good",
        ):
            (failure,) = (
                line
                for line in failures
                if line.partition(": ")[2].partition(": ")[0].endswith(what)
            )
            self.assertRegex(failure, "^xfer: [^:]+: [^;]+; .+")
        self.assertEqual(
            summary,
            "xfer: 2 files stored (8 bytes sent); 6 failed; left out: 1 special file",
        )

    def test_versions(self) -> None:
        """A name with two contents: the later one comes down, which is said; --replace forgets."""
        self.file("f", b"first")
        self.xfer("put", "f")
        self.file("f", b"later")
        up = self.xfer("put", "f")
        self.assertIn("other contents too: " + md5(b"first"), up.err)
        (self.home / "f").unlink()
        down = self.xfer("get", "f")
        self.assertEqual((down.status, (self.home / "f").read_bytes()), (0, b"later"))
        self.assertIn(md5(b"first"), down.err)
        self.file("f", b"third")
        up = self.xfer("put", "f", "--replace")
        self.assertIn(f'removed "f" {md5(b"first")}', up.err)
        (only, _) = self.objects("get", "f")
        self.assertEqual((only["id"], only["event"]), (md5(b"third"), "present"))
        self.assertEqual(self.xfer("ls").out, "f\n")

    def test_no_space(self) -> None:
        """A file that the depot has no space for is refused before any byte is sent."""
        free = shutil.disk_usage(self.depot).free
        with (self.home / "f").open("wb") as file:
            file.truncate(free + 2**40)  # sparse
        up = self.xfer("put", "f", "--no-hash-first", "--tries", "2")
        self.assertEqual(up.status, 1, up)
        self.assertIn("Trying again in", up.err)
        self.assertIn(
            "xfer: f: the depot has no space for the file, and nothing was sent; remove files",
            up.err,
        )
        self.assertNotIn("kept", up.err)

    def test_name_and_directory(self) -> None:
        """A name that is a directory too is fetched alone, and a note says how to get the rest."""
        self.file("f", b"first")
        for name in ("d", "d/1", "d/2"):
            self.xfer("put", "f", "--name", name)
        for command in ("get", "verify", "sums"):
            ended = self.xfer(command, "d")
            self.assertEqual(ended.status, 0, ended)
            self.assertIn('"d" is a name, and a directory of 2 names', ended.err)
            self.assertIn('Give "d/" for the directory', ended.err)
            self.assertNotIn("a directory of", self.xfer(command, "d/").err)
        self.assertTrue((self.home / "d").is_file())
        self.assertNotIn("directory", self.xfer("get", "d", "--quiet").err)
        down = self.xfer("get", "d/", "-o", "other")
        self.assertEqual((down.status, len(down.out.splitlines())), (0, 2), down)

    def test_replaced(self) -> None:
        """With --replace the old content loses the name that has a new one, and no other."""
        self.file("f", b"first")
        self.xfer("put", "f")
        self.xfer("put", "f", "--name", "copy")
        self.file("f", b"later")
        up = self.xfer("put", "f", "--replace")
        self.assertEqual(up.status, 0, up.err)
        self.assertEqual(
            [line.split() for line in self.xfer("ls", "-l").out.splitlines()],
            [[md5(b"first"), "5", "bytes", "copy"], [md5(b"later"), "5", "bytes", "f"]],
        )

    def test_special_targets(self) -> None:
        """A pipe is neither replaced nor written to, and a file keeps its mode."""
        self.file("f", b"new")
        self.xfer("put", "f")
        os.mkfifo(self.home / "pipe")
        for options in ((), ("--replace",)):
            down = self.xfer("get", "f", "-o", "pipe", *options)
            self.assertEqual(down.status, 1)
            self.assertIn("pipe: the target is not a regular file, and is never", down.err)
            self.assertTrue((self.home / "pipe").is_fifo())
        self.file("f", b"old").chmod(0o600)
        self.assertEqual(self.xfer("get", "f", "--replace").status, 0)
        self.assertEqual((self.home / "f").read_bytes(), b"new")
        self.assertEqual((self.home / "f").stat().st_mode & 0o777, 0o600)

    def test_sizes_that_are_wrong(self) -> None:
        """What has not as many bytes as the system says is not stored, and what to do is told."""
        if not Path("/proc/version").exists():
            return
        up = self.xfer("put", "/proc/version")
        self.assertEqual((up.status, up.out), (1, ""))
        self.assertIn(
            "its real size is unknown (the system reports 0); use cat FILE | xfer put -", up.err
        )
        self.assertEqual(self.xfer("ls").out, "")

    def test_targets(self) -> None:
        """What is there with other content stays unless it may be replaced; the rest comes."""
        for name in ("a", "b", "c"):
            self.file(f"d/{name}", name.encode())
        self.xfer("put", "d")
        self.file("d/b", b"mine")
        (self.home / "d/c").unlink()
        down = self.xfer("get", "d")
        self.assertEqual(down.status, 1)
        self.assertIn("d/b: the target exists, and was not replaced; give --replace", down.err)
        self.assertIn(
            "1 file fetched (1 byte received); 1 here already (1 byte); 1 failed", down.err
        )
        self.assertEqual(
            contents(self.home / "d"), {"a": md5(b"a"), "b": md5(b"mine"), "c": md5(b"c")}
        )
        down = self.xfer("get", "d", "--replace")
        self.assertEqual((down.status, (self.home / "d/b").read_bytes()), (0, b"b"))

    def test_names_from_the_depot(self) -> None:
        """Names that this system can't write, or that lead out, are refused; the rest comes."""
        for name in ("h/a", "h/a/b", "h/good", "h/out/x", "h/" + "n" * 255, "h/.profile"):
            self.xfer("put", "-", "--name", name, input=name.encode())
        outside = new_directory(self)
        (self.home / "to/h").mkdir(parents=True)
        (self.home / "to/h/out").symlink_to(outside)
        down = self.xfer("get", "h", "-o", "to")
        self.assertEqual(down.status, 1)
        self.assertIn('h/out/x: "h/out" leads out of to through a symbolic link;', down.err)
        self.assertEqual(list(outside.iterdir()), [])
        self.assertEqual((self.home / "to/h/good").read_bytes(), b"h/good")
        self.assertEqual((self.home / "to/h/.profile").read_bytes(), b"h/.profile")
        self.assertIn("4 files fetched", down.err)
        self.assertIn("2 failed", down.err)

    def test_nothing(self) -> None:
        """What the depot does not have is a failure, and so is a depot that is not there."""
        down = self.xfer("get", "nothing", "0" * 32)
        self.assertEqual((down.status, down.out), (1, ""))
        self.assertIn("[no-such-file]", down.err)
        self.assertEqual(len(down.err.splitlines()), 3)
        self.assertEqual(self.xfer("get", "--all").status, 0)
        self.server.kill()
        self.file("f", b"x")
        up = self.xfer("put", "f")
        self.assertEqual(up.status, 1)
        self.assertIn("can't reach", up.err)
        self.assertEqual(len(up.err.splitlines()), 2)

    def test_dry_run(self) -> None:
        """A dry run says what would go, and carries nothing."""
        self.file("d/a", b"a")
        self.file("d/b", b"bb")
        self.xfer("put", "d/a", "--prefix", "d")
        up = self.xfer("put", "d", "-n")
        self.assertEqual(up.out, f"{md5(b'a')}  d/a\nd/b -> d/b\n")
        self.assertEqual(self.xfer("ls").out, "d/a\n")
        down = self.xfer("get", "d", "-n", "-o", "x")
        self.assertEqual((down.status, (self.home / "x").exists()), (0, False))

    def test_excluded(self) -> None:
        """Patterns leave things out, up and down, and that is said."""
        for name in ("d/a", "d/b.tmp", "d/cache/c"):
            self.file(name, name.encode())
        up = self.xfer("put", "d", "--exclude", "*.tmp", "--exclude", "cache")
        self.assertEqual(up.out, f"{md5(b'd/a')}  d/a\n")
        self.assertIn("left out: 2 excluded paths", up.err)
        self.xfer("put", "d")
        (*got, summary) = self.objects("get", "d", "-o", "x", "--exclude", "d/cache")
        self.assertEqual(sorted(one["path"] for one in got), ["x/d/a", "x/d/b.tmp"])
        self.assertEqual(summary["left_out"], {"excluded path": 1})

    def test_many_arguments(self) -> None:
        """Files that are named one by one are known again, however many they are."""
        for number in range(100):
            self.file(f"d/{number}", b"%d" % number)
        names = [f"d/{number}" for number in range(100)]
        self.xfer("put", *names)
        for again in (names, ["d/."]):
            self.assertEqual(self.objects("put", *again)[-1]["present"], 100)

    def test_not_allowed(self) -> None:
        """Where nobody may write, that is said once: with a file, and the right that is missing."""
        users = self.file("users.toml", b"")
        self.server.kill()
        (self.depot / "socket").unlink()
        self.server = Server(
            self, self.depot, "--endpoint", f"unix:{self.depot / 'socket'}", "--users", users
        )
        self.server.drain()
        for number in range(50):
            self.file(f"d/{number}", b"x" * number)
        up = self.xfer("put", "d")
        self.assertEqual((up.status, len(up.err.splitlines())), (1, 2), up.err)
        self.assertIn("[login-required]", up.err)
        self.assertRegex(up.err, r"^xfer: d/\d+: you may not do this without a login: xfer put ")
        self.assertIn("50 unfinished", up.err)


class TerminalTests(ConsoleCase):
    """What is seen at a terminal."""

    def test_bars(self) -> None:
        """A big file shows its phases, many files their total; at the end they are gone."""
        for number in range(40):
            self.file(f"d/{number}", b"x" * 1000 * number)
        with self.file("d/big.bin", b"").open("wb") as file:
            file.truncate(64 * MIB)
        put = self.running("put", "d", terminal=True)
        self.assertEqual(put.wait(), 0)
        for shown in ("hashing", "sending", "server verifying", " of 41 files", " of 64 MiB"):
            self.assertIn(shown, put.text)
        self.assertRegex(put.text, r"xfer: 41 files stored \([0-9.]+ MiB sent\)\r\n$")
        get = self.running("get", "d", "-o", "x", terminal=True)
        self.assertEqual(get.wait(), 0)
        self.assertIn("receiving", get.text)
        quiet = self.running("get", "d", "-o", "y", "--quiet", terminal=True)
        self.assertEqual(quiet.wait(), 0)
        self.assertNotIn("receiving", quiet.text)

    def test_redirected(self) -> None:
        """Results that go to a file are not on the screen, and all else is."""
        self.file("d/a", b"a")
        put = Running(
            self,
            self.home,
            "xfer put d > sums",
            terminal=True,
            variables={**self.variables, "PATH": f"{XFER.parent}:{os.environ['PATH']}"},
            command=("sh", "-c"),
        )
        self.assertEqual(put.wait(), 0)
        self.assertEqual((self.home / "sums").read_text(), f"{md5(b'a')}  d/a\n")
        self.assertNotIn(md5(b"a"), put.text)
        self.assertIn("1 file stored", put.text)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, says how to go on, and the same command again sends only the rest."""
        with self.file("big", b"begins").open("r+b") as file:
            file.truncate(64 * MIB)
        self.restart(*SLOW)
        put = self.running("put", "big", terminal=True)
        partial = self.depot / "storage/partial"
        until(lambda: any(held.stat().st_size > 2 * MIB for held in partial.iterdir()))
        put.type("\x03")
        self.assertEqual(put.wait(), 130)
        self.assertIn(
            "xfer: stopped: the files listed above are stored; give the same command", put.text
        )
        self.assertNotIn("Traceback", put.text)
        self.restart()
        (stored, _) = self.objects("put", "big")
        self.assertEqual(stored["event"], "stored")
        self.assertLess(stored["sent"], 64 * MIB - 2 * MIB)

        self.restart(*SLOW)
        get = self.running("get", "big", "-o", "copy", terminal=True)
        until(lambda: any(part.stat().st_size > 2 * MIB for part in self.home.glob(".*.part")))
        get.type("\x03")
        self.assertEqual(get.wait(), 130)
        self.assertIn("hidden .part files", get.text)
        self.restart()
        (fetched, _) = self.objects("get", "big", "-o", "copy")
        self.assertLess(fetched["received"], 64 * MIB - 2 * MIB)
        self.assertEqual(list(self.home.glob(".*.part")), [])
        self.assertEqual(contents(self.home)["copy"], stored["id"])


class CutTests(ConsoleCase):
    """
    A thousand small files and a large one, with all that may happen to them.

    The large one comes slowly until the last time, so that it is under way whenever it is looked
    for. The long form: C{XFER_TEST_FILES=10000 XFER_TEST_SIZE=2147483648} in the environment.
    """

    FILES = int(os.environ.get("XFER_TEST_FILES", "1000"))
    SIZE = int(os.environ.get("XFER_TEST_SIZE", str(64 * MIB)))

    def test_cut(self) -> None:
        """The server is killed under it, the client is interrupted; each time it goes on."""
        rng = random.Random(10)
        for number in range(self.FILES):
            self.file(f"src/{number % 50}/{number}", rng.randbytes(rng.randrange(3000)))
        with self.file("src/big", b"").open("wb") as file:
            file.truncate(self.SIZE)  # mostly a hole: no disk is needed for it here
            for _ in range(200):
                file.seek(rng.randrange(self.SIZE - 4096))
                file.write(rng.randbytes(4096))
        sums = contents(self.home / "src")

        self.restart(*SLOW)
        put = self.running("put", "src", "--tries", "50")
        put.wait_for(rf"(?:.*\n){{{self.FILES // 5}}}")
        self.restart(*SLOW)
        put.wait_for("Trying again in")
        self.until_partial(2 * MIB)
        self.restart(*SLOW)
        self.until_partial(4 * MIB)
        put.signal(signal.SIGINT)
        self.assertEqual(put.wait(), 130)
        self.restart()
        up = self.xfer("put", "src", "--json")
        self.assertEqual((up.status, up.err), (0, ""))
        *told, summary = up.objects()
        self.assertEqual({one["name"][4:]: one["id"] for one in told}, sums)
        self.assertLess(summary["moved"], self.SIZE - 3 * MIB)
        self.assertEqual((summary["failed"], summary["unfinished"]), (0, 0))
        self.assertEqual(self.objects("put", "src")[-1]["moved"], 0)

        self.restart(*SLOW)
        get = self.running("get", "src", "-o", "down", "--tries", "50")
        get.wait_for(rf"(?:.*\n){{{self.FILES // 5}}}")
        self.restart(*SLOW)
        down = self.home / "down/src"
        until(lambda: any(part.stat().st_size > 2 * MIB for part in down.glob(".*.part")))
        get.signal(signal.SIGINT)
        self.assertEqual(get.wait(), 130)
        self.restart()
        got = self.objects("get", "src", "-o", "down")[-1]
        self.assertLess(got["moved"], self.SIZE - 1 * MIB)
        self.assertEqual(contents(down), sums)

    def until_partial(self, size: int) -> None:
        partial = self.depot / "storage/partial"
        until(lambda: any(held.stat().st_size > size for held in partial.iterdir()))
