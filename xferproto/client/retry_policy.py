"""Decide whether a failed request is tried again, and when."""

from __future__ import annotations

from twisted.application.internet import backoffPolicy
from twisted.internet.error import ConnectError, DNSLookupError

from xferproto.client.callbacks import Progress
from xferproto.model.errors import Corrupt, NoSuchFile, XferError

FOR_UPLOADS: tuple[type[XferError], ...] = (NoSuchFile, Corrupt)
"""What uploads are tried again for: a content that the depot had may be gone, and is sent then."""

BACKOFF = backoffPolicy(initialDelay=1.0, maxDelay=60.0)
"""Seconds to wait after so many failures: longer each time, with jitter, up to a minute."""


def worth_another_try(error: BaseException, also: tuple[type[XferError], ...] = ()) -> bool:
    """
    Return whether a failed request may succeed the next time.

    @param also: the errors for which it may, beside those that are retryable by themselves.
    """
    if isinstance(error, XferError):
        return error.retryable or isinstance(error, also)
    return isinstance(error, ConnectError | DNSLookupError)


class Headway:
    """
    Find out whether a transfer makes progress: whether a try gets further, or begins further, than
    any before it. That happens a limited number of times.

    @param progress: the caller's; called with all that L{progressed} is.
    @param kept: whether the next try finds all transferred bytes again, so that its beginning is no
        news.
    """

    def __init__(self, progress: Progress | None, kept: bool = False) -> None:
        self._progress = progress
        self._kept = kept
        self._began = self._reached = 0
        self._beginning = True
        self._further = False

    def progressed(self, done: int, total: int) -> None:
        """Note how many bytes are through; a L{Progress<xferproto.client.callbacks.Progress>}."""
        if self._beginning and done > self._began and not self._kept:
            self._began = done
            self._further = True
        self._beginning = False
        if done > self._reached:
            self._reached = done
            self._further = True
        if self._progress is not None:
            self._progress(done, total)

    def came_along(self) -> bool:
        """Whether there was progress since the last call; called between two tries."""
        further, self._further = self._further, False
        self._beginning = True
        return further
