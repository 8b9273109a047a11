"""Downloads to standard output: C{xfer get -o -}."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from xferproto.client.callbacks import Progress
from xferproto.console.session import Session
from xferproto.console.transfers.ambiguity import Meant
from xferproto.console.transfers.resolve import RemoteFile, resolve
from xferproto.console.transfers.run import new_display
from xferproto.console.transfers.spool import READ_SIZE
from xferproto.console.ui.progress import RECEIVING, Bar
from xferproto.model.errors import Corrupt
from xferproto.model.escape import quoted


class StdoutWriter:
    """
    Write files to standard output, one after the other, in the order in which they were asked for.

    Each is fetched to a temporary file first: no byte of it is written before its hash is right.

    @param session: where it runs.
    @param whats: ids, names, directories of names, or beginnings of names.
    @param meant: whether C{whats} are ids or names; None for either.
    """

    def __init__(self, session: Session, whats: Sequence[str], meant: Meant = None) -> None:
        self._session = session
        self._whats = whats
        self._meant = meant

    async def run(self) -> None:
        """
        Write all files.

        @raise Exception: one can't be fetched; then nothing of it, nor of those after it, was
            written.
        """
        session = self._session
        client = session.client()
        found: list[RemoteFile] = []
        for what in self._whats:
            found += await resolve(client, what, session.output.note, self._meant)
        display = new_display(session)
        directory = Path(tempfile.mkdtemp(prefix="xfer-"))
        try:
            display.plan(len(found), sum(one.entry.size for one in found))
            for one in found:
                if one.damaged:
                    raise Corrupt(f"The stored bytes of {quoted(one.entry.name)} are damaged.")
                path = directory / "content"
                bar = display.bar(one.entry.name, one.entry.size)
                bar.phase(RECEIVING, one.entry.size)
                await client.download(one.entry.id, path, progress=_shown(bar))
                bar.end()
                await self._write(path)
                display.through()
        finally:
            display.close()
            shutil.rmtree(directory, ignore_errors=True)

    async def _write(self, path: Path) -> None:
        """Write a file to standard output, and remove it."""
        run = self._session.executor.run
        with path.open("rb") as file:
            while await run(_write_block, file):  # between two it may be cancelled
                pass
        path.unlink()


def _shown(bar: Bar) -> Progress:
    return lambda done, size: bar.at(done)


def _write_block(file: BinaryIO) -> int:
    """Write the next block to standard output, and return its length. Blocks."""
    block = file.read(READ_SIZE)
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    return len(block)
