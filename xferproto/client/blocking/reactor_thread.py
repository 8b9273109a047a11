"""
A reactor of xfer's own on a thread of its own, for callers that block.

It is never C{twisted.internet.reactor}, which the program may run itself. All
clients of a process share it; it is started with the first lease and ends with the last, or with
the interpreter.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

from xferproto.client.blocking.call import GRACE, Call

R = TypeVar("R")

REACTORS = (
    ("twisted.internet.epollreactor", "EPollReactor"),
    ("twisted.internet.pollreactor", "PollReactor"),
    ("twisted.internet.selectreactor", "SelectReactor"),
)
"""Modules and classes of reactors, the best first; not every system has all of them."""

THREADS = 6
"""Threads that read, hash and write, and look up names."""

CLOSING = 5.0
"""Seconds to close a connection properly, before it is cut."""

CLOSED = "This client is closed; make a new one."
ENDING = "The interpreter is ending: there is no time left for requests."
DEADLOCK = (
    "A blocking request was made on the thread that would have to answer it, and would wait for "
    "ever; make it on another thread."
)

_lock = threading.RLock()
"""
Guards everything here that more than one thread changes. Held for moments, and reentrant, because
a collected client may end its lease at any line.
"""

_current: ReactorThread | None = None
_exiting = False
_left_behind: list[ReactorThread] = []


def locked() -> threading.RLock:
    """Hold the lock in a context."""
    return _lock


def new_reactor() -> Any:
    """Make a reactor that nothing else uses."""
    for module, name in REACTORS:
        try:
            reactor = getattr(import_module(module), name)()
        except ImportError:  # not on this system
            continue
        # What Twisted takes for the thread of I/O stays that of the program's own reactor.
        reactor._registerAsIOThread = False
        # All at once: while an interpreter ends, some (Python 3.12) let no thread begin any more.
        reactor.getThreadPool().adjustPoolsize(THREADS, THREADS)
        return reactor
    raise ImportError("there is no reactor for this system")


class ReactorThread:
    """
    Run a reactor on a thread.

    @ivar pid: the process that the thread is in; a fork leaves it behind there.
    @ivar leases: the leases; the thread ends with the last one.
    @ivar calls: the calls that run or wait.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.reactor = new_reactor()
        self.leases: set[Lease] = set()
        self.calls: set[Call[Any]] = set()
        self._ended = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="xfer", daemon=True)

    def start(self) -> None:
        """
        Start the thread.

        @raise RuntimeError: the interpreter is ending, and starts no more threads.
        """
        try:
            self._thread.start()
        except BaseException:
            _close(self.reactor)
            raise

    @property
    def usable(self) -> bool:
        """Whether requests can be made: the thread is of this process, and has not ended."""
        return not self._ended and self.pid == os.getpid()

    @property
    def here(self) -> bool:
        """Whether the caller is on this thread."""
        return threading.current_thread() is self._thread

    def post(self, function: Callable[..., object], *arguments: object) -> bool:
        """
        Call a function on the reactor's thread.

        @return: whether there is a reactor that will call it.
        """
        with _lock:
            if not self.usable:
                return False
            self.reactor.callFromThread(function, *arguments)
            return True

    def join(self) -> None:
        """Wait until the thread has ended, for a limited time, as it may be stuck."""
        if not self.here:
            self._thread.join(GRACE)

    def _run(self) -> None:
        try:
            self.reactor.run(installSignalHandlers=False)
        finally:
            with _lock:
                self._ended = True
                _close(self.reactor)
                calls, self.calls = self.calls, set()
            for call in calls:
                call.fail(RuntimeError(CLOSED))

    # On the reactor's thread

    def ended(self, call: Call[Any]) -> None:
        """Remove a call that has ended."""
        with _lock:
            self.calls.discard(call)

    def released(self, lease: Lease) -> None:
        """Remove a lease that has ended."""
        global _current
        with _lock:
            self.leases.discard(lease)
            if self.leases:
                return
            if _current is self:
                _current = None  # who comes now starts another one
        self._stop()

    async def wind_up(self) -> None:
        """End with the interpreter: cancel all calls, so that they leave no temporary files."""
        with _lock:
            calls = list(self.calls)
        for call in calls:
            call.abandon()
        await DeferredList([call.ended for call in calls])
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self.reactor.stop()


def _close(reactor: Any) -> None:
    """Close what a stopped reactor still holds open."""
    waker, reactor.waker = reactor.waker, None
    if waker is not None:
        with suppress(Exception):
            reactor.removeReader(waker)
        waker.connectionLost(None)
    with suppress(AttributeError):  # of epoll alone
        reactor._poller.close()


class Lease:
    """
    Share the reactor's thread with one client. Calls fail after the lease has ended.

    @ivar thread: the thread.
    """

    def __init__(self, thread: ReactorThread) -> None:
        self.thread = thread
        self._ending = False

    @property
    def reactor(self) -> Any:
        return self.thread.reactor

    def check_thread(self) -> None:
        """
        Check that this thread may wait.

        @raise RuntimeError: it is the reactor's, which has to do the work.
        """
        if self.thread.here:
            raise RuntimeError(DEADLOCK)

    def call(self, request: Callable[[Call[R]], Deferred[R]], timeout: float | None = None) -> R:
        """
        Make a request on the reactor's thread, and wait for its answer on this one.

        @param request: makes it; gets the call, which calls callbacks on this thread.
        @param timeout: seconds after which it is cancelled; None for no limit.
        @raise RuntimeError: this is the reactor's thread, or the lease has ended.
        @raise TimeoutError: it took longer than C{timeout}.
        """
        self.check_thread()
        call: Call[R] = Call(request, self.thread.post, self.thread.ended)
        if _exiting and threading.current_thread().daemon:
            call.abandon()  # it ends with the interpreter, and without a word
            return call.wait(None, lambda: None)
        return call.wait(timeout, lambda: self._begin(call, self))

    def _begin(self, call: Call[Any], owner: Lease | None) -> None:
        with _lock:
            if (owner and self._ending) or not self.thread.post(call.begin):
                raise RuntimeError(ENDING if _exiting else CLOSED)
            self.thread.calls.add(call)
            call.owner = owner

    def end(self, goodbye: Callable[[], Awaitable[object]]) -> None:
        """
        Cancel all calls, close the connection, and end the lease.

        @param goodbye: closes the connection; called on the reactor's thread.
        """
        with _lock:
            self._ending = True
        ending = Call(lambda call: self._end(goodbye), self.thread.post, self.thread.ended)
        with suppress(RuntimeError, TimeoutError):  # the thread has ended, or does not
            ending.wait(CLOSING + GRACE, lambda: self._begin(ending, None))
        if not self.thread.leases:
            self.thread.join()

    def abandon(self, goodbye: Callable[[], Awaitable[object]]) -> None:
        """End the lease without waiting, from any line where the garbage collector runs."""
        self.thread.post(lambda: self._end(goodbye))

    def _end(self, goodbye: Callable[[], Awaitable[object]]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._finish(goodbye))

    async def _finish(self, goodbye: Callable[[], Awaitable[object]]) -> None:
        with _lock:
            calls = [call for call in self.thread.calls if call.owner is self]

        async def finish() -> None:
            await DeferredList([call.ended for call in calls])
            await goodbye()

        for call in calls:
            call.cancel(RuntimeError(CLOSED))
        try:
            with suppress(Exception):  # it is closed in any case
                await Deferred.fromCoroutine(finish()).addTimeout(CLOSING, self.reactor)
        finally:
            self.thread.released(self)


def lease() -> Lease:
    """
    Lease the reactor's thread of this process, and start it if there is none.

    @raise RuntimeError: the interpreter is ending.
    """
    global _current
    with _lock:
        if _exiting:
            raise RuntimeError(ENDING)
        thread = _current
        if thread is None or not thread.usable:
            thread = ReactorThread()
            thread.start()
            _current = thread
        share = Lease(thread)
        thread.leases.add(share)
        return share


@atexit.register
def _at_exit() -> None:
    """End the thread before the interpreter ends."""
    global _exiting
    with _lock:
        _exiting = True
        thread = _current
    if thread is not None and thread.post(lambda: Deferred.fromCoroutine(thread.wind_up())):
        thread.join()


def _after_fork() -> None:
    """
    Leave the parent's thread alone in a forked child, which does not have it.

    The objects are never collected, because their code would talk on the parent's connections when
    it closes them. Only the child's copies of the descriptors are closed, so that the connections
    end with the parent.
    """
    global _lock, _current
    _lock = threading.RLock()
    thread, _current = _current, None
    if thread is not None:
        _left_behind.append(thread)
        with suppress(Exception):
            for descriptor in {*thread.reactor.getReaders(), *thread.reactor.getWriters()}:
                if (socket := getattr(descriptor, "socket", None)) is not None:
                    socket.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
