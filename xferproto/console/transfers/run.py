"""What C{put} and C{get} have in common: how a transfer begins, fails and ends."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, DNSLookupError

from xferproto.console.session import Session
from xferproto.console.transfers.summary import Summary
from xferproto.console.ui.advice import Unreachable
from xferproto.console.ui.progress import Display, Nothing
from xferproto.model.errors import RequestError, Scope, XferError

F = TypeVar("F")

_OF_ALL = (CancelledError, Unreachable, ConnectError, DNSLookupError, BrokenPipeError)
"""What ends a whole command, and is no error of xfer's own."""


def is_of_all(error: BaseException) -> bool:
    """Return whether every other file would fail with the same error."""
    if isinstance(error, RequestError):  # an answer: what it closes is connected again
        return error.scope is Scope.SERVER
    if isinstance(error, XferError) and error.scope is not Scope.REQUEST:
        return True
    return isinstance(error, _OF_ALL)


def new_display(session: Session) -> Display:
    """Return progress bars, if they are to be shown."""
    if not session.settings.progress:
        return Nothing()
    from xferproto.console.ui.progress_bars import Terminal

    return Terminal(session.reactor, session.output)


class Transfer(Generic[F]):
    """
    Run one put or get.

    @cvar ACTION: what it is called.
    @cvar DONE: what it does with files, with bytes, and what it finds; for the summary.
    @cvar INTERRUPTED: the message after Ctrl-C.
    @param session: where it runs.
    @param dry_run: whether nothing is to be transferred.
    """

    ACTION: ClassVar[str]
    DONE: ClassVar[tuple[str, str, str]]
    INTERRUPTED: ClassVar[str]

    def __init__(self, session: Session, dry_run: bool) -> None:
        self._session = session
        self._dry_run = dry_run
        self._at = ""
        """The file whose failure ended the transfer."""
        self._output = session.output
        self._display = new_display(session)
        self._summary = Summary()
        self._files: dict[str, F] = {}
        """The files that are left to be done, each by a unique key."""

    async def run(self) -> None:
        """Transfer all files; report those that fail, and go on with the others."""
        self._session.interrupted = self.INTERRUPTED
        try:
            await self._transfer()
        except (CancelledError, BrokenPipeError):
            raise
        except Exception as error:
            refused = isinstance(error, RequestError)
            self._output.failed(self._at if refused else "", error)
        finally:
            self._display.close()
            self._summary.unfinished = len(self._files)
            done, moved, present = self.DONE
            done = f"would be {done}" if self._dry_run else done
            self._output.summary(
                self._summary.text(done, moved, present),
                action=self.ACTION,
                **self._summary.fields(),
            )

    async def _transfer(self) -> None:
        """
        Find all files, and transfer them.

        @raise Exception: no other file can be transferred.
        """
        raise NotImplementedError

    def _failed(self, key: str, what: str, error: Exception, **fields: object) -> None:
        """
        Report that a file could not be transferred.

        @param key: the file's key in what is left to be done.
        @raise Exception: the error, if no other file could be transferred either.
        """
        if is_of_all(error):
            self._at = what
            raise error
        del self._files[key]
        self._fail(what, error, **fields)

    def _fail(self, what: str, error: Exception, **fields: object) -> None:
        """Report what can't be transferred, and why."""
        self._summary.failed += 1
        self._output.failed(what, error, action=self.ACTION, **fields)
