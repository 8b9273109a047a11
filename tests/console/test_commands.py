"""The installed C{xfer} against a real server, without a terminal."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support import certificates
from tests.support.certificates import Authority
from tests.support.console import Ended, Running, environment, xfer
from tests.support.depot import overwrite
from tests.support.forked import XFER
from tests.support.processes import (
    PATIENCE,
    FakeDepot,
    Process,
    Server,
    answers,
    new_directory,
    read_line,
)
from tests.support.visitors import PASSWORD, hashed, write

HELLO = "5d41402abc4b2a76b9719d911017c592"
"""The id of C{hello}."""

WORLD = "7d793037a0760186574b0282f2f435e7"

KEYRING = '''
"""A keyring in a file."""
import json, os, pathlib
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    path = pathlib.Path(os.environ["HOME"], "keyring.json")

    def load(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self.load().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self.load(), f"{service} {username}": password}))

    def delete_password(self, service, username):
        kept = self.load()
        del kept[f"{service} {username}"]
        self.path.write_text(json.dumps(kept))
'''


def store(port: int, *files: tuple[str, bytes]) -> None:
    """Store files, as one does who types the protocol."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for start in range(0, len(files), 100):  # one by one, many take longer than a server may
            batch = files[start : start + 100]
            for name, content in batch:
                connection.sendall(f"UPLOAD {name};{len(content)}\n".encode() + content)
            for _, content in batch:
                answer = read_line(connection)
                assert answer.strip().decode() == hashlib.md5(content).hexdigest(), answer


class CommandCase(SynchronousTestCase):
    """
    What the cases below share.

    @ivar directory: where commands run, and whose home it is.
    @ivar port: the server's; where there is none yet, nobody listens there.
    """

    port = 1

    def setUp(self) -> None:
        self.directory = new_directory(self)
        self.config = self.directory / "settings.toml"
        self.config.write_text("")

    def serve(self, *options: str | Path) -> Server:
        """Start a server, which the commands go to."""
        server = Server(self, self.directory, *options)
        server.drain()
        self.port = server.port
        return server

    def xfer(self, *arguments: str | Path, **variables: str) -> Ended:
        """Run the command until it ends; it knows the server by variables."""
        return xfer(self.directory, *arguments, variables=self.variables(**variables))

    def variables(self, **more: str) -> dict[str, str]:
        """The variables of a command."""
        return {"XFER_CONFIG": str(self.config), "XFER_PORT": str(self.port), **more}

    def ok(self, *arguments: str | Path, **variables: str) -> Ended:
        """Run the command; it has to go well."""
        ended = self.xfer(*arguments, **variables)
        self.assertEqual(ended.status, 0, ended)
        return ended

    def fails(self, status: int, *arguments: str | Path, **variables: str) -> str:
        """Run the command; it has to fail so. What it says of that, in lines that begin as all."""
        ended = self.xfer(*arguments, **variables)
        self.assertEqual(ended.status, status, ended)
        self.assertNotIn("Traceback", ended.err)
        lines = ended.err.splitlines()
        self.assertTrue(lines, ended)
        for line in lines:
            self.assertTrue(line.startswith("xfer: "), line)
        return ended.err


class ListTests(CommandCase):
    """C{xfer ls}."""

    def setUp(self) -> None:
        super().setUp()
        self.serve()
        store(
            self.port,
            ("docs/a.txt", b"hello"),
            ("docs/deep/b.txt", b"world"),
            ("docs;x", b"hello"),
            ("two.txt", b"hello"),
            ("two.txt", b"world"),
            ("bad\u202eidi.txt", b"x" * 2000),
        )

    def test_names(self) -> None:
        """The names in order, each once, and nothing beside."""
        names = ["bad\u202eidi.txt", "docs/a.txt", "docs/deep/b.txt", "docs;x", "two.txt"]
        ended = self.ok("ls")
        self.assertEqual((ended.out.splitlines(), ended.err), (names, ""))
        self.assertEqual(self.ok("ls", "docs/").out.splitlines(), names[1:3])
        self.assertEqual(self.ok("ls", "two", "docs;").out.splitlines(), ["two.txt", "docs;x"])

    def test_long(self) -> None:
        """Ids, sizes and names in columns, each entry; and a total."""
        ended = self.ok("ls", "-l")
        lines = ended.out.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual(lines[1], f"{HELLO}     5 bytes  docs/a.txt")
        self.assertEqual(len({line.index("  ", 34) for line in lines if " bytes " in line}), 1)
        self.assertIn(" 1.95 KiB  ", lines[0])
        self.assertEqual(ended.err, "xfer: 6 files, 1.98 KiB\n")
        exact = self.ok("ls", "-l", "--bytes").out.splitlines()
        self.assertEqual(exact[0].split()[1], "2000")

    def test_level(self) -> None:
        """One level, as a directory shows it."""
        shown = self.ok("ls", "-d").out.splitlines()
        self.assertEqual(shown, ["bad\u202eidi.txt", "docs/", "docs;x", "two.txt"])
        self.assertEqual(self.ok("ls", "-d", "docs/").out, "docs/a.txt\ndocs/deep/\n")
        self.assertEqual(self.ok("ls", "-d", "docs/d").out, "docs/deep/\n")
        self.assertIn("-d goes without", self.fails(2, "ls", "-dl"))

    def test_json(self) -> None:
        """An object for each entry, and one at the end."""
        ended = self.ok("ls", "--json")
        self.assertEqual(ended.err, "")
        *entries, summary = ended.objects()
        self.assertEqual(
            entries[1], {"event": "entry", "id": HELLO, "name": "docs/a.txt", "size": 5}
        )
        self.assertEqual(len(entries), 6)
        self.assertEqual(
            (summary["event"], summary["files"], summary["bytes"]), ("summary", 6, 2025)
        )

    def test_none(self) -> None:
        """A prefix that no name has is a failure."""
        self.assertIn("xfer: nope: no name begins with this", self.fails(1, "ls", "nope"))
        ended = self.xfer("--json", "ls", "nope", "two")
        self.assertEqual(ended.status, 1)
        failed, *entries, _ = ended.objects()
        self.assertEqual((failed["what"], failed["symbol"]), ("nope", "no-such-file"))
        self.assertEqual(len(entries), 2)
        self.assertIn("[bad-name]", self.fails(1, "ls", "a\\b"))

    def test_broken_pipe(self) -> None:
        """Who reads but the first line is not told anything."""
        store(self.port, *((f"many/{number:05}", b"") for number in range(3000)))
        command = f"{XFER} ls many/; echo $? >&2"
        ended = subprocess.run(
            ["sh", "-c", f"{{ {command}; }} | head -1"],
            env=environment(self.directory, **self.variables()),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ended.stdout, "many/00000\n")
        self.assertIn(ended.stderr, ("141\n", "0\n"))  # head may leave after all was written
        self.assertEqual(len(self.ok("ls", "many/").out.splitlines()), 3000)

    def test_full(self) -> None:
        """A full disk behind standard output is told of."""
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [XFER, "ls"],
                env=environment(self.directory, **self.variables()),
                stdout=full,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                timeout=PATIENCE,
                check=False,
            )
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(ended.stderr, "xfer: standard output: No space left on device\n")

    def test_closed_streams(self) -> None:
        """A process that was started without its streams does its work."""
        ended = subprocess.run(
            ["sh", "-c", f"{XFER} ls >&- 2>&- <&-"],
            env=environment(self.directory, **self.variables()),
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ended.returncode, 0)


class StatTests(CommandCase):
    """C{xfer stat}, C{verify}, C{sums} and C{rm}."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve()
        store(
            self.port,
            ("docs/a.txt", b"hello"),
            ("docs/b.txt", b"world"),
            ("copy of a.txt", b"hello"),
            ("large", b"x" * 100_000),
        )

    def test_stat(self) -> None:
        """By id and by name, all names, sizes, hashes and times."""
        lines = self.ok("stat", HELLO).out.splitlines()
        self.assertEqual(lines[0], f"id        {HELLO}")
        self.assertEqual(lines[1:3], ["name      copy of a.txt", "name      docs/a.txt"])
        self.assertEqual(lines[3], "size      5 bytes")
        self.assertEqual(lines[4], f"sha256    {hashlib.sha256(b'hello').hexdigest()}")
        self.assertRegex(lines[5], r"^stored    \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(lines[6].split()[0], "verified")
        self.assertEqual(self.ok("stat", "docs/a.txt").out.splitlines(), lines)
        self.assertIn("97.7 KiB (100,000 bytes)", self.ok("stat", "large").out)
        self.assertIn("\n\n", self.ok("stat", HELLO.upper(), WORLD).out)

    def test_stat_json(self) -> None:
        """As an object; what is not there is a failure, and the others are told."""
        ended = self.xfer("stat", "--json", "docs", HELLO, "0" * 32)
        self.assertEqual(ended.status, 1)
        first, status, last = ended.objects()
        self.assertEqual([first["what"], last["what"]], ["docs", "0" * 32])
        self.assertEqual(status["names"], ["copy of a.txt", "docs/a.txt"])
        self.assertEqual((status["id"], status["size"], status["event"]), (HELLO, 5, "stat"))

    def test_name_like_an_id(self) -> None:
        """A name that looks like an id is found when no content has the id."""
        name = "0123456789abcdef" * 2
        store(self.port, (name, b"abc"))
        for command in ("stat", "verify", "sums", "rm"):
            self.assertIn(name, self.ok(command, name).out)

    def test_several_contents(self) -> None:
        """A name with several contents is told with each."""
        store(self.port, ("docs/a.txt", b"other"))
        self.assertEqual(self.ok("stat", "docs/a.txt").out.count("sha256"), 2)

    def test_verify(self) -> None:
        """Each content once, by id, name, directory, beginning, or all."""
        ended = self.ok("verify", "docs")
        self.assertEqual(
            sorted(ended.out.splitlines()),
            [f"ok  {HELLO}  docs/a.txt", f"ok  {WORLD}  docs/b.txt"],
        )
        self.assertEqual(ended.err, "xfer: 2 verified (10 bytes)\n")
        self.assertEqual(len(self.ok("verify", "--all", "-j", "2").out.splitlines()), 3)
        self.assertEqual(self.ok("verify", HELLO, "docs/a.txt").out.count("ok"), 1)
        self.assertEqual(self.ok("verify", "--quiet", "--all")[1:], ("", ""))
        self.assertIn("give what to verify", self.fails(2, "verify"))
        self.assertIn("give what to verify", self.fails(2, "verify", "--all", "docs"))
        self.assertIn("[no-such-file]", self.fails(1, "verify", "nope"))

    def test_damage(self) -> None:
        """Damage is told with the name, and what to do; the others are verified."""
        overwrite(self.server.storage, WORLD, b"w0rld")
        ended = self.xfer("verify", "--all", "--json")
        self.assertEqual(ended.status, 1)
        (failed,) = [one for one in ended.objects() if one["event"] == "failed"]
        self.assertEqual(
            (failed["what"], failed["symbol"], failed["id"], failed["size"]),
            ("docs/b.txt", "corrupt", WORLD, 5),
        )
        summary = ended.objects()[-1]
        self.assertEqual((summary["verified"], summary["failed"]), (2, 1))
        said = self.fails(1, "verify", WORLD)
        self.assertIn("damaged; put the file again", said)
        self.assertIn("[corrupt]", said)
        self.assertIn("[corrupt]", self.fails(1, "stat", WORLD))
        store(self.port, ("docs/b.txt", b"world"))
        self.ok("verify", "--all")

    def test_sums(self) -> None:
        """What md5sum and sha256sum read, with the names that get gives."""
        (self.directory / "docs").mkdir()
        (self.directory / "docs" / "a.txt").write_bytes(b"hello")
        (self.directory / "docs" / "b.txt").write_bytes(b"world")
        for algorithm in ("md5", "sha256"):
            ended = self.ok("sums", f"--{algorithm}", "docs")
            self.assertEqual(ended.err, "")
            checked = self.check(f"{algorithm}sum", ended.out)
            self.assertEqual(checked.stdout, "docs/a.txt: OK\ndocs/b.txt: OK\n")
        (self.directory / "docs" / "b.txt").write_bytes(b"w0rld")
        self.assertEqual(self.check("md5sum", self.ok("sums", "docs").out).returncode, 1)
        self.assertEqual(len(self.ok("sums").out.splitlines()), 4)
        self.assertEqual(self.ok("sums", HELLO).out, f"{HELLO}  copy of a.txt\n")
        self.assertEqual(self.ok("sums", "docs/b.txt").out, f"{WORLD}  b.txt\n")
        self.assertIn("[no-such-file]", self.fails(1, "sums", "nope"))

    def check(self, program: str, lines: str) -> subprocess.CompletedProcess[str]:
        """Let a program of the system compare files with sums."""
        return subprocess.run(
            [program, "-c"],
            cwd=self.directory,
            env=environment(self.directory, LC_ALL="C"),
            input=lines,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )

    def test_sums_json(self) -> None:
        """As objects; two that would be one file are told."""
        store(self.port, ("other/a.txt", b"other"))
        ended = self.xfer("sums", "--json", "--sha256", "docs/a.txt", "other/a.txt")
        self.assertEqual(ended.status, 1)
        failed, one = ended.objects()
        self.assertEqual((failed["event"], failed["what"]), ("failed", "other/a.txt"))
        self.assertEqual(
            one,
            {
                "event": "sum",
                "algorithm": "sha256",
                "hash": hashlib.sha256(b"hello").hexdigest(),
                "path": "a.txt",
                "id": HELLO,
                "name": "docs/a.txt",
                "size": 5,
            },
        )

    def test_rm_name(self) -> None:
        """A name goes; the content's other names stay."""
        ended = self.ok("rm", "docs/a.txt")
        self.assertEqual(ended.out, f"removed  {HELLO}  docs/a.txt\n")
        self.assertEqual(ended.err, "xfer: 1 name removed\n")
        self.assertEqual(self.ok("ls").out.splitlines(), ["copy of a.txt", "docs/b.txt", "large"])
        self.assertIn(
            "xfer: docs/a.txt: the depot has no such file", self.fails(1, "rm", "docs/a.txt")
        )

    def test_rm_id(self) -> None:
        """An id goes under its only name; under several it has to be said twice."""
        said = self.fails(1, "rm", HELLO)
        self.assertIn("2 names would be removed", said)
        self.assertIn("--yes", said)
        self.assertEqual(len(self.ok("ls").out.splitlines()), 4)
        self.assertEqual(len(self.ok("rm", "--yes", HELLO).out.splitlines()), 2)
        self.ok("rm", WORLD)
        self.assertEqual(self.ok("ls").out, "large\n")

    def test_rm_below(self) -> None:
        """All of a directory; not what merely begins so."""
        store(self.port, ("docs.txt", b"x"), ("docs/deep/c", b"y"))
        said = self.fails(1, "rm", "docs")
        self.assertIn("docs: this is a directory of the depot; give -r to remove", said)
        self.assertIn("[no-such-file]", self.fails(1, "rm", "doc"))
        self.fails(1, "rm", "-r", "docs")
        told = self.ok("rm", "-rn", "docs").out
        self.assertEqual(told.count("would remove"), 3)
        self.assertEqual(len(self.ok("ls").out.splitlines()), 6)
        ended = self.ok("rm", "-ry", "docs/", "--json")
        *removed, summary = ended.objects()
        self.assertEqual(
            {one["name"] for one in removed}, {"docs/a.txt", "docs/b.txt", "docs/deep/c"}
        )
        self.assertEqual((summary["removed"], summary["failed"]), (3, 0))
        self.assertEqual(self.ok("ls").out.splitlines(), ["copy of a.txt", "docs.txt", "large"])

    def test_rm_several_contents(self) -> None:
        """A name goes of all contents that have it."""
        store(self.port, ("large", b"other"))
        self.assertEqual(len(self.ok("rm", "large").out.splitlines()), 2)

    def test_rm_damaged(self) -> None:
        """What is damaged can be removed by its id."""
        overwrite(self.server.storage, WORLD, b"w0rld")
        self.fails(1, "verify", WORLD)
        self.fails(1, "rm", WORLD)
        self.assertEqual(self.ok("rm", "-y", WORLD).out, f"removed  {WORLD}\n")
        self.assertIn("[no-such-file]", self.fails(1, "stat", WORLD))


class EitherTests(CommandCase):
    """
    An argument that is the id of a content, and the name of another.

    In the depot, HELLO is the id of C{a} and C{b}, and a name of what WORLD is the id of.
    """

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve()
        store(self.port, ("a", b"hello"), ("b", b"hello"), (HELLO, b"world"))

    def listed(self) -> list[str]:
        return self.ok("ls").out.splitlines()

    def test_reading(self) -> None:
        """The id counts, which is said; --id says nothing, --name takes the name."""
        for command in ("stat", "verify", "sums", "get"):
            ended = self.ok(command, HELLO)
            self.assertIn("is the id of a content, and the name of another", ended.err)
            self.assertIn("Give --name", ended.err)
            self.assertIn("a\n", ended.out)
            ended = self.ok(command, HELLO, "--id")
            self.assertNotIn("another", ended.err)
            self.assertIn("a\n", ended.out)
            ended = self.ok(command, HELLO, "--name")
            self.assertNotIn("another", ended.err)
            self.assertIn(WORLD, ended.out)
            self.assertNotIn("a\n", ended.out)
        ended = self.ok("get", HELLO, "--name", "-o", "-")
        self.assertEqual(ended.out, "world")
        self.assertEqual((self.directory / HELLO).read_bytes(), b"world")

    def test_removing(self) -> None:
        """Nothing goes until it is said which is meant, by --yes neither."""
        for options in ((), ("--yes",), ("--dry-run",), ("--json",)):
            ended = self.xfer("rm", HELLO, *options)
            self.assertEqual(ended.status, 1)
            self.assertIn("and the name of another", ended.err + ended.out)
            self.assertIn("--id or --name", ended.err + ended.out)
            self.assertEqual(self.listed(), [HELLO, "a", "b"])
        self.assertIn("2 names would be removed", self.fails(1, "rm", HELLO, "--id"))
        self.assertEqual(self.ok("rm", HELLO, "--name").out, f"removed  {WORLD}  {HELLO}\n")
        self.assertEqual(self.listed(), ["a", "b"])

    def test_removing_the_id(self) -> None:
        """The id goes under its names; the other content stays."""
        self.ok("rm", HELLO, "--id", "--yes")
        self.assertEqual(self.listed(), [HELLO])

    def test_damaged(self) -> None:
        """The same where the content of the id is damaged."""
        overwrite(self.server.storage, HELLO, b"hallo")
        self.fails(1, "verify", HELLO)
        self.assertIn("--id or --name", self.fails(1, "rm", HELLO, "--yes"))
        self.ok("rm", HELLO, "--name")
        self.ok("rm", HELLO, "--yes")
        self.assertEqual(self.listed(), [])

    def test_asked(self) -> None:
        """At a terminal it asks which; anything else than a plain answer removes nothing."""
        for answer, left in (("n", 3), ("y", 3), ("name", 2)):
            running = Running(
                self, self.directory, "rm", HELLO, terminal=True, variables=self.variables()
            )
            running.wait_for(r"the id, the name, or nothing\? \[id/name/N\]")
            running.type(f"{answer}\n")
            self.assertEqual(running.wait(), 0 if answer == "name" else 1)
            self.assertEqual(len(self.listed()), left)

    def test_directory(self) -> None:
        """With -r, an id that names go on below is a name too; of the same content it is not."""
        self.ok("rm", HELLO, "--name")
        store(self.port, (f"{HELLO}/x", b"world"), (HELLO, b"hello"))
        self.assertIn("--id or --name", self.fails(1, "rm", "-ry", HELLO))
        self.assertEqual(len(self.ok("rm", "-y", HELLO).out.splitlines()), 3)
        self.assertEqual(self.listed(), [f"{HELLO}/x"])

    def test_others(self) -> None:
        """What is only one of them, and what is meant to be the other."""
        self.assertIn("[no-such-file]", self.fails(1, "stat", WORLD, "--name"))
        self.assertIn("[bad-id]", self.fails(1, "rm", "a", "--id"))
        self.assertIn("[no-such-file]", self.fails(1, "get", "0" * 32, "--id"))
        self.assertIn("--id goes without --all", self.fails(2, "get", "--all", "--id"))
        self.assertIn("--name goes without --all", self.fails(2, "verify", "--all", "--name"))
        self.assertIn("--id needs arguments", self.fails(2, "sums", "--id"))


class ReachTests(CommandCase):
    """Depots that are not there, or are something else."""

    def test_nobody_there(self) -> None:
        """It is told at once, once."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        listener.close()
        for command in (("ls",), ("ping",), ("stat", "x"), ("rm", "x"), ("verify", "--all")):
            said = self.fails(1, *command, "--quiet")
            self.assertIn(f"can't reach 127.0.0.1 port {self.port}: connection refused; ", said)
            self.assertEqual(len(said.splitlines()), 1)
        ended = self.xfer("ls", "--json")
        self.assertEqual((ended.status, ended.err), (1, ""))
        self.assertEqual([one["event"] for one in ended.objects()], ["failed"])

    def test_no_such_host(self) -> None:
        """What can be no host is not tried."""
        self.assertIn("not a host name", self.fails(1, "--host", "a" * 300 + ".b", "ls"))

    def speak(self, script: Callable[[socket.socket], None]) -> None:
        self.port = FakeDepot(self, script).port

    def test_something_else(self) -> None:
        """What speaks another protocol, or none."""
        for said in (b"220 mail.example ESMTP\r\n", b"\x00\xff" * 3000, b"HTTP/1.1 400 Bad\r\n"):

            def script(connection: socket.socket, said: bytes = said) -> None:
                connection.sendall(said)
                while connection.recv(4096):
                    pass

            for command in ("ls", "ping"):
                self.speak(script)
                told = self.fails(1, command, "--tries", "1")
                self.assertIn("does not speak xfer's protocol", told)

    def test_hangs_up(self) -> None:
        """What hangs up at once is not asked for ever."""
        self.speak(lambda connection: None)
        self.assertIn(
            "closes the connection without an answer; if it speaks TLS", self.fails(1, "ping")
        )

    def test_refusals(self) -> None:
        """Refusals by their symbols, in words that fit, and escaped."""
        for answer, words in (
            (b"ERROR login-required Log in.", "[login-required]"),
            (b"ERROR denied No.", "[denied]"),
            (b"ERROR brand-new \xe2\x80\xaeNo\x1b[2J.", "\\u202eNo\\x1b[2J"),
        ):
            self.speak(answers((b"LIST_FILES", answer + b"\n")))
            self.assertIn(words, self.fails(1, "ls"))

    def test_cut(self) -> None:
        """A listing that is cut off is asked for again, and what was told is not told twice."""
        ports: list[int] = []
        lines = [f"{HELLO};{name};5\n".encode() for name in "abc"]

        def serve() -> None:
            for reply in (lines[0] + lines[1], b"".join(lines) + b"DONE\n"):
                connection, _ = listener.accept()
                ports.append(connection.getpeername()[1])
                with connection:
                    read_line(connection)
                    connection.sendall(reply)
                    if reply.endswith(b"DONE\n"):
                        read_line(connection)  # what is damaged
                        connection.sendall(b"ERROR bad-command An old depot.\n")

        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(PATIENCE)
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ended = self.ok("ls")
        thread.join()
        self.assertEqual(ended.out.splitlines(), ["a", "b", "c"])
        self.assertRegex(ended.err, r"^xfer: .* Trying again in [0-9.]+ s \(1 of 5\)\.\n$")
        self.assertEqual(len(ports), 2)


class InterruptTests(CommandCase):
    """Signals in the middle."""

    def start(self, *arguments: str) -> tuple[Running, FakeDepot]:
        """A command, and a depot that has begun to answer and goes no further."""

        def script(connection: socket.socket) -> None:
            read_line(connection)
            connection.sendall(f"{HELLO};first;5\n".encode())
            with contextlib.suppress(OSError):
                while connection.recv(4096):
                    pass

        depot = FakeDepot(self, script)
        self.port = depot.port
        running = Running(self, self.directory, *arguments, variables=self.variables())
        running.wait_for("first")
        return running, depot

    def test_ctrl_c(self) -> None:
        """It ends at once, with its own status; nothing but that is told."""
        running, _ = self.start("ls")
        running.signal(signal.SIGINT)
        self.assertEqual(running.wait(), 130)
        self.assertEqual(running.shown, "first\nxfer: Interrupted.\n")

    def test_terminated(self) -> None:
        """So does it when it is terminated."""
        running, _ = self.start("ls", "--json")
        running.signal(signal.SIGTERM)
        self.assertEqual(running.wait(), 143)
        self.assertIn('{"event":"note","text":"Terminated.","signal":"SIGTERM"}', running.shown)

    def test_while_waiting(self) -> None:
        """Also between two tries."""
        depot = FakeDepot(self, answers((b"LIST_FILES", f"{HELLO};first;5\n".encode())))
        self.port = depot.port
        running = Running(self, self.directory, "ls", variables=self.variables())
        running.wait_for("Trying again")
        running.signal(signal.SIGINT)
        self.assertEqual(running.wait(), 130)


class LoginTests(CommandCase):
    """Users, with and without TLS."""

    def setUp(self) -> None:
        super().setUp()
        users = self.directory / "users.toml"
        write(
            users,
            f'[alice]\npassword = "{hashed(PASSWORD)}"\n'
            'rights = ["list", "read", "write", "delete"]\nsees = "all"\n',
        )
        authority = Authority()
        self.ca = certificates.write_authority(self.directory, authority)
        self.files = certificates.write(self.directory, "server", authority.issue("localhost"))
        self.users = users

    def serve_tls(self) -> None:
        """A server with TLS, which config.toml calls lab and makes the default."""
        self.serve(
            *("--users", self.users, "--tls-cert", self.files.cert, "--tls-key", self.files.key)
        )
        (self.directory / "password").write_text(PASSWORD + "\n")
        (self.directory / "password").chmod(0o600)
        self.config.write_text(
            f"""
            default = "lab"
            [servers.lab]
            host = "localhost"
            port = {self.port}
            tls = true
            ca = "ca.pem"
            user = "alice"
            password-file = "password"
            """
        )

    def lab(self, *arguments: str | Path, **variables: str) -> Ended:
        """Run the command with nothing but the file, and these."""
        return xfer(
            self.directory, *arguments, variables={"XFER_CONFIG": str(self.config), **variables}
        )

    def test_config(self) -> None:
        """All from the file: named, and by default."""
        self.serve_tls()
        for arguments in (
            ("ping",),
            ("-s", "lab", "ping"),
            ("ping", "-s", "lab", "-c", "2", "-i", "0"),
        ):
            ended = self.lab(*arguments)
            self.assertEqual(ended.status, 0, ended)
            first, tls, certificate, *answers = ended.out.splitlines()
            place = f"lab (localhost port {self.port} with TLS)"
            self.assertTrue(
                first.startswith(f"{place}: connected and logged in as alice in "), first
            )
            self.assertTrue(tls.startswith("TLSv1.3, "), tls)
            self.assertEqual(certificate, f"certificate SHA-256 {self.files.fingerprint}")
            self.assertRegex(answers[-1], r"^answer [12] in [0-9.]+ ms$")
        ended = self.lab("ping", "--json")
        connection, answer, summary = ended.objects()
        self.assertEqual((connection["tls"], connection["user"]), ("TLSv1.3", "alice"))
        self.assertEqual(connection["fingerprint"], self.files.fingerprint)
        self.assertEqual((answer["event"], summary["answers"]), ("answer", 1))

    def test_trust(self) -> None:
        """Whom it does not trust it does not talk to; each mistake is told."""
        self.serve_tls()
        for arguments, words in (
            (("--host", "localhost", "--tls"), "--ca"),
            (("-s", "lab", "--host", "127.0.0.1"), "127.0.0.1"),
            (("-s", "lab", "--fingerprint", "00" * 32), "not the pinned"),
            (("-s", "lab", "--fingerprint", "00" * 32), "ask the operator for the new fingerprint"),
            (("-s", "lab", "--ca", "missing.pem"), "missing.pem"),
        ):
            ended = self.lab(*arguments, "-p", str(self.port), "ls")
            self.assertEqual((ended.status, ended.out), (1, ""))
            self.assertIn(words, ended.err)
            self.assertEqual(len(ended.err.splitlines()), 1)
        ended = self.lab("-s", "lab", "--fingerprint", self.files.fingerprint, "ls")
        self.assertEqual(ended.status, 0, ended)

    def test_without_tls(self) -> None:
        """A client without TLS at a port with it is told to give --tls."""
        self.serve_tls()
        ended = self.lab("--no-tls", "-s", "lab", "ping")
        self.assertEqual(ended.status, 1)
        self.assertIn("--tls", ended.err)
        ended = self.lab("--host", "localhost", "-p", str(self.port), "ls")
        self.assertEqual(ended.status, 1)
        self.assertIn("closes the connection without an answer", ended.err)

    def test_passwords(self) -> None:
        """From the variable; a wrong one; none, and no terminal; nobody."""
        self.serve("--users", self.users)
        self.ok("ping", "-u", "alice", XFER_PASSWORD=PASSWORD)
        said = self.fails(1, "ls", "-u", "alice", XFER_PASSWORD="wrong")
        self.assertIn("the user name or the password is wrong", said)
        self.assertIn("[denied]", said)
        self.assertIn("accepts no login", said)
        said = self.fails(2, "ls", "-u", "alice")
        self.assertIn("XFER_PASSWORD", said)
        self.assertIn("log in: give --user", self.fails(1, "ls"))
        (self.directory / "open").write_text(PASSWORD)
        ended = self.ok("ls", XFER_USER="alice", XFER_PASSWORD_FILE="open")
        self.assertIn("other users can read", ended.err)

    def test_no_keyring(self) -> None:
        """Where there is no keyring, login says how to get one."""
        for arguments in (("login", "-u", "alice"), ("login", "--forget")):
            self.assertIn("pip install 'xferproto[keyring]'", self.fails(1, *arguments))

    def test_keyring(self) -> None:
        """What login has put there is used, until it is told to forget it."""
        self.serve("--users", self.users)
        (self.directory / "file_keyring.py").write_text(KEYRING)
        variables = {
            "PYTHONPATH": str(self.directory),
            "PYTHON_KEYRING_BACKEND": "file_keyring.Keyring",
            "XFER_USER": "alice",
        }
        self.assertIn("no terminal", self.fails(2, "login", **variables))
        login = Running(
            *(self, self.directory, "login"),
            terminal=True,
            variables=self.variables(**variables),
        )
        login.wait_for("Password of alice at 127.0.0.1 port [0-9]+: ")
        login.type(f"{PASSWORD}\n")
        self.assertEqual(login.wait(), 0, login.shown)
        self.assertNotIn(PASSWORD, login.shown)
        self.assertIn("logged in as alice; the password is in the keyring", login.text)
        self.ok("ls", **variables)
        self.ok("ping", **variables)
        wrong = Running(
            *(self, self.directory, "login"),
            terminal=True,
            variables=self.variables(**variables),
        )
        wrong.wait_for("Password")
        wrong.type("wrong\n")
        self.assertEqual(wrong.wait(), 1)
        self.assertIn("[denied]", wrong.text)
        self.ok("ls", **variables)  # the right one is still there
        self.assertIn("no longer", self.ok("login", "--forget", **variables).out)
        self.assertIn("no such password", self.fails(1, "login", "--forget", **variables))
        self.fails(2, "ls", **variables)

    def test_asked(self) -> None:
        """At a terminal somebody is asked; what is typed is not shown, Ctrl-C ends it."""
        self.serve("--users", self.users)
        for keys, status in ((f"{PASSWORD}\n", 0), ("mistyped\n", 1), ("\x03", 130), ("\x04", 2)):
            running = Running(
                *(self, self.directory, "ping", "-u", "alice"),
                terminal=True,
                variables=self.variables(),
            )
            running.wait_for("Password of alice: ")
            running.type(keys)
            self.assertEqual(running.wait(), status, running.shown)
            self.assertNotIn(keys.strip() or "none", running.shown)


class UsageTests(CommandCase):
    """Wrong usage, and the file of settings."""

    def test_nothing(self) -> None:
        """Without a command there is the help, and status 2."""
        ended = self.xfer()
        self.assertEqual((ended.status, ended.out), (2, ""))
        self.assertTrue(ended.err.startswith("Usage: xfer "), ended.err)
        self.assertIn("Commands:", ended.err)

    def test_usage(self) -> None:
        """One line that says what is wrong and where to look, and status 2."""
        for arguments, words in (
            (("frob",), "There is no command frob; xfer -h lists the commands"),
            (("veryfi",), "do you mean xfer verify?"),
            (("help",), "xfer COMMAND -h"),
            (("cp", "a", "b"), "use xfer put to store, xfer get to fetch"),
            (("mkdir", "a"), "a depot has no empty directories"),
            (("a\nb\x1b",), "There is no command a\\nb\\x1b; "),
            (("put", "-r", "a"), "There is no -r; directories need no such option"),
            (("get", "-rn", "a"), "There is no -r; directories need no such option"),
            (("get", "--recursive", "a"), "There is no --recursive; directories need"),
            (("stat", "-r", "a"), "No such option"),
            (("ls", "--frob"), "No such option"),
            (("--frob", "ls"), "No such option"),
            (("stat",), "Missing argument"),
            (("-p", "x", "ls"), "x is not a port, 1 to 65535"),
            (("ls", "-p", "0"), "0 is not a port, 1 to 65535"),
            (("ls", "-p", "\x1b[2J"), "\\x1b[2J is not a port"),
            (("ls", "-j", "101"), "101 is not a number of connections, 1 to 100"),
            (("ls", "--tries", "1.5"), "1.5 is not a number of tries"),
            (("ping", "-c", ""), "is empty"),
            (("ls", "--ca", "x"), "--ca goes with TLS"),
            (("--host", "a", "--endpoint", "b", "ls"), "goes without an endpoint"),
            (("--endpoint", "nonsense:x", "ls"), "nonsense"),
            (("-s", "lab", "ls"), f"{self.config}: there is no server lab"),
            (("completion", "csh"), "'csh' is not one of"),
            (("verify", "--all", "x"), "give what to verify"),
        ):
            said = self.fails(
                2, *arguments, **({"XFER_PORT": ""} if "--endpoint" in arguments else {})
            )
            self.assertIn(words, said)
            self.assertEqual(len(said.splitlines()), 1)
            self.assertIn("(see xfer", said)

    def test_bad_variables(self) -> None:
        """A variable that can't be read is told by its name."""
        for name, value in (("XFER_PORT", "x"), ("XFER_TLS", "perhaps"), ("XFER_JOBS", "0")):
            said = self.fails(2, "ls", **{name: value})
            self.assertIn(f"{name}: {value} is not ", said)
            self.assertNotIn("Recognized values", said)

    def test_bad_file(self) -> None:
        """So is the file, with the key."""
        self.config.write_text("[servers.lab]\nprot = 1")
        self.assertIn(f"{self.config}: servers.lab.prot is not a key", self.fails(2, "ls"))
        self.config.unlink()
        self.assertIn(f"{self.config}: No such file", self.fails(2, "ls"))
        self.assertIn("No such file", self.fails(2, "ls", "--config", "other.toml"))

    def test_own_directory(self) -> None:
        """The file of the user's own directory is found."""
        own = self.directory / ".config" / "xfer"
        own.mkdir(parents=True)
        (own / "config.toml").write_text('default = "gone"')
        ended = xfer(self.directory, "ls")
        self.assertEqual(ended.status, 2)
        self.assertIn(str(own / "config.toml"), ended.err)

    def test_order(self) -> None:
        """Options go before the command's name and after it; what is behind it counts more."""
        self.serve()
        good, bad = str(self.port), "1"
        self.ok("-p", good, "ls")
        self.ok("ls", "-p", good)
        self.ok("-p", bad, "ls", "-p", good)
        self.fails(1, "-p", good, "ls", "-p", bad)

    def test_ipv6(self) -> None:
        """An IPv6 address in brackets, where the machine has one."""
        try:
            probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            return
        probe.close()
        server = Server(self, self.directory, "--endpoint", r"tcp6:0:interface=\:\:1")
        server.drain()
        ended = xfer(self.directory, "-s", f"[::1]:{server.port}", "ping")
        self.assertEqual(ended.status, 0, ended)
        self.assertTrue(ended.out.startswith(f"::1 port {server.port}: connected"), ended)

    def test_unix(self) -> None:
        """A UNIX socket by its endpoint."""
        server = Process(
            *(self, self.directory, "--pidfile=", "xfer", "--storage", "storage"),
            *("--endpoint", "unix:socket"),
        )
        server.wait_for("listening on")
        server.drain()
        ended = xfer(self.directory, "--endpoint", "unix:socket", "ping")
        self.assertEqual(ended.status, 0, ended)


class CompletionTests(CommandCase):
    """What shells are told."""

    def complete(self, *words: str) -> list[str]:
        """What the command completes the last of these words to, as bash asks."""
        ended = self.xfer(
            _XFER_COMPLETE="bash_complete",
            COMP_WORDS=" ".join(("xfer", *words)),
            COMP_CWORD=str(len(words)),
        )
        self.assertEqual((ended.status, ended.err), (0, ""))
        return [line.partition(",")[2] for line in ended.out.splitlines() if line]

    def test_scripts(self) -> None:
        """A script for each shell, which those that are here can read."""
        for shell in ("bash", "zsh", "fish"):
            script = self.ok("completion", shell).out
            self.assertIn("_XFER_COMPLETE", script)
            with contextlib.suppress(FileNotFoundError):
                subprocess.run([shell, "-n"], input=script.encode(), check=True, timeout=PATIENCE)

    def test_commands(self) -> None:
        """Commands and options."""
        self.assertEqual(self.complete("s"), ["stat", "sums"])
        self.assertIn("--server", self.complete("--s"))
        self.assertIn("--sha256", self.complete("sums", "--s"))
        self.assertEqual(self.complete("completion", "z"), ["zsh"])

    def test_servers(self) -> None:
        """Names of servers; where the file is wrong, none, and nothing is said of it."""
        self.config.write_text("[servers.lab]\nhost = 'a'\n[servers.lan]\n[servers.home]\n")
        self.assertEqual(self.complete("-s", "la"), ["lab", "lan"])
        self.assertEqual(self.complete("ls", "--server", "h"), ["home"])
        self.config.write_text("nonsense")
        self.assertEqual(self.complete("-s", "la"), [])
        self.config.unlink()
        self.assertEqual(self.complete("-s", "la"), [])

    def test_in_bash(self) -> None:
        """Bash itself completes with it."""
        script = (
            f'PATH={XFER.parent}:$PATH; eval "$(xfer completion bash)"; '
            "COMP_WORDS=(xfer ver); COMP_CWORD=1; _xfer_completion xfer; echo ${COMPREPLY[@]}"
        )
        ended = subprocess.run(
            ["bash", "-c", script],
            env=environment(self.directory, **self.variables()),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual((ended.stdout.strip(), ended.stderr), ("verify", ""))
