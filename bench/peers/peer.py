"""What a peer is: a server on loopback, and the commands that move files to it and from it."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.contents import Batch, check_batch, check_file
from bench.processes import Process, free_port, run


class Peer(ABC):
    """
    A server, started with files of its own in a directory of its own.

    @cvar name: what it and its client are called in tables.
    @cvar programs: what must be installed for it, each with the system package that has it.
    @cvar module: the Python module that must be there too, if any.
    @cvar root_only: whether nobody but root can run the server.
    @cvar not_small: why it takes no part where many small files are moved, if it does not.
    @ivar root: the directory that holds the files it has received, and those it offers.
    @ivar port: where it listens on 127.0.0.1.
    """

    name: ClassVar[str]
    programs: ClassVar[dict[str, str]] = {}
    module: ClassVar[str] = ""
    root_only: ClassVar[bool] = False
    not_small: ClassVar[str] = ""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.root = directory / "root"
        self.root.mkdir()
        self.port = 0
        self._process: Process | None = None

    # What each of them is

    @abstractmethod
    def serve(self) -> list[str]:
        """The command line of the server, in the foreground; it writes what that needs."""

    @abstractmethod
    def upload(self, source: Path, name: str) -> list[str]:
        """The command line that sends a file."""

    @abstractmethod
    def download(self, name: str, target: Path) -> list[str]:
        """The command line that fetches a file."""

    @abstractmethod
    def upload_all(self, batch: Batch) -> list[str]:
        """The command line that sends many files, over one connection where that can be had."""

    @abstractmethod
    def download_all(self, batch: Batch, target: Path) -> list[str]:
        """The command line that fetches them all into a directory."""

    # What all of them do

    @property
    def process(self) -> Process:
        """The server that runs."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it; it listens when this returns."""
        self.port = free_port()
        self._process = Process(self.serve(), self.directory, self.directory / "log")
        self.process.wait_for_port(self.port)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def clear(self) -> None:
        """Take away all that it holds."""
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def offer(self, source: Path, name: str) -> None:
        """Let it hold a file, on whatever way."""
        os.link(source, self.root / name)

    def check(self, name: str, md5: str) -> None:
        """
        Look whether it holds what was sent.

        @raise WrongArrival: it does not.
        """
        check_file(self.root / name, md5)

    def check_all(self, batch: Batch) -> None:
        """The same for many files."""
        check_batch(self.root, batch)

    def inside(self, output: bytes) -> float | None:
        """
        The seconds that a client has measured itself, from connected to done.

        @param output: what it wrote.
        """
        return None

    def timed(self, command: Sequence[str]) -> tuple[float, float | None]:
        """Run a client: the seconds of the whole command, and what L{inside} makes of it."""
        seconds, output = run(command, self.directory)
        return seconds, self.inside(output)
