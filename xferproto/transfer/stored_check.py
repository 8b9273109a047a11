"""Check whether a stored content still has the hashes that it was stored with."""

from __future__ import annotations

from xferproto.model.errors import Corrupt
from xferproto.model.identity import View
from xferproto.store.interface import IStore
from xferproto.threads.executor import Executor
from xferproto.transfer.hashing import Checkpoint, hash_stored


async def verify(
    store: IStore, id: str, executor: Executor, checkpoint: Checkpoint, view: View
) -> bool:
    """
    Hash a stored content again, report the result to the store, and return whether it is intact.

    @param view: the view of the user who asks.
    @raise NoSuchFile: there is no such content in the view.
    @raise Exception: the bytes can't be read now, and may be intact; or what C{checkpoint} raised.
    """
    while True:
        right = await _verify_once(store, id, executor, checkpoint, view)
        if right is not None:
            return right


async def _verify_once(
    store: IStore, id: str, executor: Executor, checkpoint: Checkpoint, view: View
) -> bool | None:
    try:
        content = await store.open(id, view)
    except Corrupt:
        return await store.maintenance.missed(id)
    try:
        digest = await hash_stored(content.read, content.entry.size, executor, checkpoint)
    except Corrupt:
        return await store.maintenance.checked(id, None, content)
    finally:
        content.close()
    return await store.maintenance.checked(id, digest.digests(), content)
