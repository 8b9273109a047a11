"""The classic exchange: list, upload, compare, list, download, compare; reported in lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from xferproto.client.callbacks import Progress
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.retry import RetryingClient
from xferproto.client.target import local_name
from xferproto.files.directories import make_directories
from xferproto.model.entry import Entry
from xferproto.model.errors import HashMismatch, XferError

Notify = Callable[[str], None]
"""Write one line of the transcript."""


class ExchangeFailed(XferError):
    """The exchange can't go on. The text is one line for people."""


async def exchange(
    client: XferClientProtocol | RetryingClient,
    source: Path,
    output: Path,
    notify: Notify,
    verify: bool = False,
    delete: bool = False,
) -> bool:
    """
    Send a file, fetch it back, and compare the hashes of both transfers.

    @param client: connected, and best C{prompted}, so that its lines read like a conversation.
    @param source: the file.
    @param output: the directory to fetch it into; made if it does not exist.
    @param notify: called with lines about what happens between the lines of the wire.
    @param verify: whether the server hashes the stored bytes again in between.
    @param delete: take the file out of the depot again in the end.
    @return: whether both ways were a success.
    @raise ExchangeFailed: the list does not hold what was stored, or C{output} can't be used.
    @raise XferError: what a request failed with.
    """
    await client.list_files()
    stored = await _verified(client.upload(source, progress=_reported(notify, "sent")), notify)
    if stored is None:
        return False
    entries = await client.list_files()
    if stored not in entries:
        raise ExchangeFailed(f"The list does not hold {stored.id}, which was just stored.")
    if verify:
        await client.verify(stored.id)
    target = output / local_name(stored.name)
    if target.exists() and target.samefile(source):
        raise ExchangeFailed(f"{target} is the file that was sent; choose another --output.")
    make_directories(output)
    fetching = client.download(
        stored.id, target, replace=True, progress=_reported(notify, "received")
    )
    fetched = await _verified(fetching, notify)
    if fetched is not None:
        notify(f"  saved as {target}")
    if delete:
        await client.delete(stored.id, stored.name)
    await client.disconnect()
    return fetched is not None


def _reported(notify: Notify, verb: str) -> Progress:
    def progress(done: int, total: int) -> None:
        if done == total:
            notify(f"  {total} bytes {verb}")

    return progress


async def _verified(transfer: Awaitable[Entry], notify: Notify) -> Entry | None:
    """Wait for a transfer, and report the comparison: its entry, or None where it failed."""
    try:
        entry = await transfer
    except HashMismatch as mismatch:
        notify(f"  MD5 here {mismatch.ours}, at the server {mismatch.theirs}: Fail")
        return None
    notify(f"  MD5 here {entry.id}, at the server {entry.id}: Success")
    return entry
