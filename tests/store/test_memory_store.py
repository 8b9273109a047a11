"""The store in memory: the contract, as of any store."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.store.contract import StoreContract
from tests.store.contract.owners import OwnerContract
from xferproto.store.memory.store import MemoryStore


class MemoryContractTests(StoreContract, TestCase):
    """
    The contract.

    @cvar small: the most bytes of a small content.
    """

    small = 4096

    async def make_store(self) -> MemoryStore:
        return MemoryStore(lambda: self.time, self.small, page=3)


class MemoryLargeContractTests(MemoryContractTests):
    """The same, where no content is a small one."""

    small = -1


class MemoryOwnerTests(OwnerContract, TestCase):
    """The contract about owners."""

    async def make_store(self) -> MemoryStore:
        return MemoryStore(lambda: self.time, page=3)
