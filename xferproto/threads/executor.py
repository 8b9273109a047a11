"""Where blocking work is done: on threads, never on the reactor's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
R = TypeVar("R")


class Executor(Protocol):
    """Runs functions that block. Called, and answering, on the reactor's thread."""

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Call C{work} elsewhere; the Deferred fires with what it returned or raised."""

    def report(self, tell: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """
        From within C{work}: have C{tell} called on the reactor's thread, before the Deferred fires.
        """


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

    def report(self, tell: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        self._reactor.callFromThread(tell, *args, **kwargs)


def undone_if_cancelled(making: Deferred[R], undo: Callable[[R], object]) -> Deferred[R]:
    """
    A Deferred that may be cancelled without what is being made being lost from sight.

    @param making: fires with what was made, on whatever thread.
    @param undo: called with it when nobody wants it any more; may block for a moment.
    """
    wanted: Deferred[R] = Deferred()

    def made(result: R) -> None:
        if wanted.called:
            undo(result)
        else:
            wanted.callback(result)

    def failed(failure: Failure) -> None:
        if not wanted.called:
            wanted.errback(failure)

    making.addCallbacks(made, failed)
    return wanted


async def finished(work: Deferred[R], undo: Callable[[R], object] = lambda result: None) -> R:
    """
    Wait for what a thread does, to its end also when that is cancelled: then it is undone.

    @param work: fires when it has done it.
    @param undo: as for L{undone_if_cancelled}.
    """
    try:
        return await undone_if_cancelled(work, undo)
    except CancelledError:
        await work
        raise
