"""What the server's log tells: one line each, and none that the peer could write."""

from __future__ import annotations

import os
from hashlib import md5
from itertools import chain
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import NO_SMALL, Depot
from tests.support.executors import GatedExecutor
from tests.support.visitors import PASSWORD, user
from xferproto.model.errors import NoSpace
from xferproto.server.failures import FailureReport
from xferproto.server.line.transfer_log import LOGGED_TOGETHER

HELLO = md5(b"hello").hexdigest()


class LogTests(SynchronousTestCase):
    """The lines of one connection."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.depot = Depot(self)
        self.session = self.depot.connect()

    def lines(self, level: LogLevel = LogLevel.info) -> list[str]:
        """What was logged since the last call, all at one level."""
        events = [event for event in self.events if event["log_namespace"].startswith("xfer")]
        self.events.clear()
        self.assertEqual({event["log_level"] for event in events}, {level})
        lines = [formatEvent(event) for event in events]
        for line in lines:
            self.assertTrue(line.isprintable(), line)
        return lines

    def use_files(self) -> None:
        """From now on the depot keeps every content in a file."""
        self.depot = Depot(self, small=NO_SMALL)
        self.session = self.depot.connect()

    def test_connection(self) -> None:
        """Its begin, with where it comes from, and its end."""
        self.assertEqual(self.lines(), ["#1 connected from 192.168.1.1 54321"])
        self.session.lose()
        self.assertEqual(self.lines(), ["#1 disconnected"])

    def test_numbers(self) -> None:
        """Each connection has a number of its own, which all its lines begin with."""
        other = self.depot.connect()
        other.send(b"x\n")
        self.session.send(b"x\n")
        other.lose()
        numbers = [line.split()[0] for line in self.lines()]
        self.assertEqual(numbers, ["#1", "#2", "#2", "#1", "#2"])

    def test_stored(self) -> None:
        """An upload: name, size, id, seconds and rate."""
        self.lines()
        self.session.send(b"UPLOAD a b.txt;%d\n" % 2**20, bytes(2**19))
        self.depot.clock.advance(0.5)
        self.session.send(bytes(2**19))
        self.assertEqual(
            self.lines(),
            [
                '#1 stored "a b.txt" size=1048576 id=b6d81b360a5672d80c27430f39153e2c '
                "bytes=1048576 seconds=0.500 rate=2.0MiB/s"
            ],
        )

    def test_stored_at_once(self) -> None:
        """An upload that takes no time at all still has a line."""
        self.lines()
        self.session.send(b"UPLOAD a;0\n")
        (line,) = self.lines()
        self.assertIn(' stored "a" size=0 ', line)
        self.assertIn(" seconds=0.000 rate=0.0MiB/s", line)

    def test_sent(self) -> None:
        """A download: the same, and how much of it was asked for."""
        self.use_files()
        self.session.send(b"UPLOAD a;5\nhello")
        self.lines()
        read = os.pread

        def slowly(fd: int, length: int, offset: int) -> bytes:
            self.depot.clock.advance(2)
            return read(fd, length, offset)

        self.patch(os, "pread", slowly)
        self.session.send(f"DOWNLOAD {HELLO};1;3\n".encode())
        self.assertEqual(
            self.lines(),
            [f'#1 sent "a" size=5 id={HELLO} bytes=3 seconds=2.000 rate=0.0MiB/s'],
        )

    def test_sent_small(self) -> None:
        """A small one alone has a line like any other, both ways."""
        self.lines()
        self.session.send(b"UPLOAD a;5\nhe")
        self.depot.clock.advance(0.5)
        self.session.send(b"llo")
        self.session.send(f"DOWNLOAD {HELLO};1;3\n".encode())
        self.assertEqual(
            self.lines(),
            [
                f'#1 stored "a" size=5 id={HELLO} bytes=5 seconds=0.500 rate=0.0MiB/s',
                f'#1 sent "a" size=5 id={HELLO} bytes=3 seconds=0.000 rate=2.9MiB/s',
            ],
        )

    def together(self) -> list[list[str]]:
        """The lines of each event since the last call; all of them printable."""
        events = [formatEvent(event).split("\n") for event in self.events]
        self.events.clear()
        for line in chain(*events):
            self.assertTrue(line.isprintable(), line)
        return events

    def test_together(self) -> None:
        """Pipelined small files that are answered together share one event, a line each."""
        database = GatedExecutor()
        depot = Depot(self, database=database)
        session = depot.connect()
        self.events.clear()
        database.open = False
        world = md5(b"world").hexdigest()
        session.send(b"UPLOAD a;5\nhelloUPLOAD b\xc2\xa0;5\nhelloUPLOAD c;5\nworld")
        database.run_all()
        session.send(b"DOWNLOAD %s\n" % HELLO.encode() + b"DOWNLOAD %s;4\n" % world.encode())
        session.send(b"UPLOAD d;5\nworld")
        database.run_all()
        self.assertEqual(
            self.together(),
            [
                [
                    "#1 stored 3 files, 15 bytes:",
                    f'"a" size=5 id={HELLO}',
                    f'"b\\xa0" size=5 id={HELLO}',
                    f'"c" size=5 id={world}',
                ],
                ["#1 sent 2 files, 6 bytes:", f'"a" size=5 id={HELLO}', f'"c" size=5 id={world}'],
                [f'#1 stored "d" size=5 id={world} bytes=5 seconds=0.000 rate=4.8MiB/s'],
            ],
        )

    def test_no_more_together(self) -> None:
        """No event has more than so many lines."""
        database = GatedExecutor()
        depot = Depot(self, database=database)
        session = depot.connect()
        session.send(b"UPLOAD a;0\n")
        self.events.clear()
        database.open = False
        count = 2 * LOGGED_TOGETHER + 1
        session.send(b"DOWNLOAD d41d8cd98f00b204e9800998ecf8427e\n" * count)
        database.run_all()
        counts = [len(lines) - (len(lines) > 1) for lines in self.together()]
        self.assertEqual(sum(counts), count)
        self.assertLessEqual(max(counts), LOGGED_TOGETHER)
        self.assertLess(len(counts), 10)

    def test_stored_for_one_who_left(self) -> None:
        """A small file that was stored when its connection was lost already has its line."""
        database = GatedExecutor()
        session = Depot(self, database=database).connect()
        self.events.clear()
        database.open = False
        session.send(b"UPLOAD a;5\nhello")
        session.lose()
        database.run_all()
        self.assertEqual([line.split()[1] for line in self.lines()], ["disconnected", "stored"])

    def test_refused(self) -> None:
        """A refusal: the command, the file and the symbol; the reason, where it says more."""
        self.lines()
        id = "0" * 32
        for request, refusal in (
            (
                b"\x1b[2J\n",
                "#1 refused: bad-command This is not a command; send HELP for the list of "
                "commands.",
            ),
            (
                b"UPLOAD \xe2\x80\xae\n;0\n",
                '#1 refused UPLOAD "\\u202e": bad-details There is no size; send the file name and '
                "file size as name;size.",
            ),
        ):
            self.session.send(request)
            (line, *_) = self.lines()
            self.assertEqual(line, refusal)
        session = self.depot.connect()
        self.lines()
        for text, refusal in (
            (f"DOWNLOAD {id}", f"refused DOWNLOAD {id}: no-such-file"),
            ("DOWNLOAD x\u202e", 'refused DOWNLOAD "x\\u202e": bad-id'),
            (f"DELETE\n{id};a", f'refused DELETE {id} "a": no-such-file'),
            ("LIST_FILES a\\", 'refused LIST_FILES "a\\\\": bad-name'),
            ("HELP x", "refused HELP: bad-details"),
            ("UPLOAD ../a;b;0", 'refused UPLOAD "../a;b": bad-name'),
            ("RESUME\n../a;1;t", 'refused RESUME "../a": bad-name'),
        ):
            session.send(f"{text}\n".encode())
            line = self.lines()[0]
            self.assertTrue(line.startswith(f"#2 {refusal}"), line)
        session.send(b"LOGIN bob;secret\n")
        self.assertNotIn("secret", "".join(self.lines()))

    def test_refused_pipelined(self) -> None:
        """Of requests that are answered in turn, each refusal has its own."""
        ids = [f"{number:032}" for number in range(3)]
        self.events.clear()
        self.session.send("".join(f"DOWNLOAD {id}\n" for id in ids).encode())
        refusals = [f"#1 refused DOWNLOAD {id}: no-such-file" for id in ids]
        self.assertEqual([line.partition(" No file")[0] for line in self.lines()], refusals)

    def test_refused_user(self) -> None:
        """A refusal has the user."""
        bob = Depot(self, users=[user("bob", [])]).connect(IPv4Address("TCP", "127.0.0.1", 1))
        self.assertEqual(bob.send(b"LOGIN bob;%s\n" % PASSWORD.encode()), b"Welcome bob\n")
        self.events.clear()
        bob.send(b"UPLOAD report.txt;5\nhello")
        (line,) = self.lines()
        self.assertTrue(line.startswith('#1 refused UPLOAD "report.txt" of "bob": denied '), line)

    def test_no_space(self) -> None:
        """A full disk is an error of the server, too: once for many requests."""
        failures = FailureReport(clock := Clock())
        for seconds, levels in ((0, ["info", "error"]), (1, ["info"]), (60, ["info", "error"])):
            clock.advance(seconds)
            self.events.clear()
            failures.refused(1, NoSpace(), 'UPLOAD "a"')
            self.assertEqual([event["log_level"].name for event in self.events], levels)
        self.assertEqual(
            formatEvent(self.events[-1]),
            "no-space: 2 requests were refused; make room on the disk of the storage directory",
        )

    def test_cut_short(self) -> None:
        """An upload whose connection is lost, or that ends early: how much of it came."""
        self.session.send(b"UPLOAD a;5\nhell")
        other = self.depot.connect()
        other.send(b"UPLOAD a;7\n")
        self.events.clear()
        self.session.lose()
        cut, left = map(formatEvent, self.events)
        self.assertEqual(
            cut, '#1 upload of "a" cut short after 4 of 5 declared bytes; nothing was stored'
        )
        self.assertEqual(left, "#1 disconnected")
        self.assertIs(self.events[0]["log_level"], LogLevel.warn)
        self.events.clear()
        other.half_close()
        cut, refused, *_ = map(formatEvent, self.events)
        self.assertEqual(
            cut, '#2 upload of "a" cut short after 0 of 7 declared bytes; nothing was stored'
        )
        self.assertTrue(refused.startswith('#2 refused UPLOAD "a": bad-details '))

    def test_failure(self) -> None:
        """A failure that has no symbol: which connection it befell, and the cause in full."""

        def refuse(*_: object) -> None:
            raise OSError("a cable is loose")

        self.use_files()
        self.lines()
        self.patch(os, "writev", refuse)
        self.session.send(b"UPLOAD a;5\nhello")
        failed, refused = self.events
        self.assertEqual(formatEvent(failed), "#1 failed")
        self.assertIs(failed["log_level"], LogLevel.critical)
        self.assertIn("a cable is loose", str(failed["log_failure"].value))
        self.assertTrue(formatEvent(refused).startswith('#1 refused UPLOAD "a": internal'))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_hostile_names(self) -> None:
        """A name can't end its quotes, its line or its direction, nor be taken for a format."""
        for name, shown in (
            ("a\u202etxt.exe", r'"a\u202etxt.exe"'),
            ('a" size=1 id=0', r'"a\" size=1 id=0"'),
            ("{0}{number}%s", '"{0}{number}%s"'),
            ("\u2066a\u2069", r'"\u2066a\u2069"'),
            ("שלום e\u0301 🎉", '"שלום e\u0301 🎉"'),
        ):
            with self.subTest(shown):
                self.session.send(f"UPLOAD {name};5\nhello".encode())
                self.assertTrue(self.lines()[-1].startswith(f"#1 stored {shown} size=5 id="))
