"""How both plugins refuse options, and report a start that fails."""

from __future__ import annotations

import contextlib
import io
import sys

from twisted.application.service import Service
from twisted.trial.unittest import SynchronousTestCase

from xferproto import twistd
from xferproto.client import service as client
from xferproto.model.errors import ListenFailed
from xferproto.server import service as server


class EmptyTests(SynchronousTestCase):
    """Nothing is empty: a variable that is not set never means this directory, or every address."""

    def assert_refused(self, options: twistd.Options, *arguments: str) -> None:
        """It can't be taken, which is said in one line with the option's name."""
        error = self.assertRaises(SystemExit, options.parseOptions, arguments)
        self.assertIn(arguments[0], str(error))
        self.assertNotIn("\n", str(error))

    def test_client(self) -> None:
        """Every option of the client that is a text."""
        for name in ("watch", "file", "output", "host", "endpoint", "user", "password-file"):
            self.assert_refused(client.Options(), f"--{name}", "")
        for name in ("ca", "cert", "key"):
            self.assert_refused(client.Options(), f"--{name}", "", "--tls")
        for name in ("prefix", "state", "status", "ignore"):
            self.assert_refused(client.Options(), f"--{name}", "", "--watch", "x")

    def test_server(self) -> None:
        """Every option of the server that is a text."""
        for name in ("storage", "interface", "endpoint", "users", "tls-cert", "tls-key"):
            self.assert_refused(server.Options(), f"--{name}", "")


class StartTests(SynchronousTestCase):
    """Errors that end the start of a service."""

    def report(self, error: BaseException) -> str:
        """What is printed of an error."""
        out = io.StringIO()
        self.patch(sys, "excepthook", lambda kind, error, traceback: out.write("traceback\n"))
        self.patch(sys, "__stderr__", out)
        twistd.StartReport("xfer")
        with contextlib.redirect_stderr(out):
            sys.excepthook(type(error), error, None)
        self.flushLoggedErrors()
        return out.getvalue()

    def test_one_line(self) -> None:
        """The project's errors and a numeric --uid without a user are one line."""
        self.assertEqual(self.report(ListenFailed("Can't listen.")), "xfer: Can't listen.\n")
        line = self.report(KeyError("getpwuid(): uid not found: 65537"))
        self.assertEqual(
            line, "xfer: there is no user for --uid (getpwuid(): uid not found: 65537)\n"
        )

    def test_once(self) -> None:
        """An error that the service reports is not printed again where it ends the process."""
        out = io.StringIO()
        self.patch(sys, "excepthook", sys.excepthook)
        self.patch(sys, "__stderr__", out)
        report = twistd.StartReport("xfer")
        error = ListenFailed("Can't listen.")

        class Broken(Service):
            def startService(self) -> None:
                raise error

        self.assertRaises(ListenFailed, report.of(Broken()).startService)
        sys.excepthook(type(error), error, None)
        self.assertEqual(out.getvalue(), "xfer: Can't listen.\n")

    def test_others(self) -> None:
        """Any other error keeps its traceback."""
        self.assertEqual(self.report(KeyError("a")), "traceback\n")
