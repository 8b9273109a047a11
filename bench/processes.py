"""The processes that are measured: started, timed, looked into, and gone afterwards."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 900
"""Seconds after which a command that does not end is killed, and the bench fails."""

SOURCE_TREE = Path(__file__).parents[1]

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A process did not do what it should; the text says which, and what it wrote."""


def environment() -> dict[str, str]:
    """What processes get: this source tree is what their Python imports, and messages are plain."""
    search = os.pathsep.join(filter(None, (str(SOURCE_TREE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": search, "LC_ALL": "C.UTF-8"}


def python(module: str, *arguments: object) -> list[str]:
    """The command line of a module of ours, run by this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(command: Sequence[str], directory: Path | None = None) -> tuple[float, bytes]:
    """
    Run a command to its end.

    @return: the seconds from its start to its end, and what it wrote to its standard output.
    @raise Failed: its exit status is not 0.
    """
    started = time.perf_counter()
    ended = subprocess.run(
        command,
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        text = (ended.stderr or ended.stdout).decode(errors="replace")[-2000:]
        raise Failed(f"{Path(command[0]).name} ended with {ended.returncode}: {text}")
    return seconds, ended.stdout


class Process:
    """
    A process that runs until it is stopped, with all its children.

    @param log: the file that gets what it writes.
    """

    def __init__(self, command: Sequence[str], directory: Path, log: Path) -> None:
        self._log = log
        self._name = Path(command[0]).name
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for_port(self, port: int, pause: float = 0.02) -> None:
        """
        Wait until something listens on a port of 127.0.0.1.

        @raise Failed: the process ends first.
        """
        deadline = time.monotonic() + 60
        while True:
            with suppress(ConnectionError):
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self._name} does not listen: {self.written()[-2000:]}")
            time.sleep(pause)

    def wait_for_output(self) -> None:
        """
        Wait until it has written a line.

        @raise Failed: it ends without one.
        """
        while "\n" not in self.written():
            if self._process.poll() is not None:
                raise Failed(f"{self._name}: {self.written()[-2000:]}")
            time.sleep(0.01)

    def written(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def wait(self) -> str:
        """
        Wait until it ends by itself: what it has written.

        @raise Failed: its exit status is not 0.
        """
        if self._process.wait(PATIENCE):
            raise Failed(f"{self._name}: {self.written()[-2000:]}")
        return self.written()

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def stop(self) -> None:
        """Terminate it and its children, by force if they stay for longer than ten seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):  # the second for children that stay too
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)

    def cpu_seconds(self) -> float:
        """The processor time that it has used so far, all threads, in user and system mode."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()  # the name before may hold anything
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Its resident memory now, in bytes."""
        return status_field(self.pid, "VmRSS")

    def peak_memory(self) -> int:
        """The most resident memory that it has had so far, in bytes."""
        return status_field(self.pid, "VmHWM")


def status_field(pid: int | str, name: str) -> int:
    """A memory field of C{/proc/PID/status}, in bytes."""
    match = re.search(rf"^{name}:\s+([0-9]+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert match is not None, name
    return 1024 * int(match[1])


def free_port() -> int:
    """
    A TCP port of 127.0.0.1 that nobody listens on now.

    It is none of those that the system gives to clients: one of thousands could take it first.
    """
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(first_of_clients, 11_000))
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
