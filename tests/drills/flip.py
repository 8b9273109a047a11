"""One bit flipped on the way: is a transfer that went wrong ever reported as a success?"""

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

from tests.drills.depot import clean_connection, content
from tests.drills.fault import Fault, Kind, Way
from tests.drills.proxy import Proxy
from tests.drills.wire import PREFIX, Patience, Site, in_parallel, site
from xferproto import Entry, XferClientProtocol, XferError

LARGEST = 1024 * 1024
"""Bytes of the largest file."""

LINES = 40
"""The first bytes of each direction, all lines or nearly; a third of the flips are among them."""

PATIENCE = 1.0
"""Seconds without a byte after which a client gives up."""

REQUESTS = ("upload", "resumed upload", "download", "resumed download")


@dataclass
class Tally:
    """
    What flips have come to.

    @ivar struck: flips that hit a byte, by what was requested and which way the byte went.
    @ivar succeeded: transfers reported as successes, by request: right in every respect.
    @ivar misnamed: uploads reported as successes, with the right bytes, under a name that the flip
        made of the right one.
    @ivar renamed: downloads reported as successes, with the right bytes, and such a name.
    @ivar told: transfers reported as failures, by the error.
    @ivar left: failed uploads that left an entry behind: other bytes, or another name.
    @ivar litter: downloads that left a file behind, whole or in part, and were not to.
    @ivar missed: transfers that ended before the byte that was to be hit; not counted elsewhere.
    @ivar failures: successes that were none.
    """

    struck: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    misnamed: int = 0
    renamed: int = 0
    told: Counter[str] = field(default_factory=Counter)
    left: int = 0
    litter: int = 0
    missed: int = 0
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"transfers with one flipped bit: {self.struck.total()}",
            *(f"  {kind}: {count}" for kind, count in sorted(self.struck.items())),
            f"reported as failures: {self.told.total()}",
            *(f"  {kind}: {count}" for kind, count in self.told.most_common()),
            f"reported as successes, and right: {self.succeeded.total()}",
            *(f"  {kind}: {count}" for kind, count in sorted(self.succeeded.items())),
            f"uploads acknowledged with the right bytes under a flipped name: {self.misnamed}",
            f"of the right downloads, with a flipped name in the entry: {self.renamed}",
            f"failed uploads that left an entry, under its own true id: {self.left}",
            f"downloads that left what they should not: {self.litter}",
            f"transfers over before the flip, not counted: {self.missed}",
            f"wrong successes: {len(self.failures)}",
            *(f"  {failure}" for failure in self.failures),
        ]


class Flip:
    """
    One transfer with one flip.

    @param number: makes its name.
    """

    def __init__(self, site: Site, tally: Tally, number: int, rng: Random) -> None:
        self._site = site
        self._tally = tally
        self._rng = rng
        self._what = content(rng, 0, LARGEST)
        self._name = f"{PREFIX}{rng.getrandbits(40):010x}/{number}"
        self._request = rng.choice(REQUESTS)
        self._target = site.directory / str(number) / "target"
        self._patience = Patience(site.reactor, PATIENCE)
        self._told_name = self._name

    def _fault(self) -> Fault:
        rng = self._rng
        forward = self._request.endswith("upload")
        if rng.random() < 1 / 3:
            way, reach = rng.choice((Way.UP, Way.DOWN)), LINES
        else:
            way, reach = Way.UP if forward else Way.DOWN, LINES + len(self._what.data)
        return Fault(Kind.FLIP, way, rng.randrange(reach), bit=rng.randrange(8))

    async def run(self) -> None:
        """Transfer, and see what came of it."""
        self._target.parent.mkdir()
        try:
            await self._run(self._fault())
        finally:
            shutil.rmtree(self._target.parent)

    async def _run(self, fault: Fault) -> None:
        proxy = Proxy(self._site.reactor, lambda: self._site.address, lambda: fault)
        proxy.start()
        try:
            await self._prepare()
            through = await clean_connection(self._site.reactor, ("127.0.0.1", proxy.port))
            outcome = "success"
            try:
                entry = await self._patience.run(partial(self._transfer, through))
                self._told_name = entry.name
            except TimeoutError:
                outcome = "nothing more came; given up by the caller"
            except XferError as error:
                outcome = getattr(error, "symbol", type(error).__name__)
                outcome = f"refused: {outcome}" if outcome.islower() else outcome
            await through.disconnect()
        finally:
            await proxy.stop()
        if not proxy.struck:
            self._tally.missed += 1
            await self._clean_up()
            return
        self._tally.struck[f"{self._request}, {fault.way.value}"] += 1
        if outcome != "success":
            self._tally.told[outcome] += 1
        await self._judge(outcome == "success", fault)

    async def _prepare(self) -> None:
        """Store what is to be fetched, and make half of it be there already for what resumes."""
        if self._request == "upload":
            return
        clean = await self._site.clean()
        half = len(self._what.data) // 2
        try:
            if self._request == "resumed upload":
                if half:
                    await self._half_sent(clean, half)
                return
            await clean.upload(self._what.data, self._name)
            if self._request == "resumed download" and half:
                await self._half_fetched(half)
        finally:
            await clean.disconnect()

    async def _half_sent(self, client: XferClientProtocol, half: int) -> None:
        def stop(sent: int, total: int) -> None:
            if sent >= half:
                sending.cancel()

        sending = client.resume(self._what.data, self._name, progress=stop)
        await sending.addErrback(lambda _: None)

    async def _half_fetched(self, half: int) -> None:
        at = Fault(Kind.CUT, Way.DOWN, half + 100)
        proxy = Proxy(self._site.reactor, lambda: self._site.address, lambda: at)
        proxy.start()
        client = await clean_connection(self._site.reactor, ("127.0.0.1", proxy.port))
        fetching = client.download(self._what.md5, self._target, resume=True)
        await fetching.addErrback(lambda _: None)
        await client.disconnect()
        await proxy.stop()
        self._target.unlink(missing_ok=True)

    def _transfer(self, client: XferClientProtocol, moved: Callable[[], None]) -> Deferred[Entry]:
        def progress(done: int, total: int) -> None:
            moved()

        if self._request == "upload":
            return client.upload(self._what.data, self._name, progress=progress)
        if self._request == "resumed upload":
            return client.resume(self._what.data, self._name, progress=progress)
        resume = self._request == "resumed download"
        return client.download(self._what.md5, self._target, progress=progress, resume=resume)

    async def _judge(self, success: bool, fault: Fault) -> None:
        tally = self._tally
        what = f"{self._request} of {len(self._what.data)} bytes, {fault}"
        if self._request.endswith("download"):
            there = self._target.exists()
            parts = list(self._target.parent.glob(".*")) if self._request == "download" else []
            if success and not (there and self._target.read_bytes() == self._what.data):
                tally.failures.append(f"{what}: other bytes were fetched")
            elif success:
                tally.succeeded[self._request] += 1
                tally.renamed += one_bit_apart(self._told_name, self._name)
            tally.litter += bool(parts) or (there and not success)
            await self._clean_up()
            return
        if success:
            try:
                names = await self._site.stored_as(self._what)
            except (AssertionError, XferError) as error:
                tally.failures.append(f"{what}: {error}")
            else:
                if self._name in names:
                    tally.succeeded[self._request] += 1
                elif any(one_bit_apart(name, self._name) for name in names):
                    tally.misnamed += 1
                else:
                    tally.failures.append(f"{what}: it is not stored")
        left = await self._clean_up()
        tally.left += bool(not success and left - {(self._what.md5, self._name)})

    async def _clean_up(self) -> set[tuple[str, str]]:
        own = [self._what.md5] if len(self._what.data) > 8 else []
        return await self._site.sweep(self._name, own)


def one_bit_apart(one: str, other: str) -> bool:
    """Whether a flipped bit makes one name of the other."""
    first, second = one.encode(), other.encode()
    difference = int.from_bytes(first, "big") ^ int.from_bytes(second, "big")
    return len(first) == len(second) and difference.bit_count() == 1


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
    Flip a bit in each of C{transfers} uploads and downloads; what came of it.

    @param depot: host and port of one that runs; one of its own where it is None.
    """
    rng, tally = Random(seed), Tally()
    async with site(reactor, directory, depot) as where:
        number = 0
        while (missing := transfers - tally.struck.total()) > 0:
            some = range(number, number + min(missing, 100))
            number = some.stop
            flips = [Flip(where, tally, one, Random(rng.random())) for one in some]
            await in_parallel([one.run for one in flips], clients)
            say(f"{tally.struck.total()} transfers, {len(tally.failures)} wrong successes")
    return tally
