"""Damage stays told: over the protocol, in the log and to the operator, until it is mended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import md5
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.admin.test_main import run
from tests.support.depot import NO_SMALL, Depot, Session, make_store, overwrite
from tests.support.executors import SteppedExecutor
from tests.support.visitors import PASSWORD, peer, user
from xferproto.model.errors import Corrupt, NoSuchFile
from xferproto.model.identity import ALL_RIGHTS
from xferproto.server.maintenance import damage_report
from xferproto.server.maintenance.damage_report import NAMED, report_damage
from xferproto.store.local import catalogue_pages, page_length
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.store.local.schema import CATALOGUE
from xferproto.wire.codec import NO_DAMAGED, NO_FILES, format_error

CORRUPT = format_error(Corrupt()) + b"\n"
NO_SUCH_FILE = format_error(NoSuchFile()) + b"\n"
NONE = NO_DAMAGED + b"\nDONE\n"
NOTHING = NO_FILES + b"\nDONE\n"

CONTENT = b"what will be damaged"
ID = md5(CONTENT).hexdigest()


def line(name: str, content: bytes = CONTENT) -> bytes:
    """The line of an entry."""
    return f"{md5(content).hexdigest()};{name};{len(content)}\n".encode()


class DamageCase(SynchronousTestCase):
    """
    A depot whose bytes go bad.

    @cvar small: the most bytes of a small content.
    """

    small = SMALL_SIZE

    def setUp(self) -> None:
        self.depot = Depot(self, small=self.small)
        self.session = self.depot.connect()

    def put(self, *names: str, content: bytes = CONTENT, session: Session | None = None) -> None:
        for name in names:
            (session or self.session).send(f"UPLOAD {name};{len(content)}\n".encode() + content)

    def damage(self, content: bytes = CONTENT, by: Session | None = None) -> None:
        """Let bytes go bad, and be found so."""
        id = md5(content).hexdigest()
        overwrite(self.depot.root, id, bytes(len(content)))
        found = (by or self.session).send(f"VERIFY {id}\n".encode())
        self.assertEqual(found, CORRUPT)

    def ask(self, request: str, session: Session | None = None) -> bytes:
        return (session or self.session).send(request.encode() + b"\n")


class ProtocolTests(DamageCase):
    """What the protocol says of damage that was found before."""

    def test_each_time(self) -> None:
        """Whoever asks is told, each time, and after a restart too."""
        self.put("a", "b")
        self.damage()
        for _ in range(2):
            for _ in range(3):
                for request in (f"VERIFY {ID}", f"DOWNLOAD {ID}", f"STAT {ID}"):
                    self.assertEqual(self.ask(request), CORRUPT, request)
                self.assertEqual(self.ask("LIST_DAMAGED"), line("a") + line("b") + b"DONE\n")
                self.assertEqual(self.ask("LIST_FILES"), NOTHING)
            self.successResultOf(self.depot.store.close())
            self.depot.store = make_store(self, self.depot.root, small=self.small)
            self.depot.core.store = self.depot.store
            self.session = self.depot.connect()

    def test_command(self) -> None:
        """Both spellings, in any case, and a prefix."""
        self.put("a/b", "a;b", "b", "d")
        self.put("a/good", content=b"good")
        for request in ("LIST_DAMAGED", "LIST DAMAGED", "list_damaged", "LIST_DAMAGED "):
            self.assertEqual(self.ask(request), NONE)
        self.damage()
        self.put("e", content=b"good")
        every = b"".join(line(name) for name in ("a/b", "a;b", "b", "d")) + b"DONE\n"
        for request in ("LIST_DAMAGED", "LIST DAMAGED", "list_damaged", "LIST_DAMAGED "):
            self.assertEqual(self.ask(request), every)
        self.assertEqual(self.ask("LIST DAMAGED a"), line("a/b") + line("a;b") + b"DONE\n")
        self.assertEqual(self.ask("LIST_DAMAGED b"), line("b") + b"DONE\n")
        self.assertEqual(self.ask("LIST_DAMAGED c"), NONE)
        self.assertTrue(self.ask("LIST_DAMAGED a\\b").startswith(b"ERROR bad-name "))
        good = b"".join(line(name, b"good") for name in ("a/good", "e"))
        self.assertEqual(self.ask("LIST_FILES"), good + b"DONE\n")

    def test_healed(self) -> None:
        """The same content heals it, by each way in, and under all its names."""
        size = len(CONTENT)
        for number, requests in enumerate(
            (
                [f"UPLOAD x;{size}\n".encode() + CONTENT],
                [b"UPLOAD\n", f"x;{size}\n".encode(), CONTENT],
                [f"RESUME x;{size};t\n".encode(), b"0\n", CONTENT],
            )
        ):
            self.put("a", "b")
            self.damage()
            answer = self.session.send(*requests)
            self.assertEqual(answer.splitlines()[-1], ID.encode(), number)
            self.assertEqual(self.ask("LIST_DAMAGED"), NONE)
            self.assertEqual(self.ask("LIST_FILES"), b"".join(map(line, "abx")) + b"DONE\n")
            self.assertEqual(self.ask(f"VERIFY {ID}"), ID.encode() + b"\n")

    def test_must_be_sent(self) -> None:
        """A RESUME does not take it for stored, neither by its hash nor by its token."""
        size = len(CONTENT)
        self.session.send(f"RESUME a;{size};t\n".encode(), b"0\n", CONTENT)
        self.damage()
        self.assertTrue(self.ask(f"RESUME a;{size};t").startswith(b"0;"))

    def test_given_up(self) -> None:
        """Its names are removed one by one, or all; with the last one nothing is left of it."""
        for removals in ([f"{ID};a", f"{ID};b"], [ID], [f"{ID};b", ID]):
            self.put("a", "b")
            self.damage()
            for argument in removals:
                self.assertEqual(self.ask(f"DELETE {argument}"), ID.encode() + b"\n")
            self.assertEqual(self.ask("LIST_DAMAGED"), NONE)
            for request in (f"STAT {ID}", f"DOWNLOAD {ID}", f"VERIFY {ID}", f"DELETE {ID}"):
                self.assertEqual(self.ask(request), NO_SUCH_FILE)
            self.session = self.depot.connect()

    def test_given_up_in_part(self) -> None:
        """What is removed is one name; the others are damaged still."""
        self.put("a", "b")
        self.damage()
        self.ask(f"DELETE {ID};a")
        self.assertEqual(self.ask("LIST_DAMAGED"), line("b") + b"DONE\n")
        self.assertEqual(self.ask(f"DELETE {ID};a"), NO_SUCH_FILE)

    def test_pages(self) -> None:
        """However many there are: each once, in order, page by page."""
        names = sorted(f"n{number}" for number in range(200))
        self.put(*names)
        self.damage()
        self.put("between n1 and n2", content=b"good")
        for entries in (1, 64, 200, 4000):
            self.patch(page_length, "PAGE", entries)
            answer = self.ask("LIST_DAMAGED")
            self.assertEqual(answer, b"".join(map(line, names)) + b"DONE\n")


class FileProtocolTests(ProtocolTests):
    """The same of contents with object files."""

    small = NO_SMALL


class ViewTests(DamageCase):
    """Damage of those who do not see each other's files."""

    def setUp(self) -> None:
        users = [user("one", ALL_RIGHTS, all=False), user("two", ALL_RIGHTS, all=False)]
        self.depot = Depot(self, users=[*users, user("root")], small=self.small)
        self.one, self.two, self.root = map(self.visit, ("one", "two", "root"))
        self.session = self.one

    def visit(self, name: str) -> Session:
        session = self.depot.connect(peer("127.0.0.1"))
        session.send(f"LOGIN {name};{PASSWORD}\n".encode())
        return session

    def test_own(self) -> None:
        """Each sees the damage of their own names; who sees all, all of it, each entry once."""
        self.put("of one", "shared", session=self.one)
        self.put("of two", "shared", session=self.two)
        self.put("of one too", content=b"more", session=self.one)
        self.damage(by=self.two)
        self.damage(b"more", by=self.one)
        more = line("of one too", b"more")
        for session, lines in (
            (self.one, [line("of one"), more, line("shared")]),
            (self.two, [line("of two"), line("shared")]),
            (self.root, [line("of one"), more, line("of two"), line("shared")]),
        ):
            self.assertEqual(self.ask("LIST_DAMAGED", session), b"".join(lines) + b"DONE\n")
        self.assertEqual(self.ask("LIST_DAMAGED of one ", self.two), NONE)
        self.assertEqual(self.ask(f"DELETE {ID}", self.two), ID.encode() + b"\n")
        self.assertEqual(self.ask("LIST_DAMAGED", self.two), NONE)
        self.assertEqual(self.ask(f"STAT {ID}", self.two), NO_SUCH_FILE)
        self.assertEqual(self.ask(f"STAT {ID}", self.one), CORRUPT)
        self.assertEqual(self.ask(f"DELETE {ID};shared", self.one), ID.encode() + b"\n")
        self.assertEqual(
            self.ask("LIST_DAMAGED of one", self.one), line("of one") + more + b"DONE\n"
        )

    def test_hidden(self) -> None:
        """Damage that one does not see is not there, whatever one asks."""
        self.put("hidden", session=self.two)
        self.damage(by=self.two)
        absent = "0" * 32
        for request in ("STAT %s", "DOWNLOAD %s", "VERIFY %s", "DELETE %s", "DELETE %s;hidden"):
            answers = {self.ask(request % id, self.one) for id in (ID, absent)}
            self.assertEqual(answers, {NO_SUCH_FILE}, request)
        self.assertEqual(self.ask("LIST_DAMAGED", self.one), NONE)
        self.assertEqual(self.ask("LIST_DAMAGED", self.two), line("hidden") + b"DONE\n")


class FileViewTests(ViewTests):
    """The same of contents with object files."""

    small = NO_SMALL


class LogTests(DamageCase):
    """What is logged when a server starts."""

    def logged(self) -> list[str]:
        """What the report says."""
        events: list[str] = []
        for level in ("error", "failure"):
            self.patch(
                damage_report.log,
                level,
                lambda text, **fields: events.append(formatEvent({"log_format": text, **fields})),
            )
        self.successResultOf(Deferred.fromCoroutine(report_damage(self.depot.store.maintenance)))
        return events

    def test_none(self) -> None:
        """Nothing where nothing is damaged."""
        self.put("a")
        self.assertEqual(self.logged(), [])

    def test_names(self) -> None:
        """The names, escaped, each time."""
        self.put("a", "b\u202e")
        self.damage()
        for _ in range(2):
            (said,) = self.logged()
            self.assertTrue(said.startswith('2 files are damaged: "a", "b\\u202e"; '), said)
        self.ask(f"DELETE {ID};a")
        (said,) = self.logged()
        self.assertTrue(said.startswith('1 file is damaged: "b\\u202e"; '), said)
        self.put("c")
        self.assertEqual(self.logged(), [])

    def test_bounded(self) -> None:
        """The first names, and how many more there are."""
        names = [f"n{number:03}" for number in range(NAMED + 100)]
        self.put(*names)
        self.damage()
        (said,) = self.logged()
        shown = ", ".join(f'"{name}"' for name in names[:NAMED])
        self.assertTrue(
            said.startswith(f"{NAMED + 100} files are damaged: {shown} and 100 more; "), said
        )

    def test_stopped(self) -> None:
        """A server that stops meanwhile does not wait for it."""
        database = SteppedExecutor()
        depot = Depot(self, database=database)
        self.depot = depot
        report = Deferred.fromCoroutine(report_damage(depot.store.maintenance))
        self.assertNoResult(report)
        report.cancel()
        self.assertIsNone(self.successResultOf(report))


class OperatorTests(DamageCase):
    """C{xfer-depot damaged}."""

    def test_listed(self) -> None:
        """Each name of damaged contents, while the server runs too; the status says that any is."""
        self.put("fine", content=b"good")
        self.assertEqual(run("damaged", self.depot.root), (0, "", ""))
        self.put("b\u202e", "a")
        self.damage()
        lines = [
            f"{ID} 20 bytes, found 2001-09-09T01:46:40.000Z: " + name
            for name in ('"a"', '"b\\u202e"')
        ]
        self.assertEqual(run("damaged", self.depot.root), (1, "\n".join(lines) + "\n", ""))
        self.put("a")
        self.assertEqual(run("damaged", self.depot.root), (0, "", ""))

    def test_owner(self) -> None:
        """A user's file is told with the user."""
        self.depot = Depot(self, users=[user("alice")])
        session = self.depot.connect(peer("127.0.0.1"))
        session.send(f"LOGIN alice;{PASSWORD}\n".encode())
        self.put("a", session=session)
        self.damage(by=session)
        self.assertTrue(run("damaged", self.depot.root)[1].endswith(': "a" of "alice"\n'))

    def test_no_depot(self) -> None:
        """A directory that is no storage directory, or not there, is one line and status 1."""
        empty = Path(self.mktemp())
        for make in (lambda: None, empty.mkdir):
            make()
            status, out, err = run("damaged", empty)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))


class IndexTests(DamageCase):
    """How the damaged entries are found among many."""

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.depot.root / CATALOGUE)) as connection:
            return connection.execute(statement).fetchall()

    def reopen(self) -> None:
        self.depot.store = make_store(self, self.depot.root)
        self.depot.core.store = self.depot.store
        self.session = self.depot.connect()

    def test_by_index(self) -> None:
        """By an index that has no others, whoever asks."""
        traced: list[str] = []
        self.put("a")
        self.damage()
        self.patch(page_length, "PAGE", 1)  # so that the second one is looked for as well
        database = self.depot.store._catalogue.database
        for connection in (database.reading, database.scanning):
            connection.set_trace_callback(traced.append)
        for request in ("LIST_DAMAGED", "LIST_DAMAGED a"):
            self.ask(request)
        for connection in (database.reading, database.scanning):
            connection.set_trace_callback(None)
        statements = [text for text in traced if "listed = 0" in text]
        self.assertGreaterEqual(len(statements), 4)
        for text in statements:
            plan = self.query(f"EXPLAIN QUERY PLAN {text}")
            self.assertTrue(any("entry_damaged" in str(row[3]) for row in plan), plan)

    def test_older_directory(self) -> None:
        """A catalogue that has no such index gets it; it is of the same version as before."""
        self.put("a")
        self.damage()
        self.successResultOf(self.depot.store.close())
        version = self.query("PRAGMA user_version")
        with closing(sqlite3.connect(self.depot.root / CATALOGUE)) as connection:
            connection.execute("DROP INDEX entry_damaged")
        self.reopen()
        self.assertEqual(self.ask("LIST_DAMAGED"), line("a") + b"DONE\n")
        self.assertEqual(self.query("PRAGMA user_version"), version)
        found = "SELECT 1 FROM sqlite_schema WHERE name = 'entry_damaged'"
        self.assertEqual(len(self.query(found)), 1)

    def test_no_room(self) -> None:
        """Where it can't be made, the server starts, and finds them all the same."""
        self.put("a")
        self.damage()
        self.successResultOf(self.depot.store.close())
        with closing(sqlite3.connect(self.depot.root / CATALOGUE)) as connection:
            connection.execute("DROP INDEX entry_damaged")
        self.patch(catalogue_pages, "_INDEX", "CREATE INDEX no ON nowhere (no)")
        self.reopen()
        self.assertEqual(self.ask("LIST_DAMAGED"), line("a") + b"DONE\n")
