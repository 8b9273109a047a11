"""The installed C{xfer} command for tests: without a terminal, and in a pseudo-terminal."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.support.forked import XFER, run, start
from tests.support.processes import PATIENCE

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Ended(NamedTuple):
    """What a command has come to."""

    status: int
    out: str
    err: str

    def objects(self) -> list[dict[str, Any]]:
        """Standard output as JSON, an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The variables of a user whose home this is, and who has no settings of xfer's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XFER_", "XDG_", "PYTHON")) and name != "NO_COLOR"
    }
    return {
        **kept,
        "HOME": str(home),
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        # No keyring of this machine's is to be asked.
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **more,
    }


def xfer(
    directory: Path,
    *arguments: str | Path,
    input: bytes | None = None,
    variables: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Ended:
    """
    Run C{xfer} in a directory, which is its home too, without a terminal, until it ends.

    @param fresh: whether it is the installed script in an interpreter of its own.
    """
    ended = run(
        [XFER, *arguments],
        directory,
        environment(directory, **(variables or {})),
        PATIENCE,
        b"" if input is None else input,
        session=True,  # without a terminal to ask anything on
        fresh=fresh,
    )
    return Ended(
        ended.returncode,
        ended.stdout.decode("utf-8", "surrogateescape"),
        ended.stderr.decode("utf-8", "surrogateescape"),
    )


class Running:
    """
    An C{xfer} that runs; killed, if it has to be, when the test is over.

    @param terminal: whether it has a terminal for its input, output and errors, of 100 columns.
    @ivar shown: all that it has written so far, to both of its outputs.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        directory: Path,
        *arguments: str | Path,
        terminal: bool = False,
        variables: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (XFER,),
    ) -> None:
        self.shown = ""
        self._ended = False
        if terminal:
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        else:
            ours, theirs = os.pipe()
        self._fd = ours

        with Path(os.devnull).open("rb") as nothing:
            self._process = start(
                [*command, *arguments],
                directory,
                environment(directory, **(variables or {})),
                *(theirs if terminal else nothing.fileno(), theirs, theirs),
                session=True,
                terminal=terminal,
            )
        os.close(theirs)
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        case.addCleanup(self._clean_up)

    def _clean_up(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._fd)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        """L{shown} without the terminal's control sequences."""
        return ESCAPES.sub("", self.shown)

    def _read(self) -> None:
        """Take all that it writes, so that it never waits for that."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        data = b"..."
        while data:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # how a terminal says that nobody has it any more
                data = b""
            with self._news:
                self.shown += decoder.decode(data)
                self._ended = not data
                self._news.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """
        Wait until it has written what matches.

        @raise AssertionError: it ended without, or has nothing more to say.
        """
        with self._news:
            while (match := re.search(pattern, self.text)) is None:
                if self._ended or not self._news.wait(PATIENCE):
                    raise AssertionError(f"no {pattern!r} in {self.text[-2000:]!r}")
            return match

    def type(self, keys: str) -> None:
        """Type at its terminal."""
        os.write(self._fd, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended by itself: its exit status."""
        status = self._process.wait(PATIENCE)
        self._reader.join()
        return status


def until(condition: Callable[[], bool]) -> None:
    """
    Wait for something that other processes do.

    @raise AssertionError: it does not come about.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("what was waited for does not come about")
        time.sleep(0.01)
