"""Programs of a user's for tests: Python that a fresh interpreter runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PATIENCE, Outcome

PROJECT = Path(__file__).resolve().parent.parent


class Program:
    """
    A Python program that runs; killed, if it has to be, when the test is over.

    @param directory: its working directory.
    @param code: the program.
    @param arguments: what it finds in C{sys.argv[1:]}.
    @param environment: variables that it gets beside the test's own.
    @ivar out: the lines that it has written so far, as far as L{wait_for} has looked at them.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        directory: Path,
        code: str,
        *arguments: str | int | Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.out: list[str] = []
        self._stderr = directory / "program.stderr"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-u", "-c", code, *map(str, arguments)],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(PROJECT), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
            )
        self._watchdog = threading.Timer(PATIENCE, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        case.addCleanup(self._clean_up)

    def _clean_up(self) -> None:
        self._watchdog.cancel()
        self._watchdog.join()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for(self, text: str) -> str:
        """
        The next line of its output that holds C{text}.

        @raise AssertionError: it ended without one.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.out.append(line.rstrip("\n"))
            if text in line:
                return self.out[-1]
        raise AssertionError(f"{text!r} is not in {self.out}, {self._stderr.read_text()}")

    def interrupt(self) -> None:
        """As by Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> Outcome:
        """Wait until it has ended by itself."""
        assert self._process.stdout is not None
        self.out += self._process.stdout.read().splitlines()
        status = self._process.wait()
        return Outcome(status, self.out, self._stderr.read_text().splitlines())


def run_program(
    case: SynchronousTestCase, directory: Path, code: str, *arguments: str | int | Path
) -> Outcome:
    """Run a program until it ends."""
    return Program(case, directory, code, *arguments).wait()
