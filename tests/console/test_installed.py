"""The installed script, in an interpreter of its own for each subcommand."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.console import Ended, xfer
from tests.support.processes import Server, new_directory

HELLO = md5(b"hello").hexdigest()


class InstalledTests(SynchronousTestCase):
    """Each subcommand imports what it uses, which one that is forked does not show."""

    def setUp(self) -> None:
        self.directory = new_directory(self)
        self.port = Server(self, new_directory(self)).port

    def ok(self, *arguments: str | Path) -> Ended:
        variables = {"XFER_PORT": str(self.port)}
        ended = xfer(self.directory, *arguments, variables=variables, fresh=True)
        self.assertEqual(ended.status, 0, ended)
        return ended

    def test_transfers(self) -> None:
        """What goes up comes down."""
        (self.directory / "f").write_bytes(b"hello")
        self.assertEqual(self.ok("put", "f").out, f"{HELLO}  f\n")
        self.ok("get", "f", "-o", "copy")
        self.assertEqual((self.directory / "copy").read_bytes(), b"hello")

    def test_questions(self) -> None:
        """What is stored can be looked at, and removed."""
        (self.directory / "f").write_bytes(b"hello")
        self.ok("put", "f")
        self.assertEqual(self.ok("ls").out, "f\n")
        self.assertEqual(self.ok("sums").out, f"{HELLO}  f\n")
        for subcommand in ("stat", "verify", "rm"):
            self.assertIn(HELLO, self.ok(subcommand, HELLO).out)
        self.ok("ping")

    def test_without_a_depot(self) -> None:
        """What needs none works without one."""
        self.assertIn("xfer", self.ok("completion", "bash").out)
        for subcommand in ("login", "watch-status"):
            self.assertIn("Usage: xfer", self.ok(subcommand, "-h").out)
