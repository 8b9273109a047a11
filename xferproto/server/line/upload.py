"""The commands that take a file: UPLOAD and RESUME, from the details to the id."""

from __future__ import annotations

from functools import partial

from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from xferproto.depot.quota import NO_CLAIM
from xferproto.model.entry import Entry
from xferproto.model.errors import BadRange, Busy, ConnectionCut, RequestError, TooLarge
from xferproto.model.escape import quoted
from xferproto.model.identity import EVERYTHING, Right, View
from xferproto.net.peer import keep_alive
from xferproto.server.line.claims import ClaimingConnection
from xferproto.server.line.keepalive import Waiting
from xferproto.server.line.replies import Transferred
from xferproto.store.interface import IPartial, IUpload
from xferproto.transfer.hashing import ContentDigest, hash_stored
from xferproto.transfer.in_memory import SmallUpload
from xferproto.transfer.verified import VerifiedUpload
from xferproto.wire import codec
from xferproto.wire.commands import Command
from xferproto.wire.requests import Held, ResumeDetails, UploadDetails
from xferproto.wire.states import State

log = Logger("xfer")

OVERHEAD = 1024
"""About how many bytes of memory a pipelined request takes beside its content."""

PROBE = 5.0
"""Seconds in which a peer that is gone shows itself, once it is asked: thrice, a second apart."""


class UploadConnection(ClaimingConnection):
    """A connection that can take files."""

    _started = 0.0
    _digest: ContentDigest
    _resumed: ResumeDetails | None = None
    _view: View = EVERYTHING
    _partial: IPartial | None = None
    _under_token: IPartial | None = None

    def _check_size(self, size: int) -> None:
        limit = self.factory.max_file_size
        if limit is not None and size > limit:
            raise TooLarge(f"This server takes files of at most {limit} bytes; send a smaller one.")

    def _skip(self) -> int | None:
        """How much to skip when a prompted upload is refused: what came unasked is no command."""
        return None if self._buffer else 0

    # UPLOAD

    def _upload_asked(self, argument: bytes, prompted: bool) -> None:
        try:
            details = codec.parse_upload(argument)
            self._check_size(details.size)
        except RequestError as error:
            skip = self._skip() if prompted else codec.payload_size(argument)
            self._in_turn(partial(self._refuse, error, skip))
            return
        small = details.size <= self.factory.store.small
        if small and self._claim_now(details.size):
            self._take_small(details, prompted)
            return
        skip = self._skip() if prompted else details.size
        view = self.identity.view
        if small:
            self._in_turn(lambda: self._start(self._claim_small(details, prompted), skip))
        else:
            self._in_turn(lambda: self._start(self._open_upload(details, prompted, view), skip))

    async def _claim_small(self, details: UploadDetails, prompted: bool) -> None:
        await self._claim_file(details.size)
        self._take_small(details, prompted)

    def _take_small(self, details: UploadDetails, prompted: bool) -> None:
        """Wait for a payload that is kept in memory; the next request need not wait for its id."""
        self._started = self.factory.clock.seconds()
        self._claim.keep_whole()
        self._upload = upload = SmallUpload(details.name, details.size)
        if prompted:
            self.sendLine(codec.READY)
        elif len(self._buffer) >= details.size:  # all of it is here: no need to go to raw mode
            came = self.clearLineBuffer()
            upload.write(came[: details.size])
            self._buffer = came[details.size :]  # before anything can look for the next line
            self._put(upload)
            return
        if details.size:
            self._enter(State.RECEIVING)
        else:  # no byte will come that could end it
            self._put(upload)

    def _put(self, upload: SmallUpload) -> None:
        self._upload = None
        started = self._started
        view = self.identity.view
        claim, self._claim = self._claim, NO_CLAIM
        content, digests = upload.content()

        def refused(failure: Failure) -> Failure:
            claim.end(0)
            return failure

        def stored(entry: Entry) -> Transferred:
            claim.end()
            return Transferred(entry.id.encode("ascii") + b"\n", entry, entry.size, started)

        putting = self.factory.start(self.factory.store.put(upload.name, content, digests, view))
        if claim is not NO_CLAIM:
            putting.addErrback(refused)
        self._owe(Command.UPLOAD, upload.size + OVERHEAD, putting.addCallback(stored))

    async def _open_upload(self, details: UploadDetails, prompted: bool, view: View) -> None:
        await self._claim_file(details.size)
        try:
            entering = self.factory.admission.enter(lambda: not self.paused)
            self._admitted = await self._unless_lost(entering)
            if self._lost:
                raise ConnectionCut("The connection was lost.")
            incoming = await self.factory.store.create(details.name, details.size, view)
            if self._lost:
                await incoming.abort()
                raise ConnectionCut("The connection was lost.")
        except BaseException:
            self._admitted.leave()
            self._claim_ended(0)
            raise
        await self._take(incoming, details.name, details.size, None, ready=prompted)

    # RESUME

    def _resume_asked(self, argument: bytes, prompted: bool) -> None:
        try:
            details = codec.parse_resume(argument)
            self._check_size(details.size)
        except RequestError as error:
            self._refuse(error, self._skip())
        else:
            self._view = self.identity.view
            self._start(self._open_partial(details), self._skip())

    async def _open_partial(self, details: ResumeDetails) -> None:
        try:
            partial = await self._partial_of(details)
        except BaseException:
            self._claim_ended(0)
            raise
        try:
            if partial.known is not None:
                held = Held(details.size, partial.known.md5)
            else:
                self._digest = await self._hash_held(partial)
                held = Held(partial.offset, self._digest.md5.hex())
            if self._lost:
                raise ConnectionCut("The connection was lost.")
        except BaseException:
            await self._abandon(partial, partial)
            raise
        self._partial = self._under_token = partial
        self._resumed = details
        self.factory.sending[self._view.owner, details.token] = self
        self.sendLine(codec.format_held(held))
        self._ask(self._offset_told)

    async def _partial_of(self, details: ResumeDetails) -> IPartial:
        """Get hold of the upload; where another connection has it, see whether its peer is gone."""
        clock, deadline = self.factory.clock, self.factory.clock.seconds() + PROBE
        # Who may not read has no use for a proof that others have stored a content.
        sha256 = details.sha256 if Right.READ in self.identity.rights else None
        key = self._view.owner, details.token
        while True:
            try:
                return await self.factory.store.resume(
                    details.name,
                    details.size,
                    details.token,
                    sha256,
                    self._view,
                    self._claim_bytes if self.factory.quota.concerns(self.identity.quota) else None,
                )
            except Busy:
                if self._lost or clock.seconds() >= deadline:
                    raise
            if (other := self.factory.sending.get(key)) is not None:
                keep_alive(other.transport, 1, 1, 3)
            await self._unless_lost(deferLater(clock, PROBE / 20))

    async def _hash_held(self, partial: IPartial) -> ContentDigest:
        length = partial.offset
        turn = self.factory.turns.turn(length, lambda: self._lost, for_upload=True)
        with Waiting(self.factory.clock, self.sendLine, "hashing", length) as waiting:

            async def pace(done: int) -> None:
                waiting.progressed(done)
                await turn.progressed(done)

            async with turn:
                return await hash_stored(partial.read, length, self.factory.executor, pace)

    def _offset_told(self, line: bytes) -> None:
        partial, details = self._partial, self._resumed
        assert partial is not None and details is not None
        skip = self._skip()
        try:
            offset = codec.parse_offset(line)
            if offset not in (0, partial.offset):
                raise BadRange(f"Go on from {partial.offset}, or from 0 to start over.")
        except RequestError as error:
            self._let_go()
            self._refuse(error, skip)
        else:
            self._start(self._go_on(partial, details, offset), skip)

    async def _go_on(self, partial: IPartial, details: ResumeDetails, offset: int) -> None:
        self._partial = None
        try:
            if partial.known is not None and offset == details.size:
                self.sendLine(codec.READY)
                self._started = self.factory.clock.seconds()
                self._stored(await partial.commit(partial.known), 0)
                return
            if offset != partial.offset or partial.known is not None:
                await partial.restart()
                self._digest = ContentDigest()
        except BaseException:
            await self._abandon(partial, partial)
            self._forget_token()
            raise
        await self._take(partial, details.name, details.size - offset, self._digest, ready=True)

    def _let_go(self) -> None:
        """Leave an upload under a token as it is."""
        partial, self._partial = self._partial, None
        if partial is not None:
            self.factory.start(self._abandon(partial, partial))
        self._forget_token()

    def _forget_token(self) -> None:
        details, self._resumed = self._resumed, None
        self._under_token = None
        if details is not None:
            key = self._view.owner, details.token
            if self.factory.sending.get(key) is self:
                del self.factory.sending[key]

    # Both, once they are open

    async def _take(
        self, incoming: IUpload, name: str, size: int, digest: ContentDigest | None, ready: bool
    ) -> None:
        """Wait for the payload; C{digest} is of the bytes that are kept before it."""
        self._started = self.factory.clock.seconds()
        self._claim.expect(size)
        self._upload = VerifiedUpload(
            incoming,
            name,
            size,
            self.factory.workers,
            self.factory.budget,
            self._regulate,
            self._writing_failed,
            digest=digest,
            keep=digest is not None,
        )
        if self._lost:
            self._cut_short()
            return
        if ready:
            self.sendLine(codec.READY)
        if size:
            self._enter(State.RECEIVING)
        else:  # no byte will come that could end it
            await self._store(self._upload)

    def _payload_received(self, upload: VerifiedUpload | SmallUpload) -> None:
        if isinstance(upload, SmallUpload):
            self._put(upload)
        else:
            self._start(self._store(upload))

    async def _store(self, upload: VerifiedUpload) -> None:
        self._upload = None
        self._admitted.leave()
        under_token = self._under_token
        try:
            if self._resumed is None:
                entry = await upload.finish()
            else:
                with Waiting(self.factory.clock, self.sendLine, "storing", 0):
                    entry = await upload.finish()
        except BaseException:
            self._claim_ended(0 if under_token is None else under_token.grown)
            raise
        finally:
            self._forget_token()
        self._stored(entry, upload.size)

    def _stored(self, entry: Entry, count: int) -> None:
        self._claim_ended()
        self._forget_token()
        self._log_transfer("stored", entry, count, self._started)
        self._answer(entry.id.encode("ascii"))

    def _writing_failed(self) -> None:
        """The disk refuses before all bytes have come; the ones that still will are skipped."""
        upload = self._upload
        if self.state is State.RECEIVING and isinstance(upload, VerifiedUpload):
            self._start(self._store(upload), skip=upload.remaining)

    # The peer is gone

    def _cut_short(self) -> str:
        upload, self._upload = self._upload, None
        assert upload is not None
        self._admitted.leave()
        if isinstance(upload, VerifiedUpload):
            self.factory.start(self._abandon(upload, self._under_token))
        else:
            self._claim_ended(0)
        kept = "nothing was stored" if self._resumed is None else "what came is kept"
        declared = upload.size if self._resumed is None else self._resumed.size
        came = f"{declared - upload.remaining} of {declared} declared bytes; {kept}"
        log.warn(
            "#{number} upload of {name} cut short after {came}",
            number=self.number,
            name=quoted(upload.name),
            came=came,
        )
        return came

    def connectionLost(self, reason: Failure | None = None) -> None:
        # Begun before the factory is told: a server that stops waits for what is begun by then.
        partial, self._partial = self._partial, None
        if partial is not None:
            self.factory.start(self._abandon(partial, partial))
        super().connectionLost(reason)
        self._forget_token()
