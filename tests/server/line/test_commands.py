"""The server's commands over one connection, without a network."""

from __future__ import annotations

from hashlib import md5

from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import MemoryDepot


class UploadTests(SynchronousTestCase):
    """C{UPLOAD}, prompted and on one line."""

    def test_prompted(self) -> None:
        """It asks for name and size, says when it is ready, and answers with the id."""
        session = MemoryDepot(self).connect()
        self.assertEqual(session.send(b"UPLOAD\n"), b"Please send the file name and file size\n")
        self.assertEqual(session.send(b"a.txt;5\r\n"), b"Ready to receive the file\n")
        self.assertEqual(session.send(b"he"), b"")
        self.assertEqual(session.send(b"llo"), md5(b"hello").hexdigest().encode() + b"\n")
