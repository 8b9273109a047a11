"""What the console command writes where: lines, JSON, and what happens when nobody reads it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from xferproto.console.ui.output import Output
from xferproto.model.errors import NoSpace
from xferproto.model.escape import escaped

HOSTILE = "bad\u202eidi\u2066.txt"


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class OutputCase(SynchronousTestCase):
    """What the cases below share."""

    def output(self, terminal: bool = False, **options: Any) -> Output:
        """An output whose streams are C{self.out} and C{self.err}."""
        self.out, self.err = (Screen(), Screen()) if terminal else (io.StringIO(), io.StringIO())
        return Output("lab", stdout=self.out, stderr=self.err, **options)

    def objects(self) -> list[Any]:
        """What is on standard output, as JSON."""
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


class LineTests(OutputCase):
    """For people."""

    def test_streams(self) -> None:
        """Results go to standard output, all else to standard error."""
        output = self.output()
        output.result("a line", event="x")
        output.note("a note")
        output.failed("a file", NoSpace())
        output.summary("the end")
        self.assertEqual(self.out.getvalue(), "a line\n")
        note, failure, summary = self.err.getvalue().splitlines()
        self.assertEqual((note, summary), ("xfer: a note", "xfer: the end"))
        self.assertTrue(failure.startswith("xfer: a file: the depot has no space"), failure)
        self.assertIn("; ", failure)
        self.assertTrue(failure.endswith(" [no-space]"), failure)
        self.assertEqual(output.failures, 1)

    def test_all(self) -> None:
        """A failure that is about no file names none."""
        output = self.output()
        output.failed("", OSError(2, "No such file"))
        self.assertTrue(self.err.getvalue().startswith("xfer: no such file; "))
        self.assertNotIn("[", self.err.getvalue())

    def test_quiet(self) -> None:
        """Quiet, there are results and failures."""
        output = self.output(quiet=True)
        output.note("a note")
        output.summary("the end")
        self.assertEqual(self.err.getvalue(), "")
        output.failed("x", NoSpace())
        output.result("a line")
        self.assertTrue(self.err.getvalue() and self.out.getvalue())

    def test_names(self) -> None:
        """A name is as it is, but on a terminal what does not print is escaped, once."""
        self.assertEqual(self.output().shown(HOSTILE), HOSTILE)
        output = self.output(terminal=True)
        self.assertEqual(output.shown(HOSTILE), "bad\\u202eidi\\u2066.txt")
        self.assertEqual(output.shown('é "a" b.txt'), 'é "a" b.txt')
        output.failed(HOSTILE, NoSpace())
        self.assertIn("bad\\u202eidi", self.err.getvalue())

    def test_escaped(self) -> None:
        """Whatever it is, it becomes one line that does nothing."""
        for text in ("\x1b[2J", "a\nb", "\x9b", "\udcff", "\u2028", "a\rb", "\x00"):
            self.assertTrue(escaped(text).isprintable(), ascii(text))

    def test_through(self) -> None:
        """While there are bars, lines go through them."""
        output = self.output()
        seen: list[tuple[str, bool]] = []
        output.through = lambda line, error: seen.append((line, error))
        output.result("a")
        output.note("b")
        self.assertEqual(seen, [("a", False), ("xfer: b", True)])
        output.through = None
        output.result("c")
        self.assertEqual(self.out.getvalue(), "c\n")

    def test_encoding(self) -> None:
        """A name is written to a stream that can't hold it, too."""
        for encoding, expected in (
            ("ascii", b"\\xe4\\u202e\\udcff\n"),
            ("utf-8", "ä\u202e".encode() + b"\xff\n"),
        ):
            raw = io.BytesIO()
            stream = io.TextIOWrapper(raw, encoding)
            Output("lab", stdout=stream, stderr=io.StringIO()).result("ä\u202e\udcff")
            self.assertEqual(raw.getvalue(), expected)


class JsonTests(OutputCase):
    """For programs."""

    def test_objects(self) -> None:
        """All is one object a line on standard output, in ASCII; standard error has nothing."""
        output = self.output(json=True)
        output.result("a line", event="entry", name=HOSTILE, size=5)
        output.note("a note", signal="SIGINT")
        output.failed("what", NoSpace(), name="n", event="file")
        output.summary("the end", files=1)
        self.assertEqual(self.err.getvalue(), "")
        self.assertTrue(self.out.getvalue().isascii())
        entry, note, failed, summary = self.objects()
        self.assertEqual(entry, {"event": "entry", "name": HOSTILE, "size": 5})
        self.assertEqual(note, {"event": "note", "text": "a note", "signal": "SIGINT"})
        self.assertEqual(
            {name: failed[name] for name in ("event", "what", "symbol", "name")},
            {"event": "failed", "what": "what", "symbol": "no-space", "name": "n"},
        )
        self.assertEqual(summary, {"event": "summary", "text": "the end", "files": 1})

    def test_quiet(self) -> None:
        """Quiet, there are no notes and no summary here either."""
        output = self.output(json=True, quiet=True)
        output.note("a note")
        output.summary("the end")
        self.assertEqual(self.out.getvalue(), "")

    def test_not_utf8(self) -> None:
        """A local name that is no UTF-8 is an object too."""
        output = self.output(json=True)
        output.result("", name=os.fsdecode(b"\xff"))
        self.assertEqual(self.objects(), [{"name": "\udcff"}])


class FlushTests(OutputCase):
    """When lines are out."""

    def test_at_once(self) -> None:
        """Where nothing says when, each is flushed."""
        raw = io.BytesIO()
        output = Output("lab", stdout=io.TextIOWrapper(raw, "utf-8"), stderr=io.StringIO())
        output.result("a")
        self.assertEqual(raw.getvalue(), b"a\n")

    def test_soon(self) -> None:
        """Many that are told together are flushed together."""
        raw = io.BytesIO()
        output = Output("lab", stdout=io.TextIOWrapper(raw, "utf-8"), stderr=io.StringIO())
        later: list[Callable[[], None]] = []
        output.soon = later.append
        for _ in range(3):
            output.result("a")
        self.assertEqual((len(later), raw.getvalue()), (1, b""))
        later.pop()()
        self.assertEqual(raw.getvalue(), b"a\n" * 3)
        output.result("b")
        self.assertEqual(len(later), 1)

    def test_nobody_reads(self) -> None:
        """A pipe that nobody reads is told of; after that nothing is written there any more."""
        reading, writing = os.pipe()
        stream = os.fdopen(writing, "w")
        self.addCleanup(stream.close)
        output = Output("lab", stdout=stream, stderr=io.StringIO())
        output.result("a")
        os.close(reading)
        self.assertRaises(BrokenPipeError, output.result, "b")
        output.hang_up()
        output.result("c")

    def test_closed(self) -> None:
        """A process that began without its streams writes to nobody."""
        self.patch(sys, "stdout", None)
        self.patch(sys, "stderr", None)
        output = Output("lab")
        output.result("a")
        output.note("b")
        for stream in (output._out, output._err):
            self.assertEqual(Path(stream.name), Path(os.devnull))
            stream.close()
