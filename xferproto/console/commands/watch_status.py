"""C{xfer watch-status}: show what the unattended client of a directory is doing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from xferproto.console.options import Chosen, command
from xferproto.console.ui.output import Output


@command(
    "watch-status",
    epilog="""\b
Examples:
  xfer watch-status /srv/outbox           what waits, is being sent, failed
  xfer watch-status /srv/outbox --json | jq .waiting.files

watch-status reads the status file of the client; it does not connect to the depot. The exit status
is 0 while a client watches the directory, and 1 if none does.""",
)
@click.argument("directory", metavar="DIR|FILE")
@click.pass_obj
def watch_status(chosen: Chosen, directory: str) -> None:
    """Show what `twistd xfer-client --watch DIR` is doing; FILE is its --status file, if any."""
    from xferproto.watch.status import NoStatus, describe, read_status

    settings = chosen.settings()
    output = Output(settings.server, settings.json, settings.quiet)
    try:
        status = read_status(Path(directory), time.time())
    except NoStatus as error:
        output.failed(directory, error)
        sys.exit(1)
    watched = status.alive is not False and status.fields["state"] != "stopped"
    output.result("\n".join(describe(status)), event="watch", watched=watched, **status.fields)
    output.flush()
    sys.exit(0 if watched else 1)
