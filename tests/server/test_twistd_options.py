"""What the options of both plugins refuse before anything is begun."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from xferproto import twistd
from xferproto.client import service as client
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
