"""The unattended client, killed at every step: nothing is lost, and nothing sent twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.depot import Depot
from tests.support.watched import Done, WatchCase, id_of, tree
from xferproto.watch import moves
from xferproto.watch.journal import Journal
from xferproto.watch.moves import Mover
from xferproto.watch.reason_file import REASON

CONTENTS = {
    "a": b"small",
    "b/c": b"also small",
    "b/d": bytes(100_000),
    "e": b"",
}
FAILING = {"f": bytes(300_000), "b/\x1b": b"a name that is none"}
LIMIT = 200_000


class Killed(BaseException):
    """The process is gone."""


class MortalExecutor:
    """Does work at once, until it is killed; then nothing is done or heard any more."""

    def __init__(self) -> None:
        self.dead = False
        self.working = False

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        if not self.dead:
            self.working = True
            try:
                value = work(*args, **kwargs)
            except Killed:
                self.dead = True
            except Exception as error:
                self.working = False
                result.errback(error)
            else:
                self.working = False
                result.callback(value)
        return result

    def report(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        if not self.dead:
            callback(*args, **kwargs)


class CrashTests(WatchCase):
    """
    Before and behind each step that changes something on the disk, in turn, it is killed and
    started again.
    """

    def setUp(self) -> None:
        super().setUp()
        self.disk: Any = MortalExecutor()
        self.steps = 0
        self.fatal: int | None = None
        for owner, name in (
            (Journal, "write"),
            (Journal, "forget"),
            (Mover, "sync"),
            (moves, "rename"),
            (moves, "make_directories"),
            (Path, "unlink"),
            (Path, "open"),
        ):
            self.make_mortal(owner, name)

    def make_mortal(self, owner: Any, name: str) -> None:
        """A process may die before and behind this function."""
        usual = getattr(owner, name)

        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = usual(*args, **kwargs)
            self.step()
            return result

        self.patch(owner, name, mortal)

    def step(self) -> None:
        if not self.disk.working:  # it is the depot's
            return
        self.steps += 1
        if self.steps == self.fatal:
            raise Killed()

    def kill(self) -> None:
        """What the system does with the process: its files are closed, its connections are cut."""
        service = self.services.pop()
        session = service._session
        assert session is not None
        session.context.journal.close()
        session.context.directory.close()
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        for wire in self.endpoint.wires:
            if wire not in self.cut_wires and not wire.closed:
                self.cut(wire)

    def round(self, done: Done, fatal: int) -> bool:
        """One life that ends at this step, and another one; whether it came to that."""
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir(parents=True)
        self.events.clear()
        self.use_depot(Depot(self, max_file_size=LIMIT))
        self.configure(
            directory=self.root, done=done, state=self.root / ".state", status=self.root / ".status"
        )
        for name, content in {**CONTENTS, **FAILING}.items():
            self.write(name, content)
        self.disk = MortalExecutor()
        self.steps, self.fatal = 0, fatal
        self.start()
        self.advance(8)
        self.fatal = None
        died = self.disk.dead
        if died:
            self.kill()
            self.disk = MortalExecutor()
            self.start()
            self.advance(20)
        self.check(done)
        self.stop()
        return bool(died)

    def stop(self) -> None:
        while self.services:
            stopping = self.services.pop().stopService()
            self.flush()
            self.successResultOf(stopping)

    def check(self, done: Done) -> None:
        """Everything is where it belongs, once, and was sent once."""
        stored = sorted((name, id_of(content)) for name, content in CONTENTS.items())
        self.assertEqual([(entry.name, entry.id) for entry in self.entries()], stored)
        failed = {f"failed/{name}" for name in FAILING}
        where = {Done.MOVE: "sent/", Done.DELETE: None, Done.LEAVE: ""}[done]
        expected = {f"{where}{name}" for name in CONTENTS} if where is not None else set()
        expected |= failed | {f"{name}{REASON}" for name in failed}
        self.assertEqual(set(tree(self.root)), expected)
        for name, content in {**CONTENTS, **FAILING}.items():
            for path in (self.root / name, self.root / "sent" / name, self.root / "failed" / name):
                if path.exists():
                    self.assertEqual(path.read_bytes(), content)
        once = {name: len(content) + 1 for name, content in CONTENTS.items() if content}
        self.assertEqual(self.received(), once)

    def all_rounds(self, done: Done) -> None:
        fatal = 0
        while self.round(done, fatal := fatal + 1):
            pass
        self.assertGreater(fatal, 20)

    def test_move(self) -> None:
        """Where files are moved."""
        self.all_rounds(Done.MOVE)

    def test_delete(self) -> None:
        """Where they are deleted."""
        self.all_rounds(Done.DELETE)

    def test_leave(self) -> None:
        """Where they are left."""
        self.all_rounds(Done.LEAVE)
