"""Feed a bulk request with files that are taken on the caller's thread, a few ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

from xferproto.client.blocking.call import Call, Post

F = TypeVar("F", bound=tuple[Any, Any])

FILES = 4096
"""The most files that are taken ahead."""

CONTENT = 8 * 1024 * 1024
"""The most bytes of their contents, except for a single larger file."""

TURN = 0.05
"""Seconds for which files are taken while callbacks wait on that thread."""


class Feed(Generic[F]):
    """
    Iterate, on the reactor's thread, over files that the caller's thread takes.

    The iterator ends when no file is ready; there may be more later: see L{ready}.

    @param files: the caller's; taken on the thread that waits for C{call}.
    @param call: the call that the files are for.
    @param post: calls functions on the reactor's thread.
    """

    def __init__(self, files: Iterator[F], call: Call[Any], post: Post) -> None:
        self._files = files
        self._call = call
        self._post = post
        self._ready: deque[F] = deque()
        # Each is changed by one thread alone; the difference is what was taken ahead, in bytes.
        self._came = self._went = 0
        self._asked = self._exhausted = False
        self._failure: Exception | None = None
        self._wanted: Deferred[None] | None = None

    # On the reactor's thread

    async def ready(self) -> bool:
        """
        Wait until a file is ready, and return whether there is one; False at the end.

        @raise Exception: what the files raised, after all those before are finished.
        """
        while not self._ready:
            if self._exhausted:
                if self._failure is not None:
                    raise self._failure
                return False
            self._wanted = Deferred()
            self._ask()
            await self._wanted
        return True

    def __iter__(self) -> Iterator[F]:
        return self

    def __next__(self) -> F:
        if not self._ready:
            raise StopIteration
        file = self._ready.popleft()
        self._went += _weight(file)
        if not self._asked and not self._exhausted and self._room > 0.5:
            self._ask()
        return file

    def _wake(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.callback(None)

    # On either

    def _ask(self) -> None:
        self._asked = True
        self._call.tell(self._fill)

    @property
    def _room(self) -> float:
        """Return the free part of the limits; below 0 after a file that is too large."""
        return 1 - max(len(self._ready) / FILES, (self._came - self._went) / CONTENT)

    # On the thread that waits

    def _fill(self) -> None:
        """Take files, until there are enough or a callback waits."""
        self._asked = False
        end = time.monotonic() + TURN
        while not self._exhausted and self._room > 0:
            self._take()
            if self._wanted is not None:
                self._post(self._wake)
            if self._call.busy() and time.monotonic() > end:
                self._ask()
                return
        self._post(self._wake)

    def _take(self) -> None:
        try:
            file = next(self._files)
            _check(file)
        except StopIteration:
            self._exhausted = True
        except Exception as error:
            self._failure = error
            self._exhausted = True
        else:
            self._came += _weight(file)
            self._ready.append(file)


def _check(file: object) -> None:
    if not isinstance(file, tuple) or len(file) != 2:
        raise TypeError(f"Each of the files is a pair, not {type(file).__name__}.")


def _weight(file: tuple[Any, Any]) -> int:
    return len(file[0]) if isinstance(file[0], bytes) else 0


def feeding(
    files: Iterable[F],
    post: Post,
    request: Callable[[Iterator[F], Call[None]], Deferred[None]],
) -> Callable[[Call[None]], Deferred[None]]:
    """
    Make a bulk request of several, each for the files that are ready.

    @param request: makes one of them: takes files as it needs them, and ends when they end.
    """
    taken = iter(files)

    async def through(call: Call[None]) -> None:
        feed = Feed(taken, call, post)
        while await feed.ready():
            await request(feed, call)

    return lambda call: Deferred.fromCoroutine(through(call))
