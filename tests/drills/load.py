"""The mixed load that a server is under when it is killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError

from tests.drills.depot import Content, content
from xferproto import ConnectionCut, Entry, XferClientProtocol, XferError, connect
from xferproto.client.retry import RetryingClient
from xferproto.model.errors import Busy, NoSuchFile

if TYPE_CHECKING:
    from tests.drills.kill import Drill

KEPT = 12
"""Entries that each client keeps before it deletes more than it uploads."""

LARGE = 6 * 1024 * 1024
"""Bytes of the largest file."""


class Client:
    """
    One of those who make the load: asks one thing after the other, and writes down the answers.

    @param number: begins its names, so that no two clients have one in common.
    @param shared: contents that all clients store, under names of their own.
    """

    def __init__(self, drill: Drill, number: int, rng: Random, shared: list[Content]) -> None:
        self._drill = drill
        self._journal = drill.journal
        self._number = number
        self._rng = rng
        self._shared = shared
        self._count = 0
        self._client: XferClientProtocol | None = None
        self._unfinished: list[tuple[str, Content, str]] = []
        self._offset = 0
        self._retrying = RetryingClient(
            drill.reactor, drill.gate, tries=1000, delay=lambda _: 0.05, trace=self._traced
        )

    def _traced(self, way: str, line: bytes) -> None:
        if way == ">" and line.isdigit():
            self._offset = int(line)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._one()
        except CancelledError:
            pass
        finally:
            if self._client is not None:
                await self._client.disconnect()
            await self._retrying.disconnect()

    async def _one(self) -> None:
        if self._client is None or not self._client.usable:
            try:
                self._client = await connect(
                    self._drill.reactor, self._drill.gate, trace=self._traced
                )
            except ConnectError:  # killed between the gate and the server
                return
        kind, request = self._choose(self._client)
        try:
            await request()
        except (ConnectionCut, OSError):
            self._drill.tally.cut[kind] += 1
        except (Busy, NoSuchFile) as error:
            # Two clients send one content at one time, or one deletes what the other would name.
            if kind != "known content":
                self._journal.fail(f"{kind}: {error}")
            self._drill.tally.refused += 1
        except XferError as error:
            self._journal.fail(f"{kind}: {type(error).__name__}: {error}")
        else:
            self._drill.tally.requests[kind] += 1
        if self._client.usable is False:
            self._client = None

    def _choose(self, client: XferClientProtocol) -> tuple[str, Callable[[], Awaitable[None]]]:
        rng = self._rng
        own = [key for key in self._journal.acknowledged if key[1].startswith(f"{self._number}/")]
        if own and rng.random() < (0.6 if len(own) > KEPT else 0.15):
            return "delete", partial(self._delete, client, rng.choice(own))
        if own and rng.random() < 0.15:
            return "download", partial(self._download, client, rng.choice(own)[0])
        if self._unfinished:
            name, what, token = self._unfinished[0]
            return "resumed upload", partial(self._resume, client, name, what, token)
        draw = rng.random()
        self._count += 1
        name = f"{self._number}/{self._count}"
        if draw < 0.25:
            what = rng.choice(self._shared)
            if rng.random() < 0.3:
                return "one-line upload", partial(self._upload, client, name, what)
            return "known content", partial(self._known, client, name, what)
        if draw < 0.45:
            what = content(rng, 0, 64 * 1024)
            return "one-line upload", partial(self._upload, client, name, what)
        if draw < 0.55:
            return "pipelined uploads", partial(self._upload_many, client, name)
        if draw < 0.7:
            what = content(rng, 65 * 1024, 1024 * 1024)
            return "prompted upload", partial(self._upload, client, name, what)
        what = content(rng, LARGE // 16, LARGE)
        if draw < 0.85:
            self._unfinished.append((name, what, f"drill:{self._number}:{self._count}"))
            return self._choose(client)
        return "resumed upload", partial(self._retry, name, what)

    # Each request

    async def _upload(self, client: XferClientProtocol, name: str, what: Content) -> None:
        self._journal.asked_to_store(name, what)
        await client.upload(what.data, name)
        self._journal.stored(name, what)

    async def _upload_many(self, client: XferClientProtocol, name: str) -> None:
        rng = self._rng
        whats = [content(rng, 0, 20 * 1024) for _ in range(rng.randint(2, 12))]
        whats += rng.choices([*whats, *self._shared], k=4)
        files = {f"{name}/{number}": what for number, what in enumerate(whats)}
        for each, what in files.items():
            self._journal.asked_to_store(each, what)

        def told(each: str, outcome: Entry | Exception) -> None:
            if isinstance(outcome, Exception):
                self._journal.fail(f"{each}: {type(outcome).__name__}: {outcome}")
            else:
                self._journal.stored(each, files[each])

        await client.upload_many([(what.data, each) for each, what in files.items()], told)

    async def _known(self, client: XferClientProtocol, name: str, what: Content) -> None:
        self._journal.asked_to_store(name, what)
        with self._journal.under("sha256:" + what.sha256):
            await client.resume(what.data, name)
        self._journal.stored(name, what)

    async def _resume(
        self, client: XferClientProtocol, name: str, what: Content, token: str
    ) -> None:
        self._journal.asked_to_store(name, what)
        self._offset = 0
        with self._journal.under(token):
            await client.resume(what.data, name, token)
        self._acknowledged(name, what)
        self._unfinished.pop(0)

    async def _retry(self, name: str, what: Content) -> None:
        self._journal.asked_to_store(name, what)
        self._drill.retrying.add((name, what))
        self._offset = 0
        with self._journal.under("sha256:" + what.sha256):
            await self._retrying.upload(what.data, name)
        self._drill.retrying.discard((name, what))
        self._acknowledged(name, what)

    def _acknowledged(self, name: str, what: Content) -> None:
        self._journal.stored(name, what)
        if self._offset:
            count, saved = self._drill.tally.resumed
            self._drill.tally.resumed = (count + 1, saved + self._offset)

    async def _delete(self, client: XferClientProtocol, key: tuple[str, str]) -> None:
        self._journal.asked_to_delete(key)
        await client.delete(*key)
        self._journal.deleted(key)

    async def _download(self, client: XferClientProtocol, id: str) -> None:
        target = self._drill.directory / f"fetched-{self._number}"
        await client.download(id, target, replace=True)
        if target.read_bytes() != self._journal.contents[id].data:
            self._journal.fail(f"the download of {id} has other bytes")
