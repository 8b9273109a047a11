"""
C{python -m bench.crowd PORT CLIENTS SIZE}: many clients that upload at once, in one process.

Each sends a content of its own, whose MD5 is known before the time runs. It writes a line of JSON:
C{seconds} from the first byte to the last answer, C{wrong} how many of the answers were not the id.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from hashlib import md5

from bench.wire import connected


class Client:
    """
    One upload.

    @param common: what the contents of all have in common: all but their first eight bytes.
    """

    def __init__(self, connection: socket.socket, number: int, common: memoryview) -> None:
        own = number.to_bytes(8, "big")
        digest = md5(own)
        digest.update(common)
        self.connection = connection
        self._expected = digest.hexdigest().encode() + b"\n"
        line = f"UPLOAD client-{number:05};{len(own) + len(common)}\n".encode()
        self._parts = [memoryview(line + own), common]
        self._answer = b""

    def send(self) -> bool:
        """Send what fits: whether that was the last of it."""
        while self._parts:
            try:
                sent = self.connection.send(self._parts[0])
            except BlockingIOError:
                return False
            rest = self._parts[0][sent:]
            self._parts[:1] = [rest] if rest else []
        return True

    def receive(self) -> bool:
        """Take what there is of the answer: whether it is complete, or the connection is cut."""
        block = self.connection.recv(4096)
        self._answer += block
        return not block or block.endswith(b"\n")

    @property
    def right(self) -> bool:
        """Whether the answer was the id."""
        return self._answer == self._expected


def upload(port: int, count: int, size: int) -> dict[str, float]:
    """Connect all, then let all send."""
    common = memoryview(os.urandom(size - 8))
    clients = [Client(connected(port), number, common) for number in range(count)]
    selector = selectors.DefaultSelector()
    for client in clients:
        client.connection.setblocking(False)
        selector.register(client.connection, selectors.EVENT_WRITE, client)
    started = time.perf_counter()
    waiting = count
    while waiting:
        for key, ready in selector.select():
            client = key.data
            if ready & selectors.EVENT_WRITE and client.send():
                selector.modify(client.connection, selectors.EVENT_READ, client)
            elif ready & selectors.EVENT_READ and client.receive():
                selector.unregister(client.connection)
                waiting -= 1
    seconds = time.perf_counter() - started
    wrong = sum(not client.right for client in clients)
    for client in clients:
        client.connection.close()
    return {"seconds": seconds, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(upload(*map(int, sys.argv[1:]))))
