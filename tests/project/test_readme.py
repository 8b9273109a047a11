"""What the README shows is what happens; its Python programs are in tests/client/test_python.py."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.console import environment
from tests.support.depot import Depot
from tests.support.forked import XFER
from tests.support.processes import PATIENCE, Server, new_directory

PROJECT = Path(__file__).resolve().parents[2]
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


class TourTests(SynchronousTestCase):
    """The tour."""

    def test_tour(self) -> None:
        """Each command of it prints what stands below it."""
        home = new_directory(self)
        for name, content in (
            ("report.txt", b"All is well.\n"),
            ("photos/autumn.jpg", b"autumn" * 5000),
            ("photos/winter.jpg", b"winter" * 5000),
        ):
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).write_bytes(content)
        server = Server(self, new_directory(self))
        server.drain()
        variables = environment(
            home, XFER_PORT=str(server.port), PATH=f"{XFER.parent}:{os.environ['PATH']}"
        )
        tour = README.partition("## A tour")[2].partition("\n## ")[0]
        steps = re.findall(r"(?m)^    \$ (.*)\n((?:    [^$].*\n)*)", tour)
        self.assertGreater(len(steps), 8)
        for line, shown in steps:
            ended = subprocess.run(
                ["sh", "-c", line],
                cwd=home,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                timeout=PATIENCE,
                check=True,
            )
            self.assertEqual(ended.stdout, re.sub("(?m)^    ", "", shown), line)
