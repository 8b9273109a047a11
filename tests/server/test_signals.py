"""SIGHUP and SIGUSR1: neither ends a server or a client, however it runs, and both are logged."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from hashlib import md5
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.certificates import write
from tests.support.processes import (
    PATIENCE,
    Daemon,
    FakeDepot,
    Process,
    Server,
    connected,
    new_directory,
    read_line,
)
from tests.support.visitors import PASSWORD, user
from xferproto.net.certificates import make_credential
from xferproto.server.auth.users import changed_users
from xferproto.signals import SignalCall

HELLO = md5(b"hello").hexdigest().encode()

NOTHING = "SIGHUP: there is nothing to read again"
ROTATED = "SIGUSR1: the log file is rotated"
NOT_ROTATED = "SIGUSR1: there is no log file to rotate"


def wait_for_text(path: Path, text: str) -> None:
    """Wait until a file that a process writes has this in it, with a generous deadline."""
    never = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and text in path.read_text()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{text!r} is not in {path}")
        never.wait(0.02)


class CallTests(TestCase):
    """What stands between a signal and the reactor."""

    async def test_call(self) -> None:
        """It calls in the reactor's thread, and what the signal did before it still does."""
        before: list[int] = []
        original = signal.signal(signal.SIGHUP, lambda number, frame: before.append(number))
        self.addCleanup(signal.signal, signal.SIGHUP, original)
        called: Deferred[None] = Deferred()
        call = SignalCall(reactor, signal.SIGHUP, lambda: called.callback(None))
        call.start()
        signal.raise_signal(signal.SIGHUP)
        await called
        call.stop()
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(before, [signal.SIGHUP, signal.SIGHUP])


class SignalCase(SynchronousTestCase):
    """A directory with what a server may need."""

    def setUp(self) -> None:
        self.directory = new_directory(self)
        self.users = self.directory / "users.toml"
        with changed_users(self.users) as users:
            users["alice"] = user("alice")
        self.users.chmod(0o600)
        self.files = write(self.directory, "server", make_credential())

    def tls(self) -> tuple[str | Path, ...]:
        return ("--tls-cert", self.files.cert, "--tls-key", self.files.key)


class ServerTests(SignalCase):
    """C{twistd xfer}."""

    def assert_served(self, server: Server) -> None:
        """It takes a connection; with TLS, to look at it it need not speak that."""
        connection = server.connect(self)
        connection.sendall(b"QUIT\n")
        with connection:
            connection.recv(1)

    def test_to_standard_output(self) -> None:
        """With the log on standard output, with TLS and users or without."""
        users = ("--users", self.users)
        for options, again in (
            ((), NOTHING),
            (self.tls(), "SIGHUP: reading the certificate again"),
            (users, "SIGHUP: reading the users file again"),
            ((*self.tls(), *users), "SIGHUP: reading the certificate and the users file again"),
        ):
            with self.subTest(again):
                server = Server(self, self.directory, *options)
                for _ in range(2):
                    server.signal(signal.SIGHUP)
                    server.wait_for(again)
                    if "certificate" in again:
                        server.wait_for("the TLS certificate is ")
                    if "users" in again:
                        server.wait_for("1 users in ")
                    server.signal(signal.SIGUSR1)
                    server.wait_for(NOT_ROTATED)
                self.assert_served(server)
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait().status, -signal.SIGTERM)

    def test_to_a_file(self) -> None:
        """With a log file, which is rotated; its next line is in the new one."""
        log = self.directory / "xfer.log"
        path = self.directory / "socket"
        process = Process(
            self,
            self.directory,
            *("--pidfile=", "--logfile", log, "xfer", "--storage", self.directory / "storage"),
            *("--endpoint", f"unix:{path}", "--users", self.users),
        )
        wait_for_text(log, "listening on ")
        process.signal(signal.SIGHUP)
        wait_for_text(log, "SIGHUP: reading the users file again")
        for number in (1, 2):
            process.signal(signal.SIGUSR1)
            wait_for_text(self.directory / f"xfer.log.{number}", "listening on ")
            wait_for_text(log, ROTATED)
            self.assertNotIn("listening on ", log.read_text())
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(f"LOGIN alice;{PASSWORD}\n".encode())
            self.assertEqual(read_line(connection), b"Welcome alice\n")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait().err, [])

    def test_daemon(self) -> None:
        """In the background."""
        daemon = Daemon(
            self,
            self.directory,
            "twistd.pid",
            *("xfer", "--storage", self.directory / "storage"),
            *("--endpoint", f"unix:{self.directory / 'socket'}"),
        )
        log = self.directory / "twistd.log"
        pid = daemon.pid
        signals = ((signal.SIGHUP, NOTHING), (signal.SIGUSR1, ROTATED), (signal.SIGHUP, NOTHING))
        for number, text in signals:
            os.kill(pid, number)
            wait_for_text(log, text)
        self.assertEqual(daemon.pid, pid)

    def test_users(self) -> None:
        """What is wrong with the users file is said again on SIGHUP, and the old ones stay."""
        server = Server(self, self.directory, "--users", self.users)
        self.users.write_text("[alice")
        server.wait_for("the users are not replaced")
        server.signal(signal.SIGHUP)
        server.wait_for("the users are not replaced")
        connection = server.connect(self)
        connection.sendall(f"LOGIN alice;{PASSWORD}\n".encode())
        self.assertEqual(read_line(connection), b"Welcome alice\n")

    def test_while_it_stops(self) -> None:
        """SIGHUP behind SIGTERM, as systemd may send it, cuts nothing off."""
        server = Server(self, self.directory)
        connection = server.connect(self)
        connection.sendall(b"UPLOAD\n")
        read_line(connection)
        connection.sendall(b"a;5\n")
        self.assertEqual(read_line(connection), b"Ready to receive the file\n")
        connection.sendall(b"he")
        server.signal(signal.SIGTERM)
        server.wait_for("waiting for 1 connection")
        server.signal(signal.SIGHUP)
        server.wait_for(NOTHING)
        connection.sendall(b"llo")
        self.assertEqual(read_line(connection), HELLO + b"\n")
        self.assertEqual(server.wait().status, -signal.SIGTERM)


class ClientTests(SignalCase):
    """C{twistd xfer-client}."""

    def test_exchange(self) -> None:
        """An exchange goes on."""
        heard = threading.Event()

        def script(connection: socket.socket) -> None:
            read_line(connection)
            heard.set()
            connection.recv(1)

        depot = FakeDepot(self, script)
        client = Process(self, self.directory, "xfer-client", "--port", str(depot.port))
        client.wait_for("> LIST_FILES")
        self.assertTrue(heard.wait(PATIENCE))
        client.signal(signal.SIGHUP)
        client.wait_for(NOTHING)
        client.signal(signal.SIGUSR1)
        client.wait_for(NOT_ROTATED)
        client.signal(signal.SIGTERM)
        self.assertEqual(client.wait().status, -signal.SIGTERM)

    def watcher(self, *options: str | Path, before: tuple[str | Path, ...] = ()) -> Process:
        self.root = self.directory / "outbox"
        self.root.mkdir(exist_ok=True)
        watching = ("xfer-client", "--watch", self.root, "--settle", "0")
        return Process(self, self.directory, "--pidfile=", *before, *watching, *options)

    def test_watch(self) -> None:
        """A watching one goes on, without files to read again, its log on standard output."""
        server = Server(self, self.directory)
        watcher = self.watcher("--port", str(server.port))
        watcher.wait_for("watching")
        watcher.signal(signal.SIGHUP)
        watcher.wait_for(NOTHING)
        watcher.signal(signal.SIGUSR1)
        watcher.wait_for(NOT_ROTATED)
        (self.root / "a").write_bytes(b"hello")
        watcher.wait_for('moved to "sent/a"')

    def test_watch_log_file(self) -> None:
        """So does one with a log file, which is rotated."""
        log = self.directory / "watch.log"
        watcher = self.watcher("--port", "1", before=("--logfile", log))
        wait_for_text(log, "watching")
        watcher.signal(signal.SIGUSR1)
        wait_for_text(log, ROTATED)
        wait_for_text(self.directory / "watch.log.1", "watching")
        watcher.signal(signal.SIGHUP)
        wait_for_text(log, NOTHING)
        watcher.signal(signal.SIGTERM)
        self.assertEqual(watcher.wait().err, [])

    def test_watch_renewed(self) -> None:
        """It reads password and certificates again; it reports broken ones and keeps the old."""
        server = Server(self, self.directory, *self.tls(), "--users", self.users)
        password = self.directory / "password"
        password.write_text("wrong\n")
        ca = self.directory / "ca.pem"
        ca.write_bytes(self.files.cert.read_bytes())
        watcher = self.watcher(
            *("--host", "localhost", "--port", str(server.port), "--tls", "--ca", ca),
            *("--user", "alice", "--password-file", password),
        )
        watcher.wait_for("watching")
        (self.root / "a").write_bytes(b"hello")
        watcher.wait_for("denied")
        ca.write_text("nothing")
        watcher.signal(signal.SIGHUP)
        watcher.wait_for("SIGHUP: reading the certificates and the password file again")
        self.assertIn(str(ca), watcher.wait_for("the old ones stay in use"))
        ca.write_bytes(self.files.cert.read_bytes())
        password.write_text(PASSWORD)
        watcher.signal(signal.SIGHUP)
        watcher.wait_for('moved to "sent/a"')

    def test_connected(self) -> None:
        """Signals leave a connection as it is."""
        server = Server(self, self.directory)
        connection = connected(self, server.port)
        connection.sendall(b"UPLOAD a;5\nhe")
        server.signal(signal.SIGHUP)
        server.wait_for(NOTHING)
        server.signal(signal.SIGUSR1)
        server.wait_for(NOT_ROTATED)
        connection.sendall(b"llo")
        self.assertEqual(read_line(connection), HELLO + b"\n")
