"""The order of the requests of a connection: one after the other."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from xferproto.client.callbacks import OnWait
from xferproto.client.connection import Connection

R = TypeVar("R")


class RequestQueue:
    """
    Let each request have the connection for itself, in the order in which they were made.

    @param connection: what they use.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = DeferredLock()

    def run(
        self, request: Coroutine[Deferred[Any], Any, R], on_wait: OnWait | None = None
    ) -> Deferred[R]:
        """
        Run a request when those before it have ended.

        @param on_wait: called with what the server's WAIT lines say meanwhile.
        @return: fires with what the request returns. Cancelling it closes the connection, if the
            request has been sent.
        """
        return Deferred.fromCoroutine(self._run(request, on_wait))

    async def _run(self, request: Coroutine[Deferred[Any], Any, R], on_wait: OnWait | None) -> R:
        try:
            await self._turn.acquire()
        except BaseException:
            request.close()
            raise
        try:
            try:
                self._connection.begin_request(on_wait)
            except BaseException:
                request.close()
                raise
            return await request
        finally:
            self._connection.end_request()
            self._turn.release()
