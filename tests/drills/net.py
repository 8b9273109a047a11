"""A bad network, and a client that tries again: does everything arrive, and is it right?"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from tests.drills.depot import content
from tests.drills.fault import Fault, Kind, Way
from tests.drills.proxy import Proxy
from tests.drills.wire import PREFIX, Patience, Site, in_parallel, site
from xferproto import XferError
from xferproto.client.retry import RetryingClient

LARGEST = 4 * 1024 * 1024
"""Bytes of the largest file."""

FAULTS = 4
"""The most connections of one transfer that something happens to."""

PATIENCE = 1.0
"""Seconds without a byte after which the caller cancels a request, and makes it again."""

KINDS = tuple(kind for kind in Kind if kind is not Kind.FLIP)


@dataclass
class Tally:
    """
    What transfers over a bad network have come to.

    @ivar verified: transfers that ended right, by kind.
    @ivar struck: faults, by what they did.
    @ivar connections: how many connections it took.
    @ivar resumed: connections on which a transfer went on behind its first byte.
    @ivar saved: bytes that were so not sent again.
    @ivar given_up: requests that the caller cancelled because nothing moved, and made again.
    @ivar failures: transfers that did not end, or not right.
    """

    verified: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    resumed: int = 0
    saved: int = 0
    given_up: int = 0
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"transfers verified: {self.verified.total()}",
            *(f"  {kind}: {count}" for kind, count in sorted(self.verified.items())),
            f"faults: {self.struck.total()}",
            *(f"  {kind}: {count}" for kind, count in sorted(self.struck.items())),
            f"connections: {self.connections}",
            f"gone on from an offset: {self.resumed}, bytes not sent again: {self.saved}",
            f"requests cancelled by the caller because nothing moved: {self.given_up}",
            f"failures: {len(self.failures)}",
            *(f"  {failure}" for failure in self.failures),
        ]


class Transfer:
    """
    One upload or download through a series of faults, one a connection.

    @param number: makes its name.
    """

    def __init__(self, site: Site, tally: Tally, number: int, rng: Random) -> None:
        self._site = site
        self._tally = tally
        self._upload = rng.random() < 0.5
        self._what = content(rng, 100, LARGEST)
        self._name = f"{PREFIX}{rng.getrandbits(40):010x}/{number}"
        self._target = site.directory / str(number) / "target"
        self._faults = [self._fault(rng) for _ in range(rng.randint(1, FAULTS))]
        self._patience = Patience(site.reactor, PATIENCE)

    def _fault(self, rng: Random) -> Fault:
        kind = rng.choice(KINDS)
        if rng.random() < 0.2:  # the lines
            way, reach = rng.choice((Way.UP, Way.DOWN)), 60
        else:
            way, reach = Way.UP if self._upload else Way.DOWN, len(self._what.data)
        seconds = {
            Kind.STALL: rng.uniform(0, 0.3),
            Kind.DELAY: rng.uniform(0, 0.02),
            Kind.HALF_OPEN: rng.uniform(0.1, 2.5 * PATIENCE),
        }
        return Fault(kind, way, rng.randrange(reach), seconds.get(kind, 0.0))

    def _next_fault(self) -> Fault | None:
        self._tally.connections += 1
        return self._faults.pop(0) if self._faults else None

    def _traced(self, way: str, line: bytes) -> None:
        told = line if self._upload else line.partition(b";")[2]
        if way == ">" and told.isdigit() and (offset := int(told)):
            self._tally.resumed += 1
            self._tally.saved += offset

    async def run(self) -> None:
        """Transfer, and see whether it is right."""
        self._target.parent.mkdir()
        proxy = Proxy(self._site.reactor, lambda: self._site.address, self._next_fault)
        proxy.start()
        client = RetryingClient(
            self._site.reactor,
            f"tcp:127.0.0.1:{proxy.port}",
            tries=50,
            delay=lambda failed: 0.02,
            trace=self._traced,
        )
        try:
            if not self._upload:
                clean = await self._site.clean()
                await clean.upload(self._what.data, self._name)
                await clean.disconnect()
            for _ in range(10):
                try:
                    await self._patience.run(partial(self._transfer, client))
                    break
                except TimeoutError:
                    continue
            await self._judge()
        except (XferError, AssertionError) as error:
            self._failed(f"{type(error).__name__}: {error}")
        finally:
            await client.disconnect()
            await proxy.stop()
            shutil.rmtree(self._target.parent)
            await self._site.sweep(self._name, [self._what.md5])
        self._tally.struck.update(fault.kind.value for fault in proxy.struck)
        self._tally.given_up += self._patience.ran_out

    def _failed(self, why: str) -> None:
        kind = "upload" if self._upload else "download"
        self._tally.failures.append(f"{kind} of {len(self._what.data)} bytes: {why}")

    def _transfer(self, client: RetryingClient, moved: Callable[[], None]) -> Deferred[Any]:
        def progress(done: int, total: int) -> None:
            moved()

        if self._upload:
            return client.upload(self._what.data, self._name, progress)
        return client.download(self._what.md5, self._target, progress=progress)

    async def _judge(self) -> None:
        if self._upload and self._name not in await self._site.stored_as(self._what):
            self._failed("it is not stored")
        elif not self._upload and self._target.read_bytes() != self._what.data:
            self._failed("other bytes were fetched")
        elif list(self._target.parent.glob(".*")):
            self._failed("a part is left")
        else:
            self._tally.verified["upload" if self._upload else "download"] += 1


async def drill(
    reactor: Any,
    transfers: int,
    seed: int,
    directory: Path | None = None,
    clients: int = 6,
    depot: tuple[str, int] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Tally:
    """
    Make C{transfers} uploads and downloads over a bad network; what came of it.

    @param depot: host and port of one that runs; one of its own where it is None.
    """
    rng, tally = Random(seed), Tally()
    async with site(reactor, directory, depot) as where:
        works = [Transfer(where, tally, one, Random(rng.random())) for one in range(transfers)]
        for start in range(0, transfers, 50):
            await in_parallel([one.run for one in works[start : start + 50]], clients)
            say(f"{tally.verified.total()} verified, {len(tally.failures)} failures")
    return tally
