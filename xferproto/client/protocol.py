"""The client's side of a connection: one request after the other, each a coroutine over lines."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import tcp
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from xferproto import grammar
from xferproto.client.source import BytesSource, FileSource, Source
from xferproto.client.target import PartFile
from xferproto.entry import Entry, Status
from xferproto.errors import ConnectionCut, HashMismatch, RequestError, UnexpectedReply, XferError
from xferproto.escape import quoted
from xferproto.grammar import Command, Range, UploadDetails
from xferproto.transfer.digest import md5
from xferproto.transfer.receiver import Receiver
from xferproto.transfer.sender import Sender

if TYPE_CHECKING:
    from xferproto.client.factory import XferClientFactory

R = TypeVar("R")

Progress = Callable[[int, int], None]
"""Called with the bytes that are through, and the bytes in all."""

ONE_LINE = 64 * 1024
"""Files up to this many bytes are sent without asking first: one round trip instead of three."""

RAW_BUFFER = 1024 * 1024


class XferClientProtocol(LineReceiver):
    """
    A connection to a depot.

    Every request returns a Deferred. Requests may be made at any time; they are sent one after the
    other. A Deferred fails with

     - a L{RequestError} when the server refuses (the connection goes on, unless it was refused
       while the file was being sent);
     - L{HashMismatch} when the two sides disagree on the content;
     - L{ConnectionCut} when the connection ends first;
     - L{UnexpectedReply} when what came is not xfer's protocol.

    Cancelling a Deferred whose request was sent closes the connection: there is no other way to
    take a request back.

    @ivar factory: what made it.
    """

    transport: tcp.Connection
    delimiter = b"\n"
    MAX_LENGTH = grammar.MAX_LINE

    def __init__(self, factory: XferClientFactory) -> None:
        self.factory: XferClientFactory = factory
        self._turn = DeferredLock()
        self._waiting: Deferred[bytes] | None = None
        self._receiver: Receiver | None = None
        self._received: Deferred[None] | None = None
        self._progress: Callable[[], None] | None = None
        self._in_step = True
        self._lost: XferError | None = None
        self._closed: list[Deferred[None]] = []

    # Requests

    def list_files(self, prefix: str = "") -> Deferred[list[Entry]]:
        """The entries whose names begin with C{prefix}, in name order."""
        return self._request(self._list_files(prefix))

    def stat(self, id: str) -> Deferred[Status]:
        """All that the depot knows of a content."""
        return self._request(self._stat(id))

    def upload(
        self,
        source: Path | str | bytes,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Deferred[Entry]:
        """
        Store a file, and compare the server's MD5 of it with one's own.

        @param source: a path, or the content itself as bytes.
        @param name: the name to store it under; the file's own where it is None.
        @param progress: told how many bytes are sent.
        @return: fires with the entry, when the server has it safe on its disk.
        @raise OSError: the file can't be read.
        @raise SourceChanged: the file became shorter while it was sent.
        """
        return self._request(self._upload(source, name, progress))

    def download(
        self,
        id: str,
        target: Path | str,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Deferred[Entry]:
        """
        Fetch a file. It is written aside and appears as C{target} when its size and MD5 are right.

        @param target: a path of the caller's choice; names from the server decide nothing.
        @param replace: whether a file that is there may be replaced.
        @param progress: told how many bytes have come.
        @return: fires with the entry, when C{target} is on the disk.
        @raise TargetExists: C{target} is there and may not be replaced.
        @raise OSError: it can't be written.
        """
        return self._request(self._download(id, Path(target), replace, progress))

    def disconnect(self) -> Deferred[None]:
        """Say goodbye after the requests made so far; fires when the connection is closed."""
        closed: Deferred[None] = Deferred()
        if self._lost is not None:
            closed.callback(None)
        else:
            self._closed.append(closed)
            self._request(self._quit()).addErrback(lambda _: None)  # it closes in any case
        return closed

    # How each request goes

    async def _list_files(self, prefix: str) -> list[Entry]:
        argument = prefix.encode()
        grammar.parse_prefix(argument)
        self._send_line(b"LIST_FILES" + (b" " + argument if argument else b""))
        entries = []
        while (line := await self._line()) != grammar.DONE:
            if line != grammar.NO_FILES:
                entries.append(_entry(line))
        self._in_step = True
        return entries

    async def _stat(self, id: str) -> Status:
        await self._ask(Command.STAT, grammar.parse_id(id.encode()).encode())
        entries = []
        fields: dict[bytes, bytes] = {}
        while (line := await self._line()) != grammar.DONE:
            if b";" in line:
                entries.append(_entry(line))
            else:  # a key that a newer server adds is passed over
                key, _, value = line.partition(b" ")
                fields[key] = value
        self._in_step = True
        try:
            return Status(
                tuple(entries),
                grammar.parse_sha256(fields[b"sha256"]),
                grammar.parse_time(fields[b"stored"]),
                grammar.parse_time(fields[b"verified"]),
            )
        except (KeyError, RequestError) as error:
            raise UnexpectedReply("The answer to STAT is not complete.") from error

    async def _upload(
        self, source: Path | str | bytes, name: str | None, progress: Progress | None
    ) -> Entry:
        run = self.factory.executor.run
        content: Source
        if isinstance(source, bytes):
            content = BytesSource(source)
        else:
            name = Path(source).name if name is None else name
            content = await run(FileSource, Path(source))
        try:
            # What the server would refuse for its form is refused before anything is sent.
            details = grammar.parse_upload(f"{name or ''};{content.size}".encode())
            return await self._send_file(content, details, progress)
        finally:
            await run(content.close)

    async def _send_file(
        self, content: Source, details: UploadDetails, progress: Progress | None
    ) -> Entry:
        argument = grammar.format_upload(details)
        if self.factory.prompted or details.size > ONE_LINE:
            await self._ask(Command.UPLOAD, argument, prompted=True)
            await self._expect(grammar.READY)
        else:
            await self._ask(Command.UPLOAD, argument)
        sent = 0

        async def read() -> bytes:
            nonlocal sent
            if progress is not None:
                progress(sent, details.size)
            block = await self.factory.executor.run(content.read)
            sent += len(block)
            return block

        sender = Sender(self.transport, lambda: Deferred.fromCoroutine(read()))

        def answered(line: bytes) -> bytes:
            sender.stopProducing()  # before the end it can only be a refusal
            return line

        # From here on, the answer may come at any time.
        answer = self._next_line().addBoth(answered)
        self.transport.registerProducer(sender, True)
        try:
            await sender.run()
        except ConnectionCut:
            line = await answer  # or why there is none
            error = grammar.parse_error(line)
            raise error or UnexpectedReply("An answer came before the file was sent.") from None
        except BaseException:
            answer.addErrback(lambda _: None)
            raise
        finally:
            self.transport.unregisterProducer()
        line = self._checked(await answer)
        entry = Entry(content.md5(), details.name, details.size)
        if line != entry.id.encode():
            raise HashMismatch(f"Upload of {quoted(entry.name)}", entry.id, quoted(line))
        self._in_step = True
        return entry

    async def _download(
        self, id: str, target: Path, replace: bool, progress: Progress | None
    ) -> Entry:
        run = self.factory.executor.run
        wanted = Range(grammar.parse_id(id.encode()))
        part = await run(PartFile, target, replace)
        try:
            await self._ask(Command.DOWNLOAD, grammar.format_range(wanted))
            entry = _entry(await self._line())
            if entry.id != wanted.id:
                raise UnexpectedReply(f"Asked for {wanted.id}, the server sends {entry.id}.")
            digest = md5()
            receiver = Receiver(
                entry.size,
                [digest.update, part.write],
                self.factory.executor,
                self.factory.budget,
                self._regulate,
                self.transport.abortConnection,
            )
            try:
                if entry.size:
                    await self._receive(receiver, entry.size, progress)
            except BaseException:
                await receiver.stop()
                if receiver.failure is not None:  # that was why
                    receiver.failure.raiseException()
                raise
            await receiver.finish()
            self._in_step = True
            if digest.hex() != entry.id:
                raise HashMismatch(f"Download of {quoted(entry.name)}", digest.hex(), entry.id)
            await run(part.publish)
            return entry
        finally:
            await run(part.discard)

    async def _quit(self) -> None:
        self._send_line(b"QUIT")
        self._in_step = True
        self.transport.loseConnection()

    # The steps that they are made of

    def _request(self, work: Coroutine[Deferred[Any], Any, R]) -> Deferred[R]:
        async def in_turn() -> R:
            try:
                await self._turn.acquire()
            except BaseException:
                work.close()
                raise
            try:
                if self._lost is not None:
                    work.close()
                    raise self._lost
                return await work
            finally:
                if not self._in_step and self._lost is None:
                    # What comes next on this connection belongs to nobody.
                    self.transport.abortConnection()
                self._turn.release()

        return Deferred.fromCoroutine(in_turn())

    async def _ask(self, command: Command, argument: bytes, prompted: bool | None = None) -> None:
        """Send a command with its argument: at the server's prompt or on the same line."""
        word = command.spellings[0].encode("ascii")
        if self.factory.prompted if prompted is None else prompted:
            assert command.prompt is not None
            self._send_line(word)
            await self._expect(command.prompt)
            self._send_line(argument)
        else:
            self._send_line(word + b" " + argument)

    def _send_line(self, line: bytes) -> None:
        if self._lost is not None:
            raise self._lost
        self._in_step = False
        self.factory.trace(">", line)
        self.sendLine(line)

    async def _expect(self, expected: bytes) -> None:
        line = await self._line()
        if line != expected:
            raise UnexpectedReply(f"Expected {quoted(expected)}, the server says {quoted(line)}.")

    async def _line(self) -> bytes:
        """The next line; an error that it tells of is raised."""
        return self._checked(await self._next_line())

    def _checked(self, line: bytes) -> bytes:
        if (error := grammar.parse_error(line)) is not None:
            self._in_step = True
            raise error
        return line

    def _next_line(self) -> Deferred[bytes]:
        waiting: Deferred[bytes] = Deferred(lambda _: self.transport.abortConnection())
        if self._lost is not None:
            waiting.errback(self._lost)
        else:
            self._waiting = waiting
            self._regulate()
        return waiting

    async def _receive(self, receiver: Receiver, size: int, progress: Progress | None) -> None:
        """Feed a receiver all the bytes it wants."""
        if self._lost is not None:
            raise self._lost
        self._receiver = receiver
        received: Deferred[None] = Deferred(lambda _: self.transport.abortConnection())
        self._received = received
        if progress is not None:
            self._progress = lambda: progress(size - receiver.remaining, size)
        if hasattr(self.transport, "bufferSize"):
            self.transport.bufferSize = min(RAW_BUFFER, max(self.transport.bufferSize, size))
        self.setRawMode()
        self._regulate()
        try:
            await received
        finally:
            self._progress = None

    # Events of the transport

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def lineReceived(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        self.factory.trace("<", line)
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            # Nothing was asked: all that a server may say then is why it closes.
            self._unasked(line)
            return
        waiting.callback(line)
        self._regulate()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._give_up(UnexpectedReply("The server sent a line that is too long."))

    def rawDataReceived(self, data: bytes) -> None:
        receiver = self._receiver
        assert receiver is not None
        count = receiver.remaining
        rest = data[count:]
        receiver.write(data[:count] if rest else data)
        if self._progress is not None:
            self._progress()
        if receiver.remaining:
            self._regulate()
            return
        self._receiver = None
        self.setLineMode(rest)
        received, self._received = self._received, None
        if received is not None:
            received.callback(None)
        self._regulate()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = self._lost or ConnectionCut(
            "The connection was lost before the answer was complete."
        )
        for waiting in (self._waiting, self._received):
            if waiting is not None:
                waiting.errback(self._lost)
        self._waiting = self._received = None
        closed, self._closed = self._closed, []
        for waiter in closed:
            waiter.callback(None)

    def _unasked(self, line: bytes) -> None:
        error = grammar.parse_error(line)
        reason = f"says {quoted(line)} unasked" if error is None else f"closes: {error.text}"
        self._give_up(ConnectionCut(f"The server {reason}"))

    def _give_up(self, reason: XferError) -> None:
        self._lost = reason
        self.transport.abortConnection()

    def _regulate(self) -> None:
        """Read on while somebody waits for what may come, or nobody has asked for anything."""
        hold = self._receiver.full if self._receiver else not (self._waiting or self._in_step)
        if hold and not self.paused:
            self.pauseProducing()
        elif not hold and self.paused and self._lost is None:
            self.resumeProducing()


def _entry(line: bytes) -> Entry:
    try:
        return grammar.parse_entry(line)
    except RequestError as error:
        raise UnexpectedReply(f"Expected id;name;size, the server says {quoted(line)}.") from error
