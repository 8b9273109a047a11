"""The output of a subcommand: results on standard output, all else on standard error; or JSON."""

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
"""Writes a line while bars are on the screen; the flag says whether to standard error."""


class Output:
    """
    Write the output of a subcommand.

    @param server: what messages call the depot.
    @ivar json: whether the output is JSON, an object a line, on standard output.
    @ivar quiet: whether notes and summaries are left out.
    @ivar failures: how many failures were reported.
    @ivar command: the subcommand's name, for the explanation of failures; None if not known.
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
        self.command: str | None = None
        self.through: Through | None = None
        self.soon: Callable[[Callable[[], None]], object] | None = None
        self._server = server
        self._out = _open(stdout or sys.stdout)
        self._err = _open(stderr or sys.stderr)
        self._flushing = False
        self._lossless()

    def _lossless(self) -> None:
        """Make names writable that the terminal's encoding does not have."""
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
        """Return a name for a result: on a terminal, unprintable characters are escaped."""
        return escaped(name) if self.terminal else name

    def result(self, text: str, **fields: object) -> None:
        """
        Write a result.

        @param text: the line.
        @param fields: the object instead of it, where JSON is wanted.
        """
        self._write(json_line(fields) if self.json else text, False)

    def damaged(self, entry: Entry) -> None:
        """Report a damaged file that is not a failure, also with C{--quiet}."""
        if self.json:
            fields = {"id": entry.id, "name": entry.name, "size": entry.size}
            self._write(json_line({"event": "damaged", **fields}), False)
        else:
            cause, advice = REFUSALS["corrupt"]
            self._write(f"xfer: {escaped(entry.name)}: {cause}; {advice}", True)

    def note(self, text: str, **fields: object) -> None:
        """Write a note, which is neither a result nor a failure."""
        self._aside("note", text, fields)

    def summary(self, text: str, **fields: object) -> None:
        """Write the summary at the end."""
        self._aside("summary", text, fields)

    def failed(self, what: str, error: BaseException, **fields: object) -> None:
        """
        Report and count a failure.

        @param what: the file or name that failed; empty if the whole command did.
        """
        self.failures += 1
        explanation = explain(error, self._server, self.command)
        if self.json:
            self._write(
                json_line(
                    {
                        "event": "failed",
                        "what": what,
                        "symbol": explanation.symbol,
                        "cause": explanation.cause,
                        "advice": explanation.advice,
                        **{name: value for name, value in fields.items() if name != "event"},
                    }
                ),
                False,
            )
            return
        about = f"{escaped(what)}: " if what else ""
        cause = explanation.cause.removesuffix(f" ({printable(what)})")  # the line names it already
        symbol = f" [{explanation.symbol}]" if explanation.symbol else ""
        self._write(f"xfer: {about}{cause}; {explanation.advice}{symbol}", True)

    def flush(self) -> None:
        """Flush everything that was written."""
        self._flushing = False
        self._out.flush()
        self._err.flush()

    def hang_up(self) -> None:
        """Write no more to standard output, as nobody reads it any more."""
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
    """Return a stream to write to; the null device if the process has none."""
    return Path(os.devnull).open("w") if stream is None else stream


def json_line(fields: dict[str, Any]) -> str:
    """Format an object of JSON on one line, in ASCII."""
    return json.dumps(fields, separators=(",", ":"))
