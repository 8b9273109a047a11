"""C{xfer get}: fetch files."""

from __future__ import annotations

import click

from xferproto.console.options import RECURSIVE, Chosen, command
from xferproto.console.session import run
from xferproto.console.transfers.ambiguity import Meant, id_or_name

STDOUT = "-"


@command(
    "get",
    unneeded=RECURSIVE,
    epilog="""\b
Examples:
  xfer get report.pdf                      into this directory
  xfer get photos -o /tmp                  everything below photos/, as /tmp/photos/…
  xfer get 5d41402abc4b2a76b9719d911017c592
  xfer get report.pdf -o copy.pdf          under another name
  xfer get src.tar -o - | tar x            to standard output
  xfer get --all -o mirror                 everything

WHAT is an id, else a name, else a directory of names, else the beginning of names. A file appears
only when it is complete and its hash is right. What is here already is not fetched again. A file
with other content stays, and is a failure, unless --replace is given. After an interruption, give
the same command again: it resumes.""",
)
@click.argument("whats", nargs=-1, metavar="WHAT...")
@click.option("--all", "everything", is_flag=True, help="Fetch all files of the depot.")
@click.option(
    "-o",
    "--output",
    default=".",
    metavar="DIR|FILE|-",
    type=click.Path(allow_dash=True),
    help="Directory to write to, or the name of a single file; - is standard output.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out names that match it, as in *.tmp or cache/*; may be repeated.",
)
@click.option("--replace", is_flag=True, help="Replace files that have other content.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be fetched; fetch nothing.")
@id_or_name
@click.pass_obj
def get(
    chosen: Chosen,
    whats: tuple[str, ...],
    everything: bool,
    output: str,
    exclude: tuple[str, ...],
    replace: bool,
    dry_run: bool,
    meant: Meant,
) -> None:
    """Fetch files by id, name, directory, or beginning of names."""
    from xferproto.console.transfers.download import Download, GetOptions
    from xferproto.console.transfers.stdout_writer import StdoutWriter

    if everything == bool(whats):
        raise click.UsageError("Say what to fetch, or --all.")
    if meant and everything:
        raise click.UsageError(f"--{meant} goes without --all")
    settings = chosen.settings()
    asked = ("",) if everything else whats
    if output != STDOUT:
        options = GetOptions(asked, output, exclude, replace, dry_run, meant)
        run(settings, lambda session: Download(session, options).run())
    elif settings.json or dry_run:
        raise click.UsageError("-o - goes without --json and --dry-run.")
    else:
        run(settings, lambda session: StdoutWriter(session, asked, meant).run())
