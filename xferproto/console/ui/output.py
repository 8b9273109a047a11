"""What a subcommand tells: results on standard output, all else on standard error; or JSON."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from xferproto.console.ui.advice import REFUSALS, explain
from xferproto.model.entry import Entry
from xferproto.model.escape import escaped, printable

Through = Callable[[str, bool], None]
"""Writes a line where bars are on the screen; told whether it is for standard error."""


class Output:
    """
    Where a subcommand writes.

    @param server: what messages call the depot.
    @ivar json: whether what is told is JSON, an object a line, on standard output.
    @ivar quiet: whether notes and summaries are left out.
    @ivar failures: how often L{failed} was told.
    @ivar through: writes the lines while bars are on the screen; None for none.
    @ivar soon: calls a function when what is under way is done, as a reactor's C{callLater} of no
        seconds does; where it is None, every line is flushed at once.
    @raise BrokenPipeError: from each method, when nobody reads standard output any more.
    """

    def __init__(
        self,
        server: str,
        json: bool = False,
        quiet: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.failures = 0
        self.through: Through | None = None
        self.soon: Callable[[Callable[[], None]], object] | None = None
        self._server = server
        self._out = _open(stdout or sys.stdout)
        self._err = _open(stderr or sys.stderr)
        self._flushing = False
        self._lossless()

    def _lossless(self) -> None:
        """Let names that the terminal's encoding does not have be written nevertheless."""
        for stream in (self._out, self._err):
            if isinstance(stream, io.TextIOWrapper):
                utf8 = codecs.lookup(stream.encoding).name == "utf-8"
                raw = utf8 and stream is self._out and not stream.isatty()
                stream.reconfigure(errors="surrogateescape" if raw else "backslashreplace")

    @property
    def terminal(self) -> bool:
        """Whether results go to a terminal."""
        return self._out.isatty()

    def shown(self, name: str) -> str:
        """A name as a result has it: on a terminal with everything escaped that does not print."""
        return escaped(name) if self.terminal else name

    def result(self, text: str, **fields: object) -> None:
        """
        Tell a result.

        @param text: the line.
        @param fields: the object instead of it, where JSON is wanted.
        """
        self._write(json_line(fields) if self.json else text, False)

    def damaged(self, entry: Entry) -> None:
        """Tell of a damaged file where that is no failure. C{--quiet} does not leave it out."""
        if self.json:
            fields = {"id": entry.id, "name": entry.name, "size": entry.size}
            self._write(json_line({"event": "damaged", **fields}), False)
        else:
            cause, advice = REFUSALS["corrupt"]
            self._write(f"xfer: {escaped(entry.name)}: {cause}; {advice}", True)

    def note(self, text: str, **fields: object) -> None:
        """Tell something that is no result and no failure."""
        self._aside("note", text, fields)

    def summary(self, text: str, **fields: object) -> None:
        """Tell how it all came out, at the end."""
        self._aside("summary", text, fields)

    def failed(self, what: str, error: BaseException, **fields: object) -> None:
        """
        Tell, and count, a failure.

        @param what: what failed: a file, a name; empty where it is all.
        """
        self.failures += 1
        told = explain(error, self._server)
        if self.json:
            self._write(
                json_line(
                    {
                        "event": "failed",
                        "what": what,
                        "symbol": told.symbol,
                        "cause": told.cause,
                        "advice": told.advice,
                        **{name: value for name, value in fields.items() if name != "event"},
                    }
                ),
                False,
            )
            return
        about = f"{escaped(what)}: " if what else ""
        cause = told.cause.removesuffix(f" ({printable(what)})")  # it is said already
        symbol = f" [{told.symbol}]" if told.symbol else ""
        self._write(f"xfer: {about}{cause}; {told.advice}{symbol}", True)

    def flush(self) -> None:
        """Let everything that was told be out."""
        self._flushing = False
        self._out.flush()
        self._err.flush()

    def hang_up(self) -> None:
        """Nobody reads standard output any more: nothing must be tried to be written there."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._out.fileno())
            os.close(null)

    def _aside(self, event: str, text: str, fields: dict[str, Any]) -> None:
        if self.quiet:
            return
        if self.json:
            self._write(json_line({"event": event, "text": text, **fields}), False)
        else:
            self._write(f"xfer: {text}", True)

    def _write(self, line: str, error: bool) -> None:
        if self.through is not None:
            self.through(line, error)
        else:
            self.write(line, error)

    def write(self, line: str, error: bool) -> None:
        """Write a line as it is, to standard error or standard output."""
        if error:  # behind the results before it, where both go to one place
            self._out.flush()
        stream = self._err if error else self._out
        stream.write(line + "\n")
        if self.soon is None:
            stream.flush()
        elif not self._flushing:
            self._flushing = True
            self.soon(self.flush)


def _open(stream: TextIO | None) -> TextIO:
    """A stream to write to; one that the process began without takes everything."""
    return Path(os.devnull).open("w") if stream is None else stream


def json_line(fields: dict[str, Any]) -> str:
    """An object of JSON on one line, in ASCII."""
    return json.dumps(fields, separators=(",", ":"))
