"""C{xfer ping}: whether the depot answers, how fast, and as whom one is known there."""

from __future__ import annotations

import click

from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run


@command("ping")
@click.option("-c", "--count", type=click.IntRange(1, 1_000_000), default=1, metavar="N")
@click.pass_obj
def ping(chosen: Chosen, count: int) -> None:
    """Connect, log in, and time the answers."""

    async def work(session: Session) -> None:
        client = session.client()
        for _ in range(count):
            before = session.reactor.seconds()
            await client.list_files("\ufffd")
            after = session.reactor.seconds()
            session.output.result(f"{1000 * (after - before):.1f} ms")

    run(chosen.settings(), work)
