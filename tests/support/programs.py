"""Programs of a user's for tests: Python that a fresh interpreter runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import Child, Outcome

PROJECT = Path(__file__).resolve().parents[2]


class Program(Child):
    """
    A Python program that runs.

    @param directory: its working directory.
    @param code: the program.
    @param arguments: what it finds in C{sys.argv[1:]}.
    @param environment: variables that it gets beside the test's own.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        directory: Path,
        code: str,
        *arguments: str | int | Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        line = [sys.executable, "-W", "error", "-u", "-c", code, *map(str, arguments)]
        variables = {"PYTHONPATH": str(PROJECT), **(environment or {})}
        super().__init__(case, line, directory, directory / "program.stderr", variables, fresh=True)

    def interrupt(self) -> None:
        """As by Ctrl-C."""
        self.signal(signal.SIGINT)


def run_program(
    case: SynchronousTestCase, directory: Path, code: str, *arguments: str | int | Path
) -> Outcome:
    """Run a program until it ends."""
    return Program(case, directory, code, *arguments).wait()
