"""
C{python -m bench.bare_files SOURCE TARGET}: a yardstick, what many small files cost their disk.

Writes every file of a directory again, a batch at a time as xfer's client does with what it
fetches: without a name, write-back begun, synced, given its name, the directory synced. Hashes
nothing, and knows no network. Prints a line of JSON: C{seconds}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

BATCH = 128
"""Files in a batch; as L{xferproto.client.pipeline.BATCH_FILES}."""


def main(source: str, target: str) -> None:
    """Write all files of C{source} to C{target}, which is made."""
    contents = [(path.name, path.read_bytes()) for path in sorted(Path(source).iterdir())]
    started = time.perf_counter()
    Path(target).mkdir()
    directory = os.open(target, os.O_RDONLY)
    for start in range(0, len(contents), BATCH):
        write(contents[start : start + BATCH], target)
        os.fsync(directory)
    os.close(directory)
    print(json.dumps({"seconds": time.perf_counter() - started}))


def write(batch: list[tuple[str, bytes]], target: str) -> None:
    """Write a batch of files, each with its name."""
    files = []
    for _, content in batch:
        fd = os.open(target, os.O_WRONLY | os.O_TMPFILE, 0o666)
        os.write(fd, content)
        files.append(fd)
    for fd in files:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for fd in files:
        os.fsync(fd)
    for fd, (name, _) in zip(files, batch, strict=True):
        os.link(f"/proc/self/fd/{fd}", f"{target}/{name}", src_dir_fd=fd, follow_symlinks=True)
        os.close(fd)


if __name__ == "__main__":
    main(*sys.argv[1:])
