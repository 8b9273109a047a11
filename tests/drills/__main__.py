"""C{python -m tests.drills}: run a drill by hand."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

import tests.drills
from tests.drills import flip, kill, net, power
from tests.drills.depot import tell


def address(text: str) -> tuple[str, int]:
    """The host and port of C{HOST:PORT}."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def arguments(argv: list[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.drills",
        description=tests.drills.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    drills = parser.add_subparsers(dest="drill", required=True)
    for name, unit, count in (
        ("kill", "rounds", 300),
        ("flip", "transfers", 2000),
        ("net", "transfers", 500),
        ("power", "cuts", 100),
    ):
        one = drills.add_parser(name)
        one.add_argument(f"--{unit}", dest="count", type=int, default=count, metavar="N")
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--directory", type=Path, help="where temporary files go, storage too")
        one.add_argument("--clients", type=int, default=6, help="connections at a time")
        if name in ("flip", "net"):
            one.add_argument("--depot", type=address, metavar="HOST:PORT", help="a running server")
    return parser.parse_args(argv)


async def main(reactor: Any, asked: argparse.Namespace) -> None:
    """Run it and print what came of it."""
    started = time.monotonic()
    common = (reactor, asked.count, asked.seed, asked.directory, asked.clients)
    work: Coroutine[Deferred[Any], Any, Any]
    if asked.drill == "power":
        work = power.drill(*common, say=tell)
    elif asked.drill == "kill":
        work = kill.drill(*common, say=tell)
    else:
        work = (flip if asked.drill == "flip" else net).drill(*common, asked.depot, tell)
    tally = await work
    for line in tally.lines():
        tell(line)
    tell(f"seconds: {time.monotonic() - started:.0f}")
    if tally.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    wanted = arguments(sys.argv[1:])
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, wanted)))
