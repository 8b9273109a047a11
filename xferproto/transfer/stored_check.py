"""Is what is stored still what was stored? One content at a time."""

from __future__ import annotations

from xferproto.model.errors import Corrupt
from xferproto.model.identity import View
from xferproto.store.interface import IStore
from xferproto.threads.executor import Executor
from xferproto.transfer.hashing import Pace, hash_stored


async def verify(store: IStore, id: str, executor: Executor, pace: Pace, view: View) -> bool:
    """
    Hash a stored content again, and tell the store what came out: whether it is right.

    @param view: of whoever asks; one who does not see the content is told that there is none.
    @raise NoSuchFile: there is no such content.
    @raise Exception: its bytes can't be read now, which says nothing about them; or what C{pace}
        raised.
    """
    while True:
        right = await _verify_once(store, id, executor, pace, view)
        if right is not None:
            return right


async def _verify_once(
    store: IStore, id: str, executor: Executor, pace: Pace, view: View
) -> bool | None:
    try:
        content = await store.open(id, view)
    except Corrupt:
        return await store.missed(id)
    try:
        digest = await hash_stored(content.read, content.entry.size, executor, pace)
    except Corrupt:
        return await store.checked(id, None, content)
    finally:
        content.close()
    return await store.checked(id, digest.digests(), content)
