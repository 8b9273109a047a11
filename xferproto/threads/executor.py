"""Run blocking work on threads, never on the reactor's own."""

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
    """Run functions that block. Both calls and results are on the reactor's thread."""

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Call C{work} on a thread; the Deferred fires with what it returned or raised."""

    def report(self, callback: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """
        Call C{callback} on the reactor's thread before the Deferred fires; for use within C{work}.
        """


class ThreadExecutor:
    """
    Run functions on the threads of a pool.

    @param reactor: results come back on its thread.
    @param pool: the caller starts and stops it; a pool of one thread keeps the order of the calls.
    """

    def __init__(self, reactor: IReactorFromThreads, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        result: Deferred[Any] = deferToThreadPool(self._reactor, self._pool, work, *args, **kwargs)
        return result

    def report(self, callback: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        self._reactor.callFromThread(callback, *args, **kwargs)


def undone_if_cancelled(making: Deferred[R], undo: Callable[[R], object]) -> Deferred[R]:
    """
    Return a Deferred that may be cancelled; what is made all the same is undone.

    @param making: fires with what was made; it is not cancelled.
    @param undo: called with what was made after a cancellation; may block for a moment.
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
    Wait for work on a thread to end, even when the waiter is cancelled; undo it then.

    @param work: fires when the work has ended.
    @param undo: as for L{undone_if_cancelled}.
    @raise CancelledError: after the work has ended.
    """
    try:
        return await undone_if_cancelled(work, undo)
    except CancelledError:
        await work
        raise
