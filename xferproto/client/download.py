"""How a file comes from the depot: all of it, or what an earlier try did not bring here."""

from __future__ import annotations

from pathlib import Path

from xferproto.client.connection import ClientConnection, Progress, to_entry, to_wire
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


class DownloadConnection(ClientConnection):
    """A L{ClientConnection} with the request that fetches a file."""

    async def _download(
        self, id: str, target: Path, replace: bool, progress: Progress | None, resume: bool
    ) -> Entry:
        run = self.factory.executor.run
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

    async def _read(self, id: str, largest: int, progress: Progress | None) -> bytes:
        part = MemoryPart()
        await self._fetch(codec.parse_id(to_wire(id)), part, progress, largest)
        return part.content()

    async def _fetch(
        self, id: str, part: Part, progress: Progress | None, largest: int | None = None
    ) -> Entry:
        """Fetch what a part lacks, unless the whole has more than C{largest}, and check it."""
        executor = self.factory.executor
        offset = part.size
        digest = await executor.run(_hash_part, part, offset)
        await self._ask(Command.DOWNLOAD, codec.format_range(Range(id, offset)))
        entry = to_entry(await self._line())
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
            self.factory.workers,
            self.factory.budget,
            self._regulate,
            self._abort,
        )
        try:
            if progress is not None:
                progress(offset, entry.size)
            if missing:
                await self._receive(receiver, entry.size, progress)
            await receiver.finish()
        except BaseException:
            await receiver.finish()  # what came is kept; where the disk fails, that is why it ended
            raise
        self._in_step = True
        if digest.hex() != entry.id:
            raise HashMismatch(f"Download of {quoted(entry.name)}", digest.hex(), entry.id)
        return entry


def _hash_part(part: Part, length: int) -> Digest:
    digest = md5()
    for offset in range(0, length, BLOCK):
        digest.update([part.read(offset, min(BLOCK, length - offset))])
    return digest
