"""C{xfer verify}: let the depot read and hash stored files again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run
from xferproto.console.transfers.ambiguity import Meant, id_or_name, status_of
from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt, NoSuchFile
from xferproto.model.units import readable_size

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient


@command(
    "verify",
    epilog="""\b
Examples:
  xfer verify report.pdf
  xfer verify photos                  everything below photos/
  xfer verify --all --jobs 2
  xfer verify --all --quiet || mail -s 'damage in the depot' me

The depot reads each content from its disk and compares MD5 and SHA-256. verify reports damaged
files each time, also those that the depot has found by itself, until you mend them: put the same
content again to heal it, or give it up with xfer rm.""",
)
@click.argument("whats", nargs=-1, metavar="[ID|NAME|PREFIX]...")
@click.option("--all", "everything", is_flag=True, help="Verify all files.")
@id_or_name
@click.pass_obj
def verify(chosen: Chosen, whats: tuple[str, ...], everything: bool, meant: Meant) -> None:
    """Let the depot hash stored files again: an id, a name, a directory or a prefix."""
    if everything == bool(whats):
        raise click.UsageError("give what to verify, or --all")
    if meant and everything:
        raise click.UsageError(f"--{meant} goes without --all")
    run(chosen.settings(), lambda session: Verification(session, meant).run(whats or ("",)))


class Verification:
    """
    Verify contents over several connections, each content once.

    @param session: where it runs.
    @param meant: whether the arguments are ids or names; None for either.
    """

    def __init__(self, session: Session, meant: Meant = None) -> None:
        from xferproto.console.transfers.run import new_display

        self._session = session
        self._meant = meant
        self._output = session.output
        self._display = new_display(session)
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, set[str]] = {}  # of contents that have several
        self._queue: deque[Entry] = deque()
        self._verified = self._bytes = 0

    async def run(self, whats: tuple[str, ...]) -> None:
        """
        Verify all contents; report those that fail, and go on with the others.

        @raise Exception: no other content can be verified.
        """
        from xferproto.console.transfers.connections import Jobs

        try:
            client = self._session.client()
            for what in whats:
                await self._find(client, what)
            self._queue.extend(self._entries.values())
            self._display.plan(len(self._queue), sum(entry.size for entry in self._queue))
            jobs = Jobs(self._session, self._work, lambda: bool(self._queue))
            await jobs.run(client, min(self._session.settings.jobs, len(self._queue)))
        finally:
            self._display.close()
            self._summarise()

    def _summarise(self) -> None:
        parts = [f"{self._verified:,} verified ({readable_size(self._bytes)})"]
        failures, untried = self._output.failures, len(self._queue)
        if failures:
            parts.append(f"{failures:,} failed")
        if untried:
            parts.append(f"{untried:,} not tried")
        self._output.summary(
            "; ".join(parts),
            action="verify",
            verified=self._verified,
            bytes=self._bytes,
            failed=failures,
            untried=untried,
        )

    async def _find(self, client: RetryingClient, what: str) -> None:
        from xferproto.console.transfers.damaged import list_all
        from xferproto.console.transfers.resolve import among, note_directory
        from xferproto.console.transfers.run import is_of_all

        try:
            if await self._find_id(client, what):
                return
            # Including damaged ones: the depot reports them each time.
            entries, _ = await list_all(client, what)
            found = among(entries, what)
            note_directory(entries, what, self._output.note)
            if what and not found:
                raise NoSuchFile()
        except Exception as error:
            if is_of_all(error):
                raise
            self._output.failed(what, error)
            return
        self._take(found)
        self._display.looking(len(self._entries))

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            first = self._entries.setdefault(entry.id, entry)
            if first.name != entry.name:
                self._names.setdefault(entry.id, {first.name}).add(entry.name)

    async def _find_id(self, client: RetryingClient, what: str) -> bool:
        """
        Take the content with an id, and return whether there is one.

        @raise Corrupt: the content is damaged, and the depot is too old to list its names.
        """
        from xferproto.console.transfers.damaged import damaged_names

        try:
            status = await status_of(client, what, self._meant, self._output.note)
            if status is None:
                return False
            entries = list(status.entries)
        except Corrupt:
            if not (entries := await damaged_names(client, what)):
                raise
        self._take(entries)
        return True

    async def _work(self, client: RetryingClient) -> None:
        while self._queue:
            await self._verify(client, self._queue.popleft())

    async def _verify(self, client: RetryingClient, entry: Entry) -> None:
        from xferproto.console.transfers.run import is_of_all
        from xferproto.console.ui.progress import SERVER_CHECKS, Bar

        bar: Bar | None = None

        def on_wait(percent: int, what: str) -> None:
            nonlocal bar
            if bar is None:
                bar = self._display.bar(entry.name, entry.size)
                bar.phase(SERVER_CHECKS, entry.size)
            bar.at(entry.size * percent // 100)

        try:
            await client.verify(entry.id, on_wait)
        except Exception as error:
            if is_of_all(error):
                self._queue.appendleft(entry)
                raise
            for name in sorted(self._names.get(entry.id, {entry.name})):
                self._output.failed(
                    name, error, action="verify", id=entry.id, name=name, size=entry.size
                )
        else:
            self._verified += 1
            self._bytes += entry.size
            if not self._output.quiet:
                self._output.result(
                    f"ok  {entry.id}  {self._output.shown(entry.name)}",
                    event="verified",
                    id=entry.id,
                    name=entry.name,
                    size=entry.size,
                )
        finally:
            if bar is not None:
                bar.end()
            self._display.through(0 if bar is not None else entry.size)
