"""The depot that is drilled: a process of one's own, or one that runs already."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from hashlib import md5, sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.support.processes import PATIENCE, command, listening_port
from xferproto import XferClientProtocol, connect

SOURCE_TREE = Path(__file__).parents[2]


class Failed(Exception):
    """A drill can't be carried out; the text says why."""


class Content(NamedTuple):
    """Bytes that are sent, and what they hash to."""

    data: bytes
    md5: str
    sha256: str


def content(rng: Random, smallest: int, largest: int) -> Content:
    """Random bytes; small sizes are as likely as large ones."""
    low, high = (smallest + 1).bit_length(), (largest + 1).bit_length()
    bits = rng.randint(low, high)
    size = min(largest, max(smallest, rng.randrange(1 << (bits - 1), 1 << bits) - 1))
    return content_of(rng.randbytes(size))


def content_of(data: bytes) -> Content:
    """These bytes."""
    return Content(data, md5(data).hexdigest(), sha256(data).hexdigest())


class DepotProcess:
    """
    A C{twistd -n xfer} on a free port of 127.0.0.1, to be killed and started again.

    @param directory: gets its storage and its log.
    @param options: further ones of C{twistd xfer}.
    @param under: a command that runs it, as C{strace} does.
    @ivar port: where it listens now.
    @ivar storage: its storage directory.
    @ivar log: what it has printed, in all its lives.
    """

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        options: tuple[str, ...] = (),
        under: tuple[str, ...] = (),
    ) -> None:
        self.port = 0
        self._under = under
        self.storage = directory / "storage"
        self.log = directory / "log"
        self.log.touch()
        self._reactor = reactor
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)

    async def start(self) -> None:
        """
        Start it; done when it listens.

        @raise Failed: it does not.
        """
        before = self.log.stat().st_size
        search = os.pathsep.join(filter(None, (str(SOURCE_TREE), os.environ.get("PYTHONPATH"))))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._under,
                    *command(
                        *("-n", "--pidfile=", "xfer", "--storage", self.storage),
                        *("--port", "0", *self._options),
                    ),
                ],
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": search},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = self._reactor.seconds() + PATIENCE
        while True:
            lines = self.log.read_bytes()[before:].decode("utf-8", "replace").splitlines(True)
            for line in lines:
                if " listening on " in line and line.endswith("\n"):
                    self.port = listening_port(line)
                    return
            if self._process.poll() is not None or self._reactor.seconds() > deadline:
                raise Failed("The server does not start:\n" + "".join(lines))
            await deferLater(self._reactor, 0.02)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Kill it, as C{kill -9} does; returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it stop by itself; returns when it is gone."""
        self._end(signal.SIGTERM)

    def running(self) -> bool:
        """Whether it is there still."""
        return self._process is not None and self._process.poll() is None

    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    def complaints(self) -> list[str]:
        """Lines of its log that no kill explains: failures that it did not expect."""
        text = self.log.read_text("utf-8", "replace")
        return [line for line in text.splitlines() if "Traceback" in line or "Error: " in line]


@implementer(IStreamClientEndpoint)
class Gate:
    """
    An endpoint whose clients wait while it is closed, and then find the server where it is now.

    @ivar waiting: the clients that wait.
    """

    def __init__(self, reactor: Any, depot: DepotProcess) -> None:
        self.waiting: list[Deferred[None]] = []
        self._reactor = reactor
        self._depot = depot
        self._open = False

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        if not self._open:
            opened: Deferred[None] = Deferred(self.waiting.remove)
            self.waiting.append(opened)
            await opened
        endpoint = TCP4ClientEndpoint(self._reactor, *self._depot.address())
        return await endpoint.connect(factory)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    def open(self) -> None:
        """Let them through."""
        self._open = True
        waiting, self.waiting = self.waiting, []
        for opened in waiting:
            opened.callback(None)

    def close(self) -> None:
        """Let them wait."""
        self._open = False


def clean_connection(reactor: Any, address: tuple[str, int]) -> Deferred[XferClientProtocol]:
    """A connection without anything in between."""
    return connect(reactor, TCP4ClientEndpoint(reactor, *address))


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, file=sys.stdout, flush=True)
