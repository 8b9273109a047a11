"""What is fuzzed, each as a callable that takes bytes and raises when a promise is broken."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher

from tests.support.depot import Session
from tests.support.executors import InlineExecutor
from xferproto.depot.depot import Depot, DepotLimits
from xferproto.model.errors import RequestError
from xferproto.model.escape import printable
from xferproto.model.names import parse_prefix
from xferproto.server.connections import Connections
from xferproto.server.factory import XferServerFactory
from xferproto.server.limits import Limits
from xferproto.store.local.objects import partial_path
from xferproto.store.local.store import LocalStore
from xferproto.wire import codec
from xferproto.wire.commands import parse_command
from xferproto.wire.states import State

Target = Callable[[bytes], None]

PARSERS: list[Callable[[bytes], object]] = [
    parse_command,
    codec.parse_upload,
    codec.parse_resume,
    codec.parse_range,
    codec.parse_id,
    codec.parse_deletion,
    parse_prefix,
    codec.parse_offset,
    codec.parse_error,
    codec.parse_wait,
    codec.payload_size,
]


class Stream:
    """
    A server over a real store in a directory; each input is one connection's bytes.

    The first byte says in what pieces they come, and how the connection ends.
    """

    def __init__(self, root: Path) -> None:
        inline = InlineExecutor()
        self.clock = Clock()
        self.store = LocalStore(root, inline, inline, inline, lambda: 1e9, small=8)
        depot = Depot(self.store, inline, self.clock, DepotLimits(2**16, 2**20))
        self.factory = XferServerFactory(
            depot, connections=Connections(depot.clock, Limits(idle=10, stall=10))
        )
        self.root = root
        self.failures: list[LogEvent] = []
        self.observer = cast(ILogObserver, self._note)
        globalLogPublisher.addObserver(self.observer)
        logging.disable()

    def _note(self, event: LogEvent) -> None:
        level = event.get("log_level")
        if event.get("log_failure") is not None or level is LogLevel.critical:
            self.failures.append(event)

    def __call__(self, data: bytes) -> None:
        how, data = (data[0], data[1:]) if data else (0, b"")
        session = Session(self.factory)
        piece = (len(data) + 1, 1, 7, 64)[how & 3]
        for start in range(0, len(data), piece):
            session.protocol.dataReceived(data[start : start + piece])
            session.answer()
            if session.protocol.state is State.CLOSING:
                break
        if how & 4 and session.transport.connected:
            session.half_close()
        if how & 8:
            self.clock.pump([1.0] * 13)
        session.lose()
        self.clock.advance(3)
        if self.failures:
            raise AssertionError(self.failures)
        if calls := self.clock.getDelayedCalls():
            raise AssertionError(calls)
        if left := [*(self.root / "incoming").iterdir()]:
            raise AssertionError(left)
        self._tidy_up()

    def _tidy_up(self) -> None:
        """What is stored is what it is called; then it goes, so that inputs stay independent."""
        session = Session(self.factory)
        listing = session.send(b"LIST_FILES\n")
        for line in listing.splitlines()[:-1]:
            with contextlib.suppress(RequestError):
                entry = codec.parse_entry(line)
                if entry is None:
                    continue
                answer = session.send(f"DOWNLOAD {entry.id}\n".encode())
                if md5(answer.partition(b"\n")[2]).hexdigest() != entry.id:
                    raise AssertionError(line)
                session.send(f"DELETE {entry.id};{entry.name}\n".encode())
        session.lose()
        self.store.maintenance.age_partials(10.0, 1.0)


def parse(data: bytes) -> None:
    """Every parser takes it, or refuses it with an error of ours."""
    for parser in PARSERS:
        with contextlib.suppress(RequestError):
            parser(data)
    shown = printable(data)
    if not shown.isprintable():
        raise AssertionError(shown)
    with contextlib.suppress(RequestError):
        details = codec.parse_upload(data)
        if not details.name or not printable(details.name).isprintable():
            raise AssertionError(details)


class Names:
    """Names and tokens: labels, never paths."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def __call__(self, data: bytes) -> None:
        with contextlib.suppress(RequestError):
            details = codec.parse_resume(data)
            path = partial_path(self.root, details.token)
            if path.parent != self.root / "partial" or path.resolve() != path:
                raise AssertionError(details)
        for parts in (data, b"name;1;" + data, data + b";1;token"):
            with contextlib.suppress(RequestError):
                details = codec.parse_resume(parts)
                if any(part in ("", ".", "..") for part in details.name.split("/")):
                    raise AssertionError(details)
                path = partial_path(self.root, details.token)
                if path.parent != self.root / "partial":
                    raise AssertionError(details)


SEEDS = [
    b"\0LIST_FILES\nHELP\nQUIT\n",
    b"\0UPLOAD a;5\nhelloUPLOAD b/c;20\n01234567890123456789LIST_FILES a\n",
    b"\4UPLOAD\na;9\nhello",
    b"\2RESUME a;20;token\n0\n0123456789",
    b"\10RESUME a;20;token\n0\n01234",
    b"\1DOWNLOAD 5d41402abc4b2a76b9719d911017c592;1;3\nSTAT\nx\n",
    b"\0UPLOAD a;5\nhelloVERIFY 5d41402abc4b2a76b9719d911017c592\n"
    b"DELETE 5d41402abc4b2a76b9719d911017c592;a\n",
    b"\0UPLOAD ..;3\nabcUPLOAD a;99999999\n",
]
"""Inputs to begin with."""

WORDS = [
    *(b"UPLOAD ", b"DOWNLOAD ", b"RESUME ", b"STAT ", b"VERIFY ", b"DELETE ", b"LIST_FILES"),
    b"LIST_DAMAGED",
    *(b"HELP\n", b"QUIT\n", b"hello", b";5\n", b";20;t\n", b"sha256:", b"../", b"0\n", b"10\n"),
    b"5d41402abc4b2a76b9719d911017c592",
]
"""What a mutation puts in."""
