"""Log foreign files in the storage directory, once at the start."""

from __future__ import annotations

import os

from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.store.interface import IMaintenance

log = Logger("xfer")

SHOWN = 10
"""How many paths the log shows."""


async def report_foreign_files(maintenance: IMaintenance, where: str) -> None:
    """
    Log the files that are not the depot's, which it never changes.

    @param where: the storage directory, for the log.
    """
    try:
        paths = await maintenance.foreign()
    except OSError as error:
        log.warn("can't search the storage directory for foreign files: {error}", error=error)
        return
    if paths:
        log.warn(
            "{count} files or directories in {root} are not the depot's, and are ignored:"
            " {names}{more}",
            count=len(paths),
            root=where,
            names=", ".join(quoted(os.fsencode(path)) for path in paths[:SHOWN]),
            more=" …" if len(paths) > SHOWN else "",
        )
