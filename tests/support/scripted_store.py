"""A store for tests that answers when the test says so, and notes what it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred

from xferproto.model.entry import Digests, Entry
from xferproto.model.errors import NoSpace
from xferproto.model.identity import View
from xferproto.store.interface import IStore


class ScriptedUpload:
    """
    An upload of a L{ScriptedStore}, under a token or not.

    @ivar written: the bytes that were written.
    @ivar full: whether writing fails.
    @ivar ended: how it was ended, in order.
    """

    def __init__(self, store: ScriptedStore, held: bytes = b"", known: Digests | None = None):
        self.written = held
        self.offset = len(held)
        self.known = known
        self.grown = 0
        self.full = False
        self.ended: list[str] = []
        self._store = store

    def write(self, blocks: Sequence[bytes]) -> None:
        if self.full:
            raise NoSpace()
        self.written += b"".join(blocks)

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return self._store.asked("read").addCallback(
            lambda _: self.written[offset : offset + length]
        )

    def restart(self) -> Deferred[None]:
        def restarted(_: object) -> None:
            self.written, self.offset, self.known = b"", 0, None

        return self._store.asked("restart").addCallback(restarted)

    def commit(self, digests: Digests) -> Deferred[Entry]:
        self.ended.append("commit")
        return self._store.asked("commit").addCallback(
            lambda _: Entry(digests.md5, "committed", len(self.written))
        )

    def abort(self) -> Deferred[None]:
        self.ended.append("abort")
        return self._store.asked("abort")


class ScriptedStore:
    """
    A store whose answers come at once, unless they are held.

    @ivar small: the most bytes of a small content.
    @ivar held: the questions whose answers wait for L{answer} or L{refuse}.
    @ivar questions: all that were asked, in order.
    @ivar uploads: those that were begun.
    @ivar partial: what L{resume} gives next; a new one where it is None.
    @ivar stored: what L{usage} says.
    """

    def __init__(self) -> None:
        self.small = -1
        self.held: set[str] = set()
        self.questions: list[str] = []
        self.uploads: list[ScriptedUpload] = []
        self.views: list[View] = []
        self.partial: ScriptedUpload | None = None
        self.stored = 0
        self._waiting: dict[str, list[Deferred[Any]]] = {}
        self._failures: dict[str, list[Exception]] = {}

    @property
    def store(self) -> IStore:
        """It, for those who want a whole one."""
        return cast(IStore, self)

    def asked(self, question: str) -> Deferred[Any]:
        self.questions.append(question)
        answer: Deferred[Any] = Deferred()
        if self._failures.get(question):
            answer.errback(self._failures[question].pop(0))
        elif question in self.held:
            self._waiting.setdefault(question, []).append(answer)
        else:
            answer.callback(None)
        return answer

    def answer(self, question: str) -> None:
        """Answer what was asked first of these."""
        self._waiting[question].pop(0).callback(None)

    def refuse(self, question: str, error: Exception) -> None:
        """Let what was asked first of these fail."""
        self._waiting[question].pop(0).errback(error)

    def fail_next(self, question: str, *errors: Exception) -> None:
        """Let the next questions of this kind fail."""
        self._failures.setdefault(question, []).extend(errors)

    def usage(self, owner: str | None) -> Deferred[int]:
        return self.asked("usage").addCallback(lambda _: self.stored)

    def create(self, name: str, size: int, view: View) -> Deferred[ScriptedUpload]:
        self.views.append(view)
        return self.asked("create").addCallback(lambda _: self._begun(ScriptedUpload(self)))

    def _begun(self, upload: ScriptedUpload) -> ScriptedUpload:
        self.uploads.append(upload)
        return upload

    def resume(
        self,
        name: str,
        size: int,
        token: str,
        sha256: str | None,
        view: View,
        claim: Callable[[int], Awaitable[None]] | None = None,
    ) -> Deferred[ScriptedUpload]:
        self.views.append(view)

        async def resumed() -> ScriptedUpload:
            await self.asked("resume")
            if claim is not None:
                await claim(size)
            return self._begun(self.partial or ScriptedUpload(self))

        return Deferred.fromCoroutine(resumed())

    def put(self, name: str, content: bytes, digests: Digests, view: View) -> Deferred[Entry]:
        self.views.append(view)
        return self.asked("put").addCallback(lambda _: Entry(digests.md5, name, len(content)))
