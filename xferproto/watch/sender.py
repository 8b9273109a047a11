"""Send files: small ones many at a time, others one by one, large ones on a connection apart."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.client.retry import RetryingClient
from xferproto.client.source import ONE_LINE, read_small
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    ConnectionCut,
    HashMismatch,
    RequestError,
    Scope,
    SourceChanged,
    XferError,
)
from xferproto.model.escape import quoted
from xferproto.model.units import duration
from xferproto.watch.context import WatchContext
from xferproto.watch.directory import DirectoryGone
from xferproto.watch.disposition import AGAIN, Disposition
from xferproto.watch.failure_policy import Decision, FailureKind, decide
from xferproto.watch.journal import Row, State, begun
from xferproto.watch.queue import Item
from xferproto.watch.walk import Identity

CUTS = 3
"""How many connections in a row may be lost during a file before others have a turn."""

REFUSALS = 10
"""Refusals in a row after which a new connection is made; a depot closes one after twenty."""

FIRST_PAUSE = 60.0
LONGEST_PAUSE = 900.0
"""Seconds until a temporarily refused file is tried again: longer each time."""

log = Logger()


class FileSender:
    """
    Send the files of the queue to the depot.

    @param client: makes a client that tries each request once.
    @param disposition: gets the files that were sent or have failed for good.
    @param again: called with the path of a file that has to be looked at again.
    @ivar under_way: the files that are being sent.
    """

    def __init__(
        self,
        context: WatchContext,
        client: Callable[[], RetryingClient],
        disposition: Disposition,
        again: Callable[[str], object],
    ) -> None:
        self._clock = context.clock
        self._disk = context.disk
        self._journal = context.journal
        self._queue = context.queue
        self._breaker = context.breaker
        self._counters = context.counters
        self._directory = context.directory
        self._fail = context.failed
        self._root = context.directory.path
        self._prefix = context.settings.prefix
        self._client = client
        self._disposition = disposition
        self._again = again
        self._refusals: dict[RetryingClient, int] = {}
        self._begun: dict[str, str] = {}  # tokens of large files of which the depot may have a part
        self._stale: list[tuple[str, str]] = []  # names and tokens that will not be resumed
        self._tasks: list[Deferred[None]] = []
        self.under_way: list[Item] = []

    def start(self) -> None:
        """Send the files of the queue, now and later."""
        for send in (self._send_others, self._send_large):
            self._tasks.append(Deferred.fromCoroutine(self._run(send)))

    def stop(self) -> None:
        """Stop sending; uploads that are under way can be resumed."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.addErrback(lambda failure: failure.trap(CancelledError) and None)
            task.cancel()

    async def _run(
        self, send: Callable[[RetryingClient], Coroutine[Deferred[Any], Any, None]]
    ) -> None:
        client = self._client()
        try:
            while True:
                try:
                    await send(client)
                except CancelledError:
                    raise
                except Exception:
                    log.failure("this should not have happened")
                    await deferLater(self._clock, AGAIN)
                if self._counters.troubled is not None:
                    await deferLater(self._clock, AGAIN)
        finally:
            client.disconnect()

    async def _send_others(self, client: RetryingClient) -> None:
        if not self._queue.some:
            await self._queue.more()
            return
        async with self._breaker.attempt():
            if items := self._queue.take_bulk():
                await self._send_bulk(client, items)
                if self._breaker.up is False:
                    return
            if (item := self._queue.take_single()) is not None:
                await self._send_one(client, item)

    async def _send_large(self, client: RetryingClient) -> None:
        if not self._queue.some_large:
            await self._queue.more()
            return
        async with self._breaker.attempt():
            if (item := self._queue.take_large()) is not None:
                log.info("sending {name} size={size}", name=quoted(item.path), size=item.size)
                await self._send_one(client, item)

    # One by one

    async def _send_one(self, client: RetryingClient, item: Item) -> None:
        started = self._clock.seconds()
        offset: int | None = None
        reached = item.sent

        def progress(done: int, total: int) -> None:
            nonlocal offset
            offset = done if offset is None else offset
            item.sent = done
            self._breaker.worked()
            self._counters.changed()

        self.under_way.append(item)
        try:
            token = await self._token(item)
            before = self._begun.pop(item.path, token)
            if before != token:  # the file has changed since a part was sent
                self._stale.append((self._prefix + item.path, before))
            if item.size > ONE_LINE:
                self._begun[item.path] = token
            entry = await client.upload(
                f"{self._root}/{item.path}", self._prefix + item.path, progress, token
            )
        except CancelledError:
            raise
        except Exception as error:
            if isinstance(error, SourceChanged):  # the client has discarded the part
                self._begun.pop(item.path, None)
            item.cuts = 0 if item.sent > reached else item.cuts
            await self._failed(item, error)
            await self._refused(client, isinstance(error, RequestError))
        else:
            self._begun.pop(item.path, None)
            await self._refused(client, 0)
            self._breaker.worked()
            sent = entry.size - (offset or 0)
            self._disposition.sent(item, entry.id, sent, self._clock.seconds() - started)
            while self._stale:  # the depot is there now
                await client.discard(*self._stale.pop())
        finally:
            self.under_way.remove(item)

    async def _token(self, item: Item) -> str:
        if item.size > ONE_LINE:
            return fingerprint_token(self._journal.marker, item.identity)
        # It may have been sent in bulk, without a token: ask for its content.
        content = await self._disk.run(read_small, f"{self._root}/{item.path}", ONE_LINE)
        if content is None:
            raise SourceChanged(f"{item.path} is larger than it was.")
        return "sha256:" + hashlib.sha256(content).hexdigest()

    # Many at a time

    async def _send_bulk(self, client: RetryingClient, items: list[Item]) -> None:
        waiting = {self._prefix + item.path: item for item in items}
        refused: list[tuple[Item, Exception]] = []
        started = self._clock.seconds()

        def on_result(name: str, outcome: Entry | Exception) -> None:
            item = waiting.pop(name)
            if isinstance(outcome, Entry):
                self._breaker.worked()
                seconds = self._clock.seconds() - started
                self._disposition.sent(item, outcome.id, outcome.size, seconds)
            else:
                refused.append((item, outcome))

        self.under_way += items
        lost: Exception | None = None
        try:
            # If no answer comes, the next start knows that the depot may have them.
            await self._disk.run(self._journal.write, [begun(item.file) for item in items])
            self._counters.no_trouble()
            files = [(f"{self._root}/{item.path}", name) for name, item in waiting.items()]
            await client.upload_many(files, on_result)
        except CancelledError:
            raise
        except sqlite3.Error as error:
            self._counters.trouble(f"the journal can't be written: {error}")
            self._put_back(items)
            return
        except Exception as error:
            lost = error
        finally:
            taken = set(items)
            self.under_way = [item for item in self.under_way if item not in taken]
        for item, refusal in refused:
            await self._failed(item, refusal)
        if lost is not None:
            self._lost(lost, list(waiting.values()), bool(refused))
        await self._refused(client, len(refused))

    def _lost(self, error: Exception, items: list[Item], refusals: bool) -> None:
        """Take back files without an answer; C{refusals} says whether files before were refused."""
        for item in items:
            item.doubtful = item.doubtful or _was_connected(error)
        self._put_back(items)
        if refusals and isinstance(error, ConnectionCut):
            return  # the depot has closed this connection after refusals, and can be reached
        decision = self._decided(error, 0)
        if decision.kind not in (FailureKind.UNREACHABLE, FailureKind.MISCONFIGURED):
            decision = Decision(FailureKind.UNREACHABLE, decision.cause)
        self._breaker.failed(decision)

    async def _refused(self, client: RetryingClient, count: int) -> None:
        """Count refusals in a row on a connection, and close it after too many."""
        refused = self._refusals.get(client, 0) + count if count else 0
        if refused >= REFUSALS:
            await client.disconnect()
            refused = 0
        self._refusals[client] = refused

    def _put_back(self, items: list[Item]) -> None:
        for item in reversed(items):
            self._queue.put(item, first=True)

    # Failures

    def _decided(self, error: Exception, mismatches: int) -> Decision:
        decision = decide(error, mismatches)
        if decision.unexpected:
            log.failure("this should not have happened", Failure(error))
        return decision

    async def _failed(self, item: Item, error: Exception) -> None:
        decision = self._decided(error, item.mismatches)
        kind = decision.kind
        if isinstance(error, OSError) and not await self._is_there():
            return
        if kind in (FailureKind.UNREACHABLE, FailureKind.MISCONFIGURED):
            self._breaker.failed(decision)
            item.cuts += _was_connected(error)
            item.doubtful = item.doubtful or _was_connected(error)
            if item.cuts < CUTS:
                self._queue.put(item, first=True)
            else:
                await self._later(item, decision.cause)
            return
        if not isinstance(error, OSError | SourceChanged):
            self._breaker.worked()
        if kind is FailureKind.PERMANENT:
            self._disposition.failed(item, decision)
        elif isinstance(error, HashMismatch):
            item.mismatches += 1
            log.warn("{name}: {cause}; trying again", name=quoted(item.path), cause=decision.cause)
            self._queue.put(item)
        elif kind is FailureKind.TEMPORARY:
            await self._later(item, decision.cause)
        else:
            self._queue.drop(item.path)
            if kind is FailureKind.VANISHED:
                log.info("{name} vanished before it was sent", name=quoted(item.path))
            else:
                log.info("{name} {cause}", name=quoted(item.path), cause=decision.cause)
            self._again(item.path)

    async def _is_there(self) -> bool:
        """Whether the directory is there; without it, every file seems to have vanished."""
        try:
            await self._disk.run(self._directory.check)
        except DirectoryGone as error:
            self._fail(error)
            return False
        return True

    async def _later(self, item: Item, cause: str) -> None:
        pause = min(FIRST_PAUSE * 2**item.tries, LONGEST_PAUSE)
        if not item.tries:
            log.warn(
                "{name} is refused for now: {cause}; trying again in {period}, then less often",
                name=quoted(item.path),
                cause=cause.rstrip("."),
                period=duration(pause),
            )
        row = Row(
            item.identity.fingerprint,
            item.identity.changed,
            State.LATER,
            None,
            item.tries + 1,
            self._clock.seconds() + pause,
            cause,
        )
        try:
            await self._disk.run(self._journal.write, [(item.path, row)])
        except sqlite3.Error as trouble:
            self._counters.trouble(f"the journal can't be written: {trouble}")
            self._queue.put(item)
            return
        self._queue.drop(item.path)
        self._queue.not_held.add_refused(item.file)


def _was_connected(error: Exception) -> bool:
    """Return whether the connection ended without an answer: the depot may have the file."""
    if isinstance(error, RequestError):
        return False
    return isinstance(error, XferError) and error.scope is Scope.CONNECTION


def fingerprint_token(marker: str, identity: Identity) -> str:
    """
    Return the resume token of a file: the same after a restart and under another name, and another
    one when the bytes change.

    @param marker: that of the watched directory.
    """
    text = f"{marker} {identity.fingerprint}"
    return "watch:" + hashlib.sha256(text.encode()).hexdigest()
