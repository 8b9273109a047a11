"""xfer's protocol as a plain blocking-socket program speaks it: no event loop, no hash to send."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from hashlib import md5
from io import BufferedReader
from pathlib import Path

from bench.contents import WrongArrival

PATIENCE = 300
WINDOW = 256
"""Requests on their way at a time when many are made."""


def connected(port: int) -> socket.socket:
    """A connection to a port of 127.0.0.1."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _answers(connection: socket.socket) -> BufferedReader:
    return BufferedReader(connection.makefile("rb", buffering=0), 1 << 20)


def send_file(connection: socket.socket, path: Path) -> None:
    """Send the bytes of a file, which the kernel copies."""
    with path.open("rb") as file:
        connection.sendfile(file)


def upload(port: int, path: Path, name: str) -> tuple[float, str]:
    """
    Send a file without hashing it.

    @return: the seconds from connecting to the answer, and the id that was answered.
    """
    started = time.perf_counter()
    with connected(port) as connection:
        connection.sendall(f"UPLOAD {name};{path.stat().st_size}\n".encode())
        send_file(connection, path)
        with _answers(connection) as answers:
            id = _line(answers)
        return time.perf_counter() - started, id


def send_plain(port: int, path: Path) -> tuple[float, str]:
    """Send a file to a L{bench.plain_server}; the same as for L{upload}."""
    started = time.perf_counter()
    with connected(port) as connection:
        send_file(connection, path)
        with _answers(connection) as answers:
            id = _line(answers)
        return time.perf_counter() - started, id


def check_stored(port: int, ids: Collection[str]) -> None:
    """
    Fetch contents, and hash them again.

    @raise WrongArrival: one is not there, or is not what its id says.
    """
    asked = list(ids)
    buffer = bytearray(1 << 20)
    with connected(port) as connection, _answers(connection) as answers:
        for start in range(0, len(asked), WINDOW):
            window = asked[start : start + WINDOW]
            connection.sendall(b"".join(f"DOWNLOAD {id}\n".encode() for id in window))
            for id in window:
                entry = _line(answers)
                if not entry.startswith(id + ";"):
                    raise WrongArrival(f"Asked for {id}, the depot says {entry}.")
                _check_content(answers, id, int(entry.rpartition(";")[2]), buffer)


def _check_content(answers: BufferedReader, id: str, size: int, buffer: bytearray) -> None:
    digest = md5()
    while size:
        view = memoryview(buffer)[: min(size, len(buffer))]
        count = answers.readinto(view)
        if not count:
            raise WrongArrival(f"The depot sent {size} bytes less of {id} than it said.")
        digest.update(view[:count])
        size -= count
    if digest.hexdigest() != id:
        raise WrongArrival(f"What the depot holds as {id} hashes to {digest.hexdigest()}.")


def ask(
    connection: socket.socket, command: str, last: bytes = b"DONE\n"
) -> tuple[float, float, bytes]:
    """
    Send a command, and read its answer as fast as it comes.

    @param last: what the answer ends with.
    @return: the seconds to the first bytes and to the last, and the answer.
    """
    answer = bytearray()
    block = bytearray(1 << 20)
    started = time.perf_counter()
    first = 0.0
    connection.sendall(command.encode() + b"\n")
    while not answer.endswith(last):
        count = connection.recv_into(block)
        if not count:
            raise WrongArrival(f"The depot hung up on {command}.")
        first = first or time.perf_counter() - started
        answer += memoryview(block)[:count]
        if answer.startswith(b"ERROR"):
            raise WrongArrival(answer.decode(errors="replace"))
    return first, time.perf_counter() - started, bytes(answer)


def _line(answers: BufferedReader) -> str:
    line = answers.readline().decode(errors="replace")
    if not line.endswith("\n") or line.startswith("ERROR"):
        raise WrongArrival(f"The depot answered {line!r}.")
    return line[:-1]
