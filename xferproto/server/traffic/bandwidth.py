"""Bandwidth: no more bytes a second than the operator allows, for each connection and for all."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from xferproto.server.limits import Limits

BURST = 0.25
"""Seconds of its rate that a bucket holds: what may pass at once after a pause."""

SMALLEST = 4 * 1024
LARGEST = 1024 * 1024
"""Bounds of the blocks that are moved at once, in bytes."""


class Bucket:
    """
    Lets bytes pass at a rate. It may be overdrawn, by bytes that came already; whoever does waits
    until that is made up for. So those who share one take turns, each with a block.

    @param rate: bytes a second.
    @ivar rate: the same.
    """

    def __init__(self, clock: IReactorTime, rate: int) -> None:
        self.rate = rate
        self._clock = clock
        self._level = rate * BURST
        self._looked = clock.seconds()

    def take(self, count: int) -> float:
        """Bytes pass: how many seconds to wait before any more may."""
        now = self._clock.seconds()
        level = min(self.rate * BURST, self._level + (now - self._looked) * self.rate)
        self._looked = now
        self._level = level - count
        return max(0.0, -self._level / self.rate)


class Pace:
    """
    The bandwidth of one connection, in one direction.

    @param buckets: what its bytes are taken from.
    @param freed: called when L{held} is true no longer.
    @ivar held: whether to wait now.
    @ivar block: how many bytes to move at once, at most.
    """

    def __init__(
        self, clock: IReactorTime, buckets: list[Bucket], freed: Callable[[], None]
    ) -> None:
        self.held = False
        self.block = max(SMALLEST, min(LARGEST, min(bucket.rate for bucket in buckets) // 8))
        self._clock = clock
        self._buckets = buckets
        self._freed = freed
        self._until = 0.0
        self._ends: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []

    def spend(self, count: int) -> bool:
        """Bytes have passed: whether to wait now."""
        wait = max([bucket.take(count) for bucket in self._buckets])
        if wait > 0:
            self._until = self._clock.seconds() + wait
            if self._ends is None:
                self.held = True
                self._ends = self._clock.callLater(wait, self._look)
        return self.held

    def _look(self) -> None:
        self._ends = None
        wait = self._until - self._clock.seconds()
        if wait > 1e-6:
            self._ends = self._clock.callLater(wait, self._look)
        else:
            self._free()

    def _free(self) -> None:
        self.held = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)
        self._freed()

    def free(self) -> Deferred[None]:
        """Fires when more may pass."""
        if not self.held:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def stop(self) -> None:
        """The connection is gone: nobody waits any more."""
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
        self.held = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)


def paced(read: Callable[[], Deferred[bytes]], pace: Pace) -> Callable[[], Deferred[bytes]]:
    """A reader for a L{Sender<xferproto.transfer.sender.Sender>}, no faster than its pace."""

    async def read_in_time() -> bytes:
        await pace.free()
        block = await read()
        pace.spend(len(block))
        return block

    return lambda: Deferred.fromCoroutine(read_in_time())


class Bandwidth:
    """
    What the connections of a server share of it.

    @param limits: says how much there is.
    """

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self._clock = clock
        self._rate = limits.rate
        total = limits.total_rate
        self._totals = [Bucket(clock, total) if total else None for _ in ("up", "down")]

    def paces(self, freed: Callable[[], None]) -> list[Pace | None]:
        """The paces of a new connection, up and down; None for as fast as it goes."""
        paces: list[Pace | None] = []
        for total in self._totals:
            buckets = [] if total is None else [total]
            if self._rate:
                buckets.append(Bucket(self._clock, self._rate))
            paces.append(Pace(self._clock, buckets, freed) if buckets else None)
        return paces
