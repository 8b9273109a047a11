"""What lies in the storage directory that is not the depot's, told once at the start."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger

from xferproto.model.escape import quoted
from xferproto.store.local.layout import foreign
from xferproto.threads.executor import Executor

log = Logger("xfer")

SHOWN = 10
"""How many paths the log names."""


async def tell_foreign(executor: Executor, root: Path) -> None:
    """
    Log what is not the depot's: it is left alone.

    @param executor: runs the search.
    @param root: the storage directory.
    """
    try:
        paths = await executor.run(foreign, root)
    except OSError as error:
        log.warn("the storage directory could not be looked through: {error}", error=error)
        return
    if paths:
        log.warn(
            "{count} files or directories in {root} are not the depot's, and are left alone:"
            " {names}{more}",
            count=len(paths),
            root=str(root),
            names=", ".join(quoted(os.fsencode(path)) for path in paths[:SHOWN]),
            more=" …" if len(paths) > SHOWN else "",
        )
