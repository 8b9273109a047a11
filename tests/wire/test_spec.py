"""The specification, docs/protocol.md, held against the code that it describes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from hashlib import md5
from itertools import count, groupby
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.depot import MemoryDepot, Session, overwrite
from tests.support.executors import InlineExecutor
from tests.support.held import close_store
from tests.support.visitors import hashed, peer
from xferproto.depot import opening
from xferproto.model.errors import REQUEST_ERRORS, BadToken, Scope
from xferproto.model.identity import ANYONE, EVERYTHING
from xferproto.model.names import MAX_COMPONENT, MAX_NAME, MAX_PASSWORD, MAX_USER
from xferproto.model.units import SIZE_LIMIT
from xferproto.server import connections
from xferproto.server.auth import credential_cache, login_throttle
from xferproto.server.auth.users import User
from xferproto.server.limits import DEFAULTS
from xferproto.server.line import keepalive, session
from xferproto.server.service import Options
from xferproto.server.traffic import closing, hangup
from xferproto.store.local.store import LocalStore
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.states import State

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"

MAX_FILE_SIZE = 2**30
"""The limit that the server of the document's examples has."""

CLIENT_CLOSES = "the client closes its sending half"
SERVER_CLOSES = "the server closes the connection"
LOST = "the connection is lost"
DAMAGED = re.compile(r"the disk changes a byte of ([0-9a-f]{32})")

_TIME = re.compile(rb"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def blocks(kind: str) -> list[str]:
    """The fenced blocks of one kind, as C{text} or C{python}, without those of the appendix."""
    text = DOCUMENT.read_text("utf-8").partition("\n## Appendix: ")[0]
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def section(number: int) -> str:
    """The text of a numbered section, its sub-sections too."""
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", DOCUMENT.read_text("utf-8"), re.M | re.S)
    assert found is not None
    return found[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables of a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {at for at, row in enumerate(cells) if all(set(cell) == {"-"} for cell in row)}
    return [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]


def wire(mark: str, text: str) -> bytes:
    """What a line of a session stands for: a doubled mark has no line end."""
    return text.encode() + (b"" if len(mark) == 2 else b"\n")


def steps(block: str) -> Iterator[tuple[str, str | bytes]]:
    """A session as (C{>}, bytes), (C{<}, bytes) and (C{*}, words), neighbours joined."""
    lines = [line.partition(" ")[::2] for line in block.splitlines()]
    for side, group in groupby(lines, key=lambda line: line[0][0]):
        if side == "*":
            for _, words in group:
                yield side, words
        else:
            yield side, b"".join(wire(mark, text) for mark, text in group)


def timeless(answer: bytes) -> bytes:
    """An answer with the shape of its times only."""
    return _TIME.sub(b"TIME", answer)


class SessionTests(SynchronousTestCase):
    """The sessions in the document."""

    def damage(self, id: str) -> None:
        """Change the first of the stored bytes of a content."""
        _, data = self.successResultOf(self.store.get(id, EVERYTHING))
        assert data is not None
        overwrite(self.root, id, bytes([data[0] ^ 1]) + data[1:])

    def play(self, session: Session, block: str) -> None:
        written = b""
        for side, what in steps(block):
            if what == CLIENT_CLOSES:
                written += session.half_close()
            elif what == SERVER_CLOSES:
                transport = session.transport
                self.assertTrue(transport.half_closed or not transport.connected, block)
                self.assertIs(session.protocol.state, State.CLOSING)
            elif what == LOST:
                self.assertEqual(written, b"")
                session.lose()
            elif isinstance(what, str) and (damaged := DAMAGED.fullmatch(what)):
                self.damage(damaged[1])
            elif side == ">" and isinstance(what, bytes):
                self.assertEqual(written, b"")
                written = session.send(what)
            else:
                assert side == "<" and isinstance(what, bytes), what
                self.assertEqual(timeless(written), timeless(what))
                written = b""
        self.assertEqual(written, b"")

    def test_sessions(self) -> None:
        """Every session goes as it is written, one after the other with the same depot."""
        alice = User.make("alice", hashed("correct horse;battery"))
        depot = MemoryDepot(self, max_file_size=MAX_FILE_SIZE, users=[alice], anonymous=ANYONE)
        inline, seconds = InlineExecutor(), count(1_000_000_000)
        self.root = Path(self.mktemp())
        depot.core.store = self.store = LocalStore(
            self.root,
            files=inline,
            writer=inline,
            reader=inline,
            now=lambda: float(next(seconds)),  # or all names would be equally old
        )
        self.addCleanup(close_store, self, self.store)
        sessions = blocks("text")
        self.assertGreater(len(sessions), 5)
        for block in sessions:
            session = depot.connect(peer("127.0.0.1"))
            self.play(session, block)
            session.lose()

    def test_first(self) -> None:
        """The first thing is a whole session, from an empty depot to the end."""
        first = blocks("text")[0]
        self.assertIn(first, section(1))
        self.assertIn("\n< No files available at the moment\n", first)
        self.assertTrue(first.endswith(f"\n> QUIT\n* {SERVER_CLOSES}\n"))


class TableTests(SynchronousTestCase):
    """What the document lists is what the code has."""

    def test_errors(self) -> None:
        """The table of errors has each symbol once, with a sentence that the code gives it."""
        examples = {row[0].strip("`"): row[-1].strip("`") for row in rows(section(7))}
        self.assertEqual(
            examples, {symbol: error.advice for symbol, error in REQUEST_ERRORS.items()}
        )
        self.assertEqual(len(rows(section(7))), len(REQUEST_ERRORS))

    def test_error_scopes(self) -> None:
        """The table says which errors close the connection, and which are worth another try."""
        for symbol, _, end, who, _ in rows(section(7)):
            error = REQUEST_ERRORS[symbol.strip("`")]
            self.assertEqual(end == "closed", error.scope is Scope.CONNECTION, symbol)
            self.assertEqual(
                re.search("another try later|trying again later|connecting again", who) is not None,
                error.retryable,
                symbol,
            )

    def test_errors_of_commands(self) -> None:
        """The tables of the commands name no symbol that the table of errors lacks."""
        named = set(re.findall(r"`ERROR ([a-z-]+)", section(6)))
        self.assertTrue(named)
        self.assertLessEqual(named, set(REQUEST_ERRORS))

    def longest_token(self) -> int:
        """The most bytes that the grammar allows a token."""
        for length in count(1):
            try:
                codec.parse_resume(b"a;0;" + b"x" * length)
            except BadToken:
                return length - 1
        raise AssertionError

    def test_limits(self) -> None:
        """The table of limits has the values of the constants."""
        limits = {}
        for what, limit, _ in rows(section(9)):
            number = re.search(r"\d[\d,]*", limit)
            assert number is not None
            limits[what] = int(number[0].replace(",", ""))
        self.assertEqual(
            limits,
            {
                "line, CR included, LF not": codec.MAX_LINE,
                "name": MAX_NAME,
                "component of a name": MAX_COMPONENT,
                "token": self.longest_token(),
                "user name": MAX_USER,
                "password": MAX_PASSWORD,
                "size, offset, length": SIZE_LIMIT,
                "refused payload that is taken away": session.DISCARD_LIMIT,
                "errors in a row": DEFAULTS.errors,
                "waiting for the next line": DEFAULTS.idle,
                "waiting for a byte of a payload": DEFAULTS.stall,
                "waiting for a client to read": DEFAULTS.stall,
                "bytes a second of a payload, over five minutes of waiting": DEFAULTS.minimum_rate,
                "login of a client that may do nothing without": DEFAULTS.login_time,
                "connections in all, as far as the system allows": DEFAULTS.connections,
                "connections of one address, or of one /64 of IPv6; loopback and UNIX sockets are "
                "not counted": DEFAULTS.per_peer,
                "small files whose answers are owed to one connection": (
                    MemoryDepot(self).factory.depot.small.share
                ),
                "waiting for a WAIT line, in `RESUME` and `VERIFY`": keepalive.INTERVAL,
                "waiting for a connection that has the token": opening.PROBE,
                "waiting of a login, for wrong ones before it": login_throttle.LONGEST_DELAY,
                "logins that wait, of one address": login_throttle.MOST_WAITING,
                "a password that was right is known": credential_cache.LIFETIME,
                "silence of a machine, before the system asks whether it is there": (
                    hangup.KEEP_ALIVE[0]
                ),
                "partial that no connection has, while the server runs": (
                    Options()["partial-ttl"] / 86400
                ),
                "tokens of a user, and of all strangers together": Options()["max-tokens"],
                "reading on while closing": closing.LINGER,
                "reading what a closing server has sent": closing.CLOSE_TIMEOUT,
                "running transfers when the server stops": connections.GRACE,
            },
        )

    def test_states(self) -> None:
        """Every state is explained, and the table leads where the code's own table does."""
        described = rows(section(5))
        explained, table = described[: len(State)], described[len(State) :]
        self.assertEqual([row[0] for row in explained], [state.name for state in State])

        def leads(cell: str) -> set[str]:
            return set(re.findall(r"[A-Z]{2,}", cell))

        lines = [line.split("|") for line in (State.__doc__ or "").splitlines() if "|" in line]
        self.assertEqual(
            {row[0]: [leads(cell) for cell in row[1:]] for row in table},
            {row[0].strip(): [leads(cell) for cell in row[1:-1]] for row in lines[1:]},  # not lost
        )

    def test_commands(self) -> None:
        """Every command has a heading; its spellings and prompt are in text and ABNF."""
        text, (abnf,) = section(6), blocks("abnf")
        self.assertEqual(
            re.findall(r"^### 6\.\d+ (.*)$", text, re.M), [command.name for command in Command]
        )
        for command in Command:
            for spelling in command.spellings:
                self.assertIn(f'"{spelling}"', abnf)
                self.assertRegex(text, rf"`{spelling}[` ]")
            if command.prompt is not None:
                self.assertIn(f'%s"{command.prompt.decode()}"', abnf)
                self.assertIn(f"`{command.name}` asks `{command.prompt.decode()}`", text)

    def test_fixed_lines(self) -> None:
        """The server's fixed lines are in the ABNF."""
        (abnf,) = blocks("abnf")
        for line in (codec.NO_FILES, codec.READY, codec.DONE):
            self.assertIn(f'%s"{line.decode()}" LF', abnf)
        wait_line = codec.format_wait(100, "hashing")
        self.assertEqual(wait_line, b"WAIT 100 hashing")
        self.assertIn('%s"WAIT" SP percent SP what LF', abnf)


class ClientTests(TestCase):
    """The minimal client at the end of the document."""

    def test_client(self) -> Deferred[None]:
        """It runs as it stands: stores, lists, fetches back and verifies."""
        return Deferred.fromCoroutine(self.run_client())

    async def run_client(self) -> None:
        from twisted.internet import reactor

        (code,) = blocks("python")
        content = bytes(range(256)) * 1000
        id = md5(content).hexdigest()
        path = Path(self.mktemp()).absolute()
        path.write_bytes(content)
        depot = MemoryDepot(self)
        port = reactor.listenTCP(0, depot.factory, interface="127.0.0.1")
        address = port.getHost()
        assert isinstance(address, IPv4Address)
        try:
            out, err, status = await getProcessOutputAndValue(
                sys.executable,
                ["-c", code, "127.0.0.1", str(address.port), str(path)],
                env=dict(os.environ),
            )
        finally:
            await maybeDeferred(port.stopListening)
            await depot.factory.stop()
        self.assertEqual((err, status), (b"", 0))
        self.assertEqual(
            out.decode().splitlines(), [f"'{id};{path.name};{len(content)}'", f"verified {id}"]
        )
