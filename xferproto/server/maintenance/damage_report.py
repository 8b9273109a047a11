"""Log the known damage when a server starts: it was found before, and is not repaired yet."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.store.interface import IMaintenance

log = Logger("xfer")

NAMED = 10
"""How many names the log shows; the others are counted."""


async def report_damage(maintenance: IMaintenance) -> None:
    """Log the number of files that are known to be damaged, and the first names."""
    try:
        damage = await maintenance.damaged(NAMED)
    except CancelledError:  # the server stops
        return
    except Exception:
        log.failure("can't list the damaged files")
        return
    if count := damage.count:
        names = [quoted(name) for name in damage.names]
        more = f" and {count - len(names):,} more" if count > len(names) else ""
        log.error(
            "{count} damaged: {names}{more}; upload or delete each of them; xfer-depot damaged "
            "lists all",
            count="1 file is" if count == 1 else f"{count:,} files are",
            names=", ".join(names),
            more=more,
        )
