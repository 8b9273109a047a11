"""Handle SIGHUP and SIGUSR1, so that neither ends a service."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any


class SignalCall:
    """
    Call a function on a signal, in the reactor's thread, after the former handler.

    @param reactor: runs the call.
    @param number: the signal.
    @param call: raises nothing.
    """

    def __init__(self, reactor: Any, number: signal.Signals, call: Callable[[], None]) -> None:
        self._reactor = reactor
        self._number = number
        self._call = call
        self._before: Any = None

    def start(self) -> None:
        """Install the handler; only in the main thread."""
        self._before = signal.signal(self._number, self._received)

    def stop(self) -> None:
        """Restore the former handler."""
        signal.signal(self._number, self._before or signal.SIG_DFL)

    @property
    def follows(self) -> bool:
        """Whether there was a handler before, which still runs."""
        return callable(self._before)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before):
            self._before(number, frame)
        self._reactor.callFromThread(self._call)


class OperatorSignals:
    """
    Reload files on SIGHUP, and log the rotation on SIGUSR1.

    twistd itself rotates its log file on SIGUSR1, where it has one. Both signals are logged.

    @param reactor: runs the reloads.
    @param notify: logs a line.
    @param reloads: the functions that reload, by what they reload, as words with an article.
    """

    def __init__(
        self, reactor: Any, notify: Callable[[str], None], reloads: Mapping[str, Callable[[], None]]
    ) -> None:
        self._notify = notify
        self._reloads = reloads
        self._hangup = SignalCall(reactor, signal.SIGHUP, self._reload)
        self._rotation = SignalCall(reactor, signal.SIGUSR1, self._rotated)

    def start(self) -> None:
        """Install the handlers; only in the main thread."""
        self._hangup.start()
        self._rotation.start()

    def stop(self) -> None:
        """Restore the former handlers."""
        self._hangup.stop()
        self._rotation.stop()

    def _reload(self) -> None:
        if not self._reloads:
            self._notify("SIGHUP: there is nothing to read again")
            return
        self._notify(f"SIGHUP: reading {' and '.join(self._reloads)} again")
        for read in self._reloads.values():
            read()

    def _rotated(self) -> None:
        if self._rotation.follows:
            self._notify("SIGUSR1: the log file is rotated")
        else:
            self._notify("SIGUSR1: there is no log file to rotate")
