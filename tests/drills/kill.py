"""A server under load, killed at random moments: is everything that it has acknowledged there?"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from tests.drills.depot import Content, DepotProcess, Gate, clean_connection, content_of
from tests.drills.journal import Journal, check_files, check_listing
from tests.drills.load import Client

UPLOADS = (
    "one-line upload",
    "pipelined uploads",
    "prompted upload",
    "resumed upload",
    "known content",
)
"""The kinds of requests that store something."""

PARKED = 60.0
"""Seconds within which every client has noticed that the server is gone."""


@dataclass
class Tally:
    """
    What a drill has come to.

    @ivar rounds: kills, each followed by a restart and a check of everything.
    @ivar requests: requests that were acknowledged, by kind.
    @ivar cut: requests that a kill left without an answer, by kind.
    @ivar refused: uploads refused because another client was sending or deleting that content.
    @ivar doubts: entries in doubt at the restarts.
    @ivar appeared: those of them that were there.
    @ivar checked: entries listed, in all checks.
    @ivar mid_commit: kills between the steps of a commit or deletion.
    @ivar mid_upload: kills that left an unfinished file.
    @ivar resumed: uploads that went on from a part, and the bytes that were not sent again.
    @ivar failures: the broken promises.
    """

    rounds: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    doubts: int = 0
    appeared: int = 0
    checked: int = 0
    mid_commit: int = 0
    mid_upload: int = 0
    resumed: tuple[int, int] = (0, 0)
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        kinds = sorted(self.requests | self.cut)
        uploads = sum(self.requests[kind] for kind in UPLOADS)
        return [
            f"rounds (kill -9, restart, check of everything): {self.rounds}",
            f"acknowledged uploads: {uploads}",
            *(f"  {kind}: {self.requests[kind]}, cut off {self.cut[kind]}" for kind in kinds),
            f"refused, another client sent or deleted that content: {self.refused}",
            f"in doubt at a restart: {self.doubts}, of these there: {self.appeared}",
            f"entries listed, fetched and compared: {self.checked}",
            f"kills mid-commit: {self.mid_commit}, mid-upload: {self.mid_upload}",
            f"uploads resumed: {self.resumed[0]}, bytes not sent again: {self.resumed[1]}",
            f"failures: {len(self.failures)}",
            *(f"  {failure}" for failure in self.failures),
        ]


class Drill:
    """
    Kills a server C{rounds} times.

    @param directory: gets its storage; empty.
    @param say: told how it goes.
    """

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        seed: int,
        clients: int = 6,
        options: tuple[str, ...] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.reactor = reactor
        self.directory = directory
        self.journal = Journal()
        self.tally = Tally(failures=self.journal.failures)
        self.depot = DepotProcess(reactor, directory, options)
        self.gate = Gate(reactor, self.depot)
        self.retrying: set[tuple[str, Content]] = set()
        self._rng = Random(seed)
        self._say = say
        sizes = (0, 100, 5000, 300_000)
        shared = [content_of(self._rng.randbytes(size)) for size in sizes * 3]
        self._clients = [
            Client(self, number, Random(self._rng.random()), shared) for number in range(clients)
        ]

    async def run(self, rounds: int) -> Tally:
        """All of it."""
        await self.depot.start()
        told = 0
        working = [Deferred.fromCoroutine(client.run()) for client in self._clients]
        try:
            for _ in range(rounds):
                await self._round()
                for failure in self.journal.failures[told:]:
                    self._say(f"round {self.tally.rounds}: {failure}")
                told = len(self.journal.failures)
                if not self.tally.rounds % 10:
                    self._say(f"{self.tally.rounds} rounds, {len(self.journal.failures)} failures")
        finally:
            for work in working:
                work.cancel()
            ended = await DeferredList(working, consumeErrors=True)
            self.depot.stop()
        for good, result in ended:
            if not good:
                self.journal.fail(f"a client ended: {result}")
        for line in self.depot.complaints():
            self.journal.fail(f"in the server's log: {line}")
        return self.tally

    async def _round(self) -> None:
        self.gate.open()
        await deferLater(self.reactor, self._rng.uniform(0.1, 0.9))
        if not self.depot.running():
            self.journal.fail("the server ended by itself")
        self.gate.close()
        self.depot.kill()
        deadline = self.reactor.seconds() + PARKED
        while len(self.gate.waiting) < len(self._clients):
            if self.reactor.seconds() > deadline:
                self.journal.fail("a client has not noticed that the server is gone")
                break
            await deferLater(self.reactor, 0.01)
        left = [path.name for path in (self.depot.storage / "incoming").iterdir()]
        marks = [name for name in left if name.endswith(".commit")]
        self.tally.mid_commit += bool(marks)
        self.tally.mid_upload += len(left) > len(marks) or any(
            (self.depot.storage / "partial").iterdir()
        )
        await self.depot.start()
        check_files(self.depot.storage, self.journal)
        before = set(self.journal.acknowledged)
        doubts = len(self.journal.doubtful)
        client = await clean_connection(self.reactor, self.depot.address())
        fetched = self.directory / "fetched"
        count = await check_listing(client, self.depot.storage, fetched, self.journal)
        await client.disconnect()
        self.tally.rounds += 1
        self.tally.checked += count
        self.tally.doubts += doubts
        self.tally.appeared += len(self.journal.acknowledged.keys() - before)
        for name, what in self.retrying:  # still asked for, so in doubt again unless it is there
            if (what.md5, name) not in self.journal.acknowledged:
                self.journal.asked_to_store(name, what)


async def drill(
    reactor: Any,
    rounds: int,
    seed: int,
    directory: Path | None = None,
    clients: int = 6,
    options: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Tally:
    """
    Kill a server C{rounds} times; what came of it.

    @param directory: where its storage is to be, an empty one; a temporary one where it is None.
    """
    with tempfile.TemporaryDirectory(prefix="xfer-", dir=directory) as temporary:
        work = Drill(reactor, Path(temporary), seed, clients, options, say)
        try:
            return await work.run(rounds)
        finally:
            work.depot.kill()
