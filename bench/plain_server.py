"""
C{python -m bench.plain_server PORT SIZE FILE}: a yardstick, the work of an upload and no protocol.

Each connection sends SIZE bytes, which are received, hashed by MD5 and SHA-256, written and synced;
the answer is the MD5 on a line. Receiving, MD5, and SHA-256 with writing each have a thread.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from hashlib import md5, sha256
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread

BUFFER = 1 << 20
BUFFERS = 8
"""This many of this size are all that it needs, whatever the size of the file."""


class Block:
    """A buffer, filled once and used by two threads."""

    def __init__(self, free: SimpleQueue[Block]) -> None:
        self.data = memoryview(bytearray(BUFFER))
        self.filled = self.data[:0]
        self._free = free
        self._users = 0
        self._lock = Lock()

    def fill(self, connection: socket.socket, count: int) -> int:
        """Receive up to C{count} bytes: how many came."""
        wanted = self.data[: min(count, BUFFER)]
        received = connection.recv_into(wanted, len(wanted), socket.MSG_WAITALL)
        self.filled = wanted[:received]
        self._users = 2
        return received

    def done(self) -> None:
        """One of the two has used it."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._free.put(self)


def consume(queue: SimpleQueue[Block | None], use: Callable[[memoryview], object]) -> None:
    """Use blocks until there is a None."""
    while (block := queue.get()) is not None:
        use(block.filled)
        block.done()


def serve(connection: socket.socket, size: int, path: Path) -> str:
    """Take one file: its MD5."""
    free: SimpleQueue[Block] = SimpleQueue()
    for _ in range(BUFFERS):
        free.put(Block(free))
    first, second = md5(), sha256()
    queues: list[SimpleQueue[Block | None]] = [SimpleQueue(), SimpleQueue()]
    with path.open("wb", buffering=0) as file:

        def keep(data: memoryview) -> None:
            second.update(data)
            if file.write(data) != len(data):
                raise OSError("The disk took less than it was given.")

        uses: tuple[Callable[[memoryview], object], ...] = (first.update, keep)
        threads = [Thread(target=consume, args=pair) for pair in zip(queues, uses, strict=True)]
        for thread in threads:
            thread.start()
        while size:
            block = free.get()
            received = block.fill(connection, size)
            if not received:
                break
            size -= received
            for queue in queues:
                queue.put(block)
        for queue, thread in zip(queues, threads, strict=True):
            queue.put(None)
            thread.join()
        os.fsync(file.fileno())
    return first.hexdigest()


def main(port: str, size: str, path: str) -> None:
    """Serve one connection after the other; a connection that sends nothing is passed over."""
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        while True:
            connection = listener.accept()[0]
            with connection:
                if connection.recv(1, socket.MSG_PEEK):
                    connection.sendall(serve(connection, int(size), Path(path)).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
