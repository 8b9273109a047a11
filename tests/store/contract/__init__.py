"""
What every store must do, asked of it through L{xferproto.store.interface} alone.

A store's test module mixes L{StoreContract} into a C{twisted.trial.unittest.TestCase} and says how
one is made.
"""

from __future__ import annotations

from tests.store.contract.case import (
    StoreCase,
    begin,
    damage,
    digests_of,
    entries_of,
    entry_ids,
    entry_of,
    go_on,
    hold,
    listed,
    listed_damaged,
    pages,
    put,
    status_of,
    stored_bytes,
)
from tests.store.contract.checks import CheckContract
from tests.store.contract.contents import ContentContract
from tests.store.contract.deleting import DeletionContract
from tests.store.contract.entries import EntryContract
from tests.store.contract.known import KnownContract
from tests.store.contract.listings import ListingContract
from tests.store.contract.partials import PartialContract
from tests.store.contract.small import SmallContract
from tests.store.contract.tokens import TokenContract
from tests.store.contract.upload_status import UploadStatusContract
from tests.store.contract.uploads import UploadContract

__all__ = [
    "StoreCase",
    "StoreContract",
    "begin",
    "damage",
    "digests_of",
    "entries_of",
    "entry_ids",
    "entry_of",
    "go_on",
    "hold",
    "listed",
    "listed_damaged",
    "pages",
    "put",
    "status_of",
    "stored_bytes",
]


class StoreContract(
    UploadContract,
    SmallContract,
    ListingContract,
    EntryContract,
    ContentContract,
    TokenContract,
    KnownContract,
    UploadStatusContract,
    PartialContract,
    DeletionContract,
    CheckContract,
):
    """The contract of L{IStore<xferproto.store.interface.IStore>}."""
