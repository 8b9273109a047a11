"""A watched directory for tests: the unattended client, and a depot without a network."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.client.test_retry import DepotEndpoint, FakeReactor, Wire
from tests.support.depot import Depot
from tests.support.executors import GatedExecutor
from xferproto.model.entry import Entry
from xferproto.watch.directory import STATE, STATUS
from xferproto.watch.options import Done, WatchSettings
from xferproto.watch.service import WatchService
from xferproto.watch.walk import Found, Identity
from xferproto.wire.codec import parse_entry

ONE = re.compile(r' stored "([^"]*)" size=[0-9]+ id=[0-9a-f]+ bytes=([0-9]+)')
MANY = re.compile(r" stored ([0-9]+) files, [0-9]+ bytes:$")
OF_MANY = re.compile(r'\s*"([^"]*)" size=([0-9]+) id=[0-9a-f]+$')
"""Lines in the log of a depot that tell of uploads, and how many bytes came for them."""


def found(root: Path, path: str) -> Found:
    """A file as it is now."""
    return Found(path, Identity.of((root / path).lstat()))


def age(path: Path, seconds: float = 3600) -> None:
    """Let the bytes of a file look as if they had not been changed for so long."""
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime - seconds))


def tree(root: Path) -> list[str]:
    """The files below a directory that are not hidden: relative paths, sorted."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def id_of(content: bytes) -> str:
    """What a content is stored as."""
    return md5(content).hexdigest()


def uploads(log: Iterable[str]) -> Iterator[tuple[str, int]]:
    """
    The uploads that a depot was sent any bytes for: their names, and how many.

    @param log: the lines that it has told.
    """
    together = 0
    for line in log:
        if match := ONE.search(line):
            if int(match[2]):
                yield match[1], int(match[2])
        elif match := MANY.search(line.rstrip()):
            together = int(match[1])
        elif together and (match := OF_MANY.match(line.rstrip())):
            together -= 1
            if int(match[2]):
                yield match[1], int(match[2])


class WatchReactor(FakeReactor):
    """A clock that is turned by hand, whose readers read when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class WatchCase(SynchronousTestCase):
    """
    Makes services that watch C{root}.

    @ivar root: the directory.
    @ivar depot: the one that they reach over C{endpoint}.
    @ivar reactor: their clock.
    @ivar disk: does their work on the directory, at once while it is open.
    """

    inotify = False

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir(parents=True)
        self.use_depot(Depot(self))
        self.reactor = WatchReactor()
        self.reactor.advance(1e9)
        self.disk = GatedExecutor()
        self.settings = WatchSettings(
            self.root, state=self.root / STATE, status=self.root / STATUS, inotify=self.inotify
        )
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)  # type: ignore[arg-type]
        self.cut_wires: list[Wire] = []
        self.services: list[WatchService] = []
        self.addCleanup(self.stop)

    def use_depot(self, depot: Depot) -> None:
        """From now on this is the one."""
        self.depot = depot
        self.endpoint = DepotEndpoint(depot)

    def configure(self, **changes: Any) -> None:
        """Services made from now on have other settings."""
        self.settings = dataclasses.replace(self.settings, **changes)

    def start(self, **options: Any) -> WatchService:
        """Begin to watch; it takes the place of one that is there."""
        self.stop()
        service = WatchService(
            self.reactor,
            ("the depot", self.endpoint),
            self.settings,
            disk=self.disk,
            now=self.reactor.seconds,
            **options,
        )
        service.startService()
        self.services.append(service)
        return service

    def stop(self) -> None:
        """Stop what watches."""
        while self.services:
            stopping = self.services.pop().stopService()
            self.disk.open = True
            self.disk.run_all()
            self.flush()
            self.successResultOf(stopping)
        self.assertEqual(self.reactor.readers, [])

    def write(self, path: str, content: bytes = b"hello") -> Path:
        """A file in the directory."""
        whole = self.root / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(content)
        return whole

    def flush(self) -> None:
        """Let everything arrive, and everything be done that has not to wait."""
        for _ in range(5):
            for wire in self.endpoint.wires:
                if wire not in self.cut_wires:
                    wire.pump.flush()
            self.reactor.advance(0)

    def cut(self, wire: Wire) -> None:
        """This connection is lost, for both sides."""
        self.cut_wires.append(wire)
        wire.cut()

    def connected(self) -> Wire:
        """Let time go by until the client has connected: its first connection."""
        while not self.endpoint.wires:
            self.reactor.advance(1)
        return self.endpoint.wires[0]

    def advance(self, seconds: float) -> None:
        """Let time go by, as in a reactor: events come, and what is sent arrives."""
        while seconds > 0:
            step = min(1.0, seconds)
            for reader in list(self.reactor.readers):
                reader.doRead()
            self.reactor.advance(step)
            self.depot.clock.advance(step)
            self.flush()
            seconds -= step

    def settle(self) -> None:
        """Let enough time go by for files to be seen, to settle and to be sent."""
        self.advance(10)

    def entries(self) -> list[Entry]:
        """What the depot has."""
        session = self.depot.connect()
        answer = session.send(b"LIST_FILES\n")
        session.lose()
        return [parse_entry(line) for line in answer.split(b"\n") if b";" in line]

    def names(self) -> list[str]:
        """The names of what the depot has."""
        return [entry.name for entry in self.entries()]

    def logged(self, word: str) -> list[str]:
        """The lines of the client's log that hold a word."""
        lines = [
            formatEvent(event)
            for event in self.events
            if event["log_namespace"].startswith("xferproto.watch")
        ]
        for line in lines:
            self.assertTrue(line.isprintable(), line)
        return [line for line in lines if word in line]

    def status(self) -> dict[str, Any]:
        """What the status file says."""
        fields: dict[str, Any] = json.loads(self.settings.status.read_bytes())
        return fields

    def received(self) -> Counter[str]:
        """
        How many bytes the depot has got of each file, by its log, and one more for each time that
        it got any.
        """
        counts: Counter[str] = Counter()
        for name, count in uploads("\n".join(map(formatEvent, self.events)).splitlines()):
            counts[name] += count + 1
        return counts


__all__ = ["Done", "WatchCase", "age", "found", "id_of", "tree"]
