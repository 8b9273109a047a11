"""
Quotas: how many bytes the files of all, or of one user, may have together, with what their names
and tokens count.

The store counts what it holds once; from then on each upload is added, so that small files need no
question each. The count may be too high, as after deletions, never too low: before an upload is
refused, the store counts again.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from xferproto.model.errors import QuotaExceeded
from xferproto.store.reservation import Promise

ASK_AGAIN = 1.0
"""Seconds in which the store does not count again for refused uploads, unless one was deleted."""

FRESH = 60.0
"""Seconds after which the store counts anew."""

CountUsage = Callable[[str | None], Deferred[int]]
"""L{IStore.usage<xferproto.store.interface.IStore.usage>}."""


class Usage:
    """
    Counts the bytes of one owner, or of all.

    @param owner: the owner; None for all.
    @param count: counts what is stored.
    @ivar reserved: bytes that are kept for uploads that run.
    @ivar reservations: those of these uploads.
    """

    def __init__(self, clock: IReactorTime, owner: str | None, count: CountUsage) -> None:
        self.owner = owner
        self.reserved = 0
        self.reservations: set[Reservation] = set()
        self._clock = clock
        self._count = count
        self._used: int | None = None
        self._stored_meanwhile = 0
        self._asked = 0.0
        self._asking: list[Deferred[None]] | None = None

    def room(self, limit: int) -> int:
        """Return how many more bytes are within a limit, as far as is known; or less than 0."""
        return -1 if self._used is None else limit - self._used - self.reserved

    def fits(self, size: int, limit: int) -> bool:
        """Return whether so many more bytes fit; slow uploads give back what they will not use."""
        if self.room(limit) < size:
            self.look()
        return self.room(limit) >= size

    def look(self) -> None:
        """Reserve for each upload no more than its pace shows that it will use."""
        now = self._clock.seconds()
        for reservation in self.reservations:
            reservation.look(now)

    def stale(self, seconds: float) -> bool:
        """Return whether the store counted longer ago than that."""
        return self._used is None or self._clock.seconds() - self._asked >= seconds

    def doubt(self) -> None:
        """Count anew before the next refusal: something was deleted."""
        self._asked = float("-inf")

    def stored(self, size: int) -> None:
        """Add what an upload has stored."""
        self._stored_meanwhile += size
        if self._used is not None:
            self._used += size

    async def ask(self) -> None:
        """Let the store count; who asks meanwhile waits for the same answer."""
        if self._asking is not None:
            waiter: Deferred[None] = Deferred()
            self._asking.append(waiter)
            await waiter
            return
        self._asking = []
        # What is stored from here on may or may not be in the answer: it is added, to be safe.
        self._stored_meanwhile = 0
        self._asked = self._clock.seconds()
        try:
            self._used = await self._count(self.owner) + self._stored_meanwhile
        finally:
            waiting, self._asking = self._asking, None
            for waiter in waiting:
                waiter.callback(None)


class Reservation:
    """
    Reserve bytes for one upload. Ends once; what comes after that does nothing.

    @param limits: the usages that it counts in, and their limits.
    @param size: how many.
    @param now: the time.
    """

    __slots__ = ("_limits", "_promise", "_size", "_whole")

    def __init__(self, limits: list[tuple[Usage, int]], size: int, now: float) -> None:
        self._limits = limits
        self._size = size
        self._promise = Promise(size, now)
        self._whole = False
        for usage, _ in limits:
            usage.reservations.add(self)
            usage.reserved += size

    @property
    def _taken(self) -> int:
        """The bytes that it takes from others: what has come, and what is kept of the rest."""
        return self._size - self._promise.missing + self._promise.kept

    def keep_whole(self) -> None:
        """Keep all of it, whatever the pace: it is of a small file, and nothing tells of that."""
        self._whole = True

    def expect(self, count: int) -> None:
        """
        So many bytes are to come from now on. What was reserved beside them, as for the name, is
        used; what was reserved less is counted as stored already, as bytes that are sent anew.
        """
        before, more = self._taken, count - self._promise.missing
        self._promise.missing += more
        self._promise.kept = max(0, self._promise.kept + more)
        self._reserve(self._taken - before)

    def look(self, now: float) -> None:
        """Keep no more than the pace of the upload shows that it will use."""
        if self._whole:
            return
        before = self._promise.kept
        self._promise.look(now)
        self._reserve(self._promise.kept - before)

    def _reserve(self, count: int) -> None:
        for usage, _ in self._limits:
            usage.reserved += count

    def came(self, count: int) -> bool:
        """Count bytes that have come, and return whether they fit; if not, nothing is changed."""
        if not self._limits:
            return True
        if not self._grown(count):
            return False
        self._promise.use(count)
        return True

    def _grown(self, count: int) -> bool:
        """Keep at least so many bytes, and return whether there is room, by what is known."""
        if count <= self._promise.kept:
            return True
        for usage, _ in self._limits:
            usage.look()
        kept = self._promise.kept
        room = min(usage.room(limit) for usage, limit in self._limits)
        grown = self._promise.grow(count, room + kept)
        self._reserve(self._promise.kept - kept)
        return grown

    async def grow(self, count: int) -> None:
        """
        Make room for so many bytes to come next, where by what is known there is none.

        @raise QuotaExceeded: others have the room: so little came for so long that it was not kept.
        """
        for usage, _ in self._limits:
            if usage.stale(ASK_AGAIN):
                await usage.ask()
        if self._limits and not self._grown(count):
            raise QuotaExceeded()

    def end(self, stored: int | None = None) -> None:
        """
        Release what is kept, as the upload has ended.

        @param stored: how many bytes more the store counts now; all of them where it is None.
        """
        taken = self._taken
        limits, self._limits = self._limits, []
        for usage, _ in limits:
            usage.reservations.discard(self)
            usage.reserved -= taken
            usage.stored(self._size if stored is None else stored)


NO_RESERVATION = Reservation([], 0, 0.0)
"""The reservation of an upload where there is no quota."""


class Quota:
    """
    Keep all users within their quotas.

    @param total: the most bytes of all files together, or None.
    @param count: counts what is stored.
    """

    def __init__(self, clock: IReactorTime, total: int | None, count: CountUsage) -> None:
        self._clock = clock
        self._total = total
        self._count = count
        self._all = Usage(clock, None, count)
        self._owners: dict[str, Usage] = {}

    def _limits(self, owner: str, own: int | None) -> list[tuple[Usage, int]]:
        limits = []
        if self._total is not None:
            limits.append((self._all, self._total))
        if own is not None:
            usage = self._owners.get(owner)
            if usage is None:
                usage = self._owners[owner] = Usage(self._clock, owner, self._count)
            limits.append((usage, own))
        return limits

    def concerns(self, own: int | None) -> bool:
        """Return whether a user with such a quota has any limit."""
        return own is not None or self._total is not None

    def reserve_now(self, owner: str, own: int | None, size: int) -> Reservation | None:
        """
        Reserve bytes for an upload, by what is known; None where the store has to count first.

        @param own: the owner's own quota, or None.
        """
        if not self.concerns(own):
            return NO_RESERVATION
        limits = self._limits(owner, own)
        for usage, limit in limits:
            if usage.stale(FRESH) or not usage.fits(size, limit):
                return None
        return Reservation(limits, size, self._clock.seconds())

    async def reserve(self, owner: str, own: int | None, size: int) -> Reservation:
        """
        Reserve bytes for an upload.

        @param own: the owner's own quota, or None.
        @raise QuotaExceeded: they would be too many.
        """
        limits = self._limits(owner, own)
        while True:
            for usage, limit in limits:
                if usage.stale(FRESH) or (not usage.fits(size, limit) and usage.stale(ASK_AGAIN)):
                    await usage.ask()
                    break
            else:
                break
        if not all(usage.fits(size, limit) for usage, limit in limits):
            raise QuotaExceeded()
        return Reservation(limits, size, self._clock.seconds())

    def deleted(self) -> None:
        """Count anew before the next refusal: something was deleted."""
        self._all.doubt()
        for usage in self._owners.values():
            usage.doubt()
