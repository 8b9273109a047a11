"""C{xfer ls} and C{xfer stat}: what the depot has."""

from __future__ import annotations

import click

from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run


@command("ls", short_help="List names.")
@click.argument("prefix", required=False, default="")
@click.pass_obj
def ls(chosen: Chosen, prefix: str) -> None:
    """List the names that begin with PREFIX; all, without one."""

    async def work(session: Session) -> None:
        last = None
        for entry in await session.client().list_files(prefix):
            if session.output.json or entry.name != last:
                session.output.result(
                    session.output.shown(entry.name),
                    event="entry",
                    id=entry.id,
                    name=entry.name,
                    size=entry.size,
                )
            last = entry.name

    run(chosen.settings(), work)
