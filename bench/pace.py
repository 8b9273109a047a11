"""
Listings read at a pace, and how long they take.

C{python -m bench.pace list PORT COUNT MD5} reads the list COUNT times as fast as it can;
C{python -m bench.pace poll PORT INTERVAL} asks for it every INTERVAL seconds until it is
terminated. It writes a line when it begins, and in the end one of JSON: the seconds that each took.
"""

from __future__ import annotations

import json
import math
import signal
import socket
import sys
import time
from collections.abc import Sequence
from hashlib import md5

from bench import wire
from bench.contents import WrongArrival


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def read_slowly(connection: socket.socket, rate: int, seconds: float) -> bytearray:
    """
    Read a listing slowly for a while, then the rest of it at once.

    @param rate: bytes a second.
    """
    answer = bytearray()
    deadline = time.monotonic() + seconds
    while not answer.endswith(b"DONE\n"):
        slow = time.monotonic() < deadline
        block = connection.recv(rate // 16 if slow else 1 << 20)
        if not block:
            raise WrongArrival("The depot hung up on LIST_FILES.")
        answer += block
        if slow:
            time.sleep(1 / 16)
    return answer


def read(port: int, count: int, expected: str) -> None:
    """Read listings as fast as they come."""
    with wire.connected(port) as connection:
        for _ in range(count):
            _, _, answer = wire.ask(connection, "LIST_FILES")
            if md5(answer).hexdigest() != expected:
                raise WrongArrival("The listing is not that of what is stored.")


def poll(port: int, interval: float) -> None:
    """Time listings until this process is told to end."""
    taken: list[float] = []
    ending = False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    with wire.connected(port) as connection:
        print("asking", flush=True)
        while not (ending and taken):
            taken.append(wire.ask(connection, "LIST_FILES")[1])
            time.sleep(interval)
    print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        read(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        poll(int(sys.argv[2]), float(sys.argv[3]))
