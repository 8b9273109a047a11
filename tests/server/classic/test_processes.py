"""The client that the classic protocol is for, over TCP, with a real server."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import threading
from hashlib import md5

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support.classic import ClassicClient
from tests.support.processes import PATIENCE, Server, connected, listening_port, new_directory, run


class ClientTests(SynchronousTestCase):
    """A server with both protocols, and clients of the classic one."""

    def serve(self, *options: str) -> int:
        """The port of the classic protocol."""
        self.server = Server(self, new_directory(self), "--classic", "0", *options)
        port = listening_port(self.server.wait_for("for classic clients"))
        self.server.drain()
        return port

    def test_exchange(self) -> None:
        """Files of all sizes go in and out unchanged, one after the other on one connection."""
        client = ClassicClient(self, self.serve())
        self.assertEqual(client.list(), "No files available at the moment")
        entries = []
        sizes = (0, 1, 5, 4095, 4096, 4097, 100_000, 5 * 2**20 + 1)
        for number, size in enumerate(sizes):
            content = random.Random(size).randbytes(size)
            id = md5(content).hexdigest()
            self.assertEqual(client.upload(f"dir/{number};.bin", content), id)
            self.assertEqual(client.download(id), (content, id))
            entries.append(f"{id};dir/{number};.bin;{size}")
        self.assertEqual(client.list(), "".join(entries))

    def test_content_ends_with_marker(self) -> None:
        client = ClassicClient(self, self.serve())
        content = b"x" * 10_000 + b"EOF"
        self.assertEqual(client.upload("a", content), md5(content).hexdigest())
        self.assertEqual(client.download(md5(content).hexdigest())[0][:10_000], content[:10_000])

    def test_both_protocols(self) -> None:
        """What came by one protocol is there for the other."""
        client = ClassicClient(self, self.serve())
        id = client.upload("a.txt", b"hello")
        with self.server.connect(self) as line:
            line.sendall(b"LIST_FILES\nUPLOAD b;3\nabcQUIT\n")
            answer = b"".join(iter(lambda: line.recv(4096), b""))
        self.assertEqual(answer, f"{id};a.txt;5\nDONE\n{md5(b'abc').hexdigest()}\n".encode())
        self.assertEqual(client.download(md5(b"abc").hexdigest())[0], b"abc")

    def test_at_once(self) -> None:
        """Several clients at once."""
        port = self.serve()
        outcomes: dict[int, bool] = {}

        def exchange(number: int, client: ClassicClient) -> None:
            content = random.Random(number).randbytes(300_000 * number)
            id = md5(content).hexdigest()
            outcomes[number] = client.upload(f"{number}", content) == id
            outcomes[number] &= client.download(id) == (content, id)

        threads = [
            threading.Thread(target=exchange, args=(number, ClassicClient(self, port)))
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(outcomes, dict.fromkeys(range(6), True))

    def test_error(self) -> None:
        """An error is one message, behind which the server closes."""
        client = ClassicClient(self, self.serve("--max-file-size", "4"))
        client.socket.send(b"UPLOAD")
        client.receive()
        client.socket.send(b"a;5")
        self.assertTrue(client.receive().startswith("ERROR too-large "))
        self.assertEqual(client.receive(), "")

    def test_error_behind_much(self) -> None:
        """A page of a browser gets an error, whatever it sends."""
        browser = connected(self, self.serve())
        browser.sendall(b"POST / HTTP/1.1\r\n\r\nUPLOAD\na;1\nx" + bytes(2**20))
        self.assertTrue(browser.recv(4096).startswith(b"ERROR bad-command "))
        browser.shutdown(socket.SHUT_WR)
        self.assertEqual(browser.recv(4096), b"")

    def test_netcat(self) -> None:
        """Lines of nc, in one go."""
        netcat = shutil.which("nc")
        if netcat is None:
            raise SkipTest("nc is not there")
        ended = subprocess.run(
            [netcat, "-N", "127.0.0.1", str(self.serve())],
            input=b"UPLOAD\na.txt;5\nhelloEOF\nLIST_FILES\n",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        if ended.returncode:
            raise SkipTest("an nc that has no -N")
        id = md5(b"hello").hexdigest()
        expected = "Please send the file name and file sizeReady to receive the file"
        self.assertEqual(ended.stdout.decode(), f"{expected}{id}{id};a.txt;5DONE")

    def test_stop(self) -> None:
        """SIGTERM closes an idle connection."""
        client = ClassicClient(self, self.serve())
        client.list()
        self.server.signal(signal.SIGTERM)
        self.assertEqual(client.receive(), "")
        self.assertEqual(self.server.wait().status, -signal.SIGTERM)


class OptionTests(SynchronousTestCase):
    """Where the classic protocol is spoken."""

    def refused(self, *options: str) -> str:
        outcome = run(new_directory(self), "-n", "--pidfile=", "xfer", "--port", "0", *options)
        self.assertEqual(outcome.status, 1)
        return "\n".join(outcome.err + outcome.out)

    def test_reach(self) -> None:
        """Beyond this machine only where the rights of strangers are given."""
        for endpoint in ("tcp:0", "tcp6:0:interface=\\:\\:", "haproxy:tcp:0:interface=0.0.0.0"):
            text = self.refused("--classic-endpoint", endpoint)
            self.assertIn("other machines can reach", text)

    def test_bad_options(self) -> None:
        self.assertIn("--classic", self.refused("--classic", "70000"))
        self.assertIn("bad endpoint", self.refused("--classic-endpoint", "nonsense:1"))

    def test_off(self) -> None:
        """It is off unless it is asked for."""
        server = Server(self, new_directory(self))
        server.signal(signal.SIGTERM)
        self.assertNotIn("classic clients", "\n".join(server.wait().out))

    def test_endpoint(self) -> None:
        """Over a UNIX socket, with the rights that strangers are given, and no more."""
        directory = new_directory(self)
        path = directory / "socket"
        options = ("--classic-endpoint", f"unix:{path}", "--anonymous", "list")
        server = Server(self, directory, *options)
        server.wait_for("for classic clients")
        server.drain()
        for command, answer in ((b"LIST_FILES", b"No files"), (b"UPLOAD\na;1\n", b"Please send")):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(path))
                client.send(command)
                self.assertTrue(client.recv(4096).startswith(answer))
