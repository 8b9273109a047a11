"""Depots whose listings never come to an end: what subcommands keep of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from xferproto.client import lines
from xferproto.console.commands.rm import _Removal
from xferproto.console.transfers.exact_name import named, statuses
from xferproto.console.transfers.remote_index import RemoteIndex
from xferproto.model.entry import Entry, Status
from xferproto.model.errors import AnswerTooLong

KEPT = 100_000
MANY = 10_000


class _Endless:
    """
    A client of a depot that lists more than anybody asked for.

    @ivar told: how many entries it has told.
    @ivar damaged: whether they are said to be damaged.
    @ivar contents: whether each is another content, and the names are one.
    """

    def __init__(self, damaged: bool = False, contents: bool = True) -> None:
        self.told = 0
        self.damaged = damaged
        self.contents = contents

    def _entries(self, prefix: str) -> Iterator[Entry]:
        for number in range(MANY):
            self.told += 1
            name = prefix if self.contents else f"{prefix}/{number:06}"
            yield Entry(f"{number:032x}", name, 1)

    def _each(self, prefix: str, told: Callable[[Entry], object]) -> Deferred[None]:
        for entry in self._entries(prefix):
            told(entry)
        return succeed(None)

    def each_file(self, prefix: str, told: Callable[[Entry], object]) -> Deferred[None]:
        return succeed(None) if self.damaged else self._each(prefix, told)

    def each_damaged(self, prefix: str, told: Callable[[Entry], object]) -> Deferred[None]:
        return self._each(prefix, told) if self.damaged else succeed(None)


class _Wordy(_Endless):
    """A depot whose contents have many names each."""

    def _entries(self, prefix: str) -> Iterator[Entry]:
        for number in range(100):
            self.told += 1
            yield Entry(f"{number:032x}", prefix, 1)

    def stat(self, id: str) -> Deferred[Status]:
        self.told += 200
        names = tuple(Entry(id, f"x{number}", 1) for number in range(200))
        return succeed(Status(names, "0" * 64, 0.0, 0.0))


class _Session:
    """As much of a session as finding takes."""

    output = None


class BoundsTests(SynchronousTestCase):
    """What comes of one listing is counted, in whatever way it is taken."""

    def setUp(self) -> None:
        self.patch(lines, "KEPT", KEPT)

    def assert_ends(self, client: _Endless, work: Any) -> None:
        """It has had enough before all was told."""
        self.failureResultOf(Deferred.fromCoroutine(work), AnswerTooLong)
        self.assertLess(client.told, MANY // 2)

    def test_rm(self) -> None:
        """What is found to be removed: contents of a name, or what is below it."""
        for damaged in (False, True):
            for contents in (False, True):
                client: Any = _Endless(damaged, contents)
                removing = _Removal(_Session(), True, True, False, None)  # type: ignore[arg-type]
                self.assert_ends(client, removing._find(client, "a"))

    def test_put(self) -> None:
        """What has the name of a file that is sent."""
        for damaged in (False, True):
            client: Any = _Endless(damaged)
            self.assert_ends(client, RemoteIndex().look_for(client, {"a"}, ["a"]))

    def test_put_many(self) -> None:
        """As many names as are sent are kept, of whatever number."""
        client: Any = _Endless(contents=False)
        names = {f"a/{number:06}" for number in range(MANY)}
        known = RemoteIndex()
        self.successResultOf(Deferred.fromCoroutine(known.look_for(client, names, ["a", "a"])))
        self.assertEqual([len(known.of_size(name, 1)) for name in names], [1] * MANY)

    def test_named(self) -> None:
        """The contents of a name that are asked about."""
        client: Any = _Endless()
        self.assert_ends(client, named(client, "a"))

    def test_statuses(self) -> None:
        """All that is told of the contents of a name."""
        client: Any = _Wordy()
        self.assert_ends(client, statuses(client, "a", lambda line: None))
