"""C{xfer put}: store files and directories."""

from __future__ import annotations

import click

from xferproto.console.options import RECURSIVE, STDIN, Chosen, command
from xferproto.console.session import run


@command(
    "put",
    unneeded=RECURSIVE,
    epilog="""\b
Examples:
  xfer put report.pdf                      stored as report.pdf
  xfer put photos                          everything below photos, as photos/…
  xfer put photos --prefix backup/2026     as backup/2026/photos/…
  xfer put a.txt --name docs/first.txt     under another name
  xfer put site --replace                  and remove what had the same names before
  tar c src | xfer put - --name src.tar    from standard input
  xfer put photos > photos.md5             then md5sum -c photos.md5 checks the files here

For each file that is stored, put prints its id (its MD5) and its name. Content that the depot has
already is not sent again. After an interruption, give the same command again: it resumes.

In directories, put leaves out symbolic links (unless --follow is given), sockets, pipes and
devices. Empty directories, times and modes are not kept; use `tar` to keep them.""",
)
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(allow_dash=True)
)
@click.option("--name", help="Store under this name instead of the PATH's own. For one PATH.")
@click.option("--prefix", default="", help="Put this in front of all names, with a slash between.")
@click.option("--follow", is_flag=True, help="Follow symbolic links in directories.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out what matches it in directories, as in *.tmp or cache/*; may be repeated.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="After a file is stored, remove other contents of its name.",
)
@click.option(
    "--hash-first/--no-hash-first",
    default=True,
    show_default=True,
    help="Hash large files before they are sent, to skip content that the depot has.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be sent; send nothing.")
@click.pass_obj
def put(
    chosen: Chosen,
    paths: tuple[str, ...],
    name: str | None,
    prefix: str,
    follow: bool,
    exclude: tuple[str, ...],
    replace: bool,
    hash_first: bool,
    dry_run: bool,
) -> None:
    """Store files, and directories with everything in them; - is standard input."""
    from xferproto.console.transfers.upload import PutOptions, Upload

    if name is not None and len(paths) > 1:
        raise click.UsageError("--name is for one PATH; --prefix is for many.")
    if STDIN in paths and name is None:
        raise click.UsageError("Standard input has no name; give it one with --name.")
    if prefix and not prefix.strip("/"):
        raise click.UsageError("--prefix has no name before the slash; is a variable not set?")
    options = PutOptions(
        paths, name, prefix.strip("/"), follow, exclude, replace, hash_first, dry_run
    )
    run(chosen.settings(), lambda session: Upload(session, options).run())
