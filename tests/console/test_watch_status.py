"""C{xfer watch-status}, beside a real unattended client."""

from __future__ import annotations

from tests.console.test_commands import CommandCase
from tests.support.console import until
from tests.support.processes import Process


class WatchStatusTests(CommandCase):
    """What is said of a watched directory."""

    def test_status(self) -> None:
        """It tells what was sent, and whether anybody watches; the exit status says that too."""
        self.serve()
        outbox = self.directory / "outbox"
        outbox.mkdir()
        self.assertIn("no xfer-client has watched", self.fails(1, "watch-status", outbox))
        client = Process(
            self,
            self.directory,
            *("--pidfile=", "xfer-client", "--watch", outbox, "--settle", "1s"),
            *("--port", str(self.port)),
        )
        client.drain()
        (outbox / "a.txt").write_bytes(b"hello")
        until(lambda: (outbox / "sent" / "a.txt").exists())
        until(lambda: "sent: 1 file" in self.xfer("watch-status", outbox).out)
        told = self.ok("watch-status", outbox).out
        self.assertIn(f"{outbox}: watched since", told)
        self.assertIn('the last "a.txt"', told)
        (fields,) = self.ok("watch-status", outbox, "--json").objects()
        self.assertEqual((fields["event"], fields["watched"]), ("watch", True))
        self.assertEqual(fields["sent"]["files"], 1)
        client.kill()
        ended = self.xfer("watch-status", outbox / ".xfer-watch.json")
        self.assertEqual(ended.status, 1)
        self.assertIn("NOT WATCHED", ended.out)
