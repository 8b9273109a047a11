"""Requests that a thread waits for, while a reactor on another thread does the work."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

P = ParamSpec("P")
R = TypeVar("R")

GRACE = 10.0
"""Seconds that a thread waits for the end of a request that it has cancelled."""


class Post(Protocol):
    """Call a function on the reactor's thread later, and return whether that will happen."""

    def __call__(self, function: Callable[..., object], *arguments: object) -> bool: ...


class Call(Generic[R]):
    """
    Run a request on the reactor's thread, and its callbacks on the thread that waits for it.

    The output of a notebook's cell may belong to that thread, or a database may be usable on that
    thread only.

    @param request: makes the request, on the reactor's thread.
    @param post: calls functions on that thread.
    @param through: called there when the request has ended, however it did.

    @ivar ended: fires there, after C{through}.
    @ivar owner: whose request it is.
    """

    def __init__(
        self,
        request: Callable[[Call[R]], Deferred[R]],
        post: Post,
        through: Callable[[Call[R]], object],
    ) -> None:
        self.ended: Deferred[None] = Deferred()
        self.owner: object = None
        self._request = request
        self._post = post
        self._through = through
        self._mail: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._under_way: Deferred[R] | None = None
        self._over = False
        self._reason: Exception | None = None
        self._abandoned = False
        self._result: list[R] = []
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    # On the thread that waits

    def wait(self, timeout: float | None, ask: Callable[[], object]) -> R:
        """
        Return the result of the request, or cancel it when that is waited for no longer.

        @param timeout: the most seconds to wait; None for no limit.
        @param ask: calls L{begin} on the reactor's thread; it is called within, because Ctrl-C may
            come at any line after it.
        @raise TimeoutError: there was no result by then.
        @raise BaseException: what the request, or a callback, failed with; C{KeyboardInterrupt}.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            ask()
            while (callback := self._next(end)) is not None:
                callback()
        except BaseException:
            self._give_up()
            raise
        if self._error is not None:
            try:
                raise self._error.with_traceback(self._traceback)
            finally:  # no circle of the error, its traceback, and this frame
                self._error = self._traceback = None
        return self._result[0]

    def _next(self, end: float | None) -> Callable[[], object] | None:
        """Return the next callback; None when the request has ended."""
        try:
            return self._mail.get(timeout=None if end is None else max(end - time.monotonic(), 0))
        except Empty:
            raise TimeoutError("The request has taken longer than it may.") from None

    def _give_up(self) -> None:
        """Cancel the request, and wait until it has ended."""
        if not self._post(self.cancel):
            return
        end = time.monotonic() + GRACE
        with suppress(TimeoutError):
            # The None at the end may have been taken just before the interruption.
            while not self._over and self._next(end) is not None:
                pass

    def busy(self) -> bool:
        """Whether callbacks are waiting."""
        return not self._mail.empty()

    # On the reactor's thread

    def begin(self) -> None:
        """Make the request, unless it was cancelled already."""
        if not self._over:
            copy_context().run(self._begin)

    def _begin(self) -> None:
        CALL.set(self)
        try:
            self._under_way = self._request(self)
        except Exception:
            self._failed(Failure())
        else:
            self._under_way.addCallbacks(self._succeeded, self._failed)

    def cancel(self, reason: Exception | None = None) -> None:
        """
        Cancel the request.

        @param reason: what it fails with then.
        """
        self._reason = reason
        if self._under_way is None:
            self.fail(reason or CancelledError())
        else:
            self._under_way.cancel()

    def abandon(self) -> None:
        """Cancel the request without ending the wait: the thread ends with the interpreter."""
        self._abandoned = True
        self.cancel()

    def fail(self, error: Exception) -> None:
        """End the request with an error, because the reactor stops."""
        self._end(error)

    def tell(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function on the thread that waits."""
        self._mail.put(lambda: function(*args, **kwargs))

    def latest(self, function: Callable[P, object] | None) -> Callable[P, None] | None:
        """
        Return a function that calls C{function} on the thread that waits, with its latest arguments
        only, as that thread may be slow.
        """
        if function is None:
            return None
        latest: deque[tuple[Any, Any]] = deque(maxlen=1)
        posted: list[None] = []

        def deliver() -> None:
            posted.clear()  # first: what comes from here on is posted again
            if latest:
                args, kwargs = latest.pop()
                function(*args, **kwargs)

        def tell(*args: P.args, **kwargs: P.kwargs) -> None:
            latest.append((args, kwargs))
            if not posted:
                posted.append(None)
                self._mail.put(deliver)

        return tell

    def _succeeded(self, result: R) -> None:
        self._result.append(result)
        self._end()

    def _failed(self, failure: Failure) -> None:
        # A cancelled request fails with any error.
        error: BaseException = self._reason or failure.value  # type: ignore[assignment]
        self._end(error, error.__traceback__)

    def _end(
        self, error: BaseException | None = None, traceback: TracebackType | None = None
    ) -> None:
        if self._over:
            return
        self._error, self._traceback = error, traceback
        self._over = True
        self._through(self)
        if not self._abandoned:
            self._mail.put(None)
        self.ended.callback(None)


CALL: ContextVar[Call[Any]] = ContextVar("xferproto.client.blocking.call")
"""The call that the running code is part of, on the reactor's thread."""
