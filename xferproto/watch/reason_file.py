"""The reason file beside a file that can't be stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from xferproto.model.escape import printable

REASON = ".reason.txt"
"""The suffix of its name, after the name of its file."""

BEGIN = "xfer-watch: this file was not stored.\n"
"""Its first line; a file without this line is like any other."""


def reason_text(root: Path, path: str, cause: str, advice: str, now: float) -> str:
    """
    Format the content of a reason file.

    @param root: the watched directory.
    @param path: the path of the file that failed, relative to that.
    @param now: seconds since the epoch.
    """
    place = printable(str(root / path))
    return (
        f"{BEGIN}\n"
        f"file:   {place}\n"
        f"time:   {timestamp(now)}\n"
        f"cause:  {cause}\n"
        f"advice: {advice}\n"
        "again:  Move the file back to where it was, and it is tried again.\n"
    )


def timestamp(seconds: float) -> str:
    """Format a time in ISO 8601, UTC, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_reason(path: Path) -> bool:
    """Whether a file is a reason file. Blocks."""
    if not path.name.endswith(REASON):
        return False
    try:
        with path.open("rb") as file:
            begin = BEGIN.encode()
            return file.read(len(begin)) == begin
    except OSError:
        return False
