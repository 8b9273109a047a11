"""C{xfer ls} and C{xfer stat}: list files, and show what the depot knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run
from xferproto.console.transfers.ambiguity import Meant, id_or_name
from xferproto.console.ui.output import Output
from xferproto.model.entry import Entry, Status
from xferproto.model.errors import Corrupt, NoSuchFile
from xferproto.model.units import iso_time, readable_size

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient

SIZE_COLUMN = 10
"""Characters of a size that is made readable."""

BYTES_COLUMN = 15
"""Characters of an exact size, unless it has more."""


@command(
    "ls",
    epilog="""\b
Examples:
  xfer ls                       all names, in order
  xfer ls photos/               names that begin with photos/
  xfer ls -d photos/            one level: directories end with /
  xfer ls -l                    with ids and sizes
  xfer ls -l --bytes | sort -rnk2 | head
  xfer ls --json | jq .size

A name with several contents is one line; with -l and --json it is one line for each content.
Damaged files can't be fetched: ls names them on standard error. xfer stat shows when a file was
stored.""",
)
@click.argument("prefixes", nargs=-1, metavar="[PREFIX]...")
@click.option("-l", "--long", is_flag=True, help="Show ids and sizes too, and a total.")
@click.option("--bytes", "exact", is_flag=True, help="Show sizes in bytes; with -l.")
@click.option("-d", "--directories", is_flag=True, help="Show one level; directories end with /.")
@click.pass_obj
def ls(
    chosen: Chosen, prefixes: tuple[str, ...], long: bool, exact: bool, directories: bool
) -> None:
    """List the names that begin with PREFIX, or all names."""
    if directories and (long or exact):
        raise click.UsageError("-d goes without -l and --bytes")
    run(
        chosen.settings(),
        lambda session: _list(session, prefixes or ("",), long or exact, exact, directories),
    )


async def _list(
    session: Session, prefixes: tuple[str, ...], long: bool, exact: bool, directories: bool
) -> None:
    from xferproto.console.transfers.damaged import each_damaged

    output = session.output
    listing = _Listing(output, _line(output, long, exact))
    client = session.client()
    for prefix in prefixes:
        found = listing.files
        tell = listing.level(prefix) if directories else listing.tell
        await client.each_file(prefix, tell)
        damaged = listing.damaged
        await each_damaged(client, prefix, listing.tell_damaged)
        if listing.files == found and listing.damaged == damaged and prefix:
            output.failed(prefix, NoSuchFile("No name begins with this."))
    if long or output.json:
        count = "1 file" if listing.files == 1 else f"{listing.files:,} files"
        size = f"{listing.bytes:,} bytes" if exact else readable_size(listing.bytes)
        damage = f"; {listing.damaged:,} damaged" if listing.damaged else ""
        output.summary(
            f"{count}, {size}{damage}",
            files=listing.files,
            bytes=listing.bytes,
            damaged=listing.damaged,
        )
    elif not (listing.files or listing.damaged or output.failures):
        output.note("The depot has no files that you may see.")


def _line(output: Output, long: bool, exact: bool) -> Callable[[Entry], str | None]:
    """Return a function that formats the line of an entry; it returns None for no line."""
    last: str | None = None

    def short(entry: Entry) -> str | None:
        nonlocal last
        if entry.name == last and not output.json:
            return None
        last = entry.name
        return output.shown(entry.name)

    def in_columns(entry: Entry) -> str:
        if exact:
            size = f"{entry.size:>{BYTES_COLUMN}}"
        else:
            size = f"{readable_size(entry.size):>{SIZE_COLUMN}}"
        return f"{entry.id}  {size}  {output.shown(entry.name)}"

    return in_columns if long else short


class _Listing:
    """
    Print entries as they come, and count them; keep none.

    @ivar files: how many entries there were.
    @ivar bytes: their size together.
    @ivar damaged: how many more are damaged.
    """

    def __init__(self, output: Output, line: Callable[[Entry], str | None]) -> None:
        self._output = output
        self._line = line
        self.files = 0
        self.bytes = 0
        self.damaged = 0

    def tell_damaged(self, entry: Entry) -> None:
        """Report an entry that is damaged."""
        self.damaged += 1
        self._output.damaged(entry)

    def tell(self, entry: Entry) -> None:
        """Print an entry."""
        self.files += 1
        self.bytes += entry.size
        line = self._line(entry)
        if line is not None:
            self._output.result(line, event="entry", id=entry.id, name=entry.name, size=entry.size)

    def level(self, prefix: str) -> Callable[[Entry], None]:
        """Return a function that prints the next components of the names below a prefix."""
        start = prefix.rfind("/") + 1
        last: str | None = None

        def tell(entry: Entry) -> None:
            nonlocal last
            rest = entry.name.find("/", start)
            if rest < 0:
                self.tell(entry)
                return
            self.files += 1
            self.bytes += entry.size
            directory = entry.name[: rest + 1]
            if directory != last:  # in a listing, all of a directory stands together
                last = directory
                self._output.result(
                    self._output.shown(directory), event="directory", name=directory
                )

        return tell


@command(
    "stat",
    epilog="""\b
Examples:
  xfer stat report.pdf
  xfer stat 5d41402abc4b2a76b9719d911017c592
  xfer stat --json report.pdf | jq -r .sha256

The id is the MD5 of the content. `verified` is when the depot last read and hashed it. A name with
several contents is shown with each of them. A damaged file is a failure.""",
)
@click.argument("whats", nargs=-1, required=True, metavar="ID|NAME...")
@id_or_name
@click.pass_obj
def stat(chosen: Chosen, whats: tuple[str, ...], meant: Meant) -> None:
    """Show what the depot knows of files: names, size, hashes, times."""
    run(chosen.settings(), lambda session: _stat(session, whats, meant))


async def _stat(session: Session, whats: tuple[str, ...], meant: Meant) -> None:
    from xferproto.console.transfers.run import is_of_all

    client, output = session.client(), session.output
    first = True
    for what in whats:
        try:
            found, damaged = await _known(client, what, output.note, meant)
        except Exception as error:
            if is_of_all(error):
                raise
            output.failed(what, error)
            continue
        for entry in damaged:
            output.failed(
                entry.name, Corrupt(), id=entry.id, name=entry.name, size=entry.size, action="stat"
            )
        for status in found:
            _tell_status(output, status, first)
            first = False


async def _known(
    client: RetryingClient, what: str, note: Callable[[str], None], meant: Meant
) -> tuple[list[Status], list[Entry]]:
    """
    Return the status of the content with this id, or else of each content of this name; and the
    entries of damaged ones, which have no status.

    @raise NoSuchFile: there is none.
    @raise Corrupt: the content is damaged, and the depot is too old to list its names.
    """
    from xferproto.console.transfers.damaged import damaged_entries, damaged_names
    from xferproto.console.transfers.exact_name import statuses

    try:
        found = await statuses(client, what, note, meant)
    except NoSuchFile:
        if meant == "id":
            raise
        found = []
    except Corrupt:
        if not (damaged := await damaged_names(client, what)):
            raise
        return [], damaged
    if meant != "name" and found and found[0].entries[0].id == what.lower():
        return found, []
    damaged = [entry for entry in await damaged_entries(client, what) if entry.name == what]
    if not found and not damaged:
        raise NoSuchFile()
    return found, damaged


def _tell_status(output: Output, status: Status, first: bool) -> None:
    size = status.entries[0].size
    exact = "" if size < 1024 else f" ({size:,} bytes)"
    stored, verified = (iso_time(time) for time in (status.stored, status.verified))
    lines = [
        f"id        {status.entries[0].id}",
        *(f"name      {output.shown(entry.name)}" for entry in status.entries),
        f"size      {readable_size(size)}{exact}",
        f"sha256    {status.sha256}",
        f"stored    {stored}",
        f"verified  {verified}",
    ]
    output.result(
        "\n".join(lines if first else ["", *lines]),
        event="stat",
        id=status.entries[0].id,
        names=[entry.name for entry in status.entries],
        size=size,
        sha256=status.sha256,
        stored=stored,
        verified=verified,
    )
