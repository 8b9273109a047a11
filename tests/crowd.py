"""
C{python -m tests.crowd COUNT}: so many slow, silent and deaf connections, and one good client.

It starts a server of its own on 127.0.0.1, and tells how long the good client waited, how much
memory the server had, and whether everything is as it was when the crowd has gone.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import PATIENCE, Server

LARGE = os.urandom(4 * 2**20)
"""What the deaf ones ask for, and do not take."""

NAMES = 2000
"""How many entries a listing has."""

KINDS = ("silent", "silent upload", "dripping line", "dripping payload", "deaf list", "deaf get")
"""What a crowd is made of, in equal parts."""

DRIP = 1.0
"""Seconds between two bytes of one that drips."""

RESIDENT = re.compile(r"^VmRSS:\s+([0-9]+) kB$", re.MULTILINE)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """What comes up to its first end that reads so."""
    came = bytearray()
    while not came.endswith(end):
        block = connection.recv(2**18)
        if not block:
            raise AssertionError(f"closed after {bytes(came[-200:])!r}")
        came += block
    return bytes(came)


class Crowd:
    """
    Connections that nobody should make.

    @param port: of 127.0.0.1.
    @param count: how many they are.
    """

    def __init__(self, port: int, count: int) -> None:
        self.connections: list[socket.socket] = []
        self._dripping: list[socket.socket] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        get = b"DOWNLOAD %s\n" % md5(LARGE).hexdigest().encode()
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            connection = socket.socket()
            if kind.startswith("deaf"):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", port))
            connection.setblocking(False)
            self.connections.append(connection)
            if "upload" in kind or "payload" in kind:
                connection.send(b"UPLOAD crowd-%d;1000000\n" % number)
            elif kind == "deaf list":
                connection.send(b"LIST_FILES\n" * 50)
            elif kind == "deaf get":
                connection.send(get)
            if kind.startswith("dripping"):
                self._dripping.append(connection)
        self._thread.start()

    def _drip(self) -> None:
        while not self._stop.is_set():
            for connection in self._dripping:
                try:
                    connection.send(b"U")
                except OSError:
                    continue
                if self._stop.wait(DRIP / len(self._dripping)):
                    return

    def close(self) -> None:
        """All leave."""
        self._stop.set()
        self._thread.join()
        for connection in self.connections:
            connection.close()


def prepare(port: int) -> None:
    """Store what the crowd asks for."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(b"UPLOAD large;%d\n" % len(LARGE) + LARGE)
        read_until(connection, b"\n")
        line = b"UPLOAD %s/%04d;5\nhello"
        connection.sendall(b"".join(line % (b"n" * 200, number) for number in range(NAMES)))
        came = b""
        while came.count(b"\n") < NAMES:
            block = connection.recv(2**16)
            assert block, "the server has closed"
            came += block


def served(port: int, number: int) -> float:
    """
    Let a good client store, list, and fetch: how many seconds the longest of its answers took.

    @raise AssertionError: an answer is wrong.
    """
    content = os.urandom(100_000)
    id = md5(content).hexdigest().encode()
    steps: list[tuple[bytes, bytes]] = [
        (b"UPLOAD good;100000\n" + content, id + b"\n"),
        (b"UPLOAD\ngood/%d;5\n" % number, b"Ready to receive the file\n"),
        (b"hello", md5(b"hello").hexdigest().encode() + b"\n"),
        (b"UPLOAD\ngood-%d;100000\n" % number, b"Ready to receive the file\n"),
        (content, id + b"\n"),
        (b"LIST_FILES good\n", b"DONE\n"),
        (b"DOWNLOAD %s\n" % id, content),
    ]
    longest = 0.0
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        for request, end in steps:
            connection.sendall(request)
            read_until(connection, end)
            now = time.monotonic()
            longest, started = max(longest, now - started), now
    return longest


def resident(pid: int) -> int:
    """The memory that a process has now, in bytes."""
    match = RESIDENT.search(Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def open_files(pid: int) -> int:
    """How many files a process has open."""
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


def tell(line: str) -> None:
    """Print it now."""
    print(line, flush=True)


def main(count: int, say: Callable[[str], object] = tell) -> None:
    """Run it by hand."""
    case = SynchronousTestCase()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(case, Path(directory))
        server.drain()
        try:
            prepare(server.port)
            say(f"alone: {served(server.port, 0):.3f} s, {resident(server.pid) / 2**20:.0f} MiB")
            started = time.monotonic()
            crowd = Crowd(server.port, count)
            say(f"{count} came within {time.monotonic() - started:.1f} s")
            waits = [served(server.port, number) for number in range(20)]
            say(f"the good client's longest waits: {[round(wait, 3) for wait in waits]} s")
            say(f"server: {resident(server.pid) / 2**20:.0f} MiB, {open_files(server.pid)} files")
            crowd.close()
            time.sleep(5)
            say(f"after: {served(server.port, 0):.3f} s, {resident(server.pid) / 2**20:.0f} MiB")
            say(f"{open_files(server.pid)} files")
        finally:
            case.doCleanups()


if __name__ == "__main__":
    main(int(sys.argv[1]))
