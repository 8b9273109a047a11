"""Every cell of the table of states, walked by a connection."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import md5, sha256
from typing import Self

from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase

from tests.depot import Depot
from tests.executors import SteppedExecutor
from xferproto.server.connection import DISCARD_LIMIT, MAX_ERRORS
from xferproto.server.state import HELD, RAW, State
from xferproto.store.objects import Objects
from xferproto.transfer.sender import BLOCK

LARGE = bytes(2 * BLOCK + 1)
"""A content that is sent in three blocks."""


class Walk:
    """
    A connection on its way through the states.

    Its executor works only when it is told to, so that the states in between can be seen.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.executor = SteppedExecutor()
        self.depot = Depot(case, self.executor)
        self.session = self.depot.connect()
        self._patcher = MonkeyPatcher()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._patcher.restore()
        self.session.lose()
        self.executor.run_all()

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

        self._patcher.addPatch(os, "writev", refuse)
        self._patcher.addPatch(Objects, "new", refuse)
        self._patcher.addPatch(Objects, "partial", refuse)
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
    walk.executor.run_all()


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
open_download = download(LARGE)
send_file = steps(open_download, work())
linger = send(b"QUIT\n")

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
    ],
    (State.COMMAND, "line", State.ARGUMENT): [
        (begin, send(b"UPLOAD\n")),
        (begin, send(b"DOWNLOAD\n")),
        (begin, send(b"STAT\n")),
        (begin, send(b"RESUME\n")),
        (begin, send(b"VERIFY\n")),
        (begin, send(b"DELETE\n")),
    ],
    (State.COMMAND, "line", State.WORKING): [
        (begin, open_upload),
        (begin, open_download),
        (begin, open_partial),
        (begin, verify),
        (begin, delete),
    ],
    (State.COMMAND, "line", State.DISCARDING): [(begin, discard)],
    (State.COMMAND, "line", State.CLOSING): [
        (begin, linger),
        (err, send(b"x\n")),
        (begin, send(b"UPLOAD a;-1\n")),
        (begin, send(b"UPLOAD ..;%d\n" % (DISCARD_LIMIT + 1))),
        (begin, send(b"RESUME ..;5;t\n0\n")),
    ],
    (State.COMMAND, "long line", State.CLOSING): [(begin, send(b"x" * 5000))],
    (State.COMMAND, "end of input", State.WORKING): [(send(b"UPLOAD a;5"), end_input)],
    (State.COMMAND, "end of input", State.CLOSING): [
        (begin, end_input),
        (send(b"HELP"), end_input),
        (send(b"UPLOAD"), end_input),
        (send(b"UPLOAD ..;5"), end_input),
        (send(b"QUIT"), end_input),
    ],
    (State.COMMAND, "lost", State.CLOSING): [(begin, lose)],
    (State.ARGUMENT, "line", State.COMMAND): [
        (ask, send(b"x\n")),
        (send(b"RESUME\n"), send(b"a;5;\n")),
        (ask_offset, send(b"x\n")),
        (ask_rest, send(b"2\n")),
    ],
    (State.ARGUMENT, "line", State.WORKING): [
        (send(b"UPLOAD\n"), send(b"a;5\n")),
        (send(b"RESUME\n"), send(b"a;5;t\n")),
        (ask_rest, send(b"0\n")),
        (ask_known, send(b"0\n")),
        (steps(send(b"RESUME a;0;t\n"), work_all), send(b"0\n")),
    ],
    (State.ARGUMENT, "line", State.RECEIVING): [
        (ask_offset, send(b"0\n")),
        (ask_rest, send(b"3\n")),
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
    ],
    (State.WORKING, "answer", State.ARGUMENT): [
        (open_partial, work_all),
        (steps(hold, open_partial), work_all),
    ],
    (State.WORKING, "answer", State.RECEIVING): [
        (open_upload, work()),
        (steps(ask_rest, send(b"0\n")), work_all),
        (steps(ask_known, send(b"0\n")), work_all),
    ],
    (State.WORKING, "answer", State.SENDING): [(open_download, work())],
    (State.WORKING, "failure", State.COMMAND): [
        (download(b"hello", b";6"), work()),
        (steps(fill_disk, send(b"UPLOAD\n"), send(b"a;5\n")), work()),
        (steps(store, fill_disk), work_all),
        (steps(fill_disk, open_partial), work()),
        (steps(ask_about(b"VERIFY", LARGE), damage), work_all),
    ],
    (State.WORKING, "failure", State.DISCARDING): [
        (steps(fill_disk, open_upload), work()),
        (steps(receive, send(b"he"), fill_disk, work(2)), work_all),
        (steps(receive_all, send(b"he"), fill_disk, work(2)), work_all),
    ],
    (State.WORKING, "failure", State.CLOSING): [
        (steps(fill_disk, send(b"UPLOAD a;%d\n" % (DISCARD_LIMIT + 1))), work()),
        (steps(err, fill_disk, open_upload), work()),
        (steps(fill_disk, send(b"RESUME a;5;t\n0\n")), work()),
    ],
    (State.WORKING, "lost", State.CLOSING): [
        (open_upload, lose),
        (store, lose),
        (open_partial, lose),
        (store_rest, lose),
        (verify, lose),
        (delete, lose),
    ],
    (State.RECEIVING, "bytes", State.RECEIVING): [
        (receive, send(b"hell")),
        (receive_rest, send(b"l")),
    ],
    (State.RECEIVING, "bytes", State.WORKING): [
        (receive, send(b"hello")),
        (receive, send(b"hello and more")),
        (receive_all, send(b"hello")),
        (receive_rest, send(b"lo and more")),
    ],
    (State.RECEIVING, "end of input", State.CLOSING): [
        (receive, end_input),
        (steps(receive, send(b"hell")), end_input),
        (steps(receive_rest, send(b"l")), end_input),
    ],
    (State.RECEIVING, "answer", State.RECEIVING): [
        (steps(receive, send(b"hell")), work_all),
        (steps(receive_rest, send(b"l")), work_all),
    ],
    (State.RECEIVING, "failure", State.WORKING): [
        (steps(receive, send(b"he"), fill_disk, work()), work()),
        (steps(receive_all, send(b"he"), fill_disk, work()), work()),
    ],
    (State.RECEIVING, "lost", State.CLOSING): [
        (receive, lose),
        (steps(receive, send(b"hell")), lose),
        (steps(receive_rest, send(b"l")), lose),
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
    (State.SENDING, "answer", State.SENDING): [(send_file, work()), (send_file, work(2))],
    (State.SENDING, "answer", State.COMMAND): [(steps(send_file, work(2)), work())],
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
    ],
    (State.CLOSING, "failure", State.CLOSING): [
        (steps(fill_disk, open_upload, lose), work_all),
        (steps(fill_disk, open_partial, lose), work_all),
        (steps(store, fill_disk, lose), work_all),
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
