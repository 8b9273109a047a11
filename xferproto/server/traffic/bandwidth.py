"""Limit the bytes a second of each connection, and of all connections together."""

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


class TokenBucket:
    """
    Let bytes pass at a rate.

    It may be overdrawn, by bytes that have come already: the caller then waits until that is made
    up for. So connections that share a bucket take turns, a block each.

    @param rate: bytes a second.
    @ivar rate: the same.
    """

    def __init__(self, clock: IReactorTime, rate: int) -> None:
        self.rate = rate
        self._clock = clock
        self._level = rate * BURST
        self._looked = clock.seconds()

    def take(self, count: int) -> float:
        """Take C{count} bytes, and return how many seconds to wait before the next ones."""
        now = self._clock.seconds()
        level = min(self.rate * BURST, self._level + (now - self._looked) * self.rate)
        self._looked = now
        self._level = level - count
        return max(0.0, -self._level / self.rate)


class RateLimit:
    """
    Limit one connection in one direction.

    @param buckets: what its bytes are taken from.
    @param on_free: called when L{held} is true no longer.
    @ivar held: whether to wait now.
    @ivar block: how many bytes to move at once, at most.
    """

    def __init__(
        self, clock: IReactorTime, buckets: list[TokenBucket], on_free: Callable[[], None]
    ) -> None:
        self.held = False
        self.block = max(SMALLEST, min(LARGEST, min(bucket.rate for bucket in buckets) // 8))
        self._clock = clock
        self._buckets = buckets
        self._on_free = on_free
        self._until = 0.0
        self._timer: IDelayedCall | None = None
        self._stopped = False
        self._waiting: list[Deferred[None]] = []

    def spend(self, count: int) -> bool:
        """Count bytes that have passed, and return whether to wait now."""
        wait = max([bucket.take(count) for bucket in self._buckets])
        if wait > 0 and not self._stopped:
            self._until = self._clock.seconds() + wait
            if self._timer is None:
                self.held = True
                self._timer = self._clock.callLater(wait, self._look)
        return self.held

    def when_free(self) -> Deferred[None]:
        """Return a Deferred that fires when more bytes may pass."""
        if not self.held:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def stop(self) -> None:
        """Release those who wait, as the connection is lost."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()

    def _look(self) -> None:
        self._timer = None
        wait = self._until - self._clock.seconds()
        if wait > 1e-6:
            self._timer = self._clock.callLater(wait, self._look)
        else:
            self._release()
            self._on_free()

    def _release(self) -> None:
        self.held = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)


def rate_limited(
    read: Callable[[], Deferred[bytes]], limit: RateLimit
) -> Callable[[], Deferred[bytes]]:
    """Return a reader for a L{Sender<xferproto.transfer.sender.Sender>} that keeps to a limit."""

    async def read_when_free() -> bytes:
        await limit.when_free()
        block = await read()
        limit.spend(len(block))
        return block

    return lambda: Deferred.fromCoroutine(read_when_free())


class Bandwidth:
    """
    Share the bandwidth of a server between its connections.

    @param limits: the rates, of one connection and of all.
    """

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self._clock = clock
        self._rate = limits.rate
        total = limits.total_rate
        self._totals = [TokenBucket(clock, total) if total else None for _ in ("up", "down")]

    def of_connection(self, on_free: Callable[[], None]) -> list[RateLimit | None]:
        """Return the limits of a new connection, up and down; None for no limit."""
        limits: list[RateLimit | None] = []
        for total in self._totals:
            buckets = [] if total is None else [total]
            if self._rate:
                buckets.append(TokenBucket(self._clock, self._rate))
            limits.append(RateLimit(self._clock, buckets, on_free) if buckets else None)
        return limits
