"""
The status file of an unattended client, for programs and for people.

docs/unattended.md has its fields. Nothing here imports Twisted.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xferproto.model.errors import XferError
from xferproto.model.escape import printable, quoted
from xferproto.model.units import duration, readable_size
from xferproto.watch.directory import STATUS

FORMAT = 1
"""Counts the changes of the file that a reader of an earlier one would not understand."""


class NoStatus(XferError):
    """There is no readable status file; the text says why."""


@dataclass(frozen=True)
class WatchStatus:
    """
    The content of a status file, and whether its process still runs.

    @ivar fields: its content.
    @ivar alive: whether the process that wrote it still watches; None if that is unknown.
    @ivar now: when it was read, seconds since the epoch.
    """

    fields: Mapping[str, Any]
    alive: bool | None
    now: float


def read_status(path: Path, now: float) -> WatchStatus:
    """
    Read a status file. Blocks.

    @param path: the file, or the watched directory that it is in.
    @param now: seconds since the epoch.
    @raise NoStatus: there is no such file, or it is not a status file.
    """
    if path.is_dir():
        path /= STATUS
    try:
        fields = json.loads(path.read_bytes())
        if fields["format"] != FORMAT:
            raise NoStatus(f"{path} was written by another version of xfer.")
        lock = Path(fields["lock"])
    except FileNotFoundError:
        raise NoStatus(
            f"{path} does not exist: no xfer-client has watched this directory yet, "
            "or its --status is elsewhere."
        ) from None
    except OSError as error:
        raise NoStatus(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise NoStatus(f"{path} is not a status file.") from None
    return WatchStatus(fields, _is_locked(lock), now)


def _is_locked(lock: Path) -> bool | None:
    """Whether a process holds the lock; None if that is unknown."""
    try:
        fd = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)


def write_status(path: Path, fields: Mapping[str, Any]) -> None:
    """
    Replace a status file in one step. Blocks.

    @raise OSError: it can't be written.
    """
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def describe(status: WatchStatus) -> list[str]:
    """Format a status in lines for people, of printable characters."""
    fields, now = status.fields, status.now
    lines = [_headline(status)]
    if fields.get("trouble"):
        lines.append(f"trouble: {printable(fields['trouble'])}")
    lines.append(_depot(status))
    waiting = fields["waiting"]
    line = f"waiting: {_files(waiting['files'], waiting['bytes'])}"
    details = [
        f"{waiting[key]} {words}"
        for key, words in (("settling", "still changing"), ("refused", "refused for now"))
        if waiting[key]
    ]
    lines.append(line + (f" ({', '.join(details)})" if details else ""))
    for sending in fields["sending"]:
        percent = 100 * sending["sent"] // sending["size"] if sending["size"] else 100
        lines.append(
            f"sending: {quoted(sending['name'])}, {readable_size(sending['sent'])} of "
            f"{readable_size(sending['size'])} ({percent} %)"
        )
    sent = fields["sent"]
    line = f"sent: {_files(sent['files'], sent['bytes'])}"
    if (last := sent["last"]) is not None:
        line += f", the last {quoted(last['name'])} {_ago(last['time'], now)}"
    lines.append(line)
    failed = fields["failed"]
    if (last := failed["last"]) is not None:
        lines.append(
            f"failed: {_count(failed['files'])}, the last {quoted(last['name'])} "
            f"{_ago(last['time'], now)}: {printable(last['reason'])}"
        )
    if fields["passed_over"]:
        lines.append(f"passed over: {fields['passed_over']} symbolic links or special files")
    lines += [
        f"can't enter: {quoted(path)}: {printable(reason)}"
        for path, reason in fields["closed"].items()
    ]
    return lines


def _headline(status: WatchStatus) -> str:
    fields, now = status.fields, status.now
    directory = printable(fields["directory"])
    if fields["state"] == "stopped":
        return f"{directory}: not watched; stopped {_ago(fields['written'], now)}"
    if status.alive is False and fields["state"] != "directory gone":
        return (
            f"{directory}: NOT WATCHED: the process was killed; this is its status of "
            f"{_ago(fields['written'], now)}"
        )
    if fields["state"] == "directory gone":
        since = _ago(fields["written"], now)
        return f"{directory}: THE DIRECTORY IS GONE; waiting for it since {since}"
    how = "the system reports changes" if fields["inotify"] else "scanned from time to time"
    doubt = "" if status.alive else "; it is unknown whether the process still runs"
    return f"{directory}: watched since {_ago(fields['started'], now)}, {how}{doubt}"


def _depot(status: WatchStatus) -> str:
    fields, now = status.fields, status.now
    depot = fields["depot"]
    name = printable(depot["name"])
    over = fields["state"] == "stopped" or status.alive is False
    if depot["up"] is None:
        return f"depot: {name}, " + ("not asked" if over else "not asked yet")
    if depot["up"]:
        return f"depot: {name}, " + ("was reachable then" if over else "reachable")
    since, reason = _ago(depot["since"], now), printable(depot["reason"])
    return f"depot: {name}, {'was unreachable' if over else 'UNREACHABLE'} since {since}: {reason}"


def _files(count: int, size: int) -> str:
    return f"{_count(count)}, {readable_size(size)}" if count else _count(count)


def _count(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files" if count else "nothing"


def _ago(time: str, now: float) -> str:
    then = datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return f"{time[:10]} {time[11:19]} UTC ({duration(max(0.0, now - then.timestamp()))} ago)"
