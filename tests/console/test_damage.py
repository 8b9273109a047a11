"""What the installed C{xfer} says of damage that the depot has found: each command, each time."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from hashlib import md5

from tests.console.test_commands import HELLO, WORLD, CommandCase, store
from tests.support.depot import overwrite
from tests.support.processes import PATIENCE, Server, read_line

BIG = bytes(range(256)) * 400
"""More than what a request for many files carries."""

BIG_ID = md5(BIG).hexdigest()


class DamagedTests(CommandCase):
    """A depot in which some contents are damaged, and it was the scrub that found them."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve("--scrub-rate", "1000M")
        store(
            self.port,
            ("d/bad", b"hello"),
            ("d/big", BIG),
            ("d/good", b"good"),
            ("good", b"good"),
            ("other", b"hello"),
        )
        for id, content in ((HELLO, b"hullo"), (BIG_ID, bytes(len(BIG)))):
            self.damage(id, content)

    def damage(self, id: str, content: bytes) -> None:
        """Let bytes go bad, and be found so by somebody else."""
        overwrite(self.server.storage, id, content)
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"VERIFY {id}\n".encode())
            self.assertTrue(read_line(connection).startswith(b"ERROR corrupt "))

    def corrupt(self, *arguments: str) -> list[str]:
        """What a command fails for as damaged; it has to fail for nothing else."""
        ended = self.xfer(*arguments, "--json")
        self.assertEqual(ended.status, 1, ended)
        failures = [one for one in ended.objects() if one["event"] == "failed"]
        self.assertEqual({one["symbol"] for one in failures}, {"corrupt"})
        return [one["what"] for one in failures]

    def test_verify(self) -> None:
        """C{xfer verify} fails each time, and names all that is damaged; the rest is verified."""
        for _ in range(2):
            self.assertEqual(sorted(self.corrupt("verify", "--all")), ["d/bad", "d/big", "other"])
        self.assertEqual(sorted(self.corrupt("verify", "d")), ["d/bad", "d/big"])
        self.assertEqual(self.corrupt("verify", "other"), ["other"])
        self.assertEqual(self.corrupt("verify", HELLO.upper()), ["d/bad", "other"])
        self.assertIn("1 verified (4 bytes); 3 failed", self.fails(1, "verify", "--all"))
        self.assertEqual(len(self.fails(1, "verify", "--all", "--quiet").splitlines()), 3)
        self.ok("verify", "d/good")

    def test_get(self) -> None:
        """C{xfer get} fails each time, and names it, also where the file is here."""
        for _ in range(2):
            self.assertEqual(self.corrupt("get", "--all", "-o", "all"), ["d/bad", "d/big", "other"])
        self.assertEqual(self.corrupt("get", "d"), ["d/bad", "d/big"])
        self.assertEqual(self.corrupt("get", "d/b"), ["d/bad", "d/big"])
        self.assertEqual(self.corrupt("get", "other"), ["other"])
        self.assertEqual(self.corrupt("get", "-n", "other"), ["other"])
        self.assertEqual(self.corrupt("get", HELLO), [HELLO])
        (self.directory / "other").write_bytes(b"hello")
        self.assertEqual(self.corrupt("get", "other"), ["other"])
        files = sorted(
            str(path.relative_to(self.directory))
            for top in ("all", "d")
            for path in (self.directory / top).rglob("*")
            if path.is_file()
        )
        self.assertEqual(files, ["all/d/good", "all/good", "d/good"])
        self.ok("get", "d", "--exclude", "b*")
        ended = self.xfer("get", "other", "-o", "-")
        self.assertEqual((ended.status, ended.out), (1, ""))
        self.assertIn('"other" are damaged', ended.err)

    def test_found_by_get(self) -> None:
        """Damage that nobody has found yet is found by C{xfer get}, and known from then on."""
        fresh = self.serve("--storage", self.directory / "fresh", "--scrub-rate", "0")
        store(self.port, ("small", b"hello"), ("large", BIG), ("good", b"good"))
        for id, content in ((HELLO, b"hullo"), (BIG_ID, bytes(len(BIG)))):
            overwrite(self.directory / "fresh", id, content)
        damaged = self.corrupt("get", "--all", "-o", "all")
        self.assertEqual(sorted(damaged), ["all/large", "all/small"])
        self.assertEqual(sorted(self.corrupt("verify", "--all")), ["large", "small"])
        self.assertIn("small: the stored bytes are damaged", self.xfer("ls").err)
        fresh.signal(signal.SIGTERM)

    def test_get_one_of_two(self) -> None:
        """What may be the newest content of a name is not replaced by another one, nor in sums."""
        store(self.port, ("other", b"older or newer"))
        self.assertEqual(self.corrupt("get", "other"), ["other"])
        self.assertFalse((self.directory / "other").exists())
        self.assertEqual(self.corrupt("sums", "other"), ["other"])
        self.assertIn(md5(b"older or newer").hexdigest(), self.fails(1, "get", "other"))
        self.ok("get", md5(b"older or newer").hexdigest())

    def test_ls(self) -> None:
        """C{xfer ls} lists the others, and tells it beside; C{--quiet} leaves that in."""
        for options in ((), ("--quiet",)):
            ended = self.ok("ls", *options)
            self.assertEqual(ended.out.splitlines(), ["d/good", "good"])
            names = [line.split(": ")[1] for line in ended.err.splitlines()]
            self.assertEqual(names, ["d/bad", "d/big", "other"])
        ended = self.ok("ls", "d/b")  # nothing else begins so
        self.assertEqual((ended.out, len(ended.err.splitlines())), ("", 2))
        *told, summary = self.ok("ls", "d/", "--json").objects()
        self.assertEqual(
            [(one["event"], one["name"]) for one in told],
            [("entry", "d/good"), ("damaged", "d/bad"), ("damaged", "d/big")],
        )
        self.assertEqual((summary["files"], summary["damaged"]), (1, 2))
        self.assertEqual(self.ok("ls", "d/g").err, "")
        self.assertIn("[no-such-file]", self.fails(1, "ls", "nothing"))

    def test_stat_and_sums(self) -> None:
        """C{xfer stat} and C{xfer sums} fail for it, and tell the others."""
        self.assertEqual(self.corrupt("stat", "d/bad", "good"), ["d/bad"])
        self.assertEqual(self.corrupt("stat", HELLO), ["d/bad", "other"])
        for algorithm in ("--md5", "--sha256"):
            self.assertEqual(self.corrupt("sums", algorithm), ["d/bad", "d/big", "other"])
            self.assertEqual(self.corrupt("sums", algorithm, "d"), ["d/bad", "d/big"])
            ended = self.xfer("sums", algorithm)
            self.assertEqual(
                [line.split()[1] for line in ended.out.splitlines()], ["d/good", "good"]
            )

    def test_put_heals(self) -> None:
        """C{xfer put} sends what is damaged, all of it, and then nothing is wrong."""
        (self.directory / "d").mkdir()
        (self.directory / "d" / "big").write_bytes(BIG)
        (self.directory / "d" / "bad").write_bytes(b"hello")
        stored = self.ok("put", "d", "--json").objects()[:-1]
        self.assertEqual(
            {(one["event"], one["name"], one["sent"]) for one in stored},
            {("stored", "d/bad", 5), ("stored", "d/big", len(BIG))},
        )
        self.ok("verify", "--all")
        self.assertEqual(self.ok("ls").err, "")
        self.ok("get", "--all", "-o", "all")
        self.assertEqual(self.ok("ls").out.splitlines()[-1], "other")

    def test_put_replace(self) -> None:
        """C{xfer put} tells of the damaged content of a name, and C{--replace} gives it up."""
        (self.directory / "other").write_bytes(b"new")
        self.assertIn(f"other contents too: {HELLO}", self.ok("put", "other").err)
        self.ok("put", "other", "--replace")
        self.assertEqual(sorted(self.corrupt("verify", "--all")), ["d/bad", "d/big"])

    def test_rm(self) -> None:
        """C{xfer rm} gives it up, by its name, with all below a directory, or by its id."""
        self.assertEqual(self.ok("rm", "other").out, f"removed  {HELLO}  other\n")
        self.assertEqual(sorted(self.corrupt("verify", "--all")), ["d/bad", "d/big"])
        self.assertEqual(len(self.ok("rm", "-ry", "d").out.splitlines()), 3)
        self.ok("verify", "--all")
        store(self.port, ("again", b"world"))
        self.damage(WORLD, b"w0rld")
        self.ok("rm", "-y", WORLD)
        self.assertEqual(self.ok("ls").err, "")

    def test_restarted(self) -> None:
        """The log says it at every start; and the depot knows it still."""
        for _ in range(2):
            self.server.kill()
            self.server = Server(self, self.directory)
            self.server.wait_for('3 files are damaged: "d/bad", "d/big", "other"; ')
            self.server.drain()
            self.port = self.server.port
            self.assertEqual(sorted(self.corrupt("verify", "--all")), ["d/bad", "d/big", "other"])


class OldDepotTests(CommandCase):
    """A depot that does not know what is asked of it."""

    def setUp(self) -> None:
        super().setUp()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        accepting = threading.Thread(target=self.accept, args=(listener,), daemon=True)
        accepting.start()
        self.addCleanup(accepting.join)
        self.addCleanup(listener.close)
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)  # which ends accept

    def accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(PATIENCE)
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        """Be a depot that has one file."""
        id, entry = f"{HELLO}\n".encode(), f"{HELLO};a;5\n".encode()
        with connection, contextlib.suppress(OSError):
            while line := read_line(connection):
                if line.startswith(b"LIST_FILES"):
                    connection.sendall(entry + b"DONE\n")
                elif line.startswith((b"VERIFY", b"DELETE")):
                    connection.sendall(id)
                elif line.startswith(b"DOWNLOAD"):
                    connection.sendall(entry + b"hello")
                elif line.startswith(b"QUIT"):
                    return
                else:
                    connection.sendall(b"ERROR bad-command An old depot.\n")

    def test_goes_on(self) -> None:
        """It is as if nothing were damaged."""
        for arguments in (("ls",), ("verify", "--all"), ("get", "a"), ("sums", "a"), ("rm", "a")):
            ended = self.ok(*arguments)
            self.assertNotIn("bad-command", ended.err)
            self.assertIn("a\n", ended.out)
        self.assertEqual((self.directory / "a").read_bytes(), b"hello")
