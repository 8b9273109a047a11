"""
C{python -m bench.floor PORT SIZE FILE}: a yardstick, what an upload costs the processor at least.

Takes one connection's SIZE bytes on one thread: receives, hashes by MD5 and SHA-256, writes. Prints
a line of JSON: C{cpu} the seconds of processor time of just that, C{md5} of what came.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from hashlib import md5, sha256
from pathlib import Path

BUFFER = 1 << 18
"""Stays in the processor's cache between the four that use it."""


def main(port: str, size: str, path: str) -> None:
    """Serve the first connection that sends something."""
    missing = int(size)
    buffer = memoryview(bytearray(BUFFER))
    first, second = md5(), sha256()
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        connection = listener.accept()[0]
        while not connection.recv(1, socket.MSG_PEEK):
            connection.close()
            connection = listener.accept()[0]
    before = time.process_time()
    with connection, Path(path).open("wb", buffering=0) as file:
        while missing:
            count = connection.recv_into(buffer, min(missing, BUFFER), socket.MSG_WAITALL)
            if not count:
                break
            data = buffer[:count]
            first.update(data)
            second.update(data)
            file.write(data)
            missing -= count
        cpu = time.process_time() - before
        connection.sendall(first.hexdigest().encode() + b"\n")
    print(json.dumps({"cpu": cpu, "md5": first.hexdigest()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
