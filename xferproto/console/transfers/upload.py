"""Uploads: C{xfer put} finds files, skips those that the depot has, and sends the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from twisted.internet.defer import Deferred

from xferproto.client.retry import RetryingClient
from xferproto.client.source import ONE_LINE
from xferproto.console.options import STDIN
from xferproto.console.session import Session
from xferproto.console.transfers.local_hashes import hash_file, hash_small
from xferproto.console.transfers.local_tree import (
    Found,
    LeftOut,
    LocalFile,
    Refused,
    first_name,
    found_at,
    matches,
)
from xferproto.console.transfers.remote_index import RemoteIndex
from xferproto.console.transfers.run import Transfer
from xferproto.console.transfers.spool import Spool
from xferproto.console.transfers.transfer_pool import TransferPool
from xferproto.console.ui.advice import REFUSALS, LocalRefusal
from xferproto.console.ui.progress import COMPARING, HASHING, SENDING, SERVER_CHECKS, Bar
from xferproto.model.entry import Entry
from xferproto.model.errors import Denied, LoginRequired, NoSpace, NoSuchFile
from xferproto.model.escape import quoted

BATCH = 256
"""Files that are listed, or hashed if they are small, in one handoff to a thread."""


@dataclass(frozen=True)
class PutOptions:
    """
    The options of C{xfer put}.

    @ivar paths: files and directories, or C{-}.
    @ivar name: the name to store the only path under, or None.
    @ivar prefix: goes before all names, without the slash; may be empty.
    @ivar follow: whether links in directories are followed.
    @ivar exclude: patterns of what is left out of directories.
    @ivar replace: whether other contents of a name are removed.
    @ivar hash_first: whether large files are hashed before they are sent.
    @ivar dry_run: whether nothing is to be sent.
    """

    paths: Sequence[str]
    name: str | None = None
    prefix: str = ""
    follow: bool = False
    exclude: Sequence[str] = ()
    replace: bool = False
    hash_first: bool = True
    dry_run: bool = False

    def excluded(self, relative: str) -> bool:
        """Whether what has this path below a directory is left out."""
        return matches(relative, self.exclude)


class Upload(Transfer[LocalFile]):
    """
    Store files.

    @param session: where it runs.
    """

    ACTION = "put"
    DONE = ("stored", "sent", "there already")
    INTERRUPTED = (
        "stopped: the files listed above are stored; give the same command again to go on: it "
        "sends nothing twice, and resumes large files"
    )

    def __init__(self, session: Session, options: PutOptions) -> None:
        super().__init__(session, options.dry_run)
        self._options = options
        self._remote = RemoteIndex()
        self._prefixes: set[str] = set()
        self._under_way: dict[str, Deferred[None]] = {}
        self._replaced: list[Entry] = []
        self._spool: Spool | None = None

    async def _transfer(self) -> None:
        try:
            await self._find()
            client = self._session.client()
            await self._look_for(client)
            await self._skip_small()
            if self._options.dry_run:
                self._list_planned()
            else:
                await self._send(client)
                await self._remove_replaced(client)
        finally:
            if self._spool is not None:
                self._spool.close()

    # Finding files

    async def _find(self) -> None:
        """Find all files, and refuse what can't be stored."""
        for path in self._options.paths:
            first = self._options.name or first_name(path)
            if self._options.prefix:
                first = f"{self._options.prefix}/{first}" if first else self._options.prefix
            if path == STDIN:
                self._spool = Spool(self._session.reactor)
                self._take(await self._spool.named(first), first)
                continue
            found = found_at(path, first, self._options.follow, self._options.excluded)
            while batch := await self._session.executor.run(_next, found):
                for one in batch:
                    self._take(one, first)
                self._display.looking(len(self._files))
        size = sum(file.size for file in self._files.values())
        self._display.plan(len(self._files), size)

    def _take(self, found: Found, first: str) -> None:
        if isinstance(found, LeftOut):
            self._summary.left_out[found.kind] += 1
        elif isinstance(found, Refused):
            self._fail(found.path, found.error, path=found.path)
        elif (other := self._files.get(found.name)) is not None:
            error = LocalRefusal(
                f"it would be called {quoted(found.name)}, as would {quoted(other.path)}",
                "put it alone, with another --prefix",
            )
            self._fail(found.path, error, path=found.path)
        else:
            self._files[found.name] = found
            # A directory is listed as a whole, and what has none by its first component.
            top, slash, _ = found.name.partition("/")
            self._prefixes.add(f"{first}/" if found.name != first and first else top + slash)

    # Comparing with the depot

    async def _look_for(self, client: RetryingClient) -> None:
        """List what the depot has under these names, if the user may list."""
        try:
            await self._remote.look_for(client, self._files, self._prefixes)
        except (Denied, LoginRequired):
            if self._options.replace:
                raise

    def _same_size(self, file: LocalFile) -> list[Entry]:
        return self._remote.of_size(file.name, file.size)

    async def _skip_small(self) -> None:
        """Skip the small files that are there already."""
        found = (
            file
            for file in list(self._files.values())
            if file.size <= ONE_LINE and self._same_size(file)
        )
        while files := list(islice(found, BATCH)):
            paths = [file.path for file in files]
            hashes = await self._session.executor.run(hash_small, paths)
            for file, md5 in zip(files, hashes, strict=True):
                self._skip(file, md5)

    def _skip(self, file: LocalFile, md5: str | None) -> bool:
        """Skip a file if the depot has it under its name, and return whether it has."""
        for entry in self._same_size(file):
            if entry.id == md5:
                self._display.through(file.size if file.size <= ONE_LINE else 0)
                self._done(file, entry, "present", 0)
                return True
        return False

    # Sending

    async def _send(self, client: RetryingClient) -> None:
        files = list(self._files.values())
        pool = TransferPool(
            self._session,
            self._send_many,
            self._send_one,
            lambda file: file.name in self._files,
        )
        await pool.run(
            client,
            [file for file in files if file.size <= ONE_LINE],
            [file for file in files if file.size > ONE_LINE],
        )

    async def _send_many(self, client: RetryingClient, files: Iterator[LocalFile]) -> None:
        def on_result(name: str, outcome: Entry | Exception) -> None:
            file = self._files[name]
            self._display.through(file.size)
            if isinstance(outcome, Entry):
                self._done(file, outcome, "stored", outcome.size)
            else:
                self._failed(file.name, file.path, outcome, path=file.path, name=file.name)

        await client.upload_many(((file.path, file.name) for file in files), on_result)

    async def _send_one(self, client: RetryingClient, file: LocalFile) -> None:
        bar = self._display.bar(file.path, file.size)
        try:
            if self._same_size(file):
                bar.phase(COMPARING, file.size)
                md5 = await hash_file(self._session.executor, file.path, "md5", bar.at)
                if self._skip(file, md5):
                    return
            entry, sent = await self._send_hashed(client, file, bar)
        except Exception as error:
            self._failed(file.name, file.path, error, path=file.path, name=file.name)
        else:
            self._done(file, entry, "stored" if sent else "present", sent)
        finally:
            bar.end()
        self._display.through()

    async def _send_hashed(
        self, client: RetryingClient, file: LocalFile, bar: Bar
    ) -> tuple[Entry, int]:
        """Send a large file under its hash; return its entry, and how many bytes were sent."""
        if not self._options.hash_first:
            return await self._send_under(client, file, bar, None)
        bar.phase(HASHING, file.size)
        sha256 = await hash_file(self._session.executor, file.path, "sha256", bar.at)
        # The same content twice at once would have one of them wait, and be refused as busy.
        while (other := self._under_way.get(sha256)) is not None:
            waiting: Deferred[None] = Deferred()
            other.chainDeferred(waiting)
            await waiting
        ended = self._under_way[sha256] = Deferred()
        try:
            return await self._send_under(client, file, bar, f"sha256:{sha256}")
        finally:
            del self._under_way[sha256]
            ended.callback(None)

    async def _send_under(
        self, client: RetryingClient, file: LocalFile, bar: Bar, token: str | None
    ) -> tuple[Entry, int]:
        first: int | None = None

        def progress(done: int, size: int) -> None:
            nonlocal first
            bar.phase(SENDING, size)
            bar.at(done, skipped=first is None)
            first = done if first is None else first
            if done == size:
                bar.phase(SERVER_CHECKS, 0)

        def on_wait(percent: int, what: str) -> None:
            bar.phase(SERVER_CHECKS, 100)
            bar.at(percent)

        try:
            entry = await client.upload(
                Path(file.path), file.name, progress, token=token, on_wait=on_wait
            )
        except NoSpace as error:
            if first is None:
                raise NoSpace(f"{REFUSALS[error.symbol][0]}, and nothing was sent.") from None
            raise
        return entry, entry.size - (first or 0)

    # Reporting

    def _done(self, file: LocalFile, entry: Entry, status: str, sent: int) -> None:
        del self._files[file.name]
        if status == "present":
            self._summary.present += 1
            self._summary.kept += entry.size
        else:
            self._summary.done += 1
            self._summary.moved += sent
        path = STDIN if self._spool is not None and file.path == self._spool.path else file.path
        self._output.result(
            f"{entry.id}  {self._output.shown(entry.name)}",
            event=status,
            action=self.ACTION,
            path=path,
            sent=sent,
            id=entry.id,
            name=entry.name,
            size=entry.size,
        )
        others = self._remote.besides(entry)
        if self._options.replace:
            self._replaced += others
        elif others:
            ids = ", ".join(one.id for one in others)
            self._output.note(
                f"{quoted(entry.name)} has other contents too: {ids}. --replace removes them."
            )

    def _list_planned(self) -> None:
        for file in list(self._files.values()):
            del self._files[file.name]
            self._summary.done += 1
            self._summary.moved += file.size
            self._output.result(
                f"{self._output.shown(file.path)} -> {self._output.shown(file.name)}",
                event="planned",
                action=self.ACTION,
                path=file.path,
                name=file.name,
                size=file.size,
            )

    async def _remove_replaced(self, client: RetryingClient) -> None:
        """Remove what was stored under the same names before."""
        for entry in self._replaced:
            try:
                await client.delete(entry.id, entry.name)
            except NoSuchFile:
                continue
            self._output.note(f"removed {quoted(entry.name)} {entry.id}")


def _next(found: Iterator[Found]) -> list[Found]:
    return list(islice(found, BATCH))
