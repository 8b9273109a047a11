"""Log the known damage when a server starts: it was found before, and is not repaired yet."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.model.identity import EVERYTHING
from xferproto.store.interface import IStore
from xferproto.wire.codec import parse_entry

log = Logger("xfer")

NAMED = 10
"""How many names the log shows; the others are counted."""


async def report_damage(store: IStore) -> None:
    """Log the number of files that are known to be damaged, and the first names."""
    listing = store.list_damaged("", EVERYTHING)
    count = 0
    names: list[str] = []
    try:
        while page := await listing.read():
            count += page.count(b"\n")
            if len(names) < NAMED:
                lines = page.split(b"\n", NAMED)[: NAMED - len(names)]
                names += [quoted(parse_entry(line).name) for line in lines if line]
    except CancelledError:  # the server stops
        return
    except Exception:
        log.failure("can't list the damaged files")
        return
    if count:
        more = f" and {count - len(names):,} more" if count > len(names) else ""
        log.error(
            "{count} damaged: {names}{more}; upload or delete each of them; xfer-depot damaged "
            "lists all",
            count="1 file is" if count == 1 else f"{count:,} files are",
            names=", ".join(names),
            more=more,
        )
