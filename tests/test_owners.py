"""The owners of a local store's files."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.depot import make_store
from tests.owner_contract import OwnerContract
from xferproto.store import paging
from xferproto.store.local import LocalStore
from xferproto.store.small import SMALL_SIZE


class LocalOwnerTests(OwnerContract, TestCase):
    """The contract, with small contents."""

    def setUp(self) -> None:
        self.patch(paging, "PAGE", 3)

    async def make_store(self) -> LocalStore:
        return make_store(self, Path(self.mktemp()))


class FileOwnerTests(LocalOwnerTests):
    """The contract, with contents that have files of their own."""

    padding = bytes(SMALL_SIZE)
