"""Read commands and their arguments from the lines of a connection, and begin them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from xferproto.depot.account import Account
from xferproto.model.errors import Insecure, OtherProtocol, RequestError
from xferproto.model.identity import Right
from xferproto.net.peer import is_private
from xferproto.server.line.foreign_protocol import (
    ends_as_http,
    is_foreign,
    is_http_request,
    is_signature,
)
from xferproto.server.line.session import MALFORMED, LineSession
from xferproto.wire import codec
from xferproto.wire.commands import Command, parse_command
from xferproto.wire.states import State

Run = Callable[[LineSession, Account, bytes], None]


@dataclass(frozen=True, slots=True)
class CommandForm:
    """
    One command, as the server has it.

    @ivar run: begins it, with its argument; raises a RequestError to refuse it.
    @ivar parse: raises what an argument is refused with that is not of its form.
    @ivar right: that of the use case that it leads to, so that it is refused before its argument is
        asked for; None where it has none.
    @ivar secret: whether its argument is for nobody else to read.
    """

    run: Run
    parse: Callable[[bytes], object]
    right: Right | None = None
    secret: bool = False


class CommandReader:
    """
    Begin the commands that come over one connection.

    @param forms: the commands.
    """

    __slots__ = ("_forms", "_session")

    def __init__(self, session: LineSession, forms: Mapping[Command, CommandForm]) -> None:
        self._session = session
        self._forms = forms

    def line_received(self, line: bytes) -> None:
        """Take a line, a command or an argument, without its LF."""
        session = self._session
        line = line.removesuffix(b"\r")
        if session.state is State.ARGUMENT:
            self._take_argument(line)
            return
        try:
            command, argument = parse_command(line)
        except RequestError as error:
            session.request = None
            self._refuse_in_turn(OtherProtocol() if is_foreign(line) else error)
            return
        session.request = command, argument or b""
        session.signature = ends_as_http(line)  # DELETE is a method of both
        if session.signature and is_http_request(line):
            self._refuse_in_turn(OtherProtocol())
            return
        replies = session.replies
        if replies and (command is not replies.command or argument is None):
            session.in_turn(lambda: self._begin(command, argument))
        else:
            self._begin(command, argument)

    def _take_argument(self, line: bytes) -> None:
        session = self._session
        if session.request is not None and not session.request[1]:
            session.request = session.request[0], line  # not the offset that RESUME asks for
        session.signature = is_signature(line)  # of another protocol, unless it is a good argument
        try:
            session.asked(line)
        except RequestError as error:
            session.refuse(error)
        finally:
            session.signature = False

    def _refuse_in_turn(self, error: RequestError, skip: int | None = 0) -> None:
        self._session.in_turn(partial(self._session.refuse, error, skip))

    def _begin(self, command: Command, argument: bytes | None) -> None:
        session = self._session
        try:
            if command.prompt is not None and argument is None:
                if self._allowed(command, b"", True) is not None:
                    session.say(command.prompt)
                    session.ask(lambda line: self._call(command, line, True))
            else:
                self._call(command, argument or b"", False)
        except RequestError as error:
            session.refuse(error)

    def _call(self, command: Command, argument: bytes, prompted: bool) -> None:
        account = self._allowed(command, argument, prompted)
        if account is not None:
            self._session.prompted = prompted
            self._forms[command].run(self._session, account, argument)

    def _allowed(self, command: Command, argument: bytes, prompted: bool) -> Account | None:
        """The account for which a command may be begun; where it may not, it is refused."""
        session, form = self._session, self._forms[command]
        account = session.client.account
        try:
            if form.right is not None:
                account.require(form.right)
            if form.secret and not is_private(session.transport):
                raise Insecure()
        except RequestError as error:
            if session.signature and not _is_of_form(form, argument):
                self._refuse_in_turn(OtherProtocol())
                return None
            skip: int | None = 0
            if command is Command.UPLOAD and not prompted:
                skip = codec.payload_size(argument)
            elif command in (Command.UPLOAD, Command.RESUME):
                skip = session.unasked()
            self._refuse_in_turn(error, skip)
            return None
        return account


def _is_of_form(form: CommandForm, argument: bytes) -> bool:
    """Whether an argument is of the form that a command asks for."""
    try:
        form.parse(argument)
    except MALFORMED:
        return False
    return True
