"""A depot for the classic protocol without a network, and the client that it is for."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from functools import partial
from hashlib import md5
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot, Transport
from tests.support.executors import SteppedExecutor
from xferproto.depot.account import Account
from xferproto.model.identity import ANYONE, Identity
from xferproto.server.classic.messages import MARKER
from xferproto.server.classic.session import PAUSE, SILENCE, ClassicSession
from xferproto.server.limits import DEFAULTS, Limits
from xferproto.server.traffic.channel import Channel, ChannelFactory

PROMPT = b"Please send the file name and file size"
READY = b"Ready to receive the file"
ID_PROMPT = b"Please send a file ID"
NO_FILES = b"No files available at the moment"


class WholeTransport(Transport):
    """A transport that keeps each message apart, and says what it holds back."""

    def __init__(self, peer: IAddress | None) -> None:
        super().__init__(peerAddress=peer)
        self.messages: list[bytes] = []
        self.dataBuffer = b""
        self.stuck = False
        self.paused = False

    def write(self, data: bytes) -> None:
        self.messages.append(data)
        if self.stuck:
            self.dataBuffer += data

    def take(self, count: int) -> None:
        """The peer reads so much of what is held back."""
        self.dataBuffer = self.dataBuffer[count:]

    def pauseProducing(self) -> None:
        assert not self.paused
        self.paused = True

    def resumeProducing(self) -> None:
        assert self.paused
        self.paused = False


class Peer:
    """
    One connection to the classic front, without a network.

    @ivar channel: the server's side.
    """

    def __init__(self, depot: ClassicDepot, address: IAddress | None = None) -> None:
        channel = depot.classic.buildProtocol(address)
        assert isinstance(channel, Channel)
        self.channel: Channel = channel
        self.transport = WholeTransport(address)
        self.transport.protocol = channel
        self._clock = depot.clock
        channel.makeConnection(self.transport)

    def send(self, *chunks: bytes) -> list[bytes]:
        """Let chunks come, one by one: the messages that were sent since the last call."""
        for chunk in chunks:
            self.channel.dataReceived(chunk)
        return self.answers()

    def say(self, message: bytes) -> list[bytes]:
        """Let a message come that only silence ends: the answers."""
        self.send(message)
        self._clock.advance(SILENCE)
        return self.answers()

    def answers(self, pauses: int = 0) -> list[bytes]:
        """The messages that the server has sent since the last call, and in so many pauses."""
        self._clock.pump([PAUSE] * pauses)
        messages, self.transport.messages = self.transport.messages, []
        return messages

    def upload(self, name: bytes, content: bytes) -> list[bytes]:
        """Store a file: all answers."""
        answers = self.send(b"UPLOAD")
        answers += self.say(b"%s;%d" % (name, len(content)))
        return answers + self.send(content, b"EOF") + self.answers(1)

    def half_close(self) -> list[bytes]:
        """The peer sends no more, but reads on."""
        self.channel.readConnectionLost()
        return self.answers()

    def lose(self) -> None:
        """The connection is gone."""
        if self.transport.connected:
            self.transport.connected = False
            self.channel.connectionLost(Failure(ConnectionDone()))


class ClassicDepot(Depot):
    """
    A server of the classic protocol, without a network.

    @param identity: what strangers may do.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        identity: Identity = ANYONE,
        limits: Limits = DEFAULTS,
        executor: SteppedExecutor | None = None,
        **options: Any,
    ) -> None:
        super().__init__(case, executor, limits=limits, **options)
        self.connections = self.factory.connections
        session = partial(ClassicSession, Account(self.core, "", lambda: identity))
        self.classic = ChannelFactory(self.connections, self.core, session)
        case.addCleanup(self.end)

    def peer(self, address: IAddress | None = None) -> Peer:
        return Peer(self, address)

    def store_all(self, contents: Iterable[bytes]) -> None:
        """Store contents that are their own names."""
        account = Account(self.core, "", lambda: ANYONE)
        for content in contents:
            account.put(content.decode(), content)

    def stop_classic(self) -> Deferred[None]:
        """The server stops."""
        return Deferred.fromCoroutine(self.connections.stop())

    def end(self) -> None:
        """Every connection is lost, its work ends, and no timer is left."""
        for channel in list(self.connections._open):
            channel.transport.loseConnection()
        for executor in self._executors:
            if isinstance(executor, SteppedExecutor):
                executor.run_all()
        self._case.assertEqual(self.connections._open, {})
        self._case.assertEqual(self.connections.limit._open, 0)
        self._case.assertEqual(self.clock.getDelayedCalls(), [])


class ClassicClient:
    """
    The client that the classic protocol is for: it sends each message with one C{send}, and takes
    what one C{recv} gives for one message, but where a busy machine may join two.

    @param port: of the server, on 127.0.0.1.
    """

    def __init__(self, case: SynchronousTestCase, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        case.addCleanup(self.socket.close)

    def receive(self) -> str:
        """One message; empty at the end."""
        return self.socket.recv(4096).decode()

    def until(self, end: str) -> bytes:
        """All that comes up to the end of a message that matches a regular expression."""
        come = b""
        while not re.search(end.encode() + rb"\Z", come):
            part = self.socket.recv(4096)
            assert part, come[-100:]
            come += part
        return come

    def list(self) -> str:
        """The entries, as C{id;name;size}, one behind the other."""
        self.socket.send(b"LIST_FILES")
        return self.until("DONE").decode().removesuffix("DONE")

    def upload(self, name: str, content: bytes) -> str:
        """Send a file: the server's MD5."""
        self.socket.send(b"UPLOAD")
        assert self.receive() == PROMPT.decode()
        self.socket.send(f"{name};{len(content)}".encode())
        assert self.receive() == READY.decode()
        for start in range(0, len(content), 4096):
            self.socket.sendall(content[start : start + 4096])
        time.sleep(0.1)
        self.socket.send(b"EOF")
        return self.receive()

    def download(self, id: str) -> tuple[bytes, str]:
        """Fetch a file: its bytes, and the server's MD5."""
        self.socket.send(b"DOWNLOAD")
        assert self.receive() == ID_PROMPT.decode()
        time.sleep(0.05)
        self.socket.send(id.encode())
        content, md5 = self.until("EOF([0-9a-f]{32})?"), ""
        if not content.endswith(MARKER):
            content, md5 = content[:-32], content[-32:].decode()
        return content.removesuffix(MARKER), md5 or self.receive()


def id_of(content: bytes) -> bytes:
    """The MD5 of a content."""
    return md5(content, usedforsecurity=False).hexdigest().encode()
