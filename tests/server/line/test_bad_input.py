"""Input that nobody should send: the right error, a connection in step or closed, others served."""

from __future__ import annotations

import errno
import os
import sqlite3
from hashlib import md5
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import NO_SMALL, Depot, Session, Transport, overwrite, small_rows
from xferproto.files import direct_io
from xferproto.model.errors import StorageLost
from xferproto.server.limits import MAX_ERRORS
from xferproto.server.line.plain import help_lines
from xferproto.server.line.session import DISCARD_LIMIT
from xferproto.server.traffic.closing import CLOSE_TIMEOUT, LINGER
from xferproto.store.local import packed, page_length, schema
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.transfer.sender import BLOCK
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.states import State

HELLO = md5(b"hello").hexdigest().encode()
NONE = b"No files available at the moment\nDONE\n"
HELP = b"".join(line + b"\n" for line in help_lines()) + b"DONE\n"

BAD_DETAILS = {
    "empty": b"",
    "no semicolon": b"a.txt 5",
    "no size": b"a.txt;",
    "negative": b"a.txt;-5",
    "signed": b"a.txt;+5",
    "underscore": b"a.txt;1_000",
    "fullwidth digit": "a.txt;５".encode(),
    "20 digits": b"a.txt;" + b"1" * 20,
    "2^63": b"a.txt;%d" % 2**63,
    "fraction": b"a.txt;1.5",
    "spaces": b"a.txt; 5",
    "size first": b"5;a.txt",
}

BAD_NAMES = {
    "empty": b"",
    "NUL": b"a\0b",
    "CR": b"a\rb",
    "escape": b"\x1b[2J",
    "U+0085": "a\u0085b".encode(),
    "U+2028": "a\u2028b".encode(),
    "U+2029": "a\u2029b".encode(),
    "parent": b"../../etc/passwd",
    "parent within": b"a/../../b",
    "leading slash": b"/etc/passwd",
    "trailing slash": b"a/",
    "backslash": b"..\\a",
    "no UTF-8": b"a\xff\xfe",
    "1,025 bytes": b"a/" * 512 + b"a",
    "256-byte component": b"a" * 256,
}

ODD_NAMES = {
    "bidirectional override": "a\u202etxt.exe",
    "combining": "e\u0301\u0301\u0301",
    "semicolons": ";a;5;",
    "spaces": "  ",
    "like an entry": f"{'0' * 32};a;5",
    "like an error": "ERROR internal",
    "shell": "$(reboot) `reboot` | reboot & %s {0}",
    "1,024 bytes": "/".join(["a" * 255] * 3 + ["b" * 254, "c"]),
}

BAD_IDS = {
    "empty": b"",
    "too short": HELLO[:-1],
    "too long": HELLO + b"0",
    "not hexadecimal": b"g" * 32,
    "path": b"../../etc/passwd",
    "no UTF-8": b"\xff" * 32,
}


def open_files() -> int:
    """How many files this process has open."""
    return len([*Path("/dev/fd").iterdir()])


class BadInputCase(SynchronousTestCase):
    """What every test here asks of a server afterwards."""

    def assert_refused(self, answer: bytes, *symbols: str) -> None:
        """The answer is these errors, a line each, with a sentence for people."""
        errors = [codec.parse_error(line) for line in answer.splitlines()]
        self.assertEqual([error and error.symbol for error in errors], [*symbols])
        self.assertTrue(answer.endswith(b".\n"))
        self.assertNotIn(b"Errno", answer)

    def assert_in_step(self, session: Session, depot: Depot, listing: bytes = NONE) -> None:
        """The connection takes the next command, and another one is served too."""
        self.assertIs(session.protocol.state, State.COMMAND)
        self.assertEqual(session.send(b"LIST_FILES\n"), listing)
        self.assert_served(depot, listing)

    def assert_closed(self, session: Session, depot: Depot, listing: bytes = NONE) -> None:
        """The server has ended the connection and drops what comes, and serves others."""
        self.assertIs(session.protocol.state, State.CLOSING)
        self.assertTrue(session.transport.half_closed or not session.transport.connected)
        self.assertEqual(session.send(b"LIST_FILES\nUPLOAD a;5\nhello"), b"")
        self.assert_served(depot, listing)

    def assert_served(self, depot: Depot, listing: bytes) -> None:
        """Another connection is served, and nothing is left of what was refused."""
        self.assertEqual(depot.connect().send(b"LIST_FILES\n"), listing)
        if listing == NONE:
            self.assertEqual(depot.files(), [])


class CommandTests(BadInputCase):
    """Lines that are no command."""

    def test_unknown_and_empty(self) -> None:
        """Each is a bad command, and the next line is one again."""
        depot = Depot(self)
        for line in (b"", b"\r", b"LIST", b"GET a\r", b"\0\xff", b"uploada;5", b" HELP"):
            with self.subTest(line):
                session = depot.connect()
                self.assert_refused(session.send(line + b"\n"), "bad-command")
                self.assert_in_step(session, depot)

    def test_argument_of_none(self) -> None:
        """A command that takes no argument refuses one, and does nothing."""
        depot = Depot(self)
        session = depot.connect()
        for line in (b"HELP me\n", b"QUIT now\n"):
            self.assert_refused(session.send(line), "bad-details")
            self.assert_in_step(session, depot)

    def test_long_line(self) -> None:
        """A line of more than 4,096 bytes is refused once, and closes, in whatever pieces."""
        depot = Depot(self)
        for chunks in (
            [b"x" * 5000 + b"\n"],
            [b"x" * 5000],
            [b"x" * 1000] * 5 + [b"\n"],
            [b"x" * 4097],
            [b"UPLOAD\n", b"x" * 5000 + b";5\n"],
            [b"x" * 5000 + b"\nLIST_FILES\n"],
        ):
            with self.subTest(len(chunks[0])):
                session = depot.connect()
                answer = session.send(*chunks).removeprefix(Command.UPLOAD.prompt or b"")
                self.assert_refused(answer.lstrip(b"\n"), "line-too-long")
                self.assert_closed(session, depot)

    def test_longest_line(self) -> None:
        """A line of 4,096 bytes is read."""
        depot = Depot(self)
        session = depot.connect()
        self.assert_refused(session.send(b"x" * 4096 + b"\n"), "bad-command")
        self.assert_in_step(session, depot)

    def test_newlines(self) -> None:
        """64 KiB of newlines are so many empty commands, of which a few suffice to close."""
        depot = Depot(self)
        session = depot.connect()
        self.assert_refused(session.send(b"\n" * 65536), *["bad-command"] * MAX_ERRORS)
        self.assert_closed(session, depot)

    def test_many_errors(self) -> None:
        """The twentieth error in a row closes, of whatever kinds they are."""
        self.assertEqual(MAX_ERRORS, 20)
        depot = Depot(self)
        session = depot.connect()
        lines = (b"x\n", b"STAT x\n", b"DOWNLOAD %s\n" % HELLO, b"UPLOAD ..;0\n")
        symbols = ("bad-command", "bad-id", "no-such-file", "bad-name")
        for _ in range(4):
            self.assert_refused(session.send(b"".join(lines)), *symbols)
        self.assert_refused(session.send(b"".join(lines[:3])), *symbols[:3])
        self.assertIs(session.protocol.state, State.COMMAND)
        self.assert_refused(session.send(lines[3] + b"HELP\n"), symbols[3])
        self.assert_closed(session, depot)

    def test_success_between(self) -> None:
        """An answer that is no error starts the count afresh."""
        depot = Depot(self)
        session = depot.connect()
        for good in (b"HELP\n", b"LIST_FILES\n", b"UPLOAD a;5\nhello", b"DOWNLOAD %s\n" % HELLO):
            session.send(b"x\n" * (MAX_ERRORS - 1))
            self.assertIs(session.protocol.state, State.COMMAND)
            session.send(good)
        session.send(b"x\n" * (MAX_ERRORS - 1))
        self.assertIs(session.protocol.state, State.COMMAND)
        self.assert_refused(session.send(b"x\n"), "bad-command")
        self.assert_closed(session, depot, b"%s;a;5\nDONE\n" % HELLO)

    def test_a_question_is_no_success(self) -> None:
        """A command that asks for its argument does not start the count afresh."""
        depot = Depot(self)
        session = depot.connect()
        session.send(b"STAT\nx\n" * MAX_ERRORS)
        self.assert_closed(session, depot)


class DetailsTests(BadInputCase):
    """What C{UPLOAD} is told."""

    def test_prompted_bad_details(self) -> None:
        """Details that are none are refused when asked for, and the connection stays in step."""
        depot = Depot(self)
        for what, details in BAD_DETAILS.items():
            with self.subTest(what):
                session = depot.connect()
                session.send(b"UPLOAD\n")
                self.assert_refused(session.send(details + b"\n"), "bad-details")
                self.assert_in_step(session, depot)

    def test_one_line_bad_details(self) -> None:
        """On the command's line they close: nobody knows how much payload follows."""
        depot = Depot(self)
        for what, details in BAD_DETAILS.items():
            if details:  # nothing there is a question for it
                with self.subTest(what):
                    session = depot.connect()
                    self.assert_refused(session.send(b"UPLOAD %s\n" % details), "bad-details")
                    self.assert_closed(session, depot)

    def test_prompted_bad_names(self) -> None:
        """A name that is not allowed is refused, and the connection stays in step."""
        depot = Depot(self)
        for what, name in BAD_NAMES.items():
            with self.subTest(what):
                session = depot.connect()
                session.send(b"UPLOAD\n")
                self.assert_refused(session.send(name + b";5\n"), "bad-name")
                self.assert_in_step(session, depot)

    def test_one_line_bad_names(self) -> None:
        """On the command's line, the payload is taken away, though it looks like commands."""
        depot = Depot(self)
        payload = b"QUIT\nUPLOAD b;5\nhello\nx\n"
        for what, name in BAD_NAMES.items():
            with self.subTest(what):
                session = depot.connect()
                answer = session.send(b"UPLOAD %s;%d\n" % (name, len(payload)), payload)
                self.assert_refused(answer, "bad-name")
                self.assert_in_step(session, depot)

    def test_payload_before_ready(self) -> None:
        """Payload that is there when prompted details are refused closes: it was not asked for."""
        depot = Depot(self)
        session = depot.connect()
        session.send(b"UPLOAD\n")
        self.assert_refused(session.send(b"..;11\nLIST_FILES\n"), "bad-name")
        self.assert_closed(session, depot)

    def test_odd_names(self) -> None:
        """A name that is only odd is stored and listed as it is, and is no path anywhere."""
        for what, name in ODD_NAMES.items():
            with self.subTest(what):
                depot = Depot(self, small=4)
                session = depot.connect()
                answer = session.send(b"UPLOAD %s;5\nhello" % name.encode())
                self.assertEqual(answer, HELLO + b"\n")
                self.assertEqual(depot.files(), [f"objects/5d/{HELLO.decode()}"])
                session.send(b"UPLOAD %s;2\nhi" % name.encode())
                session.send(b"DELETE %s\n" % md5(b"hi").hexdigest().encode())
                self.assertEqual(depot.files(), [f"objects/5d/{HELLO.decode()}"])
                self.assert_in_step(session, depot, b"%s;%s;5\nDONE\n" % (HELLO, name.encode()))

    def test_too_large(self) -> None:
        """More than the server takes is refused, prompted or not; just as much is taken."""
        depot = Depot(self, max_file_size=5)
        session = depot.connect()
        session.send(b"UPLOAD\n")
        self.assert_refused(session.send(b"a;6\n"), "too-large")
        self.assert_in_step(session, depot)
        self.assert_refused(session.send(b"UPLOAD a;6\nQUIT\nx"), "too-large")
        self.assert_in_step(session, depot)
        self.assertEqual(session.send(b"UPLOAD a;5\nhello"), HELLO + b"\n")
        self.assert_in_step(session, depot, b"%s;a;5\nDONE\n" % HELLO)

    def test_discarded_to_the_limit(self) -> None:
        """The longest payload that is taken away is taken away whole."""
        depot = Depot(self, max_file_size=5)
        session = depot.connect()
        piece = b"QUIT\n" * 1000
        whole, rest = divmod(DISCARD_LIMIT, len(piece))
        self.assert_refused(session.send(b"UPLOAD a;%d\n" % DISCARD_LIMIT), "too-large")
        self.assertEqual(session.send(*[piece] * whole, piece[:rest]), b"")
        self.assert_in_step(session, depot)

    def test_beyond_the_discard_limit(self) -> None:
        """A longer one is not waited for: the connection is closed."""
        for line in (b"UPLOAD a;%d\n", b"UPLOAD ..;%d\n"):
            depot = Depot(self, max_file_size=5)
            session = depot.connect()
            answer = session.send(line % (DISCARD_LIMIT + 1))
            self.assert_refused(answer, "too-large" if b"a" in line else "bad-name")
            self.assert_closed(session, depot)


class IdTests(BadInputCase):
    """What C{DOWNLOAD} and C{STAT} are told."""

    def test_bad_ids(self) -> None:
        """What is no id is refused, asked for or not, and the connection stays in step."""
        depot = Depot(self)
        for what, id in BAD_IDS.items():
            for command in (b"DOWNLOAD", b"STAT"):
                with self.subTest(f"{what}, {command!r}"):
                    session = depot.connect()
                    session.send(command + b"\n")
                    self.assert_refused(session.send(id + b"\n"), "bad-id")
                    if id:
                        self.assert_refused(session.send(command + b" " + id + b"\n"), "bad-id")
                    self.assert_in_step(session, depot)

    def test_unknown(self) -> None:
        """An id that nothing has is told as such."""
        depot = Depot(self)
        session = depot.connect()
        for line in (b"DOWNLOAD %s\n", b"DOWNLOAD %s;9;9\n", b"STAT %s\n", b"STAT\n%s\n"):
            answer = session.send(line % HELLO).removeprefix(b"Please send a file ID\n")
            self.assert_refused(answer, "no-such-file")
        self.assert_in_step(session, depot)

    def test_upper_case(self) -> None:
        """An id in upper case is the same id."""
        session = Depot(self).connect()
        session.send(b"UPLOAD a;5\nhello")
        self.assertEqual(session.send(b"DOWNLOAD %s\n" % HELLO.upper()), b"%s;a;5\nhello" % HELLO)
        self.assertTrue(session.send(b"STAT %s\n" % HELLO.upper()).startswith(b"%s;a;5" % HELLO))

    def test_bad_ranges(self) -> None:
        """A range that is none, or lies past the end, is refused before the entry is sent."""
        depot = Depot(self)
        session = depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        for range, symbol in (
            (b"6", "bad-range"),
            (b"5;1", "bad-range"),
            (b"0;6", "bad-range"),
            (b"9223372036854775807", "bad-range"),
            (b"9223372036854775807;9223372036854775807", "bad-range"),
            (b"9223372036854775808", "bad-range"),
            (b"-1", "bad-range"),
            (b"", "bad-range"),
            (b"0;", "bad-range"),
            (b"0;-1", "bad-range"),
            ("５".encode(), "bad-range"),
            (b"0;0;0", "bad-details"),
        ):
            with self.subTest(range):
                answer = session.send(b"DOWNLOAD %s;%s\n" % (HELLO, range))
                self.assert_refused(answer, symbol)
                self.assert_in_step(session, depot, b"%s;a;5\nDONE\n" % HELLO)


class PayloadTests(BadInputCase):
    """Payloads that are not what was declared."""

    def test_none(self) -> None:
        """An empty file is stored at once, and what follows is a command."""
        depot = Depot(self)
        session = depot.connect()
        empty = md5(b"").hexdigest().encode()
        self.assertEqual(session.send(b"UPLOAD a;0\n"), empty + b"\n")
        self.assert_in_step(session, depot, b"%s;a;0\nDONE\n" % empty)

    def test_more(self) -> None:
        """Bytes beyond the declared size are commands again, in the same segment or not."""
        for chunks in ([b"UPLOAD a;5\nhello, world\n"], [b"UPLOAD a;5\n", b"hel", b"lo, world\n"]):
            depot = Depot(self)
            session = depot.connect()
            answer = session.send(*chunks)
            self.assertEqual(answer[:33], HELLO + b"\n")
            self.assert_refused(answer[33:], "bad-command")
            self.assert_in_step(session, depot, b"%s;a;5\nDONE\n" % HELLO)

    def test_fewer_then_lost(self) -> None:
        """A connection that is lost or reset in the middle leaves nothing behind."""
        for size, files in ((NO_SMALL, 2), (SMALL_SIZE, 0)):
            depot = Depot(self, small=size)
            for sent in (b"", b"hell"):
                lost, reset = depot.connect(), depot.connect()
                for session in (lost, reset):
                    session.send(b"UPLOAD a;5\n", sent)
                self.assertEqual(len(depot.files()), files)
                lost.lose()
                reset.transport.connected = False
                reset.protocol.connectionLost(Failure(ConnectionLost()))
                self.assert_served(depot, NONE)
                self.assertEqual(small_rows(depot.root), [])

    def test_fewer_then_half_closed(self) -> None:
        """A client that sends no more is told how many bytes are missing, and nothing stays."""
        depot = Depot(self)
        session = depot.connect()
        session.send(b"UPLOAD a;5\nhell")
        answer = session.half_close()
        self.assert_refused(answer, "bad-details")
        self.assertIn(b" 4 of 5 ", answer)
        self.assert_closed(session, depot)

    def test_lost_while_discarding(self) -> None:
        """A connection that is lost in the middle of a refused payload leaves nothing either."""
        depot = Depot(self)
        session = depot.connect()
        session.send(b"UPLOAD ..;5\nhel")
        session.lose()
        self.assert_served(depot, NONE)


class DiskTests(BadInputCase):
    """Good input, and a disk that fails to keep object files."""

    def break_disk(self, call: str, number: int) -> None:
        """From here on a system call fails with this number."""

        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number), "/secret/path")

        self.broken = self.patch(os, call, refuse)

    def test_full(self) -> None:
        """A disk that fills up is told as C{no-space}, and the rest of the payload taken away."""
        depot = Depot(self, small=NO_SMALL)
        for chunks in ([b"QUIT\n"], [b"QU", b"IT\n"], [b"Q", b"U", b"I", b"T", b"\n"]):
            for before in (b"UPLOAD a;5\n", b"UPLOAD\na;5\n"):
                session = depot.connect()
                session.send(before)
                self.break_disk("writev", errno.ENOSPC)
                self.assert_refused(session.send(*chunks), "no-space")
                self.broken.restore()
                self.assert_in_step(session, depot)

    def test_full_before_much_more(self) -> None:
        """When much of the payload is still to come, it is not waited for."""
        depot = Depot(self, small=NO_SMALL)
        session = depot.connect()
        self.break_disk("write", errno.ENOSPC)  # a large file is written in large blocks
        session.send(b"UPLOAD a;%d\n" % (DISCARD_LIMIT + direct_io.BLOCK + 1))
        self.assert_refused(session.send(bytes(direct_io.BLOCK)), "no-space")
        self.assert_closed(session, depot)

    def test_no_new_file(self) -> None:
        """A disk on which no file can be made refuses before C{Ready}, or skips the payload."""
        depot = Depot(self, small=NO_SMALL)
        prompted, one_line = depot.connect(), depot.connect()
        prompted.send(b"UPLOAD\n")
        self.break_disk("open", errno.ENOSPC)
        self.assert_refused(prompted.send(b"a;5\n"), "no-space")
        self.assert_refused(one_line.send(b"UPLOAD a;5\nQUIT\n"), "no-space")
        self.broken.restore()
        self.assert_in_step(prompted, depot)
        self.assert_in_step(one_line, depot)

    def test_write_error(self) -> None:
        """Any other error is C{internal}: logged in full, with nothing of it in the answer."""
        depot = Depot(self, small=NO_SMALL)
        for chunks in ([b"QUIT\n"], [b"QU", b"IT\n"]):
            session = depot.connect()
            self.break_disk("writev", errno.EIO)
            answer = session.send(b"UPLOAD a;5\n", *chunks)
            self.broken.restore()
            self.assert_refused(answer, "internal")
            self.assertNotIn(b"secret", answer)
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
            self.assert_in_step(session, depot)

    def test_sync_error(self) -> None:
        """Bytes that the disk does not keep are not stored."""
        depot = Depot(self, small=NO_SMALL)
        for number, symbol, logged in ((errno.EIO, "internal", 1), (errno.ENOSPC, "no-space", 0)):
            session = depot.connect()
            self.break_disk("fsync", number)
            self.assert_refused(session.send(b"UPLOAD a;5\nhello"), symbol)
            self.broken.restore()
            self.assertEqual(len(self.flushLoggedErrors(OSError)), logged)
            self.assert_in_step(session, depot)

    def test_read_error(self) -> None:
        """A download that fails midway is cut off with a reset, and never padded."""
        depot = Depot(self, small=NO_SMALL)
        session = depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        self.break_disk("pread", errno.EIO)
        self.assertEqual(session.send(b"DOWNLOAD %s\n" % HELLO), b"%s;a;5\n" % HELLO)
        self.broken.restore()
        self.assertTrue(session.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assert_closed(session, depot, b"%s;a;5\nDONE\n" % HELLO)

    def test_missing(self) -> None:
        """A stored file that is gone or too short is told as C{corrupt}, and not sent."""
        depot = Depot(self, small=NO_SMALL)
        session = depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        path = depot.root / depot.files()[0]
        os.truncate(path, 4)
        self.assert_refused(session.send(b"DOWNLOAD %s\n" % HELLO), "corrupt")
        path.unlink()
        self.assert_refused(session.send(b"DOWNLOAD %s\n" % HELLO), "corrupt")
        self.assert_in_step(session, depot, b"%s;a;5\nDONE\n" % HELLO)


class SmallDiskTests(BadInputCase):
    """The same, where the file is a small one: what fails is a database."""

    def setUp(self) -> None:
        self.connections: list[sqlite3.Connection] = []
        opened = schema.open_durable

        def connected(*args: Any) -> sqlite3.Connection:
            self.connections.append(opened(*args))
            return self.connections[-1]

        self.patch(packed, "open_durable", connected)
        self.depot = Depot(self)

    def limit(self, pages: int) -> None:
        """Let the small contents grow by so many pages, and no further."""
        for connection in self.connections:
            count = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {count + pages}")

    def test_full(self) -> None:
        """A disk that is full is told behind the payload, prompted or not, of all that waits."""
        content = b"QUIT\n" * 3000
        self.limit(0)
        for before in (b"UPLOAD a;%d\n", b"UPLOAD\na;%d\n"):
            for chunks in ([content], [content[:7000], content[7000:]]):
                session = self.depot.connect()
                session.send(before % len(content))
                self.assert_refused(session.send(*chunks), "no-space")
                self.assert_in_step(session, self.depot)
        upload = b"UPLOAD a;%d\n" % len(content) + content
        self.assert_refused(session.send(upload * 3), *["no-space"] * 3)
        self.assert_in_step(session, self.depot)
        self.limit(100)
        id = md5(content).hexdigest().encode()
        self.assertEqual(session.send(upload), id + b"\n")
        self.assert_in_step(session, self.depot, b"%s;a;%d\nDONE\n" % (id, len(content)))
        self.assertEqual(small_rows(self.depot.root), [(1, id.decode())])

    def test_read_error(self) -> None:
        """A small file that can't be read is C{internal}, and the connection goes on."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")

        def refuse(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error at /secret/path")

        broken = self.patch(packed.PackedContents, "read", refuse)
        self.assert_refused(session.send(b"DOWNLOAD %s\n" % HELLO), "internal")
        broken.restore()
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)
        self.assertEqual(session.send(b"DOWNLOAD %s\n" % HELLO), b"%s;a;5\nhello" % HELLO)
        self.assert_in_step(session, self.depot, b"%s;a;5\nDONE\n" % HELLO)

    def test_write_error(self) -> None:
        """One that can't be written is C{internal}, and not stored."""

        def refuse(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error at /secret/path")

        session = self.depot.connect()
        broken = self.patch(packed.PackedContents, "add", refuse)
        answer = session.send(b"UPLOAD a;5\nhello")
        broken.restore()
        self.assert_refused(answer, "internal")
        self.assertNotIn(b"secret", answer)
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)
        self.assert_in_step(session, self.depot)

    def test_missing(self) -> None:
        """A row that is gone or too short is told as C{corrupt}, and not sent."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        for content in (b"hell", b"hello ", None):
            overwrite(self.depot.root, HELLO.decode(), content)
            self.assert_refused(session.send(b"DOWNLOAD %s\n" % HELLO), "corrupt")
        self.assert_in_step(session, self.depot, b"%s;a;5\nDONE\n" % HELLO)

    def test_deleted_on_full_disk(self) -> None:
        """Where not even a removal can be noted, DELETE is told so and removes nothing."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")

        def refuse(*_: object) -> None:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full

        broken = self.patch(packed.PackedContents, "mark", refuse)
        self.assert_refused(session.send(b"DELETE %s\n" % HELLO), "no-space")
        broken.restore()
        self.assertEqual(session.send(b"DOWNLOAD %s\n" % HELLO), b"%s;a;5\nhello" % HELLO)
        self.assertEqual(session.send(b"DELETE %s\n" % HELLO), HELLO + b"\n")
        self.assert_in_step(session, self.depot)
        self.assertEqual(small_rows(self.depot.root), [])

    def test_storage_lost(self) -> None:
        """Without the storage directory nothing is stored or deleted; when it is back, all is."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;5\nhello")
        away = self.depot.root.rename(self.depot.root.with_name("away"))
        for request in (
            b"UPLOAD b;5\nworld",
            b"UPLOAD a;5\nhello",
            b"DELETE %s\n" % HELLO,
            b"RESUME c;5;token\n",
        ):
            self.assert_refused(session.send(request), "internal")
        away.rename(self.depot.root)
        self.assertEqual(len(self.flushLoggedErrors(StorageLost)), 0)
        self.assertEqual(session.send(b"DOWNLOAD %s\n" % HELLO), b"%s;a;5\nhello" % HELLO)
        self.assertEqual(session.send(b"UPLOAD a;5\nhello"), HELLO + b"\n")
        self.assert_in_step(session, self.depot, b"%s;a;5\nDONE\n" % HELLO)


class NeverReadsTests(BadInputCase):
    """A client that sends, and does not read what it is answered."""

    def connect(self, depot: Depot, buffer: int) -> Session:
        """A connection whose transport is full when it holds more than C{buffer} bytes."""
        session = depot.connect()
        transport, protocol = session.transport, session.protocol

        def write(data: bytes) -> None:
            Transport.write(transport, data)
            if len(transport.value()) > buffer and transport.producer is not None:
                protocol.pauseProducing()

        self.patch(transport, "write", write)
        return session

    def test_flood(self) -> None:
        """Once the transport is full, no command is answered until it has room again."""
        depot = Depot(self)
        session = depot.connect()
        session.protocol.pauseProducing()
        self.assertEqual(session.transport.producerState, "paused")
        self.assertEqual(session.send(*[b"HELP\n", b"LIST_FILES\n"] * 500), b"")
        self.assertTrue(session.protocol.paused)
        self.assert_served(depot, NONE)
        session.protocol.resumeProducing()
        self.assertEqual(session.answer(), (HELP + NONE) * 500)
        self.assertEqual(session.transport.producerState, "producing")
        self.assert_in_step(session, depot)

    def test_flood_in_one_segment(self) -> None:
        """That holds between two lines of one segment, too."""
        depot = Depot(self)
        session = self.connect(depot, buffer=len(HELP) * 3)
        self.assertEqual(session.send(b"HELP\n" * 100), HELP * 4)
        for _ in range(24):
            self.assert_served(depot, NONE)
            session.protocol.resumeProducing()
            self.assertEqual(session.answer(), HELP * 4)
        session.protocol.resumeProducing()
        self.assert_in_step(session, depot)

    def test_listing(self) -> None:
        """A listing is read from the catalogue no faster than it is taken."""
        self.patch(page_length, "PAGE", 1000)
        depot = Depot(self)
        session = self.connect(depot, buffer=0)
        names = [b"%04d" % number for number in range(2500)]
        listing = b"".join(b"%s;%s;5\n" % (HELLO, name) for name in names) + b"DONE\n"
        store = depot.connect()
        store.send(b"".join(b"UPLOAD %s;5\nhello" % name for name in names))
        pages = [session.send(b"LIST_FILES\n")]
        while session.protocol.state is State.SENDING:
            self.assertLess(len(pages[-1]), len(listing) / 2)
            session.protocol.resumeProducing()
            pages.append(session.answer())
        self.assertGreater(len(pages), 2)
        self.assertEqual(b"".join(pages), listing)

    def test_download(self) -> None:
        """A download waits after each block, and holds no more than one block besides."""
        depot = Depot(self)
        session = self.connect(depot, buffer=BLOCK // 2)
        content = os.urandom(8 * BLOCK + 1)
        id = md5(content).hexdigest().encode()
        depot.connect().send(b"UPLOAD a;%d\n" % len(content), content)
        entry = b"%s;a;%d\n" % (id, len(content))
        came = session.send(b"DOWNLOAD %s\nHELP\n" % id)
        self.assertEqual(len(came), len(entry) + BLOCK)
        self.assertEqual(session.send(b"HELP\n"), b"")
        self.assert_served(depot, b"%s;a;%d\nDONE\n" % (id, len(content)))
        while session.protocol.state is State.SENDING:
            session.protocol.resumeProducing()
            block = session.answer()
            self.assertLessEqual(len(block), BLOCK + 1 + 2 * len(HELP))
            came += block
        self.assertEqual(came, entry + content + HELP + HELP)

    def test_lost(self) -> None:
        """When such a client is gone at last, the file that was being sent is let go."""
        depot = Depot(self)
        session = self.connect(depot, buffer=BLOCK // 2)
        content = bytes(3 * BLOCK)
        depot.connect().send(b"UPLOAD a;%d\n" % len(content), content)
        before = open_files()
        session.send(b"DOWNLOAD %s\n" % md5(content).hexdigest().encode())
        self.assertIs(session.protocol.state, State.SENDING)
        session.lose()
        self.assertEqual(open_files(), before)
        self.assertEqual(session.answer(), b"")


class LingerTests(BadInputCase):
    """How a connection is closed after an error."""

    def closing(self, depot: Depot) -> Session:
        session = depot.connect()
        self.assert_refused(session.send(b"x" * 5000), "line-too-long")
        return session

    def test_reads_on(self) -> None:
        """The server closes its half, drops what still comes, and ends after a while."""
        depot = Depot(self)
        session = self.closing(depot)
        self.assertTrue(session.transport.half_closed)
        depot.clock.advance(LINGER / 2)
        self.assertEqual(session.send(b"HELP\n" * 1000, b"x" * 5000, b"\n"), b"")
        self.assertTrue(session.transport.connected)
        self.assertFalse(session.protocol.paused)
        depot.clock.advance(LINGER / 2)
        self.assertFalse(session.transport.connected)
        self.assertFalse(session.transport.aborted)
        self.assertEqual(depot.clock.getDelayedCalls(), [])
        self.assert_served(depot, NONE)

    def test_not_before_all_is_sent(self) -> None:
        """That while begins when the peer has read all; one that never does is cut off."""
        depot = Depot(self)
        session = depot.connect()
        self.patch(session.transport, "loseWriteConnection", lambda: None)  # much is unsent
        session.send(b"x" * 5000)
        depot.clock.pump([LINGER] * int(CLOSE_TIMEOUT / LINGER - 1))
        self.assertTrue(session.transport.connected)
        depot.clock.advance(LINGER)
        self.assertTrue(session.transport.aborted)
        self.assertFalse(session.transport.connected)
        self.assertEqual(depot.clock.getDelayedCalls(), [])
        self.assert_served(depot, NONE)

    def test_all_is_sent_at_last(self) -> None:
        """A peer that was slow to read all has as long as any other after that."""
        depot = Depot(self)
        session = depot.connect()
        self.patch(session.transport, "loseWriteConnection", lambda: None)  # much is unsent
        session.send(b"x" * 5000)
        depot.clock.advance(CLOSE_TIMEOUT - 1)
        session.protocol.writeConnectionLost()
        depot.clock.pump([LINGER / 2] * 2)
        self.assertFalse(session.transport.connected)
        self.assertFalse(session.transport.aborted)
        self.assertEqual(depot.clock.getDelayedCalls(), [])

    def test_peer_leaves(self) -> None:
        """When the peer is gone before that, nothing is left to do."""
        depot = Depot(self)
        self.closing(depot).lose()
        self.assertEqual(depot.clock.getDelayedCalls(), [])

    def test_peer_closes(self) -> None:
        """When the peer closes its half before that, the connection ends in good order."""
        depot = Depot(self)
        session = self.closing(depot)
        self.assertEqual(session.half_close(), b"")
        self.assertFalse(session.transport.connected)
        self.assertFalse(session.transport.aborted)
        self.assertEqual(depot.clock.getDelayedCalls(), [])

    def test_peer_does_not_read(self) -> None:
        """A peer that does not read and sends no more is closed once it has read."""
        depot = Depot(self)
        session = depot.connect()
        session.protocol.pauseProducing()
        session.half_close()
        session.protocol.resumeProducing()
        self.assert_closed(session, depot)
