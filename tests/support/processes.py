"""Real processes for tests: C{twistd} with one of xfer's plugins, and what is seen of it."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.support import forked

TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"

MEASURED = (
    "import atexit, pathlib, sys; atexit.register("
    "lambda: sys.__stdout__.write(pathlib.Path('/proc/self/status').read_text())); "
)
"""Goes before L{TWISTD}: the process prints its own /proc status when it ends."""

PROJECT = Path(__file__).resolve().parents[2]

OBEYING = (
    f"import sys; sys.path.insert(0, {str(PROJECT)!r}); "
    "from tests.support.file_modes import obey; obey(); "
)
"""Goes before L{TWISTD}: file modes bind the process, even where it is root's."""

PATIENCE = 300
"""Seconds after which a process that hangs is killed, so that its test fails instead of hanging."""

WATCHDOG = 900
"""Seconds after which a server that a test has started is killed: a whole test may take so long."""

PEAK = re.compile(r"^VmHWM:\s+([0-9]+) kB$", re.MULTILINE)


class Outcome(NamedTuple):
    """What a process has come to: its exit status, and the lines that it wrote."""

    status: int
    out: list[str]
    err: list[str]


def command(*arguments: str | Path, before: str = "") -> list[str]:
    """
    The command line of a twistd with these arguments, run by this Python.

    @param before: code that runs first.
    """
    return [sys.executable, "-c", before + TWISTD, *map(str, arguments)]


def new_directory(case: SynchronousTestCase) -> Path:
    """A directory with a short path, as UNIX sockets need it; gone after the test."""
    directory = Path(tempfile.mkdtemp(prefix="xfer-"))
    case.addCleanup(shutil.rmtree, directory, ignore_errors=True)
    return directory


def run(
    directory: Path, *arguments: str | Path, measured: bool = False, obeying: bool = False
) -> Outcome:
    """
    Run a twistd in a directory until it ends.

    @param measured: whether it prints its own /proc status when it ends.
    @param obeying: whether file modes bind it, even where it is root's.
    """
    line = command(*arguments, before=MEASURED * measured + OBEYING * obeying)
    ended = forked.run(line, directory, os.environ, PATIENCE, fresh=measured)
    out, err = (side.decode("utf-8", "surrogateescape") for side in (ended.stdout, ended.stderr))
    return Outcome(ended.returncode, out.splitlines(), err.splitlines())


class Child:
    """
    A process that runs; killed, if it has to be, when the test is over.

    @param line: its command line.
    @param directory: its working directory.
    @param stderr: the file that gets its standard error.
    @param environment: variables that it gets beside the test's own.
    @param fresh: whether it has to be an interpreter of its own, as where its memory is measured.
    @ivar out: the lines that it has written so far, as far as L{wait_for} has looked at them.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        line: Sequence[str | Path],
        directory: Path,
        stderr: Path,
        environment: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> None:
        self.out: list[str] = []
        self._stderr = stderr
        ours, theirs = os.pipe()
        with stderr.open("wb") as errors, Path(os.devnull).open("rb") as nothing:
            self._process = forked.start(
                line,
                directory,
                {**os.environ, **(environment or {})},
                *(nothing.fileno(), theirs, errors.fileno()),
                fresh=fresh,
            )
        os.close(theirs)
        self._stdout = os.fdopen(ours, encoding="utf-8", errors="surrogateescape")
        self._watchdog = threading.Timer(WATCHDOG, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        case.addCleanup(self._clean_up)

    def _clean_up(self) -> None:
        self._watchdog.cancel()
        self._watchdog.join()
        self._process.kill()
        self._process.wait()
        self._stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, text: str) -> str:
        """
        Read its output up to the next line that holds C{text}, and return that.

        @raise AssertionError: it ended without one, or was killed after L{PATIENCE}.
        """
        impatience = threading.Timer(PATIENCE, self._process.kill)
        impatience.daemon = True
        impatience.start()
        try:
            for line in self._stdout:
                self.out.append(line.rstrip("\n"))
                if text in line:
                    return self.out[-1]
        finally:
            impatience.cancel()
            impatience.join()
        raise AssertionError(f"{text!r} is not in {self.out}, {self._stderr.read_text()}")

    def drain(self) -> None:
        """From now on drop what it writes, so that a full pipe does not hold it up."""
        threading.Thread(target=self._stdout.read, daemon=True).start()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> Outcome:
        """Wait until it has ended by itself."""
        self.out += self._stdout.read().splitlines()
        return Outcome(self._process.wait(), self.out, self._stderr.read_text().splitlines())

    def peak(self) -> int:
        """The most memory that it has had so far, in bytes."""
        match = PEAK.search(Path(f"/proc/{self.pid}/status").read_text())
        assert match is not None
        return 1024 * int(match[1])


class Process(Child):
    """
    A twistd that runs in the foreground.

    @param directory: its working directory.
    @param under: a command that runs it, as C{strace} does.
    @param environment: variables that it gets beside the test's own.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        directory: Path,
        *arguments: str | Path,
        under: Sequence[str | Path] = (),
        environment: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> None:
        line = [*under, *command("-n", *arguments)]
        super().__init__(case, line, directory, directory / "stderr", environment, fresh)


class Server(Process):
    """
    A C{twistd -n xfer} that listens on a free port of 127.0.0.1, unless it is told otherwise.

    @param before: options of twistd's own.
    @ivar storage: its storage directory.
    @ivar port: where it listens, the first port of several.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        directory: Path,
        *options: str | Path,
        under: Sequence[str | Path] = (),
        environment: Mapping[str, str] | None = None,
        before: Sequence[str | Path] = (),
        fresh: bool = False,
    ) -> None:
        self.storage = directory / "storage"
        where = () if "--endpoint" in options else ("--port", "0")
        super().__init__(
            case,
            directory,
            *("--pidfile=", *before, "xfer", "--storage", self.storage, *where, *options),
            under=under,
            environment=environment,
            fresh=fresh,
        )
        self.port = listening_port(self.wait_for("listening on"))

    def connect(self, case: SynchronousTestCase) -> socket.socket:
        """A raw connection to it."""
        return connected(case, self.port)

    def objects(self) -> list[str]:
        """The files that it has stored, and those on their way."""
        return [
            path.name
            for folder in ("objects", "incoming")
            for path in (self.storage / folder).rglob("*")
            if path.is_file()
        ]


class Daemon:
    """
    A twistd that goes into the background; terminated, if it has to be, when the test is over.

    @ivar started: how the process that the user sees came out.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        directory: Path,
        pid_file: str,
        *arguments: str | Path,
    ) -> None:
        self._pid_file = directory / pid_file
        # A daemon inherits the write end and holds it until it is gone: then reading ends.
        self._alive, held = os.pipe()
        case.addCleanup(os.close, self._alive)
        case.addCleanup(self.stop)
        try:
            ended = subprocess.run(
                command(*arguments),
                cwd=directory,
                capture_output=True,
                encoding="utf-8",
                pass_fds=(held,),
                timeout=PATIENCE,
                check=False,
            )
        finally:
            os.close(held)
        self.started = Outcome(
            ended.returncode, ended.stdout.splitlines(), ended.stderr.splitlines()
        )

    @property
    def pid(self) -> int:
        """Its process id, by its pid file."""
        return int(self._pid_file.read_text())

    def stop(self) -> None:
        """Terminate it by its pid file, where there is one, and wait until it is gone."""
        if self._pid_file.exists():
            os.kill(self.pid, signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        """Wait until it is gone."""
        readable, _, _ = select.select([self._alive], [], [], PATIENCE)
        assert readable, "the daemon does not end"


def listening_port(line: str) -> int:
    """The port that a server's log says it listens on; 0 where it is a UNIX socket."""
    if "UNIXAddress" in line:
        return 0
    match = re.search(r"listening on \S+ port ([0-9]+)", line)
    assert match is not None, line
    return int(match[1])


def connected(case: SynchronousTestCase, port: int) -> socket.socket:
    """A raw connection to a port of 127.0.0.1."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    case.addCleanup(connection.close)
    return connection


def read_line(connection: socket.socket) -> bytes:
    """One line, byte by byte, so that nothing behind it is taken; what there is at the end."""
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line


class FakeDepot:
    """
    Takes one connection on a free port of 127.0.0.1 and lets C{script} talk to it, on a thread.

    @param script: gets the connection, which is closed after it.
    """

    def __init__(self, case: SynchronousTestCase, script: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(script,), daemon=True)
        case.addCleanup(self._clean_up)
        self._thread.start()

    def _serve(self, script: Callable[[socket.socket], None]) -> None:
        with self._listener.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            with suppress(ConnectionError):  # whom it talks to may have had enough
                script(connection)

    def _clean_up(self) -> None:
        if self._thread.is_alive():  # nobody came
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()


def answers(*replies: tuple[bytes, bytes]) -> Callable[[socket.socket], None]:
    """A script that waits for each line, sends what answers it, and hangs up after the last."""

    def script(connection: socket.socket) -> None:
        for expected, reply in replies:
            line = read_line(connection)
            if not line.startswith(expected):
                return
            connection.sendall(reply)

    return script


def exchange_lines(
    port: int, listed: Sequence[str], name: str, size: int, id: str, target: Path
) -> list[str]:
    """The transcript of an exchange that is a success; C{listed} is what the depot has at first."""
    entry = f"{id};{name};{size}"
    return [
        f"connecting to 127.0.0.1 port {port}",
        "connected",
        "> LIST_FILES",
        *(f"< {line}" for line in listed or ["No files available at the moment"]),
        "< DONE",
        "> UPLOAD",
        "< Please send the file name and file size",
        f"> {name};{size}",
        "< Ready to receive the file",
        f"  {size} bytes sent",
        f"< {id}",
        f"  MD5 here {id}, at the server {id}: Success",
        "> LIST_FILES",
        *(f"< {line}" for line in sorted({*listed, entry}, key=lambda line: line.split(";")[1])),
        "< DONE",
        "> DOWNLOAD",
        "< Please send a file ID",
        f"> {id}",
        f"< {entry}",
        f"  {size} bytes received",
        f"  MD5 here {id}, at the server {id}: Success",
        f"  saved as {target}",
        "> QUIT",
        "disconnected",
    ]
