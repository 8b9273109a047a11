"""The owners of a local store's files."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.store.contract.owners import OwnerContract
from tests.support.depot import few_at_once, make_store
from xferproto.store.local import catalogue_names
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.store.local.store import LocalStore


class LocalOwnerTests(OwnerContract, TestCase):
    """The contract, with small contents."""

    def setUp(self) -> None:
        few_at_once(self)

    async def make_store(self) -> LocalStore:
        return make_store(self, Path(self.mktemp()), now=lambda: self.time)


class WalkingOwnerTests(LocalOwnerTests):
    """The same, where the names of a content are found among those of all."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(catalogue_names, "ENTRIES_ON_PAGE", 0)


class FileOwnerTests(LocalOwnerTests):
    """The contract, with contents that have files of their own."""

    padding = bytes(SMALL_SIZE)
