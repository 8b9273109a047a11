"""C{python -m fuzz TARGET INPUTS}: see the package."""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["xferproto"]):
    from fuzz.targets import SEEDS, WORDS, Names, Stream, Target, parse


def measure() -> tuple[int, int, int]:
    """Memory in KiB, open files and threads of this process."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+)", status)
    files = len([*Path("/proc/self/fd").iterdir()])
    return int(match[1]) if match else 0, files, threading.active_count()


class Counted:
    """A target, and how often it was called."""

    WARM = 5000
    """Inputs after which memory is looked at for the first time."""

    def __init__(self, name: str, target: Target, inputs: int) -> None:
        self._last = inputs
        self._name = name
        self._target = target
        self._inputs = 0
        self._failures = 0
        self._warm = measure()
        self._started = time.monotonic()

    def __call__(self, data: bytes) -> None:
        self._inputs += 1
        if self._inputs == self.WARM:
            self._warm = measure()
        try:
            self._target(data)
        except BaseException:
            self._failures += 1
            self.tell()
            raise
        if self._inputs == self._last:  # libFuzzer leaves without a word to Python
            self.tell()

    def tell(self) -> None:
        """The line of figures."""
        (memory, files, threads), (before, had, ran) = measure(), self._warm
        seconds = time.monotonic() - self._started
        print(
            f"{self._name}: inputs={self._inputs} exceptions={self._failures} "
            f"files={had}->{files} threads={ran}->{threads} "
            f"memory={before // 1024}->{memory // 1024}MiB seconds={seconds:.0f}",
            flush=True,
        )


def main(name: str, inputs: int) -> None:
    """Fuzz one target."""
    directory = tempfile.mkdtemp(prefix="xfer-fuzz-")
    root, corpus = Path(directory, "storage"), Path(directory, "corpus")
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed if name == "stream" else seed[1:])
    words = Path(directory, "words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    targets: dict[str, Any] = {
        "stream": lambda: Stream(root),
        "grammar": lambda: parse,
        "names": lambda: Names(root),
    }
    counted = Counted(name, targets[name](), inputs)
    atheris.Setup(
        [
            "fuzz",
            f"-runs={inputs}",
            "-max_len=512",
            "-timeout=30",
            "-print_final_stats=0",
            f"-dict={words}",
            f"-artifact_prefix={directory}/",
            str(corpus),
        ],
        counted,
    )
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
