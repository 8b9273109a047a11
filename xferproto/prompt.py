"""Ask for a line at the terminal, such as a password that is not shown."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Iterator

_READ = 4096
"""Bytes read from a terminal at once: Linux gives no more of a line (termios(3))."""


def ask(prompt: str, shown: bool = True) -> str:
    """
    Ask at the terminal, which need not be standard input, and read one line.

    C{getpass} and C{input} do the same, but lose a signal that comes between their last check for
    signals and the read: then Ctrl-C does nothing until a line is typed. Here the signal itself
    ends the wait (C{signal.set_wakeup_fd}).

    @param shown: whether the terminal shows what is typed.
    @return: the line without its end.
    @raise OSError: there is no terminal.
    @raise EOFError: the input ended before anything was typed.
    @raise KeyboardInterrupt: Ctrl-C was typed.
    @raise UnicodeDecodeError: the line is not UTF-8.
    """
    with _terminal() as terminal, _woken_by_signals() as woken:
        before = termios.tcgetattr(terminal)
        asking = [*before]
        if not shown:
            asking[3] &= ~termios.ECHO
        try:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, asking)
            _write(terminal, prompt.encode())
            line = _line(terminal, woken)
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
            if not shown:
                _write(terminal, b"\n")
    if not line:
        raise EOFError
    return line.removesuffix(b"\n").removesuffix(b"\r").decode()


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    """
    Open the terminal, and yield its descriptor.

    @raise OSError: there is no terminal.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        if sys.stdin is None or not sys.stdin.isatty():
            raise
        terminal = os.dup(sys.stdin.fileno())
    try:
        yield terminal
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _woken_by_signals() -> Iterator[int]:
    """Yield a descriptor that becomes readable when the main thread gets a signal."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        if threading.current_thread() is not threading.main_thread():
            yield reader  # Python handles signals in the main thread only
            return
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
    finally:
        os.close(reader)
        os.close(writer)


def _line(terminal: int, woken: int) -> bytes:
    """Read bytes up to a line end, or to the end of the input."""
    poll = select.poll()
    poll.register(terminal, select.POLLIN)
    poll.register(woken, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        ready = [fd for fd, _ in poll.poll()]
        if woken in ready:  # Python has called the signal's handler by now
            with contextlib.suppress(BlockingIOError):
                os.read(woken, _READ)
        if terminal in ready:
            data = os.read(terminal, _READ)
            if not data:
                break
            line += data
    return line


def _write(terminal: int, data: bytes) -> None:
    while data:
        data = data[os.write(terminal, data) :]
