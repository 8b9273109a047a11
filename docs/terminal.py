"""
Draws docs/terminal.svg, the picture of a terminal in README.md: C{make picture}.

What is seen is real: a server of its own is started, the installed C{xfer} runs in a
pseudo-terminal, a terminal emulator (pyte) takes what it writes, and rich draws the screen.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import pty
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, ROWS = 100, 39
PICTURE = Path(__file__).with_name("terminal.svg")
PROMPT = "\x1b[1;32m$\x1b[0m "
BIN = Path(sys.executable).parent
MIB = 1024 * 1024

COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}
"""What pyte calls colours otherwise than rich."""


class Terminal:
    """
    A terminal whose screen can be drawn.

    @param home: where commands run.
    @param variables: what they find in their environment.
    """

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self._home = home
        self._variables = variables
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)

    def run(self, command: str, until: Callable[[str], bool] = lambda screen: False) -> None:
        """
        Type a command, and see what it writes.

        @param until: stops it when the screen looks so.
        """
        self._stream.feed(f"{PROMPT}{command}\r\n".encode())
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self._home,
            env=self._variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        while not until("\n".join(self._screen.display)):
            try:
                data = os.read(ours, 4096)
            except OSError:  # how a terminal says that nobody has it any more
                break
            if not data:
                break
            self._stream.feed(data)
        process.kill()
        process.wait()
        os.close(ours)

    def picture(self) -> str:
        """The screen as SVG."""
        text = Text()
        for row in range(ROWS):
            cells = [self._screen.buffer[row][column] for column in range(COLUMNS)]
            for style, run in itertools.groupby(cells, _style):
                text.append("".join(cell.data for cell in run), style)
            text.append("\n")
        text.rstrip()
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
        console.print(text)
        drawn = console.export_svg(title="xfer")
        return re.sub(r',\s*url\("https:[^;]*;', ";", drawn)  # fonts of this machine, or none


def _style(cell: pyte.screens.Char) -> Style:
    name = COLOURS.get(cell.fg, cell.fg)
    if re.fullmatch("[0-9a-f]{6}", name):
        name = f"#{name}"
    elif name.startswith("bright") and "_" not in name:
        name = name.replace("bright", "bright_")
    return Style(color=None if name == "default" else name, bold=cell.bold, italic=cell.italics)


def half_way(screen: str) -> bool:
    """Whether the larger of the two files is on its way, and far enough to be seen."""
    sent = re.search(r"film\.mkv .* ([0-9.]+) (MiB|GiB) of .* sending", screen)
    return sent is not None and float(sent[1]) > (400 if sent[2] == "MiB" else 0)


def main() -> None:
    """Draw the picture."""
    rng = random.Random(1)
    home = Path(tempfile.mkdtemp(prefix="xfer-"))
    socket = home / "socket"
    variables = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "XFER_ENDPOINT": f"unix:{socket}",
    }
    for number in range(1, 6):
        photo = home / "photos" / f"2026-11-{number + 7:02}.jpg"
        photo.parent.mkdir(exist_ok=True)
        photo.write_bytes(rng.randbytes(rng.randrange(2 * MIB, 4 * MIB)))
    (home / "report.pdf").write_bytes(rng.randbytes(700_000))
    for name, size in (("film.mkv", 1900 * MIB), ("interview.wav", 640 * MIB)):
        with (home / name).open("wb") as file:
            file.write(name.encode())
            file.truncate(size)
    server = subprocess.Popen(
        [
            *(BIN / "twistd", "-n", "--pidfile=", f"--logfile={home / 'log'}", "xfer"),
            *("--storage", home / "storage", "--endpoint", f"unix:{socket}"),
        ]
    )
    try:
        while not socket.exists():
            if server.poll() is not None:
                sys.exit((home / "log").read_text())
        terminal = Terminal(home, variables)
        terminal.run("xfer put report.pdf photos")
        terminal.run("xfer put photos")
        terminal.run("xfer ls -l photos")
        terminal.run("xfer verify report.pdf")
        terminal.run("xfer get photos -o copy > copy.md5")
        terminal.run("md5sum -c copy.md5")
        terminal.run("xfer put film.mkv interview.wav", until=half_way)
        PICTURE.write_text(terminal.picture(), encoding="utf-8")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(home)
    print(f"{PICTURE.name} is drawn")


if __name__ == "__main__":
    main()
