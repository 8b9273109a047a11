"""The rsync daemon. rsync hashes what it sends, on both ends, and syncs nothing."""

from __future__ import annotations

import os
from pathlib import Path

from bench.contents import Batch
from bench.peers.peer import Peer


class Rsync(Peer):
    """Without its delta search, which has nothing to find here."""

    name = "rsync daemon"
    programs = {"rsync": "rsync"}

    def serve(self) -> list[str]:
        settings = self.directory / "rsyncd.conf"
        owner = f"uid = {os.getuid()}\ngid = {os.getgid()}\n" if os.getuid() == 0 else ""
        settings.write_text(
            f"use chroot = no\n{owner}[bench]\npath = {self.root}\nread only = no\n"
        )
        return [
            *("rsync", "--daemon", "--no-detach", f"--config={settings}"),
            *(
                "--address=127.0.0.1",
                f"--port={self.port}",
                f"--log-file={self.directory / 'rsyncd.log'}",
            ),
        ]

    def _url(self, name: str = "") -> str:
        return f"rsync://127.0.0.1:{self.port}/bench/{name}"

    def upload(self, source: Path, name: str) -> list[str]:
        return ["rsync", "--whole-file", str(source), self._url(name)]

    def download(self, name: str, target: Path) -> list[str]:
        return ["rsync", "--whole-file", self._url(name), str(target)]

    def upload_all(self, batch: Batch) -> list[str]:
        return ["rsync", "--recursive", "--whole-file", f"{batch.directory}/", self._url()]

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        return ["rsync", "--recursive", "--whole-file", self._url(), f"{target}/"]
