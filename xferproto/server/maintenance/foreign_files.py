"""Log once, at the start, what lies in the storage and is not the depot's."""

from __future__ import annotations

import os

from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.store.interface import IMaintenance

log = Logger("xfer")

SHOWN = 10
"""How many paths the log names."""


async def report_foreign(maintenance: IMaintenance, where: str) -> None:
    """
    Log what is not the depot's: it is left alone.

    @param where: the storage directory, for the log.
    """
    try:
        paths = await maintenance.foreign()
    except OSError as error:
        log.warn("the storage directory could not be looked through: {error}", error=error)
        return
    if paths:
        log.warn(
            "{count} files or directories in {root} are not the depot's, and are left alone:"
            " {names}{more}",
            count=len(paths),
            root=where,
            names=", ".join(quoted(os.fsencode(path)) for path in paths[:SHOWN]),
            more=" …" if len(paths) > SHOWN else "",
        )
