"""Many who come at once: how many connections may wait to be accepted."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import write
from tests.support.processes import PATIENCE, Server, new_directory, read_line
from xferproto.net.certificates import make_credential
from xferproto.server.listen import allowed_backlog, listening_endpoints
from xferproto.server.service import Options
from xferproto.server.tls import ServerCertificate

AT_ONCE = 500
"""More than a backlog of 50 has room for, by far."""


class OptionTests(SynchronousTestCase):
    """C{--backlog}."""

    def backlogs(self, *arguments: str) -> list[int]:
        """The backlogs of all sockets that these options make."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        files = write(directory, "server", make_credential())
        options = Options()
        options.parseOptions(
            [*arguments, "--tls-cert", str(files.cert), "--tls-key", str(files.key)]
        )
        reactor: Any = MemoryReactor()
        certificate = ServerCertificate(files.cert, files.key, None)
        for _, endpoint in listening_endpoints(reactor, options, certificate):
            self.successResultOf(endpoint.listen(Factory()))
        return [
            *(backlog for _, _, backlog, _ in reactor.tcpServers),
            *(backlog for _, _, backlog, _, _ in reactor.unixServers),
            *(backlog for _, _, _, backlog, _ in reactor.sslServers),
        ]

    def test_every_socket(self) -> None:
        """It is 1,024, or what the operator says, wherever the server makes the socket."""
        for where in (
            ("--interface", "127.0.0.1"),
            ("--interface", "::1"),
            ("--endpoint", "tcp:0:interface=127.0.0.1"),
            ("--endpoint", "tcp:port=0"),
            ("--endpoint", "tcp6:0"),
            ("--endpoint", "tls+tcp:0"),
            ("--endpoint", "haproxy:tcp:0"),
            ("--endpoint", "tls+haproxy:tcp:0:127.0.0.1"),
            ("--endpoint", r"unix:/tmp/a\:b:mode=660"),
        ):
            with self.subTest(where):
                self.assertEqual(self.backlogs(*where, "--anonymous", "list"), [1024])
                given = (*where, "--anonymous", "list", "--backlog", "2000")
                self.assertEqual(self.backlogs(*given), [2000])

    def test_endpoint_has_its_own(self) -> None:
        """What an endpoint says itself counts, in whatever form."""
        for where in ("tcp:0:127.0.0.1:7", "tcp:0:backlog=7", "tcp6:0:7", "unix:/tmp/a:660:7"):
            with self.subTest(where):
                given = ("--endpoint", where, "--anonymous", "list", "--backlog", "2000")
                self.assertEqual(self.backlogs(*given), [7])

    def test_bad(self) -> None:
        """A backlog is a number above 0."""
        for text in ("", "0", "-1", "many", "1e3", "9" * 10):
            self.assertRaises(SystemExit, Options().parseOptions, ["--backlog", text])

    def test_system_allows_less(self) -> None:
        """What the system allows is what there is; where it does not tell, what was wanted."""
        path = Path(self.mktemp())
        self.assertEqual(allowed_backlog(1024, path), 1024)
        for text, allowed in (("128\n", 128), ("4096\n", 1024), ("", 1024), ("many\n", 1024)):
            path.write_text(text)
            self.assertEqual(allowed_backlog(1024, path), allowed)


class BurstTests(SynchronousTestCase):
    """A server that is busy when they come."""

    def test_many_wait(self) -> None:
        """Nobody is refused while the server looks elsewhere, and all are answered after that."""
        if allowed_backlog(AT_ONCE) < AT_ONCE:
            self.skipTest("this system lets fewer wait")
        path = new_directory(self) / "socket"
        server = Server(self, path.parent, "--endpoint", f"unix:{path}")
        server.drain()
        server.signal(signal.SIGSTOP)
        with ExitStack() as stack:
            waiting = []
            for _ in range(AT_ONCE):
                connection = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.settimeout(0)
                connection.connect(str(path))  # refused with EAGAIN where none more may wait
                connection.settimeout(PATIENCE)
                waiting.append(connection)
            server.signal(signal.SIGCONT)
            for connection in waiting:
                connection.sendall(b"LIST_FILES\n")
            for connection in waiting:
                self.assertEqual(read_line(connection), b"No files available at the moment\n")
