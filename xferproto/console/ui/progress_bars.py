"""Progress bars on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text
from twisted.internet.interfaces import IDelayedCall

from xferproto.console.ui.output import Output
from xferproto.console.ui.progress import MOVING, SERVER_CHECKS, Bar
from xferproto.model.escape import printable
from xferproto.model.units import readable_size

SHOWN = 36
"""The most characters of a name beside a bar."""

GATHER = 0.1
"""Seconds for which lines are collected before they are written above the bars."""


class Terminal:
    """
    Show bars on standard error; a L{Display<xferproto.console.ui.progress.Display>}.

    @param clock: delays the lines that are written above the bars.
    @param output: writes these lines; those for a terminal go through here.
    @param console: where the bars are shown; None for standard error.
    """

    def __init__(self, clock: Any, output: Output, console: Console | None = None) -> None:
        self._clock = clock
        self._output = output
        self._lines: list[str] = []
        self._flushing: IDelayedCall | None = None
        self._total: TaskID | None = None
        self._files = self._size = self._done = 0
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            _Amount(),
            _Rate(),
            _TimeLeft(),
            TextColumn("{task.fields[phase]}", markup=False),
            console=console or Console(stderr=True),
            expand=True,
            transient=True,
            redirect_stdout=False,  # what goes elsewhere is not for the screen
            redirect_stderr=False,
        )
        self._progress.start()
        output.through = self._write
        self._looking: TaskID | None = self._add("looking at files", None)

    def _add(self, description: str, size: int | None) -> TaskID:
        return self._progress.add_task(description, total=size, phase="")

    def _write(self, line: str, error: bool) -> None:
        """Write a line above the bars, many of them at once; if not to a terminal, as it is."""
        if not error and not self._output.terminal:
            self._output.write(line, error)
            return
        self._lines.append(line)
        if self._flushing is None:
            self._flushing = self._clock.callLater(GATHER, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        lines, self._lines = self._lines, []
        if lines:
            self._progress.console.print(
                "\n".join(lines), markup=False, highlight=False, emoji=False, soft_wrap=True
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
            self._total = self._add(self._counted(), size)

    def _counted(self) -> str:
        return f"{self._done:,} of {self._files:,} files"

    def bar(self, name: str, size: int) -> Bar:
        return _TerminalBar(self._progress, self._add(shortened(name), size), size, self._moved)

    def _moved(self, size: int, fewer: int) -> None:
        """Count transferred bytes; C{fewer} need not be transferred after all."""
        if self._total is not None:
            self._progress.advance(self._total, size)
            if fewer:
                self._size -= fewer
                self._progress.update(self._total, total=self._size)

    def through(self, size: int = 0) -> None:
        self._done += 1
        if self._total is not None:
            self._progress.update(self._total, description=self._counted())
            self._moved(size, 0)

    def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        self._flush()
        self._output.through = None
        self._progress.stop()


class _TerminalBar:
    """Show the bar of a file; C{moved} is called with what it adds to the total."""

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
            self._progress.reset(self._task, phase=name)
        self._progress.update(self._task, total=size or None)

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


class _Column(ProgressColumn):
    """Show a column about bytes; empty if the work is not counted in bytes."""

    def render(self, task: Task) -> Text:
        known = task.total is not None and task.fields["phase"] != SERVER_CHECKS
        return Text(self.text(task) if known else "", justify="right", style="dim")

    def text(self, task: Task) -> str:
        raise NotImplementedError


class _Amount(_Column):
    def text(self, task: Task) -> str:
        return f"{readable_size(int(task.completed))} of {readable_size(int(task.total or 0))}"


class _Rate(_Column):
    def text(self, task: Task) -> str:
        return f"{readable_size(int(task.speed))}/s" if task.speed else ""


class _TimeLeft(_Column):
    def text(self, task: Task) -> str:
        left = task.time_remaining
        if left is None or task.finished:
            return ""
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        return (
            f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
        )


def shortened(name: str) -> str:
    """Shorten a name for a bar to its end, which distinguishes files."""
    text = printable(name)
    return text if len(text) <= SHOWN else "…" + text[1 - SHOWN :]
