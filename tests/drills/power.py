"""Power cuts: the system calls of a server are replayed as far as a strict disk keeps them."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from tests.drills.depot import Content, DepotProcess, Failed, content
from tests.drills.strict import StrictDisk
from tests.drills.trace import OPTIONS, calls
from tests.store.contract import listed, stored_bytes
from tests.support.executors import InlineExecutor
from tests.support.processes import PATIENCE, read_line
from xferproto.model.errors import XferError
from xferproto.store.local.store import LocalStore

T = TypeVar("T")

Key = tuple[str, str]
"""An id and a name."""

REQUESTS = 24
"""How much each client asks for."""


@dataclass
class Tally:
    """
    What a drill has come to.

    @ivar cuts: how many there were.
    @ivar calls: how many changes of the disk were traced.
    @ivar requests: how many requests were answered.
    @ivar stored: entries that were acknowledged before a cut, over all cuts.
    @ivar deleted: deletions that were.
    @ivar unsynced: changes that were not safe at a cut, over all cuts.
    @ivar aside: object files that nothing named after a cut, and that were put aside.
    @ivar failures: the broken promises.
    """

    cuts: int = 0
    calls: int = 0
    requests: int = 0
    stored: int = 0
    deleted: int = 0
    unsynced: int = 0
    aside: int = 0
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"power cuts, each with a start and a check of everything: {self.cuts}",
            f"requests answered: {self.requests}, changes of the disk: {self.calls}",
            f"acknowledged before a cut: {self.stored} entries, {self.deleted} deletions",
            f"changes that were not synced at a cut: {self.unsynced}",
            f"object files without a name, put aside: {self.aside}",
            f"failures: {len(self.failures)}",
            *(f"  {failure}" for failure in self.failures),
        ]


@dataclass
class Asked:
    """
    A request that changes what is stored.

    @ivar key: what it is about.
    @ivar content: what is stored; None where it is deleted.
    @ivar heard: how many bytes the client had got when it was answered.
    """

    key: Key
    content: Content | None
    heard: int


class Client:
    """
    Asks for one thing after the other, and writes down the answers. Everything blocks.

    @param number: begins its names.
    @ivar conversations: its requests, by the port from which it asked.
    """

    def __init__(self, number: int, rng: Random, shared: list[Content]) -> None:
        self._number = number
        self._rng = rng
        self._shared = shared
        self._stored: list[Key] = []
        self.conversations: list[tuple[int, list[Asked]]] = []
        self._heard = 0
        self._socket = socket.socket()

    def run(self, address: tuple[str, int]) -> None:
        """Ask for all of it."""
        for count in range(REQUESTS):
            if count % 8 == 0:
                self._connect(address)
            draw = self._rng.random()
            if self._stored and draw < 0.35:
                self._delete()
            elif draw < 0.55:
                self._resume(address, f"{self._number}/{count}")
            else:
                self._upload(f"{self._number}/{count}")
        self._socket.close()

    def _connect(self, address: tuple[str, int]) -> None:
        self._socket.close()
        self._socket = socket.create_connection(address, 60)
        self._heard = 0
        self.conversations.append((self._socket.getsockname()[1], []))

    def _line(self) -> bytes:
        line = read_line(self._socket)
        self._heard += len(line)
        if line.startswith(b"WAIT "):
            return self._line()
        return line.strip()

    def _answered(self, key: Key, what: Content | None) -> None:
        if self._line() != key[0].encode():
            raise Failed(f"{key} was refused")
        self.conversations[-1][1].append(Asked(key, what, self._heard))

    def _what(self) -> Content:
        if self._rng.random() < 0.3:
            return self._rng.choice(self._shared)
        return content(self._rng, *self._rng.choice(((0, 5000), (17_000, 80_000))))

    def _upload(self, name: str) -> None:
        what = self._what()
        self._socket.sendall(b"UPLOAD %s;%d\n" % (name.encode(), len(what.data)) + what.data)
        self._answered((what.md5, name), what)
        self._stored.append((what.md5, name))

    def _resume(self, address: tuple[str, int], name: str) -> None:
        what = content(self._rng, 17_000, 80_000)
        request = b"RESUME %s;%d;%s\n" % (name.encode(), len(what.data), what.md5.encode())
        for part in (self._rng.randint(0, len(what.data)), len(what.data)):
            self._socket.sendall(request)
            offset = self._line().partition(b";")[0]
            self._socket.sendall(offset + b"\n")
            self._line()
            self._socket.sendall(what.data[int(offset) : part])
            if part < len(what.data):
                self._connect(address)
            else:
                break
        self._answered((what.md5, name), what)
        self._stored.append((what.md5, name))

    def _delete(self) -> None:
        key = self._stored.pop(self._rng.randrange(len(self._stored)))
        self._socket.sendall(b"DELETE %s;%s\n" % (key[0].encode(), key[1].encode()))
        self._answered(key, None)


class Known:
    """
    What the clients knew at a moment.

    @ivar stored: what was acknowledged, and not deleted.
    @ivar doubtful: what was asked for and not answered: it may be there.
    @ivar deleted: how many deletions were acknowledged.
    @ivar contents: all that may be stored, by id.
    """

    def __init__(self, clients: list[Client], disk: StrictDisk, cut: int) -> None:
        self.stored: set[Key] = set()
        self.doubtful: set[Key] = set()
        self.contents: dict[str, Content] = {}
        self.deleted = 0
        for client in clients:
            asked = [
                (request, port) for port, requests in client.conversations for request in requests
            ]
            for request, _ in asked:
                if request.content is not None:
                    self.contents[request.key[0]] = request.content
            for request, port in asked:
                told = max(
                    (count for line, count in disk.told.get(port, ()) if line < cut), default=0
                )
                if told < request.heard:  # this one was under way, and none behind it
                    self.stored.discard(request.key)
                    self.doubtful.add(request.key)
                    break
                if request.content is None:
                    self.stored.discard(request.key)
                    self.deleted += 1
                else:
                    self.stored.add(request.key)


def check(root: Path, known: Known, tally: Tally) -> list[str]:
    """Start a store on what a power cut has left: the broken promises."""
    try:
        return _check(root, known, tally)
    except (OSError, sqlite3.Error) as error:
        return [f"{type(error).__name__}: {error}"]


def _check(root: Path, known: Known, tally: Tally) -> list[str]:
    inline = InlineExecutor()
    try:
        store = LocalStore(root, inline, inline, inline, lambda: 1e9)
    except XferError as error:
        return [f"it does not start: {error}"]
    failures = []
    try:
        _now(store.maintenance.tend())
        found = {(entry.id, entry.name) for entry in _now(Deferred.fromCoroutine(listed(store)))}
        failures += [f"{key} was acknowledged and is not there" for key in known.stored - found]
        failures += [
            f"{key} is there, and was deleted or not asked for"
            for key in found - known.stored - known.doubtful
        ]
        for id in {id for id, _ in found} & known.contents.keys():
            try:
                data = _now(Deferred.fromCoroutine(stored_bytes(store, id)))
            except (XferError, OSError) as error:
                failures.append(f"{id} is listed and can't be had: {error}")
            else:
                if data != known.contents[id].data:
                    failures.append(f"{id} has other bytes")
        ids = {id for id, _ in found}
        files = [path.name for path in (root / "objects").rglob("*") if path.is_file()]
        failures += [f"the object {id} has no name" for id in files if id not in ids]
        failures += [f"incoming/{path.name} is left" for path in (root / "incoming").iterdir()]
        tally.aside += len(list((root / "quarantine").iterdir()))
    finally:
        _now(store.close())
    return failures


def _now(done: Deferred[T]) -> T:
    """The result of what was done at once."""
    results: list[T] = []
    failures: list[Failure] = []
    done.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    return results[0]


def _ended(trace: Path) -> bool:
    """Whether the last line tells of the end of the process that began."""
    with trace.open("rb") as file:
        process = file.read(20).split()[0]
        file.seek(max(0, trace.stat().st_size - 200))
        last = file.read().splitlines()[-1]
        return last.split()[0] == process and last.endswith(b"+++")


async def drill(
    reactor: Any,
    cuts: int,
    seed: int,
    directory: Path | None = None,
    clients: int = 3,
    say: Callable[[str], None] = lambda line: None,
) -> Tally:
    """
    Trace a server under load once, and cut the power C{cuts} times; what came of it.

    @param directory: where its storage is to be, an empty one; a temporary one where it is None.
    @raise Failed: strace is missing, or may not trace.
    """
    if shutil.which("strace") is None:
        raise Failed("strace is not installed")
    if subprocess.run(["strace", *OPTIONS, "-o", "/dev/null", "true"], check=False).returncode:
        raise Failed("strace may not trace here")
    rng = Random(seed)
    with tempfile.TemporaryDirectory(prefix="xfer-", dir=directory) as temporary:
        root = Path(temporary).resolve()
        traced = root / "traced"
        traced.mkdir()
        trace = root / "trace"
        depot = DepotProcess(reactor, traced, under=("strace", *OPTIONS, "-o", str(trace)))
        shared = [content(rng, *sizes) for sizes in ((0, 0), (100, 9000), (17_000, 90_000))]
        loads = [Client(number, Random(rng.random()), shared) for number in range(clients)]
        try:
            await depot.start()
            ended = await DeferredList(
                [deferToThread(load.run, depot.address()) for load in loads], consumeErrors=True
            )
        finally:
            depot.stop()
        for _, outcome in ended:
            if isinstance(outcome, Failure):
                outcome.raiseException()
        deadline = reactor.seconds() + PATIENCE
        while not _ended(trace):
            if reactor.seconds() > deadline:
                raise Failed("strace does not end")
            await deferLater(reactor, 0.05)
        with trace.open(encoding="ascii", errors="replace") as lines:
            disk = StrictDisk(traced, calls(lines))
        tally = Tally(calls=len(disk.changes))
        tally.requests = sum(len(asked) for load in loads for _, asked in load.conversations)
        first = disk.changes[0].ended
        for number in range(cuts):
            cut = rng.randint(first, disk.length)
            left = disk.left(cut, rng)
            known = Known(loads, disk, cut)
            target = root / f"cut-{number}"
            disk.write(left, target)
            failures = check(target / "storage", known, tally)
            shutil.rmtree(target)
            for failure in failures:
                tally.failures.append(f"cut {number}, before line {cut}: {failure}")
                say(tally.failures[-1])
            tally.cuts += 1
            tally.stored += len(known.stored)
            tally.deleted += known.deleted
            tally.unsynced += sum(
                1 for one in disk.changes if one.ended < cut and not (one.safe or cut) < cut
            )
        return tally
