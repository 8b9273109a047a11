"""The lines of a long answer, taken as they come: a coroutine is not woken for each."""

from __future__ import annotations

import sys
from collections.abc import Callable

from xferproto import grammar
from xferproto.errors import UnexpectedReply


class Lines:
    """
    What comes up to the line C{DONE}; a L{Payload<xferproto.client.connection.Payload>}.

    @param line: told each line before that, up to one that it raises L{UnexpectedReply} for.
    @param failed: told what is wrong with what came.
    @ivar rest: what came behind it.
    """

    full = False

    def __init__(
        self, line: Callable[[bytes], None], failed: Callable[[UnexpectedReply], None]
    ) -> None:
        self.remaining = sys.maxsize
        self.rest = b""
        self._line = line
        self._failed = failed

    def write(self, data: bytes) -> None:
        """Take what came."""
        try:
            self._take(data)
        except UnexpectedReply as error:
            self._failed(error)

    def _take(self, data: bytes) -> None:
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for number, line in enumerate(lines):
            line = line.removesuffix(b"\r")
            if line == grammar.DONE:
                self.rest = b"\n".join([*lines[number + 1 :], self.rest])
                self.remaining = 0
                return
            self._line(line)
        if len(self.rest) > grammar.MAX_LINE:
            raise UnexpectedReply("The server sent a line that is too long.")
