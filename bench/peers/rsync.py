"""
The rsync daemon. rsync hashes what it sends, on both ends, and syncs nothing.

The hash is one that the two agree on: as a rule xxHash, which is many times as fast as MD5, but
proves nothing to somebody who does not trust the other end.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.contents import Batch
from bench.peers.peer import Peer


class Rsync(Peer):
    """Without its delta search, which has nothing to find here."""

    name = "rsync daemon"
    programs = {"rsync": "rsync"}
    options: tuple[str, ...] = ("--whole-file",)

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
        return ["rsync", *self.options, str(source), self._url(name)]

    def download(self, name: str, target: Path) -> list[str]:
        return ["rsync", *self.options, self._url(name), str(target)]

    def upload_all(self, batch: Batch) -> list[str]:
        return ["rsync", *self.options, "--recursive", f"{batch.directory}/", self._url()]

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        return ["rsync", *self.options, "--recursive", self._url(), f"{target}/"]


class RsyncMd5(Rsync):
    """The same, told to use the hash that xfer uses."""

    name = "rsync daemon with MD5"
    options = ("--whole-file", "--checksum-choice=md5")
    not_small = "with small files the hash makes no difference"
