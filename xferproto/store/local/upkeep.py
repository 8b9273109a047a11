"""Tidy up a local store: remove what a crash left, and keep room for a full disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from xferproto.model.errors import NoSpace
from xferproto.store.local.catalogue import Catalogue
from xferproto.store.local.content_locks import ContentLocks
from xferproto.store.local.group_commit import checkpoint, is_full
from xferproto.store.local.objects import Objects
from xferproto.store.local.orphans import Unnamed
from xferproto.store.local.packed import PackedContents
from xferproto.store.local.quarantine import Quarantine
from xferproto.store.local.spare_file import Spare
from xferproto.threads.executor import Executor

log = Logger("xfer")

R = TypeVar("R")


class Upkeep:
    """
    Looks after a storage directory.

    @param spare: the room that is kept.
    @param objects: the object files.
    @param quarantine: where objects are put that nothing names.
    @param catalogue: the catalogue.
    @param path: its file.
    @param small: the small contents.
    @param files: runs what touches files.
    @param writer: runs what writes to the databases.
    @param now: the time, seconds since the epoch.
    @param locks: those of the contents.
    """

    def __init__(
        self,
        spare: Spare,
        objects: Objects,
        quarantine: Quarantine,
        catalogue: Catalogue,
        path: Path,
        small: PackedContents,
        files: Executor,
        writer: Executor,
        now: Callable[[], float],
        locks: ContentLocks,
    ) -> None:
        self._spare = spare
        self._objects = objects
        self._quarantine = quarantine
        self._catalogue = catalogue
        self._small = small
        self._files = files
        self._writer = writer
        self._now = now
        self._locks = locks
        self._unnamed = Unnamed(objects, quarantine, path, files, self._put_aside)
        self._cleared = False

    def tidy_up(self) -> None:
        """Remove what the marks tell that a crash left. Blocks: for the start."""
        for id in list(self._objects.marked()):
            if self._catalogue.contents.has_file(id):
                self._objects.confirm(id)
            else:
                self._objects.remove(id)
        self._objects.clean()
        self._objects.clean_partials(self._catalogue.uploads.unfinished_tokens())
        try:
            self._small.tidy_up(self._catalogue.contents.small)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            log.warn("the disk is full: the marks of small files stay for the next start")

    async def tend(self) -> None:
        """Do what C{IMaintenance.tend} asks for."""
        await self._files.run(self._objects.check)
        await self._files.run(self._spare.make)
        # What is in the databases by now needs no room there on the day on which there is none.
        await self._writer.run(self._begin_logs_anew)
        if not self._cleared:  # once: while a store runs, nothing loses its name
            self._cleared = True
            await self._unnamed.clear(self._now())

    async def _put_aside(self, id: str) -> None:
        """Put an object aside that has no name, if it has none now."""
        async with self._locks.held(id):
            row = await self._catalogue.contents.get(id)
            if row is None or row.small is not None:
                await self._files.run(self._quarantine.add_unnamed, id, self._now())
                log.warn("{id} has no name: a crash has left it; it is kept aside", id=id)

    def stop(self) -> None:
        """Let L{tend} end soon."""
        self._unnamed.stop()

    async def with_room(self, work: Callable[[], Deferred[R]]) -> R:
        """
        Do what has to go on a full disk too: where there is no room, what is kept is given up.

        @raise NoSpace: that is not enough.
        """
        try:
            return await work()
        except NoSpace:
            await self._files.run(self._spare.give_up)
            await self._writer.run(self._begin_logs_anew)
            return await work()

    def _begin_logs_anew(self) -> None:
        checkpoint(self._catalogue.database.writing)
        self._small.checkpoint()
