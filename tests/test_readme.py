"""What the README shows is what happens; its Python programs are in tests/test_python.py."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.depot import Depot

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text("utf-8")


class SessionTests(SynchronousTestCase):
    """The session typed into nc."""

    def test_session(self) -> None:
        """Typing what a reader would type gives what the README shows."""
        match = re.search(r"    \$ nc .*\n((?:    .*\n)+)", README)
        assert match is not None
        shown = re.sub("(?m)^    ", "", match[1])
        typed = re.findall("(?m)^(?:[A-Z_]+(?: [0-9a-f]+)?|greeting.txt;6|hello)$", shown)
        typed = [line for line in typed if line != "DONE"]
        typed.reverse()
        typed.remove("hello")  # the second one is the download
        typed.reverse()
        session = Depot(self).connect()
        happened = ""
        for line in typed:
            happened += f"{line}\n" + session.send(line.encode() + b"\n").decode()
        self.assertEqual(happened, shown)
