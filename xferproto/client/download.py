"""Downloads of single files: whole, or from where an earlier try ended."""

from __future__ import annotations

from pathlib import Path

from xferproto.client.callbacks import Progress
from xferproto.client.commands import read_line, send_command, to_entry, to_wire
from xferproto.client.connection import Connection
from xferproto.client.target import MemoryPart, Part, PartFile
from xferproto.files.direct_io import WORTH_IT
from xferproto.model.entry import Entry
from xferproto.model.errors import BadRange, HashMismatch, TooLarge, UnexpectedReply
from xferproto.model.escape import quoted
from xferproto.threads.executor import finished
from xferproto.transfer.digest import Digest, md5
from xferproto.transfer.receiver import Receiver
from xferproto.transfer.sender import BLOCK
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Range


class Downloader:
    """
    Fetch contents over a connection.

    @param connection: what they come over, within a request.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._settings = connection.settings

    async def download(
        self, id: str, target: Path, replace: bool, progress: Progress | None, resume: bool
    ) -> Entry:
        """
        Fetch a content into a file.

        @param replace: whether a file that is there may be replaced.
        @param resume: whether to keep what came of a download that fails, and to go on from there.
        @raise TargetExists: C{target} is there and may not be replaced.
        @raise HashMismatch: the bytes are not the content.
        @raise OSError: C{target} can't be written.
        """
        run = self._settings.executor.run
        id = codec.parse_id(to_wire(id))
        opening = run(PartFile, target, replace, id if resume else None)
        part = await finished(opening, lambda opened: opened.leave())
        try:
            resumed = part.size > 0
            try:
                entry = await self._fetch(id, part, progress)
            except (HashMismatch, BadRange):
                await run(part.empty)
                if not resumed:
                    raise
                entry = await self._fetch(id, part, progress)  # the part was wrong: all of it anew
            await finished(run(part.publish))
            return entry
        finally:
            # The next try may come as soon as this one has ended, and wants the part.
            await finished(run(part.leave))

    async def read(self, id: str, largest: int, progress: Progress | None) -> bytes:
        """
        Fetch a content into memory.

        @param largest: the most bytes that it may have.
        @raise TooLarge: it has more.
        @raise HashMismatch: the bytes are not the content.
        """
        part = MemoryPart()
        await self._fetch(codec.parse_id(to_wire(id)), part, progress, largest)
        return part.content()

    async def _fetch(
        self, id: str, part: Part, progress: Progress | None, largest: int | None = None
    ) -> Entry:
        """Fetch what a part lacks, unless the whole has more than C{largest}, and check it."""
        executor = self._settings.executor
        offset = part.size
        digest = await executor.run(_hash_part, part, offset)
        await send_command(
            self._connection, Command.DOWNLOAD, codec.format_range(Range(id, offset))
        )
        entry = to_entry(await read_line(self._connection))
        if entry.id != id or entry.size < offset:
            raise UnexpectedReply(f"Asked for {id}, the server sends {entry.id}.")
        if largest is not None and entry.size > largest:
            raise TooLarge(
                f"{quoted(entry.name)} has {entry.size} bytes, and at most {largest} are read into "
                "memory; download it to a file."
            )
        missing = entry.size - offset
        if missing >= WORTH_IT:
            await executor.run(part.expect, missing)
        receiver = Receiver(
            missing,
            [digest.update, part.write],
            self._settings.workers,
            self._settings.budget,
            self._connection.regulate,
            self._connection.abort,
        )
        try:
            if progress is not None:
                progress(offset, entry.size)
            if missing:
                await self._connection.receive(receiver, entry.size, progress)
            await receiver.finish()
        except BaseException:
            await receiver.finish()  # what came is kept; where the disk fails, that is why it ended
            raise
        self._connection.end_exchange()
        if digest.hex() != entry.id:
            raise HashMismatch(f"Download of {quoted(entry.name)}", digest.hex(), entry.id)
        return entry


def _hash_part(part: Part, length: int) -> Digest:
    digest = md5()
    for offset in range(0, length, BLOCK):
        digest.update([part.read(offset, min(BLOCK, length - offset))])
    return digest
