"""Questions at a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.console import Running
from tests.support.interposed import build_library

PROGRAM = """
from xferproto.prompt import ask
import sys
try:
    print(repr(ask("Secret: ", shown=False)))
    print(repr(ask("Name: ")))
except BaseException as error:
    print(type(error).__name__)
"""


class PromptTests(SynchronousTestCase):
    """A program that asks for a password, then for a name, in a pseudo-terminal."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def asking(self, **variables: str) -> Running:
        running = Running(
            *(self, self.directory),
            terminal=True,
            variables={"PYTHONPATH": str(Path(__file__).parents[2]), **variables},
            command=(sys.executable, "-c", PROGRAM),
        )
        running.wait_for("Secret: ")
        return running

    def test_lines(self) -> None:
        """A line each; the first is not shown, the second is."""
        for first, second in (("geheim", "bob"), ("", ""), ("pä;ss wörd", "a" * 1000)):
            running = self.asking()
            running.type(f"{first}\n")
            running.wait_for("Name: ")
            running.type(f"{second}\n")
            self.assertEqual(running.wait(), 0)
            self.assertEqual(
                running.text.replace("\r\n", "\n"),
                f"Secret: \n{first!r}\nName: {second}\n{second!r}\n",
            )

    def test_in_parts(self) -> None:
        """A line that is typed in parts, some of them erased, is one line; Ctrl-D ends one too."""
        running = self.asking()
        running.type("ab")
        running.type("c\x7f")
        running.type("d\x04")
        running.type("\n")
        running.wait_for("Name: ")
        self.assertIn("'abd'", running.text)

    def test_no_more(self) -> None:
        """Ctrl-D at the beginning of a line is the end of the input."""
        running = self.asking()
        running.type("\x04")
        self.assertEqual(running.wait(), 0)
        self.assertIn("EOFError", running.text)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, and what is typed then is shown again."""
        running = self.asking()
        running.type("\x03")
        self.assertEqual(running.wait(), 0)
        self.assertIn("KeyboardInterrupt", running.text)

    def test_interrupted_late(self) -> None:
        """
        A signal that comes between the last look for signals and the wait ends it like any other.
        """
        library = build_library(self.directory, "late_signal")
        running = self.asking(LD_PRELOAD=str(library), XFER_LATE_SIGNAL="1")
        running.wait_for("KeyboardInterrupt")
        self.assertEqual(running.wait(), 0)
