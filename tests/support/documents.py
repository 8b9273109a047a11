"""Documents in Markdown: the blocks that they show, and a reader who runs the commands in them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cryptography.x509 import load_pem_x509_certificate
from twisted.trial.unittest import SynchronousTestCase

from tests.support.console import environment, xfer
from tests.support.forked import XFER
from tests.support.processes import PATIENCE, Child, connected, new_directory, read_line
from xferproto.net.certificates import fingerprint

PROJECT = Path(__file__).resolve().parents[2]

PASSWORD = "correct horse"
"""What the reader types where a password is asked for."""

PORTS = ("9000", "9443", "9444")
"""The ports of the documents: the reader takes free ones instead."""

PLACES = ("backup", "data", "etc", "mnt", "opt", "run", "srv", "tmp", "var")
"""The directories of the documents that the reader has below one of their own."""

SHELL = ("sh", "console")
"""The languages of blocks whose commands the reader runs."""

_MARK = re.compile(r"<!-- (not run|needs|run): (.*) -->")
_SIMPLE = re.compile(r"xfer ([\w ./:-]+?)(?:\s*#.*)?\n")
"""An xfer that needs no shell is forked, as in other tests; a transcript runs the installed one."""
_PROMPTS = ("Please send", "Ready to receive")
_TYPED = re.compile(r"(?:LIST|UPLOAD|DOWNLOAD|RESUME|STAT|VERIFY|DELETE|LOGIN|HELP|QUIT)[A-Z_ ]*\b")

FREE = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?(?:\+0000)?": "a time",
    r"\d{4}-\d\d-\d\d": "a day",
    r"\d[\d.,]*(?= ?(?:to [\d.]+ )?(?:ms|s|MiB/s)\b)": "a duration",
}
"""Patterns of what differs each time; what matches one may stand for anything else that does."""


class Block(NamedTuple):
    """
    A fenced block.

    @ivar where: document and line.
    @ivar not_run: why nobody runs it; empty if the reader does.
    @ivar needs: programs without which it is passed over.
    @ivar hidden: commands that a comment before it has.
    """

    where: str
    language: str
    text: str
    not_run: str
    needs: tuple[str, ...]
    hidden: tuple[str, ...]


def documents() -> list[Path]:
    """README.md and those in docs/."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def blocks(document: Path) -> Iterator[Block]:
    """
    The blocks of a document, in order.

    @raise ValueError: a block is indented, or has no end.
    """
    not_run = ""
    needs: list[str] = []
    hidden: list[str] = []
    lines = enumerate(document.read_text("utf-8").splitlines(), 1)
    before = ""
    for number, line in lines:
        where = f"{document.name}:{number}"
        if mark := _MARK.fullmatch(line):
            kind, value = mark.groups()
            if kind == "not run":
                not_run = value
            else:
                (needs if kind == "needs" else hidden).append(value)
        elif line.startswith("```"):
            content: list[str] = []
            for _, inner in lines:
                if inner == "```":
                    break
                content.append(f"{inner}\n")
            else:
                raise ValueError(f"{where}: no end")
            yield Block(where, line[3:], "".join(content), not_run, tuple(needs), tuple(hidden))
            not_run, needs, hidden = "", [], []
        elif line.startswith("    ") and not before:
            raise ValueError(f"{where}: indented")
        elif line and (not_run or needs or hidden):
            raise ValueError(f"{where}: text between a mark and its block")
        before = line


def statements(script: str) -> list[str]:
    """The commands of a shell script, each as many lines as it takes."""
    found, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        here = re.search(r"<<-?\s*['\"]?(\w+)", pending)
        if here is not None and f"\n{here[1]}\n" not in pending:
            continue
        complete = (
            not pending.rstrip().endswith("\\")
            and not subprocess.run(
                ["sh", "-nc", pending], capture_output=True, check=False
            ).returncode
        )
        if complete:
            if pending.strip() and not pending.startswith("#"):
                found.append(pending)
            pending = ""
    if pending:
        raise ValueError(f"unfinished: {pending}")
    return found


def transcript(text: str) -> list[tuple[str, str]]:
    """The commands of a console, each behind a dollar sign, with what is shown below them."""
    return re.findall(r"(?m)^\$ (.*\n)((?:(?!\$ ).*\n)*)", text)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Reader:
    """
    Runs the commands of one document, in one directory, in the order in which they are shown.

    Servers and clients that do not end by themselves run on until another one is started or the
    test is over.

    @ivar home: the working directory of the commands.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self._case = case
        self._root = new_directory(case)
        self.home = self._root / "home"
        for place in ("home", *PLACES, "etc/xfer", "run/xfer", "var/lib/xfer", "var/log/xfer"):
            (self._root / place).mkdir(exist_ok=True, parents=True)
        self._ports = {port: str(free_port()) for port in PORTS}
        self._running: dict[str, Child] = {}
        self._variables = environment(
            self.home,
            XFER_PORT=self._ports["9000"],
            XFER_PASSWORD=PASSWORD,
            PATH=f"{XFER.parent}:{os.environ['PATH']}",
            TMPDIR=str(self._root / "tmp"),
        )

    def read(self, block: Block) -> None:
        """Run the commands of a block, and compare what they write with what is shown."""
        for command in block.hidden:
            self._run(block, f"{command}\n")
        if block.language == "console":
            for command, shown in transcript(block.text):
                self._compare(block, command, shown)
        elif block.language == "sh":
            for command in statements(block.text):
                self._run(block, command)

    def adapted(self, text: str) -> str:
        """A text with the names, ports and directories that the reader has."""
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        text = text.replace("depot.example", "localhost").replace("0.0.0.0", "127.0.0.1")
        text = re.sub(rf"(?<![\w.~$}}/-])(?=/(?:{'|'.join(PLACES)})\b)", str(self._root), text)
        if "74:9D:19:…" in text:
            text = text.replace("74:9D:19:…", self._fingerprint())
        return text

    def _fingerprint(self) -> str:
        """That of the newest certificate."""
        newest = max(self._root.rglob("cert.pem"), key=lambda path: path.stat().st_mtime)
        return fingerprint(load_pem_x509_certificate(newest.read_bytes()))

    def _command(self, command: str) -> str:
        """A command that goes to the reader's ports, where it names none of its own."""
        command, port = self.adapted(command), self._ports["9000"]
        if not re.search(r"--endpoint|-e |--port|-p ", command):
            if "--host" in command:
                command = re.sub(r"(--host \S+)", rf"\1 --port {port}", command)
            else:
                command = re.sub(
                    r"^(twistd .*?(?<= )xfer(?:-client)?)(?= |$)", rf"\1 --port {port}", command
                )
        return command

    def _run(self, block: Block, command: str) -> str:
        """Run a command, to its end unless it is a server: what it has written."""
        line = self._command(command)
        if re.match(r"twistd .*(?<= )xfer(?= |$)", line):
            return self._start(block, "server", line, "listening on")
        if re.match(r"twistd .*--watch\b", line):
            return self._start(block, "client", line, "watching")
        if block.language == "sh" and (simple := _SIMPLE.fullmatch(line)):
            shown = xfer(
                self.home,
                *simple[1].split(),
                input=f"{PASSWORD}\n".encode(),
                variables=self._variables,
            )
            self._case.assertEqual(shown.status, 0, f"{block.where}: {line}{shown}")
            return shown.out + shown.err
        ended = subprocess.run(
            ["sh", "-ec", line],
            cwd=self.home,
            env=self._variables,
            input=f"{PASSWORD}\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=PATIENCE,
            check=False,
            start_new_session=True,  # without a terminal to ask anything on
        )
        self._case.assertEqual(ended.returncode, 0, f"{block.where}: {line}{ended.stdout}")
        return ended.stdout

    def _start(self, block: Block, kind: str, line: str, ready: str) -> str:
        """Start what runs on, after the one before it has ended."""
        if before := self._running.pop(kind, None):
            before.signal(signal.SIGTERM)
            before.wait()
        child = self._running[kind] = Child(
            self._case,
            ["sh", "-c", f"exec {line}"],
            self.home,
            self._root / f"{kind}.stderr",
            {**dict.fromkeys(os.environ, ""), **self._variables},
        )
        patience = threading.Timer(PATIENCE, child.kill)
        patience.start()
        try:
            child.wait_for(ready)
        except AssertionError as error:
            raise AssertionError(f"{block.where}: {line}{error}") from None
        finally:
            patience.cancel()
            patience.join()
        return ""

    def _compare(self, block: Block, command: str, shown: str) -> None:
        if command.startswith("nc "):
            self._type(block, shown)
            return
        written = self._run(block, command)
        for pattern, what in FREE.items():
            written = re.sub(pattern, what, written)
            shown = re.sub(pattern, what, shown)
        expected = re.escape(self.adapted(shown)).replace("…", ".*")
        if re.fullmatch(expected, written) is None:
            self._case.assertEqual(written, self.adapted(shown), f"{block.where}: {command}")

    def _type(self, block: Block, shown: str) -> None:
        """Type the lines of a session that are a client's, and compare those of the server."""
        connection = connected(self._case, int(self._ports["9000"]))
        asked = False
        for line in shown.encode().splitlines(keepends=True):
            text = line.decode()
            if asked or (_TYPED.match(text) and text != "DONE\n"):
                connection.sendall(line)
                asked = False
            else:
                expected = re.escape(text).replace("…", ".*")
                self._case.assertRegex(
                    read_line(connection).decode(), rf"\A{expected}\Z", block.where
                )
                asked = text.startswith(_PROMPTS)
        self._case.assertEqual(connection.recv(1), b"", block.where)
        connection.close()


def missing(block: Block) -> list[str]:
    """The programs that a block needs and this machine does not have."""
    return [program for program in block.needs if shutil.which(program) is None]
