"""The progress of transfers: a bar for each large file, and a total."""

from __future__ import annotations

from typing import Protocol

HASHING = "hashing"
SENDING = "sending"
RECEIVING = "receiving"
COMPARING = "comparing"
SERVER_CHECKS = "server verifying"

MOVING = (SENDING, RECEIVING)
"""The phases whose bytes count for the total."""


class Bar(Protocol):
    """Show the progress of one file."""

    def phase(self, name: str, size: int) -> None:
        """
        Begin a phase, unless it has begun already.

        @param size: the amount of work; 0 if it is unknown.
        """

    def at(self, done: int, skipped: bool = False) -> None:
        """Note how much is done; C{skipped} if no bytes were transferred for it."""

    def end(self) -> None:
        """Note that the file is finished, or given up."""


class Display(Protocol):
    """Show the progress of a command."""

    def looking(self, found: int) -> None:
        """Note how many files were found so far."""

    def plan(self, files: int, size: int) -> None:
        """Note how many files, and bytes in all, are to be transferred."""

    def bar(self, name: str, size: int) -> Bar:
        """Make a bar for a file that is large enough."""

    def through(self, size: int = 0) -> None:
        """Note that a file is finished or has failed; C{size} are its bytes, if it had no bar."""

    def close(self) -> None:
        """Remove all bars."""


class Nothing:
    """Show nothing; a L{Display} and a L{Bar}."""

    def looking(self, found: int) -> None:
        pass

    def plan(self, files: int, size: int) -> None:
        pass

    def bar(self, name: str, size: int) -> Bar:
        return self

    def through(self, size: int = 0) -> None:
        pass

    def close(self) -> None:
        pass

    def phase(self, name: str, size: int) -> None:
        pass

    def at(self, done: int, skipped: bool = False) -> None:
        pass

    def end(self) -> None:
        pass
