"""Every cell of the table of states, walked by a connection."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from hashlib import md5, sha256
from typing import Self

from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot
from tests.support.executors import GatedExecutor, SteppedExecutor
from tests.support.visitors import PASSWORD, peer, user
from xferproto.model.identity import ANYONE
from xferproto.server.limits import MAX_ERRORS
from xferproto.server.line.session import DISCARD_LIMIT
from xferproto.store.local.objects import Objects
from xferproto.store.local.packed import PackedContents
from xferproto.transfer.sender import BLOCK
from xferproto.wire.states import HELD, RAW, State

LARGE = bytes(2 * BLOCK + 1)
"""A content that is sent in three blocks."""

LARGE_ID = md5(LARGE).hexdigest().encode()
HI = md5(b"hi").hexdigest().encode()
HELLO = md5(b"hello").hexdigest().encode()


class Walk:
    """
    A connection on its way through the states.

    Its executor works only when it is told to, so that the states in between can be seen; so do the
    store's commits and queries, once L{shut} was called. Contents of up to 4 bytes are small ones.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.executor = SteppedExecutor()
        self.database = GatedExecutor()
        self.depot = Depot(
            case,
            self.executor,
            database=self.database,
            small=4,
            users=[user("alice")],
            anonymous=ANYONE,
        )
        self.session = self.depot.connect(peer("127.0.0.1"))
        self._patcher = MonkeyPatcher()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._patcher.restore()
        self.session.lose()
        self.work_all()

    def work_all(self) -> None:
        """Everything is done that waits, and what comes of it."""
        while len(self.executor) or len(self.database):
            self.executor.run_all()
            self.database.run_all()

    @property
    def state(self) -> State:
        return self.session.protocol.state

    def store(self, content: bytes) -> bytes:
        """Store a content over another connection: its id."""
        session = self.depot.connect()
        session.send(b"UPLOAD a;%d\n" % len(content))
        self.executor.run_all()
        session.send(content)
        self.executor.run_all()
        session.lose()
        return md5(content).hexdigest().encode()

    def hold(self) -> None:
        """Let C{hel} of C{hello} come under the token C{t} over another connection."""
        session = self.depot.connect()
        session.send(b"RESUME a;5;t\n")
        self.executor.run_all()
        session.send(b"0\nhel")
        session.lose()
        self.executor.run_all()

    def fill_disk(self) -> None:
        """From here on no byte can be written, and no file be made."""

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def refuse_row(*_: object) -> None:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full

        self._patcher.addPatch(os, "writev", refuse)
        self._patcher.addPatch(Objects, "new", refuse)
        self._patcher.addPatch(Objects, "partial", refuse)
        self._patcher.addPatch(PackedContents, "add", refuse_row)
        self._patcher.patch()


Step = Callable[[Walk], object]


def send(data: bytes) -> Step:
    """The peer sends bytes."""
    return lambda walk: walk.session.send(data)


def work(steps: int = 1) -> Step:
    """The store or the disk does so many of the things that it was asked for."""

    def run(walk: Walk) -> None:
        for _ in range(steps):
            walk.executor.step()

    return run


def work_all(walk: Walk) -> None:
    """The store and the disk do all that they were asked for."""
    walk.work_all()


def shut(walk: Walk) -> None:
    """From here on the store's commits and queries wait, as its disk does."""
    walk.database.open = False


def work_database(walk: Walk) -> None:
    """The store's commits and queries are done that wait."""
    walk.database.run_all()


def step_database(walk: Walk) -> None:
    """What has waited longest of them is done."""
    walk.database.step()


def stop(walk: Walk) -> None:
    """The server is told to stop."""
    walk.session.protocol.stop()


def end_input(walk: Walk) -> None:
    """The peer closes its half."""
    walk.session.half_close()


def lose(walk: Walk) -> None:
    """The connection is gone."""
    walk.session.lose()


def fill_disk(walk: Walk) -> None:
    walk.fill_disk()


def download(content: bytes, behind: bytes = b"") -> Step:
    """The peer asks for a stored content."""
    return lambda walk: walk.session.send(b"DOWNLOAD %s%s\n" % (walk.store(content), behind))


def ask_about(command: bytes, content: bytes = b"hello") -> Step:
    """The peer gives a command the id of a stored content."""
    return lambda walk: walk.session.send(b"%s %s\n" % (command, walk.store(content)))


def hold(walk: Walk) -> None:
    walk.hold()


def damage(walk: Walk) -> None:
    """The stored file of L{LARGE} loses all but one of its bytes."""
    id = md5(LARGE).hexdigest()
    os.truncate(walk.depot.root / "objects" / id[:2] / id, 1)


def steps(*each: Step) -> Step:
    """One after the other."""

    def run(walk: Walk) -> None:
        for step in each:
            step(walk)

    return run


# Ways into the states

begin = steps()
err = send(b"x\n" * (MAX_ERRORS - 1))
ask = send(b"STAT\n")
open_upload = send(b"UPLOAD a;5\n")
receive = steps(open_upload, work_all)
store = steps(receive, send(b"hello"))
discard = send(b"UPLOAD ..;5\n")
open_partial = send(b"RESUME a;5;t\n")
ask_offset = steps(open_partial, work_all)
ask_rest = steps(hold, ask_offset)
ask_known = steps(
    lambda walk: walk.store(b"hello"),
    send(b"RESUME b;5;sha256:%s\n" % sha256(b"hello").hexdigest().encode()),
    work_all,
)
receive_all = steps(ask_offset, send(b"0\n"))
receive_rest = steps(ask_rest, send(b"3\n"))
store_rest = steps(receive_rest, send(b"lo"))
verify = ask_about(b"VERIFY")
delete = ask_about(b"DELETE")
login = send(f"LOGIN alice;{PASSWORD}\n".encode())
login_wrong = send(b"LOGIN alice;wrong\n")
login_again = steps(login_wrong, work_all, login)
open_download = download(LARGE)
send_file = steps(open_download, work())
linger = send(b"QUIT\n")

# Small files, pipelined: their answers are owed

put = steps(shut, send(b"UPLOAD a;2\nhi"))
get = steps(lambda walk: walk.store(b"hi"), shut, send(b"DOWNLOAD %s\n" % HI))
miss = steps(shut, send(b"DOWNLOAD %s\n" % HELLO))
get_large = steps(lambda walk: walk.store(LARGE), shut, send(b"DOWNLOAD %s\n" % LARGE_ID))
receive_small = send(b"UPLOAD a;2\nh")
refuse_put = steps(fill_disk, put)
send_first = steps(step_database, step_database, work())

WAYS: dict[State, Step] = {
    State.COMMAND: begin,
    State.ARGUMENT: ask,
    State.WORKING: open_upload,
    State.RECEIVING: receive,
    State.DISCARDING: discard,
    State.SENDING: send_file,
    State.CLOSING: linger,
}
"""The plainest way into each state."""

HELD_INPUTS: dict[str, Step] = {
    "line": send(b"HELP\n"),
    "long line": send(b"x" * 5000),
    "bytes": send(b"\0\xff\n"),
    "end of input": end_input,
}
"""What the peer may do while its input is held back."""

SCENARIOS: dict[tuple[State, str, State], list[tuple[Step, Step]]] = {
    (State.COMMAND, "line", State.COMMAND): [
        (begin, send(b"HELP\n")),
        (begin, send(b"x\n")),
        (begin, send(b"RESUME ..;5;t\n")),
        (begin, send(b"UPLOAD a;2\nhi")),
        (begin, put),
        (put, send(b"UPLOAD b;2\nhi")),
        (get, send(b"DOWNLOAD %s\n" % HI)),
    ],
    (State.COMMAND, "line", State.ARGUMENT): [
        (begin, send(b"UPLOAD\n")),
        (begin, send(b"DOWNLOAD\n")),
        (begin, send(b"STAT\n")),
        (begin, send(b"RESUME\n")),
        (begin, send(b"VERIFY\n")),
        (begin, send(b"DELETE\n")),
        (begin, send(b"LOGIN\n")),
    ],
    (State.COMMAND, "line", State.WORKING): [
        (begin, open_upload),
        (begin, open_download),
        (begin, open_partial),
        (begin, verify),
        (begin, delete),
        (begin, login),
        (begin, login_again),
        (put, login),
        (put, send(b"HELP\n")),
        (put, send(b"x\n")),
        (put, send(b"STAT\n")),
        (put, send(b"QUIT\n")),
        (put, send(b"UPLOAD\n")),
        (put, open_upload),
        (put, discard),
        (put, send(b"DOWNLOAD %s\n" % HI)),
        (get, send(b"DOWNLOAD x\n")),
        (get, receive_small),
    ],
    (State.COMMAND, "line", State.RECEIVING): [(begin, receive_small), (put, receive_small)],
    (State.COMMAND, "line", State.DISCARDING): [(begin, discard)],
    (State.COMMAND, "line", State.CLOSING): [
        (begin, linger),
        (err, send(b"x\n")),
        (begin, send(b"UPLOAD a;-1\n")),
        (begin, send(b"UPLOAD ..;%d\n" % (DISCARD_LIMIT + 1))),
        (begin, send(b"RESUME ..;5;t\n0\n")),
    ],
    (State.COMMAND, "long line", State.WORKING): [(put, send(b"x" * 5000))],
    (State.COMMAND, "long line", State.CLOSING): [(begin, send(b"x" * 5000))],
    (State.COMMAND, "end of input", State.WORKING): [
        (send(b"UPLOAD a;5"), end_input),
        (put, end_input),
        (steps(put, send(b"HELP")), end_input),
    ],
    (State.COMMAND, "answer", State.COMMAND): [(put, work_all), (get, work_all)],
    (State.COMMAND, "answer", State.WORKING): [(get_large, work_database)],
    (State.COMMAND, "answer", State.CLOSING): [(steps(put, stop), work_all)],
    (State.COMMAND, "failure", State.COMMAND): [
        (miss, work_all),
        (steps(get, send(b"DOWNLOAD %s\n" % HELLO)), work_all),
    ],
    (State.COMMAND, "failure", State.CLOSING): [(steps(err, miss), work_all)],
    (State.COMMAND, "end of input", State.CLOSING): [
        (begin, end_input),
        (send(b"HELP"), end_input),
        (send(b"UPLOAD"), end_input),
        (send(b"UPLOAD ..;5"), end_input),
        (send(b"QUIT"), end_input),
    ],
    (State.COMMAND, "lost", State.CLOSING): [(begin, lose), (put, lose), (get, lose)],
    (State.ARGUMENT, "line", State.COMMAND): [
        (ask, send(b"x\n")),
        (send(b"RESUME\n"), send(b"a;5;\n")),
        (ask_offset, send(b"x\n")),
        (ask_rest, send(b"2\n")),
        (steps(shut, send(b"UPLOAD\n")), send(b"a;0\n")),
        (steps(shut, send(b"DOWNLOAD\n")), send(b"%s\n" % HI)),
    ],
    (State.ARGUMENT, "line", State.WORKING): [
        (send(b"UPLOAD\n"), send(b"a;5\n")),
        (send(b"RESUME\n"), send(b"a;5;t\n")),
        (send(b"LOGIN\n"), send(b"a;b\n")),
        (ask_rest, send(b"0\n")),
        (ask_known, send(b"0\n")),
        (steps(send(b"RESUME a;0;t\n"), work_all), send(b"0\n")),
    ],
    (State.ARGUMENT, "line", State.RECEIVING): [
        (ask_offset, send(b"0\n")),
        (ask_rest, send(b"3\n")),
        (send(b"UPLOAD\n"), send(b"a;2\n")),
    ],
    (State.ARGUMENT, "line", State.CLOSING): [
        (steps(err, ask), send(b"x\n")),
        (send(b"UPLOAD\n"), send(b"..;5\nhello")),
        (send(b"RESUME\n"), send(b"..;5;t\n0\n")),
        (ask_offset, send(b"2\nhello")),
        (steps(err, ask_offset), send(b"2\n")),
    ],
    (State.ARGUMENT, "long line", State.CLOSING): [
        (ask, send(b"x" * 5000)),
        (ask_rest, send(b"x" * 5000)),
    ],
    (State.ARGUMENT, "end of input", State.WORKING): [
        (steps(send(b"UPLOAD\n"), send(b"a;5")), end_input),
        (steps(send(b"RESUME\n"), send(b"a;5;t")), end_input),
        (steps(ask_rest, send(b"0")), end_input),
    ],
    (State.ARGUMENT, "end of input", State.CLOSING): [
        (ask, end_input),
        (steps(ask, send(b"x")), end_input),
        (ask_rest, end_input),
        (steps(ask_rest, send(b"2")), end_input),
        (steps(ask_rest, send(b"3")), end_input),
    ],
    (State.ARGUMENT, "lost", State.CLOSING): [(ask, lose), (ask_rest, lose), (ask_known, lose)],
    (State.WORKING, "answer", State.COMMAND): [
        (store, work_all),
        (store_rest, work_all),
        (verify, work_all),
        (delete, work_all),
        (login, work_all),
        (steps(put, send(b"HELP\n")), work_all),
        (steps(put, send(b"DOWNLOAD %s\n" % HI)), work_database),
        (steps(get, send(b"UPLOAD b;2\nhi")), work_all),
    ],
    (State.WORKING, "answer", State.ARGUMENT): [
        (open_partial, work_all),
        (steps(hold, open_partial), work_all),
        (steps(put, send(b"STAT\n")), work_all),
    ],
    (State.WORKING, "answer", State.WORKING): [
        (steps(put, send(b"UPLOAD b;2\nyoHELP\n")), step_database),
        (steps(put, open_upload), work_database),
    ],
    (State.WORKING, "answer", State.DISCARDING): [(steps(put, discard), work_all)],
    (State.WORKING, "answer", State.CLOSING): [
        (steps(put, linger), work_all),
        (steps(put, end_input), work_all),
        (steps(put, send(b"x" * 5000)), work_all),
        (steps(put, send(b"UPLOAD a;-1\n")), work_all),
        (steps(verify, stop), work_all),
    ],
    (State.WORKING, "answer", State.RECEIVING): [
        (open_upload, work()),
        (steps(ask_rest, send(b"0\n")), work_all),
        (steps(ask_known, send(b"0\n")), work_all),
        (steps(get, receive_small), work_all),
    ],
    (State.WORKING, "answer", State.SENDING): [(open_download, work())],
    (State.WORKING, "failure", State.COMMAND): [
        (download(b"hello", b";6"), work()),
        (login_wrong, work_all),
        (steps(fill_disk, send(b"UPLOAD\n"), send(b"a;5\n")), work()),
        (steps(store, fill_disk), work_all),
        (steps(fill_disk, open_partial), work_all),
        (steps(ask_about(b"VERIFY", LARGE), damage), work_all),
        (steps(miss, send(b"HELP\n")), work_all),
    ],
    (State.WORKING, "failure", State.ARGUMENT): [(steps(miss, send(b"STAT\n")), work_all)],
    (State.WORKING, "failure", State.WORKING): [(steps(miss, open_upload), work_database)],
    (State.WORKING, "failure", State.RECEIVING): [(steps(miss, receive_small), work_all)],
    (State.WORKING, "failure", State.DISCARDING): [
        (steps(fill_disk, open_upload), work()),
        (steps(receive, send(b"he"), fill_disk, work(2)), work_all),
        (steps(receive_all, send(b"he"), fill_disk, work(2)), work_all),
        (steps(miss, discard), work_all),
    ],
    (State.WORKING, "failure", State.CLOSING): [
        (steps(fill_disk, send(b"UPLOAD a;%d\n" % (DISCARD_LIMIT + 1))), work()),
        (steps(err, fill_disk, open_upload), work()),
        (steps(fill_disk, send(b"RESUME a;5;t\n0\n")), work_all),
        (steps(err, miss, send(b"HELP\n")), work_all),
    ],
    (State.WORKING, "lost", State.CLOSING): [
        (open_upload, lose),
        (store, lose),
        (open_partial, lose),
        (store_rest, lose),
        (verify, lose),
        (delete, lose),
        (login, lose),
        (login_again, lose),
        (steps(put, send(b"HELP\n")), lose),
    ],
    (State.RECEIVING, "bytes", State.COMMAND): [
        (receive_small, send(b"i")),
        (steps(put, receive_small), send(b"i")),
    ],
    (State.RECEIVING, "bytes", State.RECEIVING): [
        (send(b"UPLOAD a;3\n"), send(b"hi")),
        (receive_small, send(b"iUPLOAD a;2\nh")),
        (receive, send(b"hell")),
        (receive_rest, send(b"l")),
    ],
    (State.RECEIVING, "bytes", State.WORKING): [
        (receive, send(b"hello")),
        (receive, send(b"hello and more")),
        (receive_all, send(b"hello")),
        (receive_rest, send(b"lo and more")),
        (steps(put, receive_small), send(b"iHELP\n")),
    ],
    (State.RECEIVING, "end of input", State.WORKING): [(steps(put, receive_small), end_input)],
    (State.RECEIVING, "end of input", State.CLOSING): [
        (receive_small, end_input),
        (receive, end_input),
        (steps(receive, send(b"hell")), end_input),
        (steps(receive_rest, send(b"l")), end_input),
    ],
    (State.RECEIVING, "answer", State.RECEIVING): [
        (steps(receive, send(b"hell")), work_all),
        (steps(receive_rest, send(b"l")), work_all),
        (steps(put, receive_small), work_all),
    ],
    (State.RECEIVING, "failure", State.RECEIVING): [(steps(refuse_put, receive_small), work_all)],
    (State.RECEIVING, "failure", State.CLOSING): [
        (steps(err, refuse_put, receive_small), work_all),
    ],
    (State.RECEIVING, "failure", State.WORKING): [
        (steps(receive, send(b"he"), fill_disk, work()), work()),
        (steps(receive_all, send(b"he"), fill_disk, work()), work()),
    ],
    (State.RECEIVING, "lost", State.CLOSING): [
        (receive, lose),
        (steps(receive, send(b"hell")), lose),
        (steps(receive_rest, send(b"l")), lose),
        (steps(put, receive_small), lose),
    ],
    (State.DISCARDING, "bytes", State.DISCARDING): [(discard, send(b"QUIT"))],
    (State.DISCARDING, "bytes", State.COMMAND): [
        (discard, send(b"QUIT\n")),
        (discard, send(b"QUIT\nHELP\n")),
    ],
    (State.DISCARDING, "end of input", State.CLOSING): [
        (discard, end_input),
        (steps(discard, send(b"QUIT")), end_input),
    ],
    (State.DISCARDING, "lost", State.CLOSING): [(discard, lose)],
    (State.SENDING, "answer", State.SENDING): [
        (send_file, work()),
        (send_file, work(2)),
    ],
    (State.SENDING, "answer", State.COMMAND): [(steps(send_file, work(2)), work())],
    (State.SENDING, "answer", State.WORKING): [
        (steps(get_large, send(b"DOWNLOAD %s\n" % LARGE_ID), send_first), work(3)),
    ],
    (State.SENDING, "answer", State.CLOSING): [
        (steps(get_large, send(b"QUIT\n"), send_first), work(3)),
        (steps(send_file, stop), work(3)),
    ],
    (State.SENDING, "failure", State.CLOSING): [(steps(send_file, damage), work())],
    (State.SENDING, "lost", State.CLOSING): [(send_file, lose), (steps(send_file, work()), lose)],
    (State.CLOSING, "bytes", State.CLOSING): [(linger, send(b"HELP\n"))],
    (State.CLOSING, "end of input", State.CLOSING): [(linger, end_input)],
    (State.CLOSING, "answer", State.CLOSING): [
        (steps(open_upload, lose), work_all),
        (steps(store, lose), work_all),
        (steps(receive, send(b"hell"), lose), work_all),
        (steps(send_file, lose), work_all),
        (steps(open_partial, lose), work_all),
        (steps(ask_rest, lose), work_all),
        (steps(receive_rest, send(b"l"), lose), work_all),
        (steps(store_rest, lose), work_all),
        (steps(verify, lose), work_all),
        (steps(delete, lose), work_all),
        (steps(login, lose), work_all),
    ],
    (State.CLOSING, "failure", State.CLOSING): [
        (steps(fill_disk, open_upload, lose), work_all),
        (steps(fill_disk, open_partial, lose), work_all),
        (steps(store, fill_disk, lose), work_all),
        (steps(login_wrong, lose), work_all),
        (steps(send_file, damage, lose), work_all),
    ],
    (State.CLOSING, "lost", State.CLOSING): [(linger, lose)],
}
"""For each state of each cell: the ways into the row's state, and what is put in then."""


def read_table() -> dict[tuple[State, str], frozenset[State]]:
    """The table in the docstring of L{State}: row and column of each cell, and what it names."""
    assert State.__doc__ is not None
    header, *rows = (
        [cell.strip() for cell in line.split("|")]
        for line in State.__doc__.splitlines()
        if "|" in line
    )
    return {
        (State[row[0]], column): frozenset(State[name] for name in cell.split() if name != "-")
        for row in rows
        for column, cell in zip(header[1:], row[1:], strict=True)
    }


TABLE = read_table()


class TableTests(SynchronousTestCase):
    """The table itself."""

    def test_complete(self) -> None:
        """It has a row for every state, and the same inputs in each."""
        inputs = {column for _, column in TABLE}
        self.assertEqual(set(TABLE), {(state, column) for state in State for column in inputs})
        self.assertGreaterEqual(inputs, {*HELD_INPUTS, "answer", "failure", "lost"})

    def test_every_cell_is_walked(self) -> None:
        """Every state that a cell names has a scenario, and no scenario goes elsewhere."""
        named = {(*cell, state) for cell, states in TABLE.items() for state in states}
        self.assertEqual(named, set(SCENARIOS))


class ScenarioTests(SynchronousTestCase):
    """The cells that name states."""

    def walk_row(self, row: State) -> None:
        for (state, column, outcome), scenarios in SCENARIOS.items():
            if state is not row:
                continue
            for number, (way, given) in enumerate(scenarios, 1):
                with (
                    self.subTest(f"{row.name}, {column}, {outcome.name}, {number}"),
                    Walk(self) as walk,
                ):
                    way(walk)
                    self.assertIs(walk.state, row)
                    given(walk)
                    self.assertIs(walk.state, outcome)

    def test_command(self) -> None:
        """Each input takes C{COMMAND} where the table says."""
        self.walk_row(State.COMMAND)

    def test_argument(self) -> None:
        """Each input takes C{ARGUMENT} where the table says."""
        self.walk_row(State.ARGUMENT)

    def test_working(self) -> None:
        """Each input takes C{WORKING} where the table says."""
        self.walk_row(State.WORKING)

    def test_receiving(self) -> None:
        """Each input takes C{RECEIVING} where the table says."""
        self.walk_row(State.RECEIVING)

    def test_discarding(self) -> None:
        """Each input takes C{DISCARDING} where the table says."""
        self.walk_row(State.DISCARDING)

    def test_sending(self) -> None:
        """Each input takes C{SENDING} where the table says."""
        self.walk_row(State.SENDING)

    def test_closing(self) -> None:
        """Each input takes C{CLOSING} where the table says."""
        self.walk_row(State.CLOSING)


class DashTests(SynchronousTestCase):
    """The cells that name none."""

    def cells(self, *columns: str) -> list[tuple[State, str]]:
        return [cell for cell, states in TABLE.items() if not states and cell[1] in columns]

    def test_held_back(self) -> None:
        """What the peer does in C{WORKING} and C{SENDING} changes nothing and is answered later."""
        cells = [cell for cell in self.cells(*HELD_INPUTS) if cell[0] in HELD]
        self.assertEqual(set(cells), {(state, column) for state in HELD for column in HELD_INPUTS})
        for state, column in cells:
            with self.subTest(f"{state.name}, {column}"), Walk(self) as walk:
                WAYS[state](walk)
                walk.session.answer()
                HELD_INPUTS[column](walk)
                self.assertIs(walk.state, state)
                self.assertTrue(walk.session.protocol.paused)
                self.assertEqual(walk.session.transport.producerState, "paused")
                self.assertEqual(walk.session.answer(), b"")

    def test_looked_at_later(self) -> None:
        """What was held back is looked at when the state allows, and the input flows again."""
        for way in (store, send_file):
            for column, outcome, last in (
                ("line", State.COMMAND, b"DONE\n"),
                ("long line", State.CLOSING, b""),
                ("bytes", State.COMMAND, b""),
                ("end of input", State.CLOSING, b""),
            ):
                with self.subTest(column), Walk(self) as walk:
                    way(walk)
                    HELD_INPUTS[column](walk)
                    work_all(walk)
                    self.assertIs(walk.state, outcome)
                    self.assertTrue(walk.session.answer().endswith(last))
                    self.assertFalse(walk.session.protocol.paused)

    def test_modes(self) -> None:
        """Lines come in line mode only, bytes in raw mode only."""
        for state, column in self.cells("line", "long line", "bytes"):
            if state not in HELD:
                with self.subTest(f"{state.name}, {column}"), Walk(self) as walk:
                    WAYS[state](walk)
                    self.assertEqual(column == "bytes", state not in RAW)
                    self.assertEqual(bool(walk.session.protocol.line_mode), state not in RAW)

    def test_nothing_is_asked_of_the_store(self) -> None:
        """Where no answer and no failure can come, none is waited for."""
        cells = self.cells("answer", "failure")
        self.assertTrue(cells)
        for state, column in cells:
            with self.subTest(f"{state.name}, {column}"), Walk(self) as walk:
                WAYS[state](walk)
                self.assertIs(walk.state, state)
                self.assertEqual(len(walk.executor), 0)
