"""Give up work whose client goes away while it waits."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from xferproto.model.errors import ConnectionCut

R = TypeVar("R")


class Request:
    """
    Note whether anybody still waits for the result of a piece of work.

    @ivar abandoned: whether nobody does.
    """

    def __init__(self) -> None:
        self.abandoned = False
        self._waiting: Deferred[Any] | None = None

    def abandon(self) -> None:
        """Give up: what is waited for in L{wait} is cancelled, all else goes on to its end."""
        self.abandoned = True
        if self._waiting is not None:
            self._waiting.cancel()

    def check(self) -> None:
        """
        See whether the work is still worth it.

        @raise ConnectionCut: nobody waits for it.
        """
        if self.abandoned:
            raise ConnectionCut("The connection was lost.")

    async def wait(self, waiting: Deferred[R]) -> R:
        """
        Wait in a queue, or for time to pass, for as long as somebody waits for the result.

        @param waiting: gives back what it holds when it is cancelled.
        @raise ConnectionCut: nobody waits any more.
        """
        if self.abandoned:
            waiting.cancel()
        self._waiting = waiting
        try:
            return await waiting
        except CancelledError:
            raise ConnectionCut("The connection was lost.") from None
        finally:
            self._waiting = None
