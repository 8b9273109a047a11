"""
C{python -m bench.client}: xfer's Python API as a command, which tells how long it took.

It writes a line of JSON: C{seconds} from connected to done, C{peak} the most memory in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from bench.processes import status_field
from xferproto import XferClientProtocol, connect
from xferproto.model.entry import Entry


class Outcomes:
    """Collects what became of many requests, and stops at the first that failed."""

    def __init__(self) -> None:
        self.done = 0
        self.failure: Exception | None = None

    def told(self, key: str, outcome: Entry | Exception) -> None:
        """One is done, or has failed."""
        if isinstance(outcome, Exception):
            self.failure = self.failure or outcome
        else:
            self.done += 1

    def check(self, count: int) -> None:
        """Make sure that all are done."""
        if self.failure is not None:
            raise self.failure
        if self.done != count:
            raise SystemExit(f"{self.done} of {count} are done")


def rows(manifest: str) -> list[tuple[str, str]]:
    """The id and name of each line of a manifest."""
    lines = Path(manifest).read_text().splitlines()
    return [(id, name) for id, _, name in (line.partition(";") for line in lines)]


async def upload(depot: XferClientProtocol, source: str, name: str) -> None:
    """Send a file."""
    await depot.upload(source, name)


async def download(depot: XferClientProtocol, id: str, target: str) -> None:
    """Fetch a file."""
    await depot.download(id, target)


async def upload_many(depot: XferClientProtocol, manifest: str, directory: str) -> None:
    """Send the files of a directory that a manifest names."""
    outcomes = Outcomes()
    files = [(Path(directory, name), name) for _, name in rows(manifest)]
    await depot.upload_many(files, outcomes.told)
    outcomes.check(len(files))


async def download_many(depot: XferClientProtocol, manifest: str, directory: str) -> None:
    """Fetch the files that a manifest names into a directory."""
    outcomes = Outcomes()
    files = [(id, Path(directory, name)) for id, name in rows(manifest)]
    await depot.download_many(files, outcomes.told)
    outcomes.check(len(files))


async def list_files(depot: XferClientProtocol, count: str) -> None:
    """Ask for the list, which should have so many entries."""
    if (found := len(await depot.list_files())) != int(count):
        raise SystemExit(f"{found} entries are listed, not {count}")


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "upload": upload,
    "download": download,
    "upload-many": upload_many,
    "download-many": download_many,
    "list": list_files,
}


async def main(reactor: Any, command: str, port: str, *arguments: str) -> None:
    """Connect, do it, and tell how long it took."""
    depot = await connect(reactor, f"tcp:127.0.0.1:{port}")
    started = time.perf_counter()
    await COMMANDS[command](depot, *arguments)
    seconds = time.perf_counter() - started
    await depot.disconnect()
    print(json.dumps({"seconds": seconds, "peak": status_field("self", "VmHWM")}))


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
