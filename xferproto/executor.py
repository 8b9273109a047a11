"""Where blocking work is done: on threads, never on the reactor's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
R = TypeVar("R")


class Executor(Protocol):
    """Runs functions that block. Called, and answering, on the reactor's thread."""

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Call C{work} elsewhere; the Deferred fires with what it returned or raised."""


class ThreadExecutor:
    """
    An L{Executor} on the threads of a pool.

    @param reactor: gets the results back onto its thread.
    @param pool: runs the work, and is started and stopped by whoever made it; a pool of one thread
        keeps the order of the calls.
    """

    def __init__(self, reactor: IReactorFromThreads, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        result: Deferred[Any] = deferToThreadPool(self._reactor, self._pool, work, *args, **kwargs)
        return result
