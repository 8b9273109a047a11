"""A short fuzz of the server's byte stream; C{python -m fuzz} is the long one."""

from __future__ import annotations

import threading
from hashlib import md5
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from fuzz.targets import SEEDS, WORDS, Names, Stream, parse
from tests.server.line.test_bad_input import open_files
from tests.support.depot import Depot, Session
from xferproto.wire.states import State

BYTES = st.lists(
    st.one_of(st.sampled_from(WORDS), st.binary(max_size=20), st.sampled_from([b"\n", b";", b"a"])),
    max_size=20,
).map(b"".join)

SHORT = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class TargetTests(SynchronousTestCase):
    """The targets of the long fuzz, on a few hundred inputs."""

    def test_stream(self) -> None:
        """No input makes the server log an exception, or keep a file, a timer or a descriptor."""
        stream = Stream(Path(self.mktemp()))
        self.addCleanup(stream.store.close)
        self.addCleanup(globalLogPublisher.removeObserver, stream.observer)
        for seed in SEEDS:
            stream(seed)
        before, threads = open_files(), threading.active_count()

        @SHORT
        @given(st.integers(0, 15), BYTES)
        def run(how: int, data: bytes) -> None:
            stream(bytes([how]) + data)

        run()
        self.assertEqual((open_files(), threading.active_count()), (before, threads))

    def test_lines(self) -> None:
        """No line makes a parser fail, and no name or token becomes a path."""
        names = Names(Path(self.mktemp()))

        @SHORT
        @given(BYTES)
        def run(data: bytes) -> None:
            parse(data)
            names(data)

        run()


def open_below(directory: Path) -> list[str]:
    """The files that this process has open in a directory, beside the test's own log."""
    links = [str(path.resolve()) for path in Path("/dev/fd").iterdir()]
    return [one for one in links if one.startswith(f"{directory}/") and "test.log" not in one]


class Machine(RuleBasedStateMachine):
    """
    Several connections to one depot, each somewhere in a request.

    @ivar stored: the contents whose ids were answered, and that were not deleted since.
    """

    case: SynchronousTestCase

    def __init__(self) -> None:
        super().__init__()
        self.depot = Depot(self.case, small=50)
        self.sessions: list[Session] = []
        self.stored: dict[str, bytes] = {}

    @precondition(lambda self: len(self.sessions) < 4)
    @rule()
    def connect(self) -> None:
        self.sessions.append(self.depot.connect())

    def session(self, number: int) -> Session | None:
        live = [one for one in self.sessions if one.transport.connected]
        return live[number % len(live)] if live else None

    @rule(content=st.binary(max_size=200), number=st.integers(0, 99), prompted=st.booleans())
    def upload(self, content: bytes, number: int, prompted: bool) -> None:
        session = self.depot.connect()
        details = b"file-%d;%d\n" % (number, len(content))
        if prompted:
            session.send(b"UPLOAD\n", details)
            answer = session.send(content) if content else md5(b"").hexdigest().encode() + b"\n"
        else:
            answer = session.send(b"UPLOAD " + details + content)
        id = md5(content).hexdigest()
        assert answer == id.encode() + b"\n", answer
        self.stored[id] = content
        session.lose()

    @rule(number=st.integers(0, 9), data=BYTES)
    def garbage(self, number: int, data: bytes) -> None:
        if b"DELETE" in data.upper():  # that may be meant
            return
        if (session := self.session(number)) is not None:
            session.send(data)

    @rule(number=st.integers(0, 9), token=st.sampled_from([b"t", b"u"]), count=st.integers(0, 120))
    def resume(self, number: int, token: bytes, count: int) -> None:
        session = self.session(number)
        if session is not None and session.protocol.state is State.COMMAND:
            session.send(b"RESUME part;100;%s\n" % token, b"0\n", b"p" * count)

    @rule(number=st.integers(0, 9), how=st.sampled_from(["lose", "half_close"]))
    def end(self, number: int, how: str) -> None:
        if (session := self.session(number)) is not None:
            getattr(session, how)()

    @rule(number=st.integers(0, 9))
    def delete(self, number: int) -> None:
        if self.stored:
            id = [*self.stored][number % len(self.stored)]
            session = self.depot.connect()
            assert session.send(f"DELETE {id}\n".encode()) == f"{id}\n".encode()
            del self.stored[id]
            session.lose()

    @rule(seconds=st.sampled_from([1, 30, 70, 700]))
    def wait(self, seconds: int) -> None:
        self.depot.clock.pump([5.0] * (seconds // 5 + 1))

    @invariant()
    def readable(self) -> None:
        """What was acknowledged is readable, and what it was."""
        session = self.depot.connect()
        for id, content in self.stored.items():
            answer = session.send(f"DOWNLOAD {id}\n".encode())
            assert answer.partition(b"\n")[2] == content, answer
        session.lose()

    def teardown(self) -> None:
        for session in self.sessions:
            session.lose()
        assert [file for file in self.depot.files() if file.startswith("incoming")] == []
        assert self.depot.core.admission._inside == set()
        assert self.depot.core.incoming._members == 0
        assert self.depot.core.small._members == 0
        self.depot.clock.advance(5)
        assert self.depot.clock.getDelayedCalls() == []
        self.case.successResultOf(self.depot.store.close())


class MachineTests(SynchronousTestCase):
    """Many connections, in any order of events."""

    def test_machine(self) -> None:
        """Whatever they do, what is acknowledged is there, and nothing is left of the rest."""
        Machine.case = self
        before = open_below(Path().absolute())
        run_state_machine_as_test(
            Machine, settings=settings(SHORT, max_examples=25, stateful_step_count=25)
        )
        self.assertEqual(open_below(Path().absolute()), before)
        self.assertEqual(self.flushLoggedErrors(), [])
