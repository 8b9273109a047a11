"""Libraries that are put between a program and the system, for tests (LD_PRELOAD)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest


def build_library(directory: Path, name: str) -> Path:
    """
    Compile C{tests/NAME.c} to a shared library in a directory.

    @raise SkipTest: it can't be built here.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SkipTest("there is no C compiler")
    library = directory / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"],
        capture_output=True,
    )
    if built.returncode:
        raise SkipTest("the interposed library can't be built here")
    return library
