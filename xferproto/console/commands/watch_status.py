"""C{xfer watch-status}: what the unattended client of a directory is at."""

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
  xfer watch-status /srv/outbox           what waits, what is sent, what failed
  xfer watch-status /srv/outbox --json | jq .waiting.files

It reads the status file and asks no depot. Exit status 0 while a client watches the directory, 1
when none does.""",
)
@click.argument("directory", metavar="DIR|FILE")
@click.pass_obj
def watch_status(chosen: Chosen, directory: str) -> None:
    """Say what `twistd xfer-client --watch DIR` is at; FILE is its --status, where it has one."""
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
