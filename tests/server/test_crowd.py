"""A crowd of slow, silent and deaf connections, and files running out, against a real process."""

from __future__ import annotations

import os
import resource
import socket
from hashlib import md5

from twisted.trial.unittest import SynchronousTestCase

from tests.crowd import Crowd, open_files, prepare, resident, served
from tests.support.processes import PATIENCE, Server, connected, new_directory, read_line

COUNT = int(os.environ.get("XFER_CROWD", "1000"))
"""How many they are; 5000 is what is promised."""

MEMORY = 80 * 2**20 + 256 * 1024 * COUNT
"""What a server may take, and for each of them, in bytes."""

ASKED_FOR = "XFER_CROWD" in os.environ
"""Whether this is run by hand: then a good client has to be served within a second."""


class CrowdTests(SynchronousTestCase):
    """A good client among many bad ones."""

    def test_crowd(self) -> None:
        """It is answered, within a second on a machine that has the time; memory is bounded."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 2 * COUNT + 200:
            raise self.skipTest(f"this system lets no {2 * COUNT + 200} files be open")
        server = Server(self, new_directory(self))
        server.drain()
        prepare(server.port)
        served(server.port, 0)
        before = open_files(server.pid)
        crowd = Crowd(server.port, COUNT)
        self.addCleanup(crowd.close)
        waits = [served(server.port, number) for number in range(5)]
        if ASKED_FOR:
            self.assertLess(max(waits), 1.0, waits)
        self.assertLess(resident(server.pid), MEMORY)
        crowd.close()
        served(server.port, 0)
        self.assertLess(open_files(server.pid), before + COUNT // 2)


class DescriptorTests(SynchronousTestCase):
    """A server that may have few files open."""

    LIMIT = 100

    def server(self, *options: str) -> Server:
        limit = ["prlimit", f"--nofile={self.LIMIT}:{self.LIMIT}"]
        server = Server(self, new_directory(self), *options, under=limit)
        server.drain()
        return server

    def test_connections(self) -> None:
        """Too many connections are told so; those inside are served, and later ones again."""
        server = self.server()
        inside = [connected(self, server.port) for _ in range(self.LIMIT)]
        answers = []
        for connection in inside:
            try:
                connection.sendall(b"LIST_FILES\n")
                answers.append(read_line(connection))
            except OSError:
                answers.append(b"")
        refused = [one for one in answers if one.startswith(b"ERROR busy ")]
        good = [one for one in answers if one.startswith(b"No files ")]
        self.assertGreater(len(good), 10)
        self.assertGreater(len(refused), 10)
        for connection in inside:
            connection.close()
        self.assertLess(served(server.port, 0), PATIENCE)

    def test_files(self) -> None:
        """
        Uploads that find no descriptor are told so; nothing of them is left, all else is served.
        """
        server = self.server()
        keep = served(server.port, 0)
        self.assertLess(keep, PATIENCE)
        sessions = [connected(self, server.port) for _ in range(35)]
        for number, connection in enumerate(sessions):
            connection.sendall(b"UPLOAD\n%d;100000\n" % number)
            read_line(connection)
        outcomes: list[bytes] = []
        for number, connection in enumerate(sessions):
            answer = read_line(connection)
            if answer.startswith(b"Ready"):
                content = b"%03d" % number * 33_333 + b"x"
                connection.sendall(content)
                answer = read_line(connection)
                self.assertIn(
                    answer.split()[0], (md5(content).hexdigest().encode(), b"ERROR"), answer
                )
            outcomes.append(answer)
        refused = [one for one in outcomes if one.startswith(b"ERROR ")]
        self.assertTrue(all(one.startswith(b"ERROR busy ") for one in refused), refused)
        self.assertGreater(len(outcomes), len(refused))
        for connection in sessions:  # each of them is in step
            connection.sendall(b"HELP\n")
            self.assertTrue(read_line(connection).startswith(b"LIST_FILES"))
        self.assertLess(served(server.port, 1), PATIENCE)

    def test_accept(self) -> None:
        """
        When not even a connection can be accepted, the server lives, and accepts again later.
        """
        server = self.server("--max-connections", "1000")
        held: list[socket.socket] = []
        for _ in range(3 * self.LIMIT):
            connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            held.append(connection)
            self.addCleanup(connection.close)
            connection.sendall(b"UPLOAD x;100000\n")
        for connection in held:
            connection.close()
        for attempt in range(100):
            try:
                self.assertLess(served(server.port, attempt), PATIENCE)
                break
            except (OSError, AssertionError):
                continue
        else:
            self.fail("the server accepts no connection any more")
