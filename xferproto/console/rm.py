"""C{xfer rm}: removes files, or names of them."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run
from xferproto.entry import Entry
from xferproto.errors import Corrupt, NoSuchFile

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient


@command(
    "rm",
    epilog="""\b
Examples:
  xfer rm report.pdf                  this name, of all contents that have it
  xfer rm 5d41402abc4b2a76b9719d911017c592
                                      a content, under all its names
  xfer rm -r photos                   all below photos/
  xfer rm -rn photos                  say what that would remove

There is no undoing it: the bytes go with the last name. Where an id has several names, or -r finds
several, it asks first; without a terminal --yes has to be given.""",
)
@click.argument("whats", nargs=-1, required=True, metavar="ID|NAME...")
@click.option("-r", "--recursive", is_flag=True, help="Remove all below NAME/ too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@click.pass_obj
def rm(chosen: Chosen, whats: tuple[str, ...], recursive: bool, yes: bool, dry_run: bool) -> None:
    """Remove files: an id under all its names, or a name."""
    run(chosen.settings(), lambda session: _Removing(session, dry_run).run(whats, recursive, yes))


@dataclass(frozen=True)
class _Victim:
    """
    What one request removes.

    @ivar id: the content.
    @ivar name: its name that goes, or None for all.
    @ivar names: the names that go, as far as they are known.
    """

    id: str
    name: str | None
    names: tuple[str, ...]


class _Removing:
    """
    Removes what was asked for, over several connections.

    @param session: where it runs.
    @param dry_run: whether nothing is to be removed.
    """

    def __init__(self, session: Session, dry_run: bool) -> None:
        self._session = session
        self._output = session.output
        self._dry_run = dry_run
        self._victims: dict[tuple[str, str | None], _Victim] = {}
        self._queue: deque[_Victim] = deque()
        self._removed = 0

    async def run(self, whats: tuple[str, ...], recursive: bool, yes: bool) -> None:
        """
        Do it. What can't be removed is told, and the rest goes on.

        @raise Exception: nothing can be removed any more.
        """
        from xferproto.console.carrier import all_of
        from xferproto.console.transfers import is_of_all

        client = self._session.client()
        doubtful = False
        for what in whats:
            try:
                doubtful |= await self._find(client, what, recursive)
            except Exception as error:
                if is_of_all(error):
                    raise
                self._output.failed(what, error)
        count = sum(len(victim.names) or 1 for victim in self._victims.values())
        if doubtful and not (yes or self._dry_run) and not await self._agreed(count):
            return
        self._queue.extend(self._victims.values())
        try:
            jobs = min(self._session.settings.jobs, len(self._queue))
            await all_of([self._work(client if not job else None) for job in range(jobs)])
        finally:
            verb = "would be removed" if self._dry_run else "removed"
            names = "1 name" if self._removed == 1 else f"{self._removed:,} names"
            failed = self._output.failures
            self._output.summary(
                f"{names} {verb}" + (f"; {failed:,} failed" if failed else ""),
                action="rm",
                removed=self._removed,
                failed=failed,
                dry_run=self._dry_run,
            )

    async def _find(self, client: RetryingClient, what: str, recursive: bool) -> bool:
        """
        Find what an argument stands for; whether that has to be asked about.

        @raise NoSuchFile: nothing.
        """
        from xferproto.console.damage import each_damaged
        from xferproto.console.wanted import is_id

        if is_id(what):
            try:
                entries: tuple[Entry, ...] = (await client.stat(what)).entries
            except NoSuchFile:
                pass  # then it may be a name
            except Corrupt:  # it can be removed; under which names is not told
                self._take(_Victim(what.lower(), None, ()))
                return True
            else:
                names = tuple(entry.name for entry in entries)
                self._take(_Victim(entries[0].id, None, names))
                return len(names) > 1
        found: list[Entry] = []
        below = what if what.endswith("/") else f"{what}/"

        def take(entry: Entry) -> None:
            if entry.name == what or (recursive and entry.name.startswith(below)):
                found.append(entry)

        await each_damaged(client, what, take)
        await client.each_file(what, take)
        await each_damaged(client, what, take)
        if not found:
            raise NoSuchFile()
        for entry in found:
            self._take(_Victim(entry.id, entry.name, (entry.name,)))
        return len({entry.name for entry in found}) > 1

    def _take(self, victim: _Victim) -> None:
        self._victims.setdefault((victim.id, victim.name), victim)

    async def _agreed(self, count: int) -> bool:
        """Ask whoever sits there; whether they agree. Nobody does where nobody can be asked."""
        from xferproto.console.advice import LocalRefusal

        what = "1 file" if count == 1 else f"{count:,} names"
        if self._output.json or sys.stdin is None or not sys.stdin.isatty():
            refusal = LocalRefusal(
                f"{what} would be removed, and there is no terminal to ask at",
                "give --yes if that is meant; --dry-run tells which",
            )
            self._output.failed("", refusal)
            return False
        self._output.flush()
        answer = await self._session.executor.run(_ask, f"Remove {what}, for ever? [y/N] ")
        if answer.strip().lower() in ("y", "yes"):
            return True
        self._output.failed("", LocalRefusal("nothing was removed", "say y to remove it"))
        return False

    async def _work(self, client: RetryingClient | None) -> None:
        client = client or self._session.client()
        while self._queue:
            await self._remove(client, self._queue.popleft())

    async def _remove(self, client: RetryingClient, victim: _Victim) -> None:
        from xferproto.console.transfers import is_of_all

        try:
            if not self._dry_run:
                await client.delete(victim.id, victim.name)
        except NoSuchFile:
            pass  # it is gone, by another try or another hand
        except Exception as error:
            if is_of_all(error):
                raise
            what = victim.name or victim.id
            self._output.failed(what, error, action="rm", id=victim.id, name=victim.name)
            return
        for name in victim.names or (None,):
            self._removed += 1
            if self._output.quiet:
                continue
            shown = "" if name is None else f"  {self._output.shown(name)}"
            self._output.result(
                f"{'would remove' if self._dry_run else 'removed'}  {victim.id}{shown}",
                event="removed",
                id=victim.id,
                name=name,
                dry_run=self._dry_run,
            )


def _ask(prompt: str) -> str:
    """What is typed for an answer. Blocks."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline()
