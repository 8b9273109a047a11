"""Progress on a terminal: a bar for each big file, and a total for many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from xferproto.console.output import Output
from xferproto.escape import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SHOWN = 36
"""The most characters of a name beside a bar."""

HASHING = "hashing"
SENDING = "sending"
RECEIVING = "receiving"
COMPARING = "comparing"
SERVER_CHECKS = "server verifying"

MOVING = (SENDING, RECEIVING)
"""The phases whose bytes count for the total."""


class Bar(Protocol):
    """The progress of one file."""

    def phase(self, name: str, size: int) -> None:
        """Something else begins, which is C{size} units of work; it may be what goes on already."""

    def at(self, done: int, skipped: bool = False) -> None:
        """So much is done; C{skipped} where nothing had to be moved for it."""

    def end(self) -> None:
        """It is through, or given up."""


class Display(Protocol):
    """Where progress is shown."""

    def looking(self, found: int) -> None:
        """So many files were found so far."""

    def plan(self, files: int, size: int) -> None:
        """So many are to be carried, of so many bytes together."""

    def bar(self, name: str, size: int) -> Bar:
        """A file begins that is worth a bar of its own."""

    def through(self, size: int = 0) -> None:
        """A file is through, however it went; C{size} are its bytes, where it had no bar."""

    def close(self) -> None:
        """Take all bars away."""


class Nothing:
    """A L{Display}, and a L{Bar}, that shows nothing."""

    def looking(self, found: int) -> None:
        pass

    def plan(self, files: int, size: int) -> None:
        pass

    def bar(self, name: str, size: int) -> Bar:
        return self

    def through(self, size: int = 0) -> None:
        pass

    def close(self) -> None:
        pass

    def phase(self, name: str, size: int) -> None:
        pass

    def at(self, done: int, skipped: bool = False) -> None:
        pass

    def end(self) -> None:
        pass


class Terminal:
    """
    A L{Display} on standard error.

    @param clock: gathers the lines that are written above the bars.
    @param output: what writes them; its lines for a terminal go through here.
    @param console: where it is shown; standard error, where it is None.
    """

    def __init__(self, clock: Any, output: Output, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._clock = clock
        self._output = output
        self._lines: list[str] = []
        self._flushing: IDelayedCall | None = None
        self._total: TaskID | None = None
        self._files = self._size = self._done = 0
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[phase]}", markup=False),
            console=console or Console(stderr=True),
            expand=True,
            transient=True,
        )
        self._progress.start()
        output.through = self._write
        self._looking: TaskID | None = self._add("looking at files", None)

    def _add(self, description: str, size: int | None) -> TaskID:
        return self._progress.add_task(description, total=size, phase="")

    def _write(self, line: str, error: bool) -> None:
        """Write a line above the bars, many of them at once; elsewhere as it is."""
        if not error and not self._output.terminal:
            sys.stdout.write(line + "\n")
            return
        self._lines.append(line)
        if self._flushing is None:
            self._flushing = self._clock.callLater(0.1, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        lines, self._lines = self._lines, []
        if lines:
            self._progress.console.print(
                "\n".join(lines), markup=False, highlight=False, soft_wrap=True
            )

    def looking(self, found: int) -> None:
        if self._looking is not None:
            self._progress.update(self._looking, description=f"looking at files: {found:,}")

    def plan(self, files: int, size: int) -> None:
        if self._looking is not None:
            self._progress.remove_task(self._looking)
            self._looking = None
        self._files, self._size = files, size
        if files > 1:
            self._total = self._add("", size)
            self._count()

    def _count(self) -> None:
        if self._total is not None:
            self._progress.update(
                self._total, description=f"{self._done:,} of {self._files:,} files"
            )

    def bar(self, name: str, size: int) -> Bar:
        return _TerminalBar(self._progress, self._add(shortened(name), size), size, self.moved)

    def moved(self, size: int, fewer: int) -> None:
        """
        Bytes were moved.

        @param fewer: how many turned out not to have to be.
        """
        if self._total is not None:
            self._progress.advance(self._total, size)
            if fewer:
                self._size -= fewer
                self._progress.update(self._total, total=self._size)

    def through(self, size: int = 0) -> None:
        self._done += 1
        self._count()
        if size:
            self.moved(size, 0)

    def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        self._flush()
        self._output.through = None
        self._progress.stop()


class _TerminalBar:
    """The L{Bar} of a file on a terminal; C{moved} is told what it adds to the total."""

    def __init__(
        self, progress: Progress, task: TaskID, size: int, moved: Callable[[int, int], None]
    ) -> None:
        self._progress = progress
        self._task = task
        self._size = size
        self._moved = moved
        self._phase = ""
        self._at = 0

    def phase(self, name: str, size: int) -> None:
        if name != self._phase:
            self._phase = name
            self._progress.reset(self._task, total=size, phase=name)

    def at(self, done: int, skipped: bool = False) -> None:
        if skipped:  # not reckoned as speed
            self._progress.reset(self._task, completed=done)
        else:
            self._progress.update(self._task, completed=done)
        if self._phase in MOVING and done > self._at:
            new, self._at = done - self._at, done
            self._moved(0 if skipped else new, new if skipped else 0)

    def end(self) -> None:
        self._progress.remove_task(self._task)
        self._moved(0, self._size - self._at)


def shortened(name: str) -> str:
    """A name that fits beside a bar: its end, where what tells files apart is."""
    text = printable(name)
    return text if len(text) <= SHOWN else "…" + text[1 - SHOWN :]
