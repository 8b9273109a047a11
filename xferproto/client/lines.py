"""Receive the lines of a long answer without waking a coroutine for each."""

from __future__ import annotations

import sys
from collections.abc import Callable

from xferproto.model.entry import Entry
from xferproto.model.errors import AnswerTooLong, UnexpectedReply
from xferproto.wire import codec

KEPT = 256 * 1024 * 1024
"""The most memory for the entries of one answer, in bytes: about a million usual names."""

ENTRY_COST = 200
"""The memory of an entry beside the text of its line, in bytes (CPython 3.11)."""


class KeptEntries:
    """
    Keep the entries of an answer until it is complete, within a limit.

    @ivar entries: the entries so far.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._room = KEPT

    def add(self, entry: Entry) -> None:
        """
        Keep one more entry.

        @raise AnswerTooLong: the entries would need more memory than L{KEPT}.
        """
        self._room -= len(entry.name) + ENTRY_COST
        if self._room < 0:
            raise AnswerTooLong()
        self.entries.append(entry)


class Lines:
    """
    Split what comes into lines, up to C{DONE}; a L{Payload<xferproto.client.connection.Payload>}.

    @param line: called with each line before that, up to one that it raises L{UnexpectedReply} for.
    @param failed: called with what is wrong with what came.
    @ivar rest: the bytes that came after it.
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
        """Take the next bytes."""
        try:
            self._take(data)
        except UnexpectedReply as error:
            self._failed(error)

    def _take(self, data: bytes) -> None:
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for number, line in enumerate(lines):
            line = line.removesuffix(b"\r")
            if line == codec.DONE:
                self.rest = b"\n".join([*lines[number + 1 :], self.rest])
                self.remaining = 0
                return
            self._line(line)
        if len(self.rest) > codec.MAX_LINE:
            raise UnexpectedReply("The server sent a line that is too long.")
