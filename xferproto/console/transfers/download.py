"""Downloads: C{xfer get} finds the files, skips those that are here, and fetches the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from xferproto.client.retry import RetryingClient
from xferproto.client.source import ONE_LINE
from xferproto.console.session import Session
from xferproto.console.transfers.ambiguity import Meant
from xferproto.console.transfers.destinations import Destinations, small_hashes
from xferproto.console.transfers.local_hashes import hash_file
from xferproto.console.transfers.local_tree import EXCLUDED, matches
from xferproto.console.transfers.resolve import RemoteFile, resolve
from xferproto.console.transfers.run import Transfer, is_of_all
from xferproto.console.transfers.transfer_pool import TransferPool
from xferproto.console.ui.advice import LocalRefusal
from xferproto.console.ui.progress import COMPARING, RECEIVING
from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt, HashMismatch

BATCH = 256
"""Files whose directories are made, and whose sizes are read, in one handoff to a thread."""


@dataclass(frozen=True)
class GetOptions:
    """
    The options of C{xfer get}.

    @ivar whats: ids, names, directories of names, or beginnings of names.
    @ivar output: the directory that gets them, or the file that the only one becomes.
    @ivar exclude: patterns of names that are left out, with all that is in them.
    @ivar replace: whether files that have other content are replaced.
    @ivar dry_run: whether nothing is to be fetched.
    @ivar meant: whether C{whats} are ids or names; None for either.
    """

    whats: Sequence[str]
    output: str = "."
    exclude: Sequence[str] = ()
    replace: bool = False
    dry_run: bool = False
    meant: Meant = None

    def excluded(self, relative: str) -> bool:
        """Whether a file, or a directory that it is in, is left out."""
        parts = relative.split("/")
        return any(
            matches("/".join(parts[: count + 1]), self.exclude) for count in range(len(parts))
        )


@dataclass(slots=True)
class FetchedFile:
    """
    A file that is being fetched.

    @ivar entry: its id, name and size.
    @ivar path: where it is written.
    @ivar size: the bytes of the file that is there already, or None.
    """

    entry: Entry
    path: str
    size: int | None = None


class Download(Transfer[FetchedFile]):
    """
    Fetch files.

    @param session: where it runs.
    """

    ACTION = "get"
    DONE = ("fetched", "received", "here already")
    INTERRUPTED = (
        "stopped: the files listed above are complete; give the same command again to go on; "
        "until then, hidden .part files keep what came of large files"
    )

    def __init__(self, session: Session, options: GetOptions) -> None:
        super().__init__(session, options.dry_run)
        self._options = options

    async def _transfer(self) -> None:
        client = self._session.client()
        found = await self._find(client)
        await self._place(found)
        files = list(self._files.values())
        self._display.plan(len(files), sum(file.entry.size for file in files))
        if self._options.dry_run:
            self._list_planned(files)
        else:
            await self._fetch(client, files)

    # Finding files and their destinations

    async def _find(self, client: RetryingClient) -> list[RemoteFile]:
        found: list[RemoteFile] = []
        for what in self._options.whats:
            try:
                for one in await resolve(client, what, self._output.note, self._options.meant):
                    if self._options.exclude and self._options.excluded(one.relative):
                        self._summary.left_out[EXCLUDED] += 1
                    else:
                        found.append(one)
            except Exception as error:
                if is_of_all(error):
                    raise
                self._fail(what, error)
            self._display.looking(len(found))
        return found

    async def _place(self, found: Sequence[RemoteFile]) -> None:
        """Make every file's directory, and skip the small files that are there already."""
        run = self._session.executor.run
        root, only = self._options.output, None
        single = len(found) == len(self._options.whats) == 1 and "/" not in found[0].relative
        if single and not root.endswith("/") and not await run(os.path.isdir, root):
            root, only = os.path.split(root)
            root = root or "."
        destinations = Destinations(root)
        every: dict[str, str] = {}
        remaining = iter(found)
        while batch := list(islice(remaining, BATCH)):
            files = []
            for one in batch:
                if one.damaged:
                    self._fail(one.entry.name, Corrupt(), **_fields(one))
                    continue
                relative = one.relative if only is None else only
                path = relative if root == "." else os.path.join(root, relative)
                if (other := every.get(relative)) is not None:
                    if other != one.entry.id:
                        error = LocalRefusal(
                            f"another file would be written to {path} too",
                            "get them one after the other",
                        )
                        self._fail(one.entry.name, error, id=one.entry.id)
                    continue
                every[relative] = one.entry.id
                refusal = None if self._options.dry_run else await run(destinations.make, relative)
                if refusal is not None:
                    self._fail(one.entry.name, refusal, id=one.entry.id)
                    continue
                files.append(FetchedFile(one.entry, path))
            await run(destinations.sync)
            here = await run(small_hashes, [file.path for file in files], ONE_LINE)
            for file, (size, md5) in zip(files, here, strict=True):
                file.size = size
                if not self._skip(file, md5):
                    self._files[file.path] = file

    def _skip(self, file: FetchedFile, md5: str | None) -> bool:
        """Skip a file if it is here, and return whether it is."""
        if file.size == file.entry.size and md5 == file.entry.id:
            self._files.pop(file.path, None)
            self._summary.present += 1
            self._summary.kept += file.entry.size
            self._tell(file, "present", 0)
            return True
        return False

    # Fetching

    async def _fetch(self, client: RetryingClient, files: Sequence[FetchedFile]) -> None:
        pool = TransferPool(
            self._session,
            self._fetch_many,
            self._fetch_one,
            lambda file: file.path in self._files,
        )
        # A bulk request reports a file by its id: a content that is wanted twice is fetched alone.
        small: dict[str, FetchedFile] = {}
        others = []
        for file in files:
            if file.entry.size > ONE_LINE or file.entry.id in small:
                others.append(file)
            else:
                small[file.entry.id] = file
        await pool.run(client, list(small.values()), others)

    async def _fetch_many(self, client: RetryingClient, files: Iterator[FetchedFile]) -> None:
        under_way: dict[str, FetchedFile] = {}
        wrong: list[FetchedFile] = []

        def asked() -> Iterator[tuple[str, str]]:
            for file in files:
                under_way[file.entry.id] = file
                yield file.entry.id, file.path

        def on_result(id: str, outcome: Entry | Exception) -> None:
            file = under_way.pop(id)
            self._display.through(file.entry.size)
            if isinstance(outcome, Entry):
                self._fetched(file, outcome.size)
            elif isinstance(outcome, HashMismatch):
                wrong.append(file)
            else:
                self._failed(file.path, file.path, outcome, **_fields(file))

        await client.download_many(asked(), on_result, self._options.replace)
        for file in wrong:  # by itself: it may be the depot's bytes that are damaged
            await self._fetch_one(client, file)

    async def _fetch_one(self, client: RetryingClient, file: FetchedFile) -> None:
        bar = self._display.bar(file.path, file.entry.size)
        first: int | None = None

        def progress(done: int, size: int) -> None:
            nonlocal first
            bar.phase(RECEIVING, size)
            bar.at(done, skipped=first is None)
            first = done if first is None else first

        try:
            if file.size == file.entry.size:
                bar.phase(COMPARING, file.size)
                md5 = await hash_file(self._session.executor, file.path, "md5", bar.at)
                if self._skip(file, md5):
                    return
            entry = await client.download(
                file.entry.id, file.path, self._options.replace, progress=progress
            )
        except Exception as error:
            self._failed(file.path, file.path, error, **_fields(file))
        else:
            self._fetched(file, entry.size - (first or 0))
        finally:
            bar.end()
            self._display.through()

    # Reporting

    def _fetched(self, file: FetchedFile, received: int) -> None:
        del self._files[file.path]
        self._summary.done += 1
        self._summary.moved += received
        self._tell(file, "fetched", received)

    def _list_planned(self, files: Sequence[FetchedFile]) -> None:
        for file in files:
            del self._files[file.path]
            self._summary.done += 1
            self._summary.moved += file.entry.size
            self._tell(file, "planned", 0)

    def _tell(self, file: FetchedFile, status: str, received: int) -> None:
        self._output.result(
            f"{file.entry.id}  {self._output.shown(file.path)}",
            event=status,
            action=self.ACTION,
            path=file.path,
            received=received,
            id=file.entry.id,
            name=file.entry.name,
            size=file.entry.size,
        )


def _fields(file: FetchedFile | RemoteFile) -> dict[str, object]:
    return {"id": file.entry.id, "name": file.entry.name}
