"""Run C{xfer-depot}: inspect and repair a storage directory, manage users and certificates."""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from xferproto.admin import users
from xferproto.admin.certificate import add_certificate_command
from xferproto.files.directories import obstacle
from xferproto.model.errors import StorageUnavailable
from xferproto.model.escape import quoted
from xferproto.model.units import iso_time
from xferproto.store.local.damage import damaged_entries
from xferproto.store.local.lock import lock_directory
from xferproto.store.local.partials import stored_partials
from xferproto.store.local.preflight import is_depot
from xferproto.store.local.rebuild import rebuild
from xferproto.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = _parser().parse_args(arguments)
    if "command" in options:  # needs no storage directory
        return int(options.command(options))
    if "run_users" in options:
        return users.run(options)
    storage: Path = options.storage
    try:
        if not storage.is_dir():
            raise StorageUnavailable(obstacle(storage) or f"There is no directory {storage}.")
        if not is_depot(storage):
            raise StorageUnavailable(
                f"{storage} is not a storage directory of xfer; nothing is changed."
            )
        status: int = options.run(storage)
    except StorageUnavailable as error:
        print(f"xfer-depot: {error}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        print(f"xfer-depot: {storage}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("xfer-depot: stopped", file=sys.stderr)
        return 128 + signal.SIGINT  # as shells have it
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xfer-depot",
        description="Inspect and repair the storage directory of an xfer server; manage its users.",
    )
    parser.add_argument("--version", action="version", version=f"xfer {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, what in (
        ("partials", _partials, "list unfinished uploads; the server may run"),
        (
            "damaged",
            _damaged,
            "list damaged files, exit status 1 if there are any; the server may run",
        ),
        (
            "rebuild",
            _rebuild,
            "rebuild the catalogue from the stored files; the server must be stopped",
        ),
    ):
        command = commands.add_parser(name, help=what, description=what.capitalize() + ".")
        command.add_argument("storage", type=Path, metavar="DIR", help="the storage directory")
        command.set_defaults(run=run)
    users.add_commands(commands)
    add_certificate_command(commands)
    return parser


def _partials(storage: Path) -> int:
    for partial in stored_partials(storage):
        print(
            f"{partial.held} of {partial.size} bytes, idle for {partial.idle / 3600:.1f} h: "
            f"{quoted(partial.name)} {quoted(partial.token)}"
        )
    return 0


def _damaged(storage: Path) -> int:
    """List the damaged files; the exit status is 1 if there are any, so that a timer can alert."""
    status = 0
    for one in damaged_entries(storage):
        owner = f" of {quoted(one.owner)}" if one.owner else ""
        entry, found = one.entry, iso_time(one.found)
        print(f"{entry.id} {entry.size} bytes, found {found}: {quoted(entry.name)}{owner}")
        status = 1
    return status


def _rebuild(storage: Path) -> int:
    lock = lock_directory(storage)
    try:
        result = rebuild(storage, print)
    finally:
        lock.close()
    print(
        f"{result.contents} contents under {result.entries} names, {result.nameless} of them "
        f"recovered without a name; {result.missing} missing, {result.quarantined} quarantined"
        + (f", {result.unread} unread" if result.unread else "")
    )
    failed = result.missing or result.quarantined or result.unread or result.damaged
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
