"""
Quotas: how many bytes the files of all, or of one user, may have together.

What is stored is asked of the store once, and then kept account of, so that small files need no
question each. The account may be too high, as after deletions, never too low: before it refuses, it
asks again.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from xferproto.errors import QuotaExceeded
from xferproto.store.interface import IStore

ASK_AGAIN = 1.0
"""Seconds in which a refused upload is not asked about again, unless something was deleted."""

FRESH = 60.0
"""Seconds after which an account is taken from the store anew."""


class Account:
    """
    The bytes of one owner, or of all.

    @ivar reserved: declared by uploads that run.
    """

    def __init__(self, clock: IReactorTime, owner: str | None) -> None:
        self.owner = owner
        self.reserved = 0
        self._clock = clock
        self._used: int | None = None
        self._stored_meanwhile = 0
        self._asked = 0.0
        self._asking: list[Deferred[None]] | None = None

    @property
    def known(self) -> bool:
        """Whether it can be told what fits."""
        return self._used is not None

    def fits(self, size: int, limit: int) -> bool:
        """Whether so many more bytes are within a limit, by what is known."""
        return self._used is not None and self._used + self.reserved + size <= limit

    def stale(self, seconds: float) -> bool:
        """Whether it was asked for longer ago than that."""
        return self._used is None or self._clock.seconds() - self._asked >= seconds

    def doubt(self) -> None:
        """Something was deleted: less may be stored than is known."""
        self._asked = float("-inf")

    def stored(self, size: int) -> None:
        """What was reserved is stored."""
        self.reserved -= size
        self._stored_meanwhile += size
        if self._used is not None:
            self._used += size

    async def ask(self, store: IStore) -> None:
        """Ask the store; who comes meanwhile waits for the same answer."""
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
            self._used = await store.usage(self.owner) + self._stored_meanwhile
        finally:
            waiting, self._asking = self._asking, None
            for waiter in waiting:
                waiter.callback(None)


class Claim:
    """
    Bytes that are promised to one upload. Ends once; what comes after that does nothing.
    """

    __slots__ = ("_accounts", "_size")

    def __init__(self, accounts: list[Account], size: int) -> None:
        self._accounts = accounts
        self._size = size
        for account in accounts:
            account.reserved += size

    def stored(self) -> None:
        """The upload is stored, or kept under its token: the store counts it now."""
        accounts, self._accounts = self._accounts, []
        for account in accounts:
            account.stored(self._size)

    def drop(self) -> None:
        """Nothing came of the upload."""
        accounts, self._accounts = self._accounts, []
        for account in accounts:
            account.reserved -= self._size


NO_CLAIM = Claim([], 0)
"""What an upload has where there is no quota."""


class Quota:
    """
    Keeps all within their quotas.

    @param total: the most bytes of all files together, or None.
    @ivar store: where the files are.
    """

    store: IStore

    def __init__(self, clock: IReactorTime, total: int | None) -> None:
        self._clock = clock
        self._total = total
        self._all = Account(clock, None)
        self._owners: dict[str, Account] = {}

    def _limits(self, owner: str, own: int | None) -> list[tuple[Account, int]]:
        limits = []
        if self._total is not None:
            limits.append((self._all, self._total))
        if own is not None:
            account = self._owners.get(owner)
            if account is None:
                account = self._owners[owner] = Account(self._clock, owner)
            limits.append((account, own))
        return limits

    def concerns(self, own: int | None) -> bool:
        """Whether one with such a quota has any limit."""
        return own is not None or self._total is not None

    def claim_now(self, owner: str, own: int | None, size: int) -> Claim | None:
        """
        Promise bytes to an upload, by what is known; None where the store has to be asked.

        @param own: the owner's own quota, or None.
        """
        if not self.concerns(own):
            return NO_CLAIM
        limits = self._limits(owner, own)
        for account, limit in limits:
            if account.stale(FRESH) or not account.fits(size, limit):
                return None
        return Claim([account for account, _ in limits], size)

    async def claim(self, owner: str, own: int | None, size: int) -> Claim:
        """
        Promise bytes to an upload.

        @raise QuotaExceeded: they would be too many.
        """
        limits = self._limits(owner, own)
        while True:
            for account, limit in limits:
                if account.stale(FRESH) or (
                    not account.fits(size, limit) and account.stale(ASK_AGAIN)
                ):
                    await account.ask(self.store)
                    break
            else:
                break
        if not all(account.fits(size, limit) for account, limit in limits):
            raise QuotaExceeded()
        return Claim([account for account, _ in limits], size)

    def deleted(self) -> None:
        """Something was deleted."""
        self._all.doubt()
        for account in self._owners.values():
            account.doubt()
