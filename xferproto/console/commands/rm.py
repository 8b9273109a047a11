"""C{xfer rm}: remove files, or names of them."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from xferproto.client.lines import KeptEntries
from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run
from xferproto.console.transfers.ambiguity import Meant, id_or_name, is_name_too, may_be_id
from xferproto.model.entry import Entry
from xferproto.model.errors import Corrupt, NoSuchFile

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient


@command(
    "rm",
    epilog="""\b
Examples:
  xfer rm report.pdf                  this name, from all contents that have it
  xfer rm 5d41402abc4b2a76b9719d911017c592
                                      a content, under all its names
  xfer rm -r photos                   everything below photos/
  xfer rm -rn photos                  print what that would remove

Removal cannot be undone: the bytes go with the last name. If an id has several names, or -r finds
several, rm asks first; without a terminal, give --yes. If an argument is both the id of a content
and the name of another, rm asks which is meant; without a terminal, give --id or --name.""",
)
@click.argument("whats", nargs=-1, required=True, metavar="ID|NAME...")
@click.option("-r", "--recursive", is_flag=True, help="Remove everything below NAME/ too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@id_or_name
@click.pass_obj
def rm(
    chosen: Chosen,
    whats: tuple[str, ...],
    recursive: bool,
    yes: bool,
    dry_run: bool,
    meant: Meant,
) -> None:
    """Remove files: a content under all its names, by its id; or a name."""
    run(
        chosen.settings(),
        lambda session: _Removal(session, recursive, yes, dry_run, meant).run(whats),
    )


@dataclass(frozen=True)
class _Target:
    """
    What one request removes.

    @ivar id: the content.
    @ivar name: its name that goes, or None for all.
    @ivar names: the names that go, as far as they are known.
    """

    id: str
    name: str | None
    names: tuple[str, ...]


class _Removal:
    """
    Remove files, over several connections.

    @param session: where it runs.
    @param recursive: whether to remove everything below a name too.
    @param yes: whether to remove without asking.
    @param dry_run: whether nothing is to be removed.
    @param meant: whether the arguments are ids or names; None for either.
    """

    def __init__(
        self, session: Session, recursive: bool, yes: bool, dry_run: bool, meant: Meant
    ) -> None:
        self._session = session
        self._recursive = recursive
        self._yes = yes
        self._meant = meant
        self._output = session.output
        self._dry_run = dry_run
        self._targets: dict[tuple[str, str | None], _Target] = {}
        self._queue: deque[_Target] = deque()
        self._removed = 0

    async def run(self, whats: tuple[str, ...]) -> None:
        """
        Remove all files; report those that fail, and go on with the others.

        @raise Exception: no other file can be removed.
        """
        from xferproto.console.transfers.connections import Jobs
        from xferproto.console.transfers.run import is_of_all

        client = self._session.client()
        doubtful = False
        for what in whats:
            try:
                doubtful |= await self._find(client, what)
            except Exception as error:
                if is_of_all(error):
                    raise
                self._output.failed(what, error)
        count = sum(len(target.names) or 1 for target in self._targets.values())
        if doubtful and not (self._yes or self._dry_run) and not await self._agreed(count):
            return
        self._queue.extend(self._targets.values())
        try:
            jobs = Jobs(self._session, self._work, lambda: bool(self._queue))
            await jobs.run(client, min(self._session.settings.jobs, len(self._queue)))
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

    async def _find(self, client: RetryingClient, what: str) -> bool:
        """
        Find what an argument means, and return whether to ask before it is removed.

        @raise NoSuchFile: there is no such file.
        @raise AnswerTooLong: there are more than can be kept.
        @raise LocalRefusal: the argument is both an id and a name; or a directory, without C{-r}.
        """
        from xferproto.console.transfers.damaged import each_damaged
        from xferproto.console.ui.advice import LocalRefusal

        if may_be_id(what, self._meant):
            try:
                entries: tuple[Entry, ...] = (await client.stat(what)).entries
            except NoSuchFile:
                if self._meant == "id":
                    raise
                entries = ()  # then it may be a name
            except Corrupt:  # it can be removed; its names are not known
                if await self._means_id(client, what):
                    self._take(_Target(what.lower(), None, ()))
                    return True
                entries = ()
            if entries and await self._means_id(client, what):
                names = tuple(entry.name for entry in entries)
                self._take(_Target(entries[0].id, None, names))
                return len(names) > 1
        kept = KeptEntries()
        below = what if what.endswith("/") else f"{what}/"
        is_directory = False

        def take(entry: Entry) -> None:
            nonlocal is_directory
            inside = entry.name.startswith(below)
            is_directory |= inside
            if entry.name == what or (self._recursive and inside):
                kept.add(entry)

        await each_damaged(client, what, take)
        await client.each_file(what, take)
        await each_damaged(client, what, take)
        found = kept.entries
        if not found and is_directory:
            raise LocalRefusal(
                "this is a directory of the depot", "give -r to remove everything below it"
            )
        if not found:
            raise NoSuchFile()
        for entry in found:
            self._take(_Target(entry.id, entry.name, (entry.name,)))
        return len({entry.name for entry in found}) > 1

    async def _means_id(self, client: RetryingClient, what: str) -> bool:
        """
        Whether an argument that is an id means the id, and not the name of another content.

        @raise LocalRefusal: it is both, and the user does not say which is meant.
        """
        from xferproto.console.ui.advice import LocalRefusal

        if self._meant or not await is_name_too(client, what, self._recursive):
            return True
        if not self._yes and self._may_ask():
            answer = await self._answer(
                f"{what} is the id of a content, and the name of another. "
                "Remove the id, the name, or nothing? [id/name/N] "
            )
            if answer in ("id", "name"):
                return answer == "id"
        raise LocalRefusal(
            "this is the id of a content, and the name of another; nothing was removed",
            "give --id or --name",
        )

    def _may_ask(self) -> bool:
        return not self._output.json and sys.stdin is not None and sys.stdin.isatty()

    async def _answer(self, prompt: str) -> str:
        self._output.flush()
        answer = await self._session.executor.run(_ask, prompt)
        return answer.strip().lower()

    def _take(self, target: _Target) -> None:
        self._targets.setdefault((target.id, target.name), target)

    async def _agreed(self, count: int) -> bool:
        """Ask the user, and return whether they agree; without a terminal they do not."""
        from xferproto.console.ui.advice import LocalRefusal

        what = "1 file" if count == 1 else f"{count:,} names"
        if not self._may_ask():
            refusal = LocalRefusal(
                f"{what} would be removed, and there is no terminal to ask at",
                "give --yes to remove them; --dry-run lists them",
            )
            self._output.failed("", refusal)
            return False
        if await self._answer(f"Remove {what}? This cannot be undone. [y/N] ") in ("y", "yes"):
            return True
        self._output.failed("", LocalRefusal("nothing was removed", "answer y to remove"))
        return False

    async def _work(self, client: RetryingClient) -> None:
        while self._queue:
            await self._remove(client, self._queue.popleft())

    async def _remove(self, client: RetryingClient, target: _Target) -> None:
        from xferproto.console.transfers.run import is_of_all

        try:
            if not self._dry_run:
                await client.delete(target.id, target.name)
        except NoSuchFile:
            pass  # an earlier try, or somebody else, has removed it
        except Exception as error:
            if is_of_all(error):
                self._queue.appendleft(target)
                raise
            what = target.name or target.id
            self._output.failed(what, error, action="rm", id=target.id, name=target.name)
            return
        for name in target.names or (None,):
            self._removed += 1
            if self._output.quiet:
                continue
            shown = "" if name is None else f"  {self._output.shown(name)}"
            self._output.result(
                f"{'would remove' if self._dry_run else 'removed'}  {target.id}{shown}",
                event="removed",
                id=target.id,
                name=name,
                dry_run=self._dry_run,
            )


def _ask(prompt: str) -> str:
    """Read an answer from the terminal. Blocks."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline()
