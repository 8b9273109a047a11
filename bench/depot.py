"""xfer itself, as one of the contenders: its server, and its client as a command."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from bench import wire
from bench.contents import Batch
from bench.peers.peer import Peer
from bench.processes import python

TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"


def twistd(*arguments: object) -> list[str]:
    """The command line of a twistd in the foreground."""
    return [sys.executable, "-c", TWISTD, "-n", "--pidfile=", *map(str, arguments)]


class Depot(Peer):
    """
    C{twistd -n xfer} and L{bench.client}: hashed on both ends, and durable.

    @ivar root: its storage directory.
    """

    name = "xfer"

    def __init__(self, directory: Path, *options: object) -> None:
        super().__init__(directory)
        self._options = options
        self._ids: dict[str, str] = {}

    def serve(self) -> list[str]:
        # More connections than the default, for those beside the ten thousand that are measured.
        room = ("--max-connections", 12_000)
        return twistd("xfer", "--storage", self.root, "--port", self.port, *room, *self._options)

    def clear(self) -> None:
        self.stop()
        shutil.rmtree(self.root)
        self.root.mkdir()
        self.start()

    def offer(self, source: Path, name: str) -> None:
        self._ids[name] = wire.upload(self.port, source, name)[1]

    def upload(self, source: Path, name: str) -> list[str]:
        return python("bench.client", "upload", self.port, source, name)

    def download(self, name: str, target: Path) -> list[str]:
        return python("bench.client", "download", self.port, self._ids[name], target)

    def upload_all(self, batch: Batch) -> list[str]:
        return python("bench.client", "upload-many", self.port, batch.manifest, batch.directory)

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        return python("bench.client", "download-many", self.port, batch.manifest, target)

    def check(self, name: str, md5: str) -> None:
        wire.check_stored(self.port, [md5])

    def check_all(self, batch: Batch) -> None:
        wire.check_stored(self.port, batch.ids.values())

    def inside(self, output: bytes) -> float | None:
        return float(json.loads(output)["seconds"])
