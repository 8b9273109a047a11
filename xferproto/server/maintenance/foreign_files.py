"""Log foreign files in the storage directory, once at the start."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.store.local.layout import foreign
from xferproto.threads.executor import Executor

log = Logger("xfer")

SHOWN = 10
"""How many paths the log shows."""


async def report_foreign_files(executor: Executor, root: Path) -> None:
    """
    Log the files that are not the depot's, which it never changes.

    @param executor: runs the search.
    @param root: the storage directory.
    """
    try:
        paths = await executor.run(foreign, root)
    except OSError as error:
        log.warn("can't search the storage directory for foreign files: {error}", error=error)
        return
    if paths:
        log.warn(
            "{count} files or directories in {root} are not the depot's, and are ignored:"
            " {names}{more}",
            count=len(paths),
            root=str(root),
            names=", ".join(quoted(os.fsencode(path)) for path in paths[:SHOWN]),
            more=" …" if len(paths) > SHOWN else "",
        )
