"""Messages that nothing frames: whole, cut, joined, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from xferproto.model.errors import BadCommand, BadDetails, BadId, BadName, RequestError
from xferproto.server.classic.messages import take_command, take_details, take_id, take_next

ID = b"900150983cd24fb0d6963f7d28e17f72"

Take = Callable[[bytes, bool], Any]


class MessageTests(SynchronousTestCase):
    """What is taken out of bytes."""

    def assert_refused(self, take: Take, error: type[RequestError], *all_come: bytes) -> None:
        for come in all_come:
            self.assertRaises(error, take, come, False)

    def assert_waited_for(self, take: Take, message: bytes) -> None:
        """Every beginning of a message is waited for; where no more comes, it is an error."""
        for count in range(len(message)):
            self.assertIsNone(take(message[:count], False), message[:count])
            if count:
                self.assertRaises(RequestError, take, message[:count], True)

    def test_commands(self) -> None:
        """Each command alone, or with a line end, or the beginning of one, behind it."""
        for command in (b"LIST_FILES", b"UPLOAD", b"DOWNLOAD"):
            for rest in (b"", b"\n", b"\r", b"\r\n", b"\nUPLOAD\n"):
                for take in (take_command, take_next):
                    self.assertEqual(take(command + rest, False), (command, rest))
            self.assert_waited_for(take_command, command)

    def test_no_commands(self) -> None:
        """Anything else is refused at its first byte that is no command's."""
        self.assert_refused(
            take_command,
            BadCommand,
            *(b"G", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n\r\nLIST_FILES\n"),
            *(b"\n", b"\r\nLIST_FILES", b" LIST_FILES", b"list_files", b"LIST_FILES x"),
            *(b"LIST_FILESUPLOAD", b"UPLOAD a;1\nx", b"LIST FILES", b"\x16\x03\x01", b"\0"),
            *(b"EOF", b"EOFLIST_FILES", b"\xef\xbb\xbfLIST_FILES", b"x" * 10**6),
        )

    def test_marker(self) -> None:
        """A marker behind an upload is dropped, whole, joined with what follows, or cut."""
        for come in (b"EOFLIST_FILES", b"EOF\r\nLIST_FILES", b"\nEOF\n\nLIST_FILES", b"LIST_FILES"):
            self.assertEqual(take_next(come, False), (b"LIST_FILES", b""))
        for come in (b"", b"E", b"EO", b"EOF", b"EOF\n", b"EOFL", b"\r\n"):
            self.assertIsNone(take_next(come, False))
        for come in (b"EOF", b"EOF\n", b"\n"):
            self.assertIsNone(take_next(come, True))
        self.assert_refused(take_next, BadCommand, b"EOFEOF", b"EX", b"EOF\nX", b"eof")

    def test_details(self) -> None:
        """A name and a size, once a line end or silence says that they are whole."""
        self.assertIsNone(take_details(b"a;5", False))
        self.assertEqual(take_details(b"a;5", True), (("a", 5), b""))
        self.assertEqual(take_details(b"a;5\r", True), (("a", 5), b""))
        self.assertEqual(take_details(b"\r\na;b;5\r\n12345EOF", False), (("a;b", 5), b"12345EOF"))
        self.assertEqual(take_details(b"a;1\n\n", False), (("a", 1), b"\n"))
        longest = b"/".join([b"x" * 255] * 3 + [b"y" * 253, b";"])
        self.assertEqual(len(longest), 3 * 256 + 255)
        come = longest + b";%d\r\n" % (2**63 - 1)
        self.assertIsNone(take_details(come[:-1], False))
        self.assertEqual(take_details(come, False), ((longest.decode(), 2**63 - 1), b""))

    def test_no_details(self) -> None:
        """Names and sizes are checked, and there is an end to them."""
        self.assert_refused(take_details, BadDetails, b"a\n", b"a;\n", b"a;-1\n", b"a;1e3\n")
        self.assert_refused(take_details, BadDetails, b"a;%d\n" % 2**63, b"x" * 5000)
        self.assert_refused(take_details, BadName, b";1\n", b"/etc/passwd;1\n", b"../a;1\n")
        self.assert_refused(take_details, BadName, b"a\0;1\n", b"\xff;1\n", b"x" * 1025 + b";1\n")
        self.assertIsNone(take_details(b"\r\n", True))

    def test_ids(self) -> None:
        """32 hex digits of either case."""
        self.assert_waited_for(take_id, ID)
        for come, rest in ((ID, b""), (b"\r\n" + ID.upper() + b"\n", b"\n"), (ID + b"\r", b"\r")):
            self.assertEqual(take_id(come, False), (ID.decode(), rest))
        self.assert_refused(take_id, BadId, b"abc\n", ID + b"0", b"x" * 32, ID + b"LIST_FILES")
        self.assert_refused(take_id, BadId, ID[:31] + b"\n", b"/" * 100, ID + b";0;1")
