"""The installed C{xfer} in a terminal."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.console.test_commands import HELLO, WORLD, CommandCase, store
from tests.support.console import Running
from tests.support.processes import FakeDepot, read_line


class TerminalCase(CommandCase):
    """What the cases below share."""

    def start(self, *arguments: str | Path) -> Running:
        """A command in a terminal."""
        return Running(self, self.directory, *arguments, terminal=True, variables=self.variables())

    def shown(self, *arguments: str | Path, status: int = 0) -> list[str]:
        """The lines that a command shows, by its end."""
        running = self.start(*arguments)
        self.assertEqual(running.wait(), status, running.shown)
        return running.shown.replace("\r\n", "\n").splitlines()


class ShownTests(TerminalCase):
    """What is on the screen."""

    def test_hostile_names(self) -> None:
        """Names with marks that turn writing around are shown escaped, everywhere."""
        self.serve()
        name = "invoice\u202efdp.exe"
        store(self.port, (f"x/{name}", b"hello"))
        for command in (
            ("ls",),
            ("ls", "-l"),
            ("ls", "-d", "x/"),
            ("stat", HELLO),
            ("verify", "--all"),
            ("sums",),
            ("rm", "-n", HELLO),
            ("rm", HELLO),
        ):
            shown = "\n".join(self.shown(*command))
            self.assertIn("invoice\\u202efdp.exe", shown)
            self.assertNotIn("\u202e", shown)
        self.assertIn("\\u202e", "\n".join(self.shown("stat", f"y/{name}", status=1)))

    def test_nothing(self) -> None:
        """An empty depot says that it is empty, beside the listing."""
        self.serve()
        self.assertEqual(self.shown("ls"), ["xfer: The depot has no files that you may see."])

    def test_no_colour(self) -> None:
        """What is shown can be copied: no control sequence is in it."""
        self.serve()
        store(self.port, ("a", b"hello"))
        for command in (("ls", "-l"), ("stat", "a"), ("ping",), ("sums",), ("-h",)):
            self.assertNotIn("\x1b", "\n".join(self.shown(*command)))

    def test_help(self) -> None:
        """The help of each command fits into the terminal."""
        commands = [
            "put",
            "get",
            "ls",
            "stat",
            "verify",
            "rm",
            "sums",
            "ping",
            "login",
            "completion",
        ]
        for command in ("", *commands):
            lines = self.shown(*([command] if command else []), "-h")
            self.assertIn("Usage: xfer", lines[0])
            self.assertTrue(
                any(line.startswith("  Examples:") or "To try it" in line for line in lines)
            )
            self.assertLessEqual(max(map(len, lines)), 100)


class ConfirmTests(TerminalCase):
    """A removal of several names is asked about."""

    def setUp(self) -> None:
        super().setUp()
        self.serve()
        store(self.port, ("d/a", b"hello"), ("d/b", b"world"), ("c", b"hello"))

    def test_yes(self) -> None:
        """Who says yes gets it done."""
        running = self.start("rm", HELLO)
        running.wait_for(r"Remove 2 names\? This cannot be undone\. \[y/N\] ")
        running.type("y\n")
        self.assertEqual(running.wait(), 0, running.shown)
        self.assertEqual(self.ok("ls").out, "d/b\n")

    def test_no(self) -> None:
        """Who says anything else does not, and is told so."""
        for keys in ("n\n", "\n", "yesterday\n", "\x04"):
            running = self.start("rm", "-r", "d")
            running.wait_for(r"\[y/N\] ")
            running.type(keys)
            self.assertEqual(running.wait(), 1, running.shown)
            self.assertIn("nothing was removed", running.text)
        self.assertEqual(len(self.ok("ls").out.splitlines()), 3)

    def test_ctrl_c(self) -> None:
        """Ctrl-C at the question is an end."""
        running = self.start("rm", "-r", "d")
        running.wait_for(r"\[y/N\] ")
        running.type("\x03")
        self.assertEqual(running.wait(), 130)
        self.assertEqual(len(self.ok("ls").out.splitlines()), 3)

    def test_not_asked(self) -> None:
        """One name is not asked about, nor is anything with --yes or --dry-run."""
        self.shown("rm", WORLD)
        self.shown("rm", "-rn", "d")
        self.shown("rm", "-y", HELLO)
        self.assertEqual(self.ok("ls").out, "")


class ProgressTests(TerminalCase):
    """What is shown while the depot is at work."""

    def verifying(self, *more: bytes) -> FakeDepot:
        """A depot that has one file, says how far it is with it, and then what else is given."""

        def script(connection: socket.socket) -> None:
            while not (line := read_line(connection)).startswith(b"VERIFY"):
                if line.startswith(b"LIST_FILES"):
                    connection.sendall(f"{HELLO};large.bin;4000000000\nDONE\n".encode())
                else:  # an older one knows no LIST_DAMAGED
                    connection.sendall(b"ERROR bad-command This is not a command.\n")
            connection.sendall(b"WAIT 25 hashing\n")
            for line in more:
                connection.sendall(line)
            while connection.recv(4096):
                pass

        depot = FakeDepot(self, script)
        self.port = depot.port
        return depot

    def test_wait(self) -> None:
        """The file that is hashed has a bar, and is told when it is done."""
        self.verifying(b"WAIT 75 hashing\n", f"{HELLO}\n".encode())
        running = self.start("verify", "large")
        self.assertEqual(running.wait(), 0, running.shown)
        self.assertIn(f"ok  {HELLO}  large.bin", running.text)
        self.assertIn("xfer: 1 verified (3.73 GiB)", running.text)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it while the depot works on, and leaves the terminal as it was."""
        self.verifying()
        running = self.start("verify", "large")
        running.wait_for("server verifying")
        running.type("\x03")
        self.assertEqual(running.wait(), 130, running.shown)
        self.assertIn("0 verified", running.text)
        hidden, shown = running.shown.rfind("\x1b[?25l"), running.shown.rfind("\x1b[?25h")
        self.assertGreater(shown, hidden)

    def test_twice(self) -> None:
        """Two signals end it whatever it does."""
        self.verifying()
        running = self.start("verify", "large")
        running.wait_for("server verifying")
        running.signal(signal.SIGINT)
        running.signal(signal.SIGINT)
        self.assertEqual(running.wait(), 130)

    def test_no_progress(self) -> None:
        """Without bars, if that is wanted."""
        self.verifying(f"{HELLO}\n".encode())
        lines = self.shown("verify", "large", "--no-progress")
        self.assertEqual(lines, [f"ok  {HELLO}  large.bin", "xfer: 1 verified (3.73 GiB)"])
