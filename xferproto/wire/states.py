"""The states of a server's connection."""

# ruff: noqa: E501  (the table)

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """
    Where a connection stands, and where each input takes it::

        state      | line                                                  | long line       | bytes                     | end of input    | answer                                                        | failure                                                       | lost
        COMMAND    | COMMAND ARGUMENT WORKING RECEIVING DISCARDING CLOSING | WORKING CLOSING | -                         | WORKING CLOSING | COMMAND WORKING CLOSING                                       | COMMAND CLOSING                                               | CLOSING
        ARGUMENT   | COMMAND WORKING RECEIVING CLOSING                     | CLOSING         | -                         | WORKING CLOSING | -                                                             | -                                                             | CLOSING
        WORKING    | -                                                     | -               | -                         | -               | COMMAND ARGUMENT WORKING RECEIVING DISCARDING SENDING CLOSING | COMMAND ARGUMENT WORKING RECEIVING DISCARDING CLOSING         | CLOSING
        RECEIVING  | -                                                     | -               | COMMAND WORKING RECEIVING | WORKING CLOSING | RECEIVING                                                     | WORKING RECEIVING CLOSING                                     | CLOSING
        DISCARDING | -                                                     | -               | COMMAND DISCARDING        | CLOSING         | -                                                             | -                                                             | CLOSING
        SENDING    | -                                                     | -               | -                         | -               | COMMAND WORKING SENDING CLOSING                               | CLOSING                                                       | CLOSING
        CLOSING    | -                                                     | -               | CLOSING                   | CLOSING         | CLOSING                                                       | CLOSING                                                       | CLOSING

    C{line} and C{long line} come in line mode, C{bytes} in raw mode. An C{answer} or a C{failure}
    is what the store or the disk has to say, of the request that is worked on or of pipelined ones:
    in C{COMMAND} and C{RECEIVING} answers may be owed, while further requests come. A request that
    has to wait until these are given waits in C{WORKING}; from there it leads on as its line does
    from C{COMMAND}. A dash is what can't be: in C{WORKING} and C{SENDING} whatever the peer sends
    is held back, its end of input too.
    """

    COMMAND = auto()
    """Waits for a command."""

    ARGUMENT = auto()
    """Has asked for a command's argument."""

    WORKING = auto()
    """Waits for the store; the input is held back."""

    RECEIVING = auto()
    """Takes the bytes of an upload."""

    DISCARDING = auto()
    """Takes away the bytes of a refused upload."""

    SENDING = auto()
    """Sends a file, a listing or the names of a content; the input is held back."""

    CLOSING = auto()
    """Is done; whatever still comes is dropped."""


RAW = frozenset({State.RECEIVING, State.DISCARDING, State.CLOSING})
"""The states in which bytes are bytes, not lines."""

HELD = frozenset({State.WORKING, State.SENDING})
"""The states in which the input is held back."""
