"""Requests over a connection that are sent without waiting for earlier answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from xferproto.client.connection import Connection
from xferproto.client.pipeline import Pipeline
from xferproto.transfer.sender import Sender

T = TypeVar("T")


@contextlib.asynccontextmanager
async def sending(connection: Connection, pipeline: Pipeline[Any, Any]) -> AsyncIterator[None]:
    """
    Send what a pipeline has, up to what must be alone, within this context.

    Within, the answers are received: see L{answered}.
    """
    pipeline.begin()
    sender = Sender(
        connection.transport, lambda: Deferred.fromCoroutine(_next_batch(connection, pipeline))
    )
    ended: Deferred[None] = Deferred()

    async def send() -> None:
        failure: Exception | None = None
        try:
            await sender.run()
        except Exception as error:
            failure = error
        ended.callback(None)
        pipeline.end(failure)

    with connection.sending(sender, until_reply=False):
        Deferred.fromCoroutine(send())
        try:
            yield
        finally:
            sender.stopProducing()
            pipeline.end()
            await ended


async def _next_batch(connection: Connection, pipeline: Pipeline[Any, Any]) -> bytes:
    """Return what to send next for these requests, nothing at the end."""
    while (batch := await pipeline.prepared()) is not None:
        if batch.wire:
            connection.begin_exchange()
            connection.regulate()  # who takes the answers may be waiting for the disk
            for request in batch.requests:
                if request.line:
                    connection.settings.trace(">", request.line)
        pipeline.put(batch)
        if batch.wire:
            return batch.wire
    return b""


def answered(connection: Connection, pipeline: Pipeline[Any, Any]) -> None:
    """Note that the answer to a pipeline's first request is complete."""
    pipeline.pop()
    if not pipeline.unanswered:
        connection.end_exchange()
        connection.patience.stop()


async def without_patience(connection: Connection, work: Awaitable[T]) -> T:
    """Wait for work of this machine; the server, which is held back meanwhile, is not to blame."""
    connection.patience.stop()
    result = await work
    if connection.awaits_answer:
        connection.patience.start()
    return result
