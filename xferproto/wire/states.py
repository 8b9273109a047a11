"""List the states of a connection of the server, and the transitions between them."""

# ruff: noqa: E501  (the table)

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """
    Name the state of a connection. Each input may lead to these states::

        state      | line                                                  | long line       | bytes                     | end of input    | answer                                                        | failure                                                       | lost
        COMMAND    | COMMAND ARGUMENT WORKING RECEIVING DISCARDING CLOSING | WORKING CLOSING | -                         | WORKING CLOSING | COMMAND WORKING CLOSING                                       | COMMAND CLOSING                                               | CLOSING
        ARGUMENT   | COMMAND WORKING RECEIVING CLOSING                     | CLOSING         | -                         | WORKING CLOSING | -                                                             | -                                                             | CLOSING
        WORKING    | -                                                     | -               | -                         | -               | COMMAND ARGUMENT WORKING RECEIVING DISCARDING SENDING CLOSING | COMMAND ARGUMENT WORKING RECEIVING DISCARDING CLOSING         | CLOSING
        RECEIVING  | -                                                     | -               | COMMAND WORKING RECEIVING | WORKING CLOSING | RECEIVING                                                     | WORKING RECEIVING CLOSING                                     | CLOSING
        DISCARDING | -                                                     | -               | COMMAND DISCARDING        | CLOSING         | -                                                             | -                                                             | CLOSING
        SENDING    | -                                                     | -               | -                         | -               | COMMAND WORKING SENDING CLOSING                               | CLOSING                                                       | CLOSING
        CLOSING    | -                                                     | -               | CLOSING                   | CLOSING         | CLOSING                                                       | CLOSING                                                       | CLOSING

    C{line} and C{long line} come in line mode, C{bytes} in raw mode. An C{answer} or a C{failure}
    comes from the store or the disk, for the current request or for pipelined ones: in C{COMMAND}
    and C{RECEIVING} answers may be outstanding while further requests come. A request that has to
    wait for them waits in C{WORKING}; from there it leads on as its line does from C{COMMAND}. A
    dash is impossible: in C{WORKING} and C{SENDING} nothing is read, not even the end of input.
    """

    COMMAND = auto()
    """The server waits for a command."""

    ARGUMENT = auto()
    """The server has asked for the argument of a command."""

    WORKING = auto()
    """The store works; nothing is read."""

    RECEIVING = auto()
    """The server receives the bytes of an upload."""

    DISCARDING = auto()
    """The server discards the bytes of a refused upload."""

    SENDING = auto()
    """The server sends a file, a listing or the names of a content; nothing is read."""

    CLOSING = auto()
    """The connection is over; further bytes are dropped."""


RAW = frozenset({State.RECEIVING, State.DISCARDING, State.CLOSING})
"""The states in raw mode."""

HELD = frozenset({State.WORKING, State.SENDING})
"""The states in which nothing is read."""
