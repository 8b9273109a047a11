"""C{xfer ping}: connect, log in, and time the answers."""

from __future__ import annotations

from typing import Any

import click

from xferproto.console.options import Chosen, Number, command
from xferproto.console.session import Session, run


@command(
    "ping",
    epilog="""\b
Examples:
  xfer ping
  xfer -s lab ping -c 10
  xfer ping --tls --host depot.example && xfer put report.pdf

ping connects (with TLS if chosen), logs in (if a user is given), and times a request that needs no
right.""",
)
@click.option(
    *("-c", "--count"),
    type=Number("a number of answers", 1, 1_000_000),
    default=1,
    metavar="N",
    help="Number of answers to time; 1 if not given.",
)
@click.option(
    *("-i", "--interval"),
    type=click.FloatRange(0, 3600),
    default=1.0,
    metavar="SECONDS",
    help="Time between them; 1 if not given.",
)
@click.pass_obj
def ping(chosen: Chosen, count: int, interval: float) -> None:
    """Connect, log in, and time the answers."""
    run(chosen.settings(), lambda session: _ping(session, count, interval))


async def _ping(session: Session, count: int, interval: float) -> None:
    from twisted.internet.task import deferLater

    output, now = session.output, session.reactor.seconds
    before = now()
    client = await session.connect()
    taken = 1000 * (now() - before)
    fields = tls_of(client.transport)
    user = None if session.credentials is None else session.credentials[0]
    who = "" if user is None else f" and logged in as {output.shown(user)}"
    lines = [f"{session.settings.server}: connected{who} in {taken:.1f} ms"]
    if fields["tls"] is not None:
        lines.append(f"{fields['tls']}, {fields['cipher']}")
        lines.append(f"certificate SHA-256 {fields['fingerprint']}")
    output.result(
        "\n".join(lines),
        event="connected",
        server=session.settings.server,
        ms=round(taken, 3),
        user=user,
        **fields,
    )
    times = []
    for number in range(1, count + 1):
        if number > 1:
            await deferLater(session.reactor, interval)
        before = now()
        await client.help()
        times.append(1000 * (now() - before))
        output.result(
            f"answer {number} in {times[-1]:.1f} ms", event="answer", ms=round(times[-1], 3)
        )
    low, high, mean = min(times), max(times), sum(times) / len(times)
    if count > 1 or output.json:
        answers = "1 answer" if count == 1 else f"{count:,} answers"
        output.summary(
            f"{answers}, in {low:.1f} to {high:.1f} ms, {mean:.1f} ms on average",
            answers=count,
            min_ms=round(low, 3),
            mean_ms=round(mean, 3),
            max_ms=round(high, 3),
        )


def tls_of(transport: Any) -> dict[str, str | None]:
    """Return TLS version, cipher and fingerprint of the depot's certificate; None without TLS."""
    from xferproto.net.certificates import fingerprint
    from xferproto.net.peer import is_encrypted

    if not is_encrypted(transport):
        return {"tls": None, "cipher": None, "fingerprint": None}
    connection = transport.getHandle()
    certificate = connection.get_peer_certificate(as_cryptography=True)
    return {
        "tls": connection.get_protocol_version_name(),
        "cipher": connection.get_cipher_name(),
        "fingerprint": None if certificate is None else fingerprint(certificate),
    }
