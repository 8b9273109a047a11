"""The peers' programs: found, and installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.peers import PEERS, Peer

SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where servers are installed; not everybody's path has it."""

POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian asks whether a package may start its service. It may not, while we install."""


def available(install: bool, say: Callable[[str], None]) -> tuple[list[type[Peer]], list[str]]:
    """
    The peers that can take part, and a sentence for each that can't.

    @param install: whether missing packages may be installed, which needs root and apt-get.
    """
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), SYSTEM))
    missing = sorted({package for peer in PEERS for package in _missing(peer)})
    if missing and install and os.getuid() == 0 and shutil.which("apt-get"):
        say("installing " + ", ".join(missing))
        _install(missing, say)
    present, left_out = [], []
    for peer in PEERS:
        if lacking := _missing(peer):
            left_out.append(f"{peer.name}: not installed here ({', '.join(lacking)})")
        elif peer.module and find_spec(peer.module) is None:
            left_out.append(f"{peer.name}: not installed here (pip install .[bench])")
        elif peer.root_only and os.getuid() != 0:
            left_out.append(f"{peer.name}: only root can run its server")
        else:
            present.append(peer)
    for sentence in left_out:
        say(f"left out: {sentence}")
    return present, left_out


def system_packages() -> list[str]:
    """All that the peers are made of."""
    return sorted({package for peer in PEERS for package in peer.programs.values()})


def _missing(peer: type[Peer]) -> list[str]:
    return sorted({peer.programs[name] for name in peer.programs if shutil.which(name) is None})


def _install(packages: Sequence[str], say: Callable[[str], None]) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *packages)
    with _no_services():
        for command in (("apt-get", "update", "--quiet=2"), install):
            ended = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
            if ended.returncode:
                say(f"{command[1]}: {ended.stderr.strip()[-500:]}")


@contextmanager
def _no_services() -> Iterator[None]:
    """Packages start no services meanwhile."""
    if POLICY.exists():  # a container's, which says the same
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
