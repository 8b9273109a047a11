"""SIGHUP and SIGUSR1, which operators send to services: neither ends one of ours."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any


class SignalCall:
    """
    Calls something on a signal, in the reactor's thread, after what the signal did before.

    @param reactor: runs the call.
    @param number: the signal.
    @param call: takes nothing and raises nothing.
    """

    def __init__(self, reactor: Any, number: signal.Signals, call: Callable[[], None]) -> None:
        self._reactor = reactor
        self._number = number
        self._call = call
        self._before: Any = None

    def start(self) -> None:
        """Listen for the signal; only in the main thread."""
        self._before = signal.signal(self._number, self._received)

    def stop(self) -> None:
        """Let the signal do what it did before."""
        signal.signal(self._number, self._before or signal.SIG_DFL)

    @property
    def follows(self) -> bool:
        """Whether the signal did something before, which it still does."""
        return callable(self._before)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before):
            self._before(number, frame)
        self._reactor.callFromThread(self._call)


class OperatorSignals:
    """
    What a service of twistd does on SIGHUP and SIGUSR1.

    On SIGHUP it reads again what it can. On SIGUSR1 twistd rotates the log where it is a file of
    its own; elsewhere nothing happens. Both are logged.

    @param reactor: runs what is done.
    @param say: logs a line.
    @param again: what is read again, as words with an article, and how.
    """

    def __init__(
        self, reactor: Any, say: Callable[[str], None], again: Mapping[str, Callable[[], None]]
    ) -> None:
        self._say = say
        self._again = again
        self._hangup = SignalCall(reactor, signal.SIGHUP, self._read_again)
        self._rotation = SignalCall(reactor, signal.SIGUSR1, self._rotated)

    def start(self) -> None:
        """Listen for the signals; only in the main thread."""
        self._hangup.start()
        self._rotation.start()

    def stop(self) -> None:
        """Let the signals do what they did before."""
        self._hangup.stop()
        self._rotation.stop()

    def _read_again(self) -> None:
        if not self._again:
            self._say("SIGHUP: there is nothing to read again")
            return
        self._say(f"SIGHUP: reading {' and '.join(self._again)} again")
        for read in self._again.values():
            read()

    def _rotated(self) -> None:
        if self._rotation.follows:
            self._say("SIGUSR1: the log file is rotated")
        else:
            self._say("SIGUSR1: there is no log file to rotate")
