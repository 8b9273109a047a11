"""
Commands in processes of their own that begin with everything imported.

A fresh interpreter that imports the server or the client costs up to a second of processor time,
and the suite starts many hundreds. L{start} has a server (L{tests.support.fork_server}), one for
each process that runs tests, fork a child instead. The child has its own arguments, directory,
environment, standard streams, limits, session and terminal, installs its own reactor, gets signals,
ends and is reaped like any other process.

It does not show that the installed script is there, that a command imports what it uses, nor what
an interpreter makes of its own options and variables. C{fresh} asks for a real one, and
L{must_be_fresh} knows the variables that need one.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

SERVER = Path(__file__).with_name("fork_server.py")

LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]

START = 600
"""Seconds that a fork server has for its imports, however busy the machine is."""

XFER = Path(sys.executable).parent / "xfer"
"""As it was installed with the package."""

RUN_XFER = "from xferproto.console.main import main; main()"
"""What the installed script does."""

PROJECT = Path(__file__).resolve().parents[2]

HARMLESS = {
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(PROJECT),
    "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
}
"""Variables that change nothing for a child that is forked."""

INTERPRETER = [sys.executable, "-c"]


def must_be_fresh(variables: Mapping[str, str]) -> bool:
    """Whether variables of the environment work on an interpreter or a linker that starts."""
    return not hasattr(os, "pidfd_open") or any(
        name.startswith(("LD_", "LC_", "LANG", "PYTHON"))
        and value not in (HARMLESS.get(name), os.environ.get(name))
        for name, value in variables.items()
    )


class _Server:
    """The fork server of this process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, SERVER, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it, and what it has forked."""
        if self.owner == os.getpid():
            self.control.close()
            self._process.wait()


_servers: list[_Server] = []


def _server() -> _Server:
    if not _servers or _servers[-1].owner != os.getpid():
        _servers.append(_Server())
    return _servers[-1]


class Forked:
    """
    A child of the fork server; what C{subprocess.Popen} offers of a process that runs.

    @param code: the program, in Python.
    @param arguments: its C{sys.argv}.
    @param stdin: a descriptor that it gets, as are C{stdout} and C{stderr}.
    @param session: whether it begins a session of its own.
    @param terminal: whether its standard input is the session's terminal.
    """

    def __init__(
        self,
        code: str,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
        session: bool = False,
        terminal: bool = False,
    ) -> None:
        self.returncode: int | None = None
        status = Path("/proc/self/status").read_text()
        umask = re.search(r"^Umask:\s+([0-7]+)$", status, re.MULTILINE)
        assert umask is not None
        command = {
            "code": code,
            "arguments": list(arguments),
            "directory": str(directory.absolute()),
            "environment": dict(environment),
            "limits": [(number, resource.getrlimit(number)) for number in LIMITS],
            "umask": int(umask[1], 8),
            "session": session,
            "terminal": terminal,
        }
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(START)
        with theirs:
            descriptors = [theirs.fileno(), stdin, stdout, stderr]
            socket.send_fds(_server().control, [b"+"], descriptors)
        self._socket.sendall(json.dumps(command).encode())
        self._socket.shutdown(socket.SHUT_WR)
        answer, handles, _, _ = socket.recv_fds(self._socket, 16, 1)
        self.pid, (self._handle,) = int(answer), handles

    def send_signal(self, number: int) -> None:
        """Send a signal, where it has not ended yet."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait until it has ended and is reaped: its exit status, the negative number of a signal.

        @raise subprocess.TimeoutExpired: it runs on.
        """
        if self.returncode is None:
            self._socket.settimeout(timeout)
            try:
                answer = self._socket.recv(16)
            except TimeoutError:
                raise subprocess.TimeoutExpired("a forked command", timeout or 0) from None
            self.returncode = int(answer)
            self._socket.close()
            os.close(self._handle)
        return self.returncode


def start(
    line: Sequence[str | Path],
    directory: Path,
    environment: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    session: bool = False,
    terminal: bool = False,
    fresh: bool = False,
) -> Forked | subprocess.Popen[bytes]:
    """
    Start a command line; C{xfer}, and Python that is given as C{-c}, are forked.

    @param session: whether it begins a session of its own.
    @param terminal: whether its standard input is the session's terminal.
    @param fresh: whether it has to be a real interpreter of its own.
    """
    words = [str(word) for word in line]
    if not fresh and not must_be_fresh(environment):
        streams = stdin, stdout, stderr
        if words[0] == str(XFER):
            return Forked(RUN_XFER, words, directory, environment, *streams, session, terminal)
        if words[:2] == INTERPRETER:
            arguments = ["-c", *words[3:]]
            return Forked(words[2], arguments, directory, environment, *streams, session, terminal)

    def take_terminal() -> None:
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    return subprocess.Popen(
        words,
        cwd=directory,
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=session,
        preexec_fn=take_terminal if terminal else None,
    )


def run(
    line: Sequence[str | Path],
    directory: Path,
    environment: Mapping[str, str],
    timeout: float,
    input: bytes = b"",
    session: bool = False,
    fresh: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """
    Start a command line as L{start} does, and wait until it has ended.

    @param input: what it reads.
    @raise subprocess.TimeoutExpired: it is killed, as it runs on.
    """
    gives, given = os.pipe()
    sides = [os.pipe(), os.pipe()]
    process = start(
        line, directory, environment, gives, sides[0][1], sides[1][1], session, fresh=fresh
    )
    for theirs in (gives, *(side[1] for side in sides)):
        os.close(theirs)

    def give() -> None:
        with suppress(BrokenPipeError), os.fdopen(given, "wb") as file:
            file.write(input)

    def read(side: int) -> bytes:
        with os.fdopen(side, "rb") as file:
            return file.read()

    with ThreadPoolExecutor(3) as threads:
        threads.submit(give)
        out, err = (threads.submit(read, side[0]) for side in sides)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    return subprocess.CompletedProcess(line, status, out.result(), err.result())
