"""The file that lies beside one that can't be stored, and says why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from xferproto.model.escape import printable

REASON = ".reason.txt"
"""What it has behind the name of the file that it is about."""

BEGIN = "xfer-watch: this file was not stored.\n"
"""Its first line; what does not begin so is a file like any other."""


def reason_text(root: Path, path: str, cause: str, advice: str, now: float) -> str:
    """
    What it says.

    @param root: the watched directory.
    @param path: of the file that failed, relative to that.
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
    """A time in ISO 8601, UTC, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_reason(path: Path) -> bool:
    """Whether a file is such a one. Blocks."""
    if not path.name.endswith(REASON):
        return False
    try:
        with path.open("rb") as file:
            begin = BEGIN.encode()
            return file.read(len(begin)) == begin
    except OSError:
        return False
