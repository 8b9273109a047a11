"""What storing and fetching have in common: how they begin, fail and end."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, DNSLookupError

from xferproto.console.session import Session
from xferproto.console.transfers.summary import Tally
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
    """Bars where they are wanted."""
    if not session.settings.progress:
        return Nothing()
    from xferproto.console.ui.progress_bars import Terminal

    return Terminal(session.reactor, session.output)


class Transfer(Generic[F]):
    """
    One call of put or get.

    @cvar ACTION: what it is called.
    @cvar DONE: what it does with files, with bytes, and what it finds; for the summary.
    @cvar INTERRUPTED: what is told after Ctrl-C.
    @param session: where it runs.
    @param dry_run: whether nothing is to be carried.
    """

    ACTION: ClassVar[str]
    DONE: ClassVar[tuple[str, str, str]]
    INTERRUPTED: ClassVar[str]

    def __init__(self, session: Session, dry_run: bool) -> None:
        self._session = session
        self._dry_run = dry_run
        self._output = session.output
        self._display = new_display(session)
        self._tally = Tally()
        self._files: dict[str, F] = {}
        """What is left to be done, by what is unique of each."""

    async def run(self) -> None:
        """Do it. What can't be carried is told, and the rest goes on where it can."""
        self._session.interrupted = self.INTERRUPTED
        try:
            await self._carry()
        except (CancelledError, BrokenPipeError):
            raise
        except Exception as error:
            self._output.failed("", error)
        finally:
            self._display.close()
            self._tally.unfinished = len(self._files)
            done, moved, present = self.DONE
            done = f"would be {done}" if self._dry_run else done
            self._output.summary(
                self._tally.text(done, moved, present), action=self.ACTION, **self._tally.fields()
            )

    async def _carry(self) -> None:
        """
        Find all, and carry it.

        @raise Exception: no more can be carried.
        """
        raise NotImplementedError

    def _failed(self, key: str, what: str, error: Exception, **fields: object) -> None:
        """
        A file could not be carried.

        @param key: the file's in what is left to be done.
        @raise Exception: the error, where no other file could be either.
        """
        if is_of_all(error):
            raise error
        del self._files[key]
        self._fail(what, error, **fields)

    def _fail(self, what: str, error: Exception, **fields: object) -> None:
        """Tell what can't be carried, and why."""
        self._tally.failed += 1
        self._output.failed(what, error, action=self.ACTION, **fields)
