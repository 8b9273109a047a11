"""Where it was measured: the machine and the programs, without names that say whose it is."""

from __future__ import annotations

import os
import platform
import sqlite3
import ssl
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe(directory: Path, packages: Iterable[str] = ()) -> dict[str, str]:
    """
    What the figures depend on.

    @param directory: where the files lay that were measured.
    @param packages: the system packages of the peers.
    """
    memory = _field("/proc/meminfo", "MemTotal").split()[0]
    told = {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory) / (1 << 20):.0f} GiB",
        "file system": file_system(directory),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "OpenSSL": ssl.OPENSSL_VERSION.removeprefix("OpenSSL "),
        "SQLite": sqlite3.sqlite_version,
        "Twisted": version("Twisted"),
    }
    with suppress(PackageNotFoundError):
        told["pyftpdlib"] = version("pyftpdlib")
    for package in packages:
        if found := package_version(package):
            told[package] = found
    return told


def package_version(package: str) -> str:
    """The version of a system package that is installed; else nothing."""
    try:
        command = ("dpkg-query", "--show", "--showformat=${Version}", package)
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def file_system(directory: Path) -> str:
    """The type of the file system that a directory is on."""
    best, kind = "", "unknown"
    here = str(directory.resolve())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, type, *_ = line.split()
        inside = here == mounted or here.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(best):
            best, kind = mounted, type
    return kind


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0 unknown"
