"""Executors for tests: work is done at once, or when the test says so; never on a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

P = ParamSpec("P")
R = TypeVar("R")


class InlineExecutor:
    """Does all work at once, on the caller's thread."""

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        return execute(work, *args, **kwargs)

    def report(self, callback: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        callback(*args, **kwargs)


class SteppedExecutor:
    """Does work when L{step} or L{run_all} is called, in the order in which it came."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        result: Deferred[R] = Deferred()
        self._waiting.append((result, lambda: work(*args, **kwargs)))
        return result

    def report(self, callback: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        callback(*args, **kwargs)

    def step(self) -> None:
        """Do what has waited longest."""
        result, work = self._waiting.pop(0)
        try:
            value = work()
        except Exception:
            result.errback(Failure())
        else:
            result.callback(value)

    def run_all(self) -> None:
        """Do everything that waits, and what comes of it."""
        while self._waiting:
            self.step()


class GatedExecutor(SteppedExecutor):
    """
    Does work at once while it is open, else when L{step} or L{run_all} is called.

    @ivar open: whether it is.
    """

    open = True

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        if self.open:
            return execute(work, *args, **kwargs)
        return super().run(work, *args, **kwargs)
