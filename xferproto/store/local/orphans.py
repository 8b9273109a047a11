"""
Find object files that no row of the catalogue and no mark names, and set them aside.

A power cut leaves them. A mark is not synced, since that would cost as much as the commit itself:
so the removal of a file, and the mark that announces it, may both be lost while the commit is not.

They are put aside into the quarantine, and removed a week later: a catalogue that was restored from
an older copy does not know the objects that came after it. Where they are many, it is such a
catalogue: then they stay where they are, for C{xfer-depot rebuild} to find them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.logger import Logger

from xferproto.store.local.catalogue_inspection import ids_with_files
from xferproto.store.local.objects import Objects
from xferproto.store.local.quarantine import Quarantine
from xferproto.threads.executor import Executor

log = Logger("xfer")

MOST = 1000
"""How many a power cut may leave. More of them are the objects that an old catalogue lacks."""

KEPT = 7 * 86400.0
"""Seconds for which they are kept aside."""


class Unnamed:
    """
    Looks through all object files, one folder after the other.

    @param objects: the object files.
    @param quarantine: where they are put aside.
    @param catalogue: the file of the catalogue.
    @param files: runs what blocks.
    @param put_aside: puts the object with an id aside, unless the catalogue knows it by now.
    """

    def __init__(
        self,
        objects: Objects,
        quarantine: Quarantine,
        catalogue: Path,
        files: Executor,
        put_aside: Callable[[str], Awaitable[None]],
    ) -> None:
        self._objects = objects
        self._quarantine = quarantine
        self._catalogue = catalogue
        self._files = files
        self._put_aside = put_aside
        self._stopped = False

    def stop(self) -> None:
        """Let L{clear} end soon."""
        self._stopped = True

    async def clear(self, now: float) -> None:
        """
        Put aside what nothing names.

        @param now: the time, seconds since the epoch.
        """
        await self._files.run(self._quarantine.remove_unnamed, now - KEPT)
        found: list[str] = []
        for folder in await self._files.run(self._objects.folders):
            if self._stopped:
                return
            found += await self._files.run(self._look, folder)
            if len(found) > MOST:
                log.error(
                    "more than {most} objects have no name: the catalogue is older than they are;"
                    " 'xfer-depot rebuild' lists them",
                    most=MOST,
                )
                return
        for id in found:
            await self._put_aside(id)

    def _look(self, folder: str) -> list[str]:
        """The ids in one folder that the catalogue does not know now."""
        try:
            ids = self._objects.ids_in(folder)
        except OSError as error:  # nothing of the depot's is in its place, or the disk is bad
            log.warn("{folder} of the objects can't be read: {error}", folder=folder, error=error)
            return []
        if not ids:
            return []
        return sorted(ids - ids_with_files(self._catalogue, folder))
