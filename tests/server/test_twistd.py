"""Server and client as what they are run as: processes of C{twistd}."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable
from hashlib import md5
from importlib import resources
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import small_rows
from tests.support.file_modes import obey_in
from tests.support.processes import (
    PEAK,
    Daemon,
    FakeDepot,
    Outcome,
    Process,
    Server,
    answers,
    connected,
    exchange_lines,
    listening_port,
    new_directory,
    read_line,
    run,
)
from tests.support.visitors import PASSWORD, user
from xferproto.client import service as client_service
from xferproto.client.exchange import transcript
from xferproto.server import service as server_service
from xferproto.server.auth.users import changed_users
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.twistd import ExitStatus

MIB = 1024 * 1024

HELLO = md5(b"hello").hexdigest()

LARGE = bytes(SMALL_SIZE + 1)
"""A content that has an object file."""

LARGE_ID = md5(LARGE).hexdigest()

EMPTY = (b"LIST_FILES", b"No files available at the moment\nDONE\n")
READY = [
    EMPTY,
    (b"UPLOAD", b"Please send the file name and file size\n"),
    (b"hello.txt;5", b"Ready to receive the file\n"),
]


def ask(connection: socket.socket, request: bytes) -> bytes:
    """Send a line and its payload; the line that comes back."""
    connection.sendall(request)
    return read_line(connection)


class ProcessCase(SynchronousTestCase):
    """What the cases below share."""

    def setUp(self) -> None:
        self.directory = new_directory(self)

    def file(self, content: bytes, name: str = "hello.txt") -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def client(self, port: int, *options: str | Path) -> Outcome:
        """Run an xfer-client in the foreground."""
        return run(self.directory, "-n", "xfer-client", "--port", str(port), *options)

    def assert_one_line(self, outcome: Outcome, *words: str) -> None:
        """It failed with one line on standard error that has these words, and no traceback."""
        self.assertEqual(len(outcome.err), 1, outcome.err)
        for word in words:
            self.assertIn(word, outcome.err[0])
        self.assertNotIn("None", outcome.err[0])
        self.assertGreater(outcome.status, 0)
        self.assertNotIn("Traceback", "\n".join(outcome.out + outcome.err))

    def pid_files(self) -> list[str]:
        return [path.name for path in self.directory.glob("*.pid")]


class ServerTests(ProcessCase):
    """C{twistd -n xfer}, when all goes well."""

    def test_says_where(self) -> None:
        """It says where it stores and listens, and gives a line to copy to try it."""
        server = Server(self, self.directory)
        server.wait_for(f"try it: printf 'LIST_FILES\\nQUIT\\n' | nc 127.0.0.1 {server.port}")
        self.assertTrue(
            any(line.endswith(f"storing in {server.storage}") for line in server.out), server.out
        )
        connection = server.connect(self)
        self.assertEqual(
            ask(connection, b"LIST_FILES\nQUIT\n"), b"No files available at the moment\n"
        )
        self.assertEqual(read_line(connection), b"DONE\n")
        self.assertEqual(read_line(connection), b"")
        server.signal(signal.SIGINT)
        outcome = server.wait()
        self.assertEqual(outcome.err, [])
        self.assertNotIn("Traceback", "\n".join(outcome.out))

    def test_ipv6(self) -> None:
        """An IPv6 address is listened on, and said."""
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError:
            self.skipTest("there is no IPv6 here")
        server = Server(self, self.directory, "--interface", "::1")
        server.wait_for(f"nc ::1 {server.port}")
        with socket.create_connection(("::1", server.port)) as connection:
            self.assertEqual(ask(connection, b"UPLOAD a;5\nhello"), HELLO.encode() + b"\n")

    def test_two_endpoints(self) -> None:
        """Every endpoint that is given is listened on, TCP and UNIX sockets alike."""
        path = self.directory / "socket"
        server = Server(
            self,
            self.directory,
            "--endpoint",
            "tcp:0:interface=127.0.0.1",
            "--endpoint",
            f"unix:{path}",
        )
        self.assertIn(str(path), server.wait_for("listening on"))
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(path))
            self.assertEqual(ask(local, b"UPLOAD a;5\nhello"), HELLO.encode() + b"\n")
        entry = ask(server.connect(self), b"LIST_FILES\n")
        self.assertEqual(entry, f"{HELLO};a;5\n".encode())
        outcome = run(self.directory, "-n", "xfer-client", "--endpoint", f"unix:{path}")
        self.assertEqual((outcome.status, outcome.err), (0, []))
        self.assertEqual(outcome.out[0], f"connecting to unix:{path}")

    def test_max_file_size(self) -> None:
        """The limit on sizes is in units that people write."""
        server = Server(self, self.directory, "--max-file-size", "1K")
        connection = server.connect(self)
        self.assertEqual(
            ask(connection, b"UPLOAD a;1024\n" + bytes(1024)),
            md5(bytes(1024)).hexdigest().encode() + b"\n",
        )
        answer = ask(connection, b"UPLOAD a;1025\n" + bytes(1025))
        self.assertTrue(answer.startswith(b"ERROR too-large "), answer)

    def test_stops_after_the_upload(self) -> None:
        """SIGTERM in the middle of an upload waits for it, when it goes on."""
        server = Server(self, self.directory)
        connection = server.connect(self)
        ask(connection, b"UPLOAD\n")
        size = len(LARGE)
        self.assertEqual(ask(connection, b"a;%d\n" % size), b"Ready to receive the file\n")
        connection.sendall(LARGE[:2])
        server.signal(signal.SIGTERM)
        server.wait_for("waiting for 1 connection")
        self.assertEqual(ask(connection, LARGE[2:]), LARGE_ID.encode() + b"\n")
        self.assertEqual(read_line(connection), b"")
        outcome = server.wait()
        self.assertEqual(outcome.err, [])
        self.assertEqual(server.objects(), [LARGE_ID])
        again = Server(self, self.directory)
        entry = ask(again.connect(self), b"LIST_FILES\n")
        self.assertEqual(entry, f"{LARGE_ID};a;{size}\n".encode())

    def test_stops_after_the_small_upload(self) -> None:
        """So it does where the file is a small one; what is pipelined behind it is not begun."""
        server = Server(self, self.directory)
        connection = server.connect(self)
        ask(connection, b"UPLOAD\n")
        self.assertEqual(ask(connection, b"a;5\n"), b"Ready to receive the file\n")
        connection.sendall(b"he")
        server.signal(signal.SIGTERM)
        server.wait_for("waiting for 1 connection")
        answer = ask(connection, b"lloUPLOAD b;5\nhello")
        self.assertEqual(answer, HELLO.encode() + b"\n")
        self.assertEqual(read_line(connection), b"")
        self.assertEqual(server.wait().err, [])
        again = Server(self, self.directory)
        connection = again.connect(self)
        self.assertEqual(ask(connection, b"LIST_FILES\n"), f"{HELLO};a;5\n".encode())
        self.assertEqual(read_line(connection), b"DONE\n")

    def test_killed_midway(self) -> None:
        """kill -9 in the middle of an upload: the next start lists nothing and leaves no litter."""
        server = Server(self, self.directory)
        connection = server.connect(self)
        upload = b"UPLOAD kept;%d\n" % len(LARGE)
        self.assertEqual(ask(connection, upload + LARGE), LARGE_ID.encode() + b"\n")
        self.assertEqual(ask(connection, b"UPLOAD kept;5\nhello"), HELLO.encode() + b"\n")
        ask(connection, b"UPLOAD\n")
        self.assertEqual(ask(connection, b"lost;1000000\n"), b"Ready to receive the file\n")
        connection.sendall(bytes(500_000))
        server.signal(signal.SIGKILL)
        server.wait()
        self.assertEqual(len(server.objects()), 2)  # the kept one, and the litter
        again = Server(self, self.directory)
        self.assertEqual(again.objects(), [LARGE_ID])
        connection = again.connect(self)
        entries = [f"{HELLO};kept;5\n".encode(), f"{LARGE_ID};kept;{len(LARGE)}\n".encode()]
        self.assertEqual(ask(connection, b"LIST_FILES\n"), min(entries))
        self.assertEqual(read_line(connection), max(entries))
        self.assertEqual(read_line(connection), b"DONE\n")
        self.assertEqual(small_rows(server.storage), [(1, HELLO)])
        self.assertEqual(ask(connection, f"DOWNLOAD {HELLO}\n".encode()), entries[0])
        self.assertEqual(connection.recv(5, socket.MSG_WAITALL), b"hello")


class OptionsTests(SynchronousTestCase):
    """The command lines of both plugins, in this process."""

    def assert_refused(self, plugin: ModuleType, *options: str) -> str:
        """These options end the process with one line: that line."""

        def make() -> None:
            parsed = plugin.Options()
            parsed.parseOptions(options)
            plugin.makeService(parsed)

        line = str(self.assertRaises(SystemExit, make).code)
        self.assertNotIn("\n", line)
        return line

    def test_sizes(self) -> None:
        """Sizes are numbers with a unit of 1024s, in any letter case."""
        for text, expected in (
            ("0", 0),
            ("500", 500),
            ("64K", 65536),
            ("64 kib", 65536),
            ("1MB", MIB),
            ("10g", 10 * 1024 * MIB),
            ("1TiB", MIB * MIB),
            ("7B", 7),
        ):
            options = server_service.Options()
            options.parseOptions(["--max-file-size", text])
            self.assertEqual(options["max-file-size"], expected)

    def test_bad_sizes(self) -> None:
        """A limit that is no size, or is too large for one, is refused."""
        for size in ("", "x", "-1", "+5", "1_000", "5.5M", "10X", "9E", "9" * 19 + "T", "５"):
            self.assert_refused(server_service, "--max-file-size", size)

    def test_bad_ports(self) -> None:
        """A port that is none is refused."""
        for port in ("x", "", "-1", "65536", "80.5"):
            self.assert_refused(server_service, "--port", port)
            self.assert_refused(client_service, "--port", port)

    def test_bad_endpoints(self) -> None:
        """A description that is no endpoint is shown."""
        for description in ("nonsense", "nonsense:1", "tcp", "tcp:x", "tcp:1:2:3:4:5:6"):
            for plugin in (server_service, client_service):
                line = self.assert_refused(plugin, "--endpoint", description)
                self.assertIn(repr(description), line)

    def test_unknown(self) -> None:
        """An unknown option, one without its value, and a stray word are refused."""
        for plugin in (server_service, client_service):
            for options in (["--nonsense"], ["--port"], ["stray"]):
                self.assert_refused(plugin, *options)


class BadStartTests(ProcessCase):
    """Servers that can't start: one line on standard error, a status, no traceback, no pid file."""

    def assert_fails(
        self, *options: str | Path, words: tuple[str, ...] = (), obeying: bool = False
    ) -> None:
        outcome = run(self.directory, "-n", "xfer", *options, obeying=obeying)
        self.assert_one_line(outcome, "xfer: ", *words)
        self.assertEqual(self.pid_files(), [])

    def test_port_in_use(self) -> None:
        """A port that another program has is named."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            self.assert_fails("--port", port, words=(port, "in use"))
            self.assert_fails("--endpoint", f"tcp:{port}:interface=127.0.0.1", words=(port,))

    def test_second_port_in_use(self) -> None:
        """One endpoint of several that can't be had is enough."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            endpoints = ["--endpoint", "tcp:0:interface=127.0.0.1"]
            self.assert_fails(*endpoints, "--endpoint", f"tcp:{port}:interface=127.0.0.1")

    def test_interface_elsewhere(self) -> None:
        """An address of another machine, or none at all, can't be listened on."""
        for address in ("192.0.2.1", "nonsense"):
            elsewhere = ("--port", "0", "--interface", address)
            self.assert_fails(*elsewhere, words=(address, "other machines can reach"))
            self.assert_fails(*elsewhere, "--anonymous", "list", words=("listen", address))

    def test_users_broken(self) -> None:
        """A users file with a mistake in it, or none at all, is named."""
        users = self.file(b"[alice]", "users.toml")
        self.assert_fails("--port", "0", "--users", users, words=(str(users), '"alice"'))
        users.unlink()
        self.assert_fails("--port", "0", "--users", users, words=(str(users), "No such file"))

    def test_storage_below_a_file(self) -> None:
        """A storage directory that can't be made is named."""
        storage = self.file(b"") / "storage"
        self.assert_fails("--port", "0", "--storage", storage, words=(str(storage),))

    def test_storage_is_a_file(self) -> None:
        """A storage directory that is a file is named."""
        storage = self.file(b"")
        words = (str(storage), "is a file, not a directory")
        self.assert_fails("--port", "0", "--storage", storage, words=words)

    def test_storage_of_no_disk(self) -> None:
        """A storage directory where no directory can be made, and a link to nowhere, are named."""
        link = self.directory / "link"
        link.symlink_to("/nowhere/mnt")
        for storage, reason in (
            ("/proc/xfer-none", "no directory can be made in /proc."),
            (link, "link to /nowhere/mnt, which does not exist; is it mounted?"),
        ):
            self.assert_fails("--port", "0", "--storage", storage, words=(str(storage), reason))

    def test_storage_not_writable(self) -> None:
        """A storage directory that can't be written to is named."""
        obey_in(self)
        storage = self.directory / "storage"
        storage.mkdir(mode=0o500)
        options = ("--port", "0", "--storage", storage)
        self.assert_fails(*options, words=(str(storage),), obeying=True)

    def test_storage_of_something_else(self) -> None:
        """A catalogue that is none is neither used nor overwritten."""
        storage = self.directory / "storage"
        storage.mkdir()
        catalogue = storage / "catalogue.sqlite"
        catalogue.write_bytes(b"mine" * 1000)
        self.assert_fails("--port", "0", "--storage", storage, words=(str(storage),))
        self.assertEqual(catalogue.read_bytes(), b"mine" * 1000)

    def test_storage_in_use(self) -> None:
        """A storage directory belongs to one server at a time."""
        server = Server(self, self.directory)
        self.assert_fails(
            "--port", "0", "--storage", server.storage, words=(str(server.storage), "in use")
        )
        self.assertEqual(ask(server.connect(self), b"UPLOAD a;5\nhello"), HELLO.encode() + b"\n")

    def test_bad_options(self) -> None:
        """A bad endpoint, size, port or option is shown."""
        self.assert_fails("--endpoint", "nonsense:1", words=("nonsense:1",))
        self.assert_fails("--max-file-size", "10X", words=("10X",))
        self.assert_fails("--port", "65536")
        self.assert_fails("--nonsense", words=("nonsense",))

    def test_daemon(self) -> None:
        """A daemon that can't start tells its starter, and leaves no pid file."""
        daemon = Daemon(
            self,
            self.directory,
            "twistd.pid",
            "xfer",
            "--port",
            "0",
            "--storage",
            self.file(b"") / "storage",
        )
        daemon.wait()
        self.assertGreater(daemon.started.status, 0)
        self.assertIn("The storage directory", "\n".join(daemon.started.err))
        self.assertNotIn("Traceback", "\n".join(daemon.started.out + daemon.started.err))
        self.assertEqual(self.pid_files(), [])


class ClientTests(ProcessCase):
    """C{twistd -n xfer-client} against a server."""

    def test_exchange(self) -> None:
        """The whole exchange, in its order; the file comes back the same, and the status is 0."""
        server = Server(self, self.directory)
        source = self.file(bytes(range(256)) * 3000, "some file.bin")
        id = md5(source.read_bytes()).hexdigest()
        target = self.directory / "back" / source.name
        outcome = self.client(server.port, "--file", source, "--output", "back")
        lines = exchange_lines(server.port, [], source.name, 768_000, id, target)
        self.assertEqual(outcome, Outcome(0, lines, []))
        self.assertEqual(target.read_bytes(), source.read_bytes())
        self.assertEqual(self.pid_files(), [])
        self.assertEqual(list(self.directory.glob("*.log")), [])

    def test_again(self) -> None:
        """A second exchange lists what the first one left, and replaces what it saved."""
        server = Server(self, self.directory)
        target = self.directory / "received" / "hello.txt"
        first = self.client(server.port, "--file", self.file(b"hello"))
        self.assertEqual(first.status, 0)
        second = self.client(server.port, "--file", self.file(b"hello again"))
        id = md5(b"hello again").hexdigest()
        listed = sorted([f"{HELLO};hello.txt;5", f"{id};hello.txt;11"])
        self.assertEqual((second.status, second.err), (0, []))
        self.assertEqual(second.out[2:4], ["> LIST_FILES", f"< {HELLO};hello.txt;5"])
        start = second.out.index("> LIST_FILES", 3)
        self.assertEqual(
            second.out[start + 1 : start + 4], [*(f"< {line}" for line in listed), "< DONE"]
        )
        self.assertEqual(target.read_bytes(), b"hello again")

    def test_verified_and_deleted(self) -> None:
        """With more tries it goes under a token, is verified in between and deleted in the end."""
        server = Server(self, self.directory)
        source = self.file(b"hello")
        options = ("--file", source, "--tries", "3", "--verify", "--delete")
        outcome = self.client(server.port, *options)
        self.assertEqual((outcome.status, outcome.err), (0, []))
        said = [line[2:] for line in outcome.out if line.startswith(">")]
        (token,) = [line for line in said if line.startswith("hello.txt;5;file:")]
        self.assertEqual(
            said,
            [
                *("LIST_FILES", "RESUME", token, "0", "LIST_FILES", "VERIFY", HELLO),
                *("DOWNLOAD", HELLO, "DELETE", f"{HELLO};hello.txt", "QUIT"),
            ],
        )
        self.assertEqual(server.objects(), [])

    def test_tries(self) -> None:
        """A depot that is not there is tried again, which is said, and then given up."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
        outcome = self.client(port, "--tries", "2")
        self.assert_one_line(outcome, "xfer-client: ", str(port))
        self.assertIn("(1 of 2)", outcome.out[-1])
        for bad in ("0", "-1", "many"):
            self.assert_one_line(self.client(port, "--tries", bad), bad)

    def test_user(self) -> None:
        """With a user and a password it logs in, and the password is nowhere to be seen."""
        users = self.directory / "users.toml"
        with changed_users(users) as known:
            known["alice"] = user("alice")
        server = Server(self, self.directory, "--users", users)
        options = ("--file", self.file(b"hello"), "--user", "alice", "--password-file")
        for tries in ("1", "2"):
            password = self.file(f"{PASSWORD}\n".encode(), "password")
            outcome = self.client(server.port, *options, password, "--tries", tries)
            self.assertEqual((outcome.status, outcome.err), (0, []))
            self.assertIn("> alice;***", outcome.out)
            self.assertIn("< Welcome alice", outcome.out)
            self.assertNotIn(PASSWORD, "\n".join(outcome.out))
        outcome = self.client(server.port, *options, self.file(b"wrong", "password"))
        self.assert_one_line(outcome, "denied")
        server.signal(signal.SIGTERM)
        self.assertNotIn(PASSWORD, "\n".join(server.wait().out))

    def test_no_password(self) -> None:
        """A user without a password, or with one that can't be one, is told in one line."""
        empty = self.file(b"", "password")
        cases: list[tuple[list[str | Path], str]] = [
            (["--user", "alice", "--password-file", empty], "1 to 1024 bytes"),
            (["--user", "alice", "--password-file", self.directory / "none"], "No such file"),
            (["--user", "a b", "--password-file", self.file(b"x")], "user name"),
            (["--password-file", empty], "--user"),
        ]
        for options, word in cases:
            self.assert_one_line(self.client(1, *options), "xfer-client: ", word)

    def test_picture(self) -> None:
        """Without a file it sends the picture of the package."""
        server = Server(self, self.directory)
        outcome = self.client(server.port)
        picture = resources.files("xferproto.client").joinpath("picture.png").read_bytes()
        target = self.directory / "received" / "picture.png"
        id = md5(picture).hexdigest()
        lines = exchange_lines(server.port, [], target.name, len(picture), id, target)
        self.assertEqual(outcome, Outcome(0, lines, []))
        self.assertEqual(target.read_bytes(), picture)

    def test_empty_file(self) -> None:
        """An empty file makes the same exchange."""
        server = Server(self, self.directory)
        target = self.directory / "received" / "hello.txt"
        outcome = self.client(server.port, "--file", self.file(b""))
        id = md5(b"").hexdigest()
        lines = exchange_lines(server.port, [], "hello.txt", 0, id, target)
        self.assertEqual(outcome, Outcome(0, lines, []))
        self.assertEqual(target.read_bytes(), b"")

    def test_nobody_there(self) -> None:
        """No server: one line that says where it looked."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
        self.assert_one_line(self.client(port), "xfer-client: ", "127.0.0.1", str(port), "refused")

    def test_bad_hosts(self) -> None:
        """A host that is none: one line that has it."""
        outcome = run(self.directory, "-n", "xfer-client", "--host", "a..b")
        self.assert_one_line(outcome, "xfer-client: ", "a..b")

    def test_unknown_host(self) -> None:
        """A name that nobody knows: one line that has it."""

        class Reactor:
            running = False

            def callWhenRunning(self, function: Callable[[], object]) -> None:
                function()

            def getThreadPool(self) -> None:
                return None

        class Endpoint:
            def connect(self, factory: object) -> Deferred[None]:
                return fail(DNSLookupError("no results for hostname lookup: depot.invalid"))

        status = SimpleNamespace(code=0)
        service = transcript.ExchangeService(
            Reactor(),
            ("depot.invalid port 9000", cast(IStreamClientEndpoint, Endpoint())),
            self.file(b"hello"),
            self.directory,
            cast(ExitStatus, status),
        )
        with capturedLogs() as events:
            service.startService()
        line = formatEvent(events[-1])
        self.assertIn("depot.invalid", line)
        self.assertNotIn("None", line)
        self.assertEqual(status.code, 1)

    def test_bad_options(self) -> None:
        """An option that there is none of is one line."""
        outcome = run(self.directory, "-n", "xfer-client", "--nonsense")
        self.assert_one_line(outcome, "xfer-client: ", "nonsense")

    def test_refused(self) -> None:
        """A file that the server refuses is one line with its reason."""
        server = Server(self, self.directory, "--max-file-size", "10")
        outcome = self.client(server.port, "--file", self.file(b"hello world"))
        self.assert_one_line(outcome, "xfer-client: ", "at most 10 bytes", "too-large")
        self.assertEqual(outcome.status, 1)

    def test_no_file(self) -> None:
        """A source that is not there, or no file, or can't be named, is one line with it."""
        server = Server(self, self.directory)
        for path in (self.directory / "missing", self.directory):
            outcome = self.client(server.port, "--file", path)
            self.assert_one_line(outcome, "xfer-client: ", str(path))

    def test_name_that_is_no_utf8(self) -> None:
        """A source whose name no depot takes is one line that says so."""
        server = Server(self, self.directory)
        for name in (b"a\xffb", b"a\nb"):
            try:
                path = self.file(b"hello", os.fsdecode(name))
            except OSError:
                self.skipTest("this file system has no such names")
            outcome = self.client(server.port, "--file", path)
            self.assert_one_line(outcome, "xfer-client: ", "name")

    def test_output_is_source(self) -> None:
        """The file that is sent is never what it would be saved as."""
        server = Server(self, self.directory)
        source = self.file(b"hello")
        outcome = self.client(server.port, "--file", source, "--output", self.directory)
        self.assert_one_line(outcome, "xfer-client: ", str(source))
        self.assertEqual(source.read_bytes(), b"hello")

    def test_output_is_file(self) -> None:
        """An output directory that is a file, or lies below one, is one line with it."""
        server = Server(self, self.directory)
        source, other = self.file(b"hello"), self.file(b"mine", "other")
        for output in (other, other / "below"):
            outcome = self.client(server.port, "--file", source, "--output", output)
            self.assert_one_line(outcome, "xfer-client: ", str(other))
        self.assertEqual(other.read_bytes(), b"mine")

    def test_disk_full(self) -> None:
        """A target that can't be written in full is one line that names it."""
        server = Server(self, self.directory)
        source = self.file(bytes(3 * MIB))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, limits[1]))
        try:
            outcome = self.client(server.port, "--file", source)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assert_one_line(outcome, "xfer-client: ", str(self.directory / "received"))
        self.assertEqual(list((self.directory / "received").iterdir()), [])

    def test_server_killed(self) -> None:
        """A server that is killed in the middle of an upload is one line."""
        server = Server(self, self.directory)
        source = self.directory / "large"
        with source.open("wb") as large:
            large.truncate(512 * MIB)
        other = new_directory(self)
        client = Process(self, other, "xfer-client", "--port", str(server.port), "--file", source)
        client.wait_for("< Ready to receive the file")
        server.signal(signal.SIGKILL)
        outcome = client.wait()
        self.assert_one_line(outcome, "xfer-client: ", "connection")
        self.assertEqual(outcome.status, 1)
        server.wait()

    def test_peaks(self) -> None:
        """A file of 192 MiB goes up and down with each process below 100 MiB of memory."""
        if not Path("/proc/self/status").exists():
            self.skipTest("there is no /proc here")
        server = Server(self, self.directory, fresh=True)
        source = self.directory / "large"
        with source.open("wb") as large:
            large.truncate(192 * MIB)
        outcome = run(
            self.directory,
            "-n",
            "xfer-client",
            "--port",
            str(server.port),
            "--file",
            source,
            measured=True,
        )
        self.assertEqual((outcome.status, outcome.err), (0, []))
        self.assertEqual((self.directory / "received" / "large").stat().st_size, 192 * MIB)
        peak = PEAK.search("\n".join(outcome.out))
        assert peak is not None
        self.assertLess(1024 * int(peak[1]), 100 * MIB)
        self.assertLess(server.peak(), 100 * MIB)


class FakeDepotTests(ProcessCase):
    """C{twistd -n xfer-client} against servers that are none."""

    def exchange(self, *replies: tuple[bytes, bytes]) -> Outcome:
        depot = FakeDepot(self, answers(*replies))
        return self.client(depot.port, "--file", self.file(b"hello"))

    def test_cut(self) -> None:
        """A server that hangs up, at any point of the exchange, is one line."""
        entry = f"{HELLO};hello.txt;5\n".encode()
        replies = [
            *READY,
            (b"hello", b""),  # the payload has no line's end: this one waits for the client
        ]
        for count in range(len(READY) + 1):
            outcome = self.exchange(*replies[:count])
            self.assert_one_line(outcome, "xfer-client: ", "connection")
            self.assertEqual(outcome.status, 1)

        def script(connection: socket.socket) -> None:
            answers(*READY)(connection)
            connection.recv(5, socket.MSG_WAITALL)
            connection.sendall(HELLO.encode() + b"\n")
            answers(
                (b"LIST_FILES", entry + b"DONE\n"),
                (b"DOWNLOAD", b"Please send a file ID\n"),
                (HELLO.encode(), entry + b"hel"),
            )(connection)

        depot = FakeDepot(self, script)
        outcome = self.client(depot.port, "--file", self.file(b"hello"))
        self.assert_one_line(outcome, "xfer-client: ", "connection")
        self.assertEqual(list((self.directory / "received").iterdir()), [])

    def test_wrong_hash_up(self) -> None:
        """An id that is not the file's MD5 says Fail, with both, and the status is 1."""
        other = md5(b"jello").hexdigest()

        def script(connection: socket.socket) -> None:
            answers(*READY)(connection)
            connection.recv(5, socket.MSG_WAITALL)
            connection.sendall(other.encode() + b"\n")
            connection.recv(1)

        depot = FakeDepot(self, script)
        outcome = self.client(depot.port, "--file", self.file(b"hello"))
        self.assertEqual(outcome.status, 1)
        verdict = [line for line in outcome.out if "Fail" in line]
        self.assertEqual(len(verdict), 1, outcome.out)
        self.assertIn(HELLO, verdict[0])
        self.assertIn(other, verdict[0])
        self.assertNotIn("Success", "\n".join(outcome.out))
        self.assertNotIn("Traceback", "\n".join(outcome.out + outcome.err))

    def test_wrong_hash_down(self) -> None:
        """Bytes that are not the file's say Fail, nothing is saved, and the status is 1."""
        entry = f"{HELLO};hello.txt;5\n".encode()

        def script(connection: socket.socket) -> None:
            answers(*READY)(connection)
            connection.recv(5, socket.MSG_WAITALL)
            connection.sendall(HELLO.encode() + b"\n")
            answers(
                (b"LIST_FILES", entry + b"DONE\n"),
                (b"DOWNLOAD", b"Please send a file ID\n"),
                (HELLO.encode(), entry + b"jello"),
                (b"QUIT", b""),
            )(connection)

        depot = FakeDepot(self, script)
        outcome = self.client(depot.port, "--file", self.file(b"hello"))
        self.assertEqual(outcome.status, 1)
        verdicts = [line.rpartition(" ")[2] for line in outcome.out if line.startswith("  MD5")]
        self.assertEqual(verdicts, ["Success", "Fail"])
        self.assertEqual(list((self.directory / "received").iterdir()), [])

    def test_not_listed(self) -> None:
        """A server that does not list what it says it stored is one line."""

        def script(connection: socket.socket) -> None:
            answers(*READY)(connection)
            connection.recv(5, socket.MSG_WAITALL)
            connection.sendall(HELLO.encode() + b"\n")
            answers(EMPTY)(connection)
            connection.recv(1)

        depot = FakeDepot(self, script)
        outcome = self.client(depot.port, "--file", self.file(b"hello"))
        self.assert_one_line(outcome, "xfer-client: ", HELLO)
        self.assertEqual(outcome.status, 1)

    def test_hostile_text(self) -> None:
        """What a server says is shown escaped: it can't write to the terminal."""
        for reply in (b"ERROR busy \x1b[31mred\n", b"\x1b]0;title\x07\n", b"a" * 5000 + b"\x1b\n"):
            outcome = self.exchange((b"LIST_FILES", reply))
            self.assert_one_line(outcome, "xfer-client: ")
            self.assertNotIn("\x1b", "".join(outcome.out + outcome.err))
            self.assertEqual(outcome.status, 1)

    def test_other_protocol(self) -> None:
        """A server of another kind is one line that shows what it says."""
        outcome = self.exchange((b"LIST_FILES", b"SSH-2.0-Something\r\n"))
        self.assert_one_line(outcome, "xfer-client: ", "SSH-2.0-Something")


class DaemonTests(ProcessCase):
    """Server and client in the background."""

    def test_not_started(self) -> None:
        """Why a daemon can't start stands in its log, where its parent says to look."""
        storage = self.directory / "storage"
        (storage / "objects/aa").mkdir(parents=True)
        (storage / "objects/aa" / ("a" * 32)).write_bytes(b"x")
        server = Daemon(self, self.directory, "twistd.pid", "xfer", "--port", "0")
        self.assertEqual(server.started.status, 1, server.started)
        log = (self.directory / "twistd.log").read_text()
        self.assertIn("catalogue.sqlite is missing or empty", log)
        self.assertIn("xfer-depot rebuild", log)
        self.assertNotIn("Traceback", log)
        self.assertEqual(self.pid_files(), [])

    def test_side_by_side(self) -> None:
        """Both run as daemons in one directory, each with its own pid file and log."""
        server = Daemon(self, self.directory, "twistd.pid", "xfer", "--port", "0")
        self.assertEqual(server.started.status, 0, server.started)
        log = (self.directory / "twistd.log").read_text()
        port = next(listening_port(line) for line in log.splitlines() if "listening on" in line)
        pid = server.pid
        source = self.file(b"hello")
        client = Daemon(
            self,
            self.directory,
            "xfer-client.pid",
            "xfer-client",
            "--port",
            str(port),
            "--file",
            source,
        )
        self.assertEqual(client.started, Outcome(0, [], []))
        client.wait()
        log = (self.directory / "xfer-client.log").read_text()
        self.assertEqual(log.count("Success"), 2, log)
        self.assertNotIn("Traceback", log)
        self.assertEqual((self.directory / "received" / "hello.txt").read_bytes(), b"hello")
        self.assertEqual(self.pid_files(), ["twistd.pid"])
        self.assertEqual(server.pid, pid)
        self.assertEqual(
            ask(connected(self, port), b"LIST_FILES\n"), f"{HELLO};hello.txt;5\n".encode()
        )
        server.stop()
        self.assertEqual(self.pid_files(), [])
        log = (self.directory / "twistd.log").read_text()
        self.assertNotIn("Traceback", log)
        self.assertNotIn("Unhandled", log)
