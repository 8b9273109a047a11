"""
Fork a child for each command that a test asks for, with all modules of xfer imported before.

L{tests.support.forked} runs it as a program, and says what a child shows and what not. The only
argument is the descriptor of a UNIX socket. Each message there brings the descriptors of a new
command. The first of them is a socket that brings the command as JSON, and gets the process id,
a pidfd and, at the end, the exit status.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import selectors
import signal
import socket
import sys
import termios
import time
import types
from contextlib import suppress
from fcntl import ioctl
from typing import Any, NamedTuple

MODULES = ("twisted.application.app", "twisted.scripts._twistd_unix", "twisted.scripts.twistd")
"""What a command imports beside the package."""

DESCRIPTORS = 16
"""The most descriptors of a command."""


class Forked(NamedTuple):
    """
    What the server keeps of a child.

    @ivar process: its process id.
    @ivar asker: the socket that gets its exit status.
    """

    process: int
    asker: socket.socket


def import_all() -> None:
    """
    Import each module of the package.

    @raise RuntimeError: one of them has installed a reactor, which no child may share.
    """
    package = importlib.import_module("xferproto")
    for module in pkgutil.walk_packages(package.__path__, "xferproto."):
        importlib.import_module(module.name)
    for name in MODULES:
        importlib.import_module(name)
    if "twisted.internet.reactor" in sys.modules:
        raise RuntimeError("a module of xferproto imports the reactor")


def serve(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """
    Fork children until the test process is gone, which ends them too.

    @return: in a child its command and its descriptors; None in the server.
    """
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if isinstance(key.data, Forked):
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(key.data.process, 0)
                answer(key.data.asker, b"%d\n" % os.waitstatus_to_exitcode(status))
                key.data.asker.close()
                continue
            message, descriptors, _, _ = socket.recv_fds(control, 1, DESCRIPTORS)
            children = [key for key in selector.get_map().values() if key.data is not None]
            if not message:
                for child in children:
                    signal.pidfd_send_signal(child.fd, signal.SIGKILL)
                return None
            asker = socket.socket(fileno=descriptors.pop(0))
            with asker.makefile("rb") as file:
                command = json.load(file)
            process = os.fork()
            if not process:
                for child in children:
                    os.close(child.fd)
                    child.data.asker.close()
                for other in (selector, asker, control):
                    other.close()
                return command, descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            child_fd = os.pidfd_open(process)
            try:
                socket.send_fds(asker, [b"%d\n" % process], [child_fd])
            except OSError:  # the test process is gone, which is noticed in a moment
                signal.pidfd_send_signal(child_fd, signal.SIGKILL)
            selector.register(child_fd, selectors.EVENT_READ, Forked(process, asker))


def answer(asker: socket.socket, status: bytes) -> None:
    """Send an exit status to whoever still wants it."""
    with suppress(OSError):
        asker.sendall(status)


def become(command: dict[str, Any], descriptors: list[int]) -> None:
    """Take on everything that a fresh process gets from whoever starts it."""
    if command["session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors[:3]:
        os.close(descriptor)
    if command["terminal"]:
        ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(command["directory"])
    os.umask(command["umask"])
    for number, limits in command["limits"]:
        resource.setrlimit(number, limits)
    os.environ.clear()
    os.environ.update(command["environment"])
    time.tzset()
    sys.argv = command["arguments"]
    open_standard_streams()


def open_standard_streams() -> None:
    """Make the objects of C{sys} for the descriptors 0, 1 and 2 anew, as an interpreter does."""
    for name, descriptor, mode in (("stdin", 0, "rb"), ("stdout", 1, "wb"), ("stderr", 2, "wb")):
        former = getattr(sys, name)
        stream = io.TextIOWrapper(
            open(descriptor, mode, closefd=False),  # noqa: SIM115
            former.encoding,
            former.errors,
            newline="\n" if descriptor else None,
            line_buffering=descriptor == 2 or os.isatty(descriptor),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> None:
    """Import, serve, and in a child run the command; the interpreter ends as it always does."""
    sys.path.pop(0)  # this folder, where no command looks
    control = socket.socket(fileno=int(sys.argv[1]))
    import_all()
    gc.collect()
    gc.freeze()
    served = serve(control)
    if served is None:
        return
    command, descriptors = served
    become(command, descriptors)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(compile(command["code"], "<string>", "exec"), vars(module))


if __name__ == "__main__":
    main()
