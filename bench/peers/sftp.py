"""OpenSSH's sftp: encrypted and authenticated on the way, not synced."""

from __future__ import annotations

import getpass
import os
import shutil
from contextlib import suppress
from pathlib import Path

from bench.contents import Batch
from bench.peers.peer import Peer
from bench.processes import run

SETTINGS = """
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""Where the system's sshd wants an empty directory when root runs it."""


class Sftp(Peer):
    """With keys that are made for it and thrown away."""

    name = "sftp"
    programs = {"sshd": "openssh-server", "sftp": "openssh-client"}
    _made_run = False

    def serve(self) -> list[str]:
        for key in ("host_key", "user_key"):
            if not (self.directory / key).exists():
                keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench")
                run([*keygen, "-f", str(self.directory / key)])
        settings = self.directory / "sshd_config"
        settings.write_text(SETTINGS.format(port=self.port, directory=self.directory))
        if os.getuid() == 0 and not PRIVILEGE_SEPARATION.exists():
            PRIVILEGE_SEPARATION.mkdir(mode=0o755)
            self._made_run = True
        sshd = shutil.which("sshd")
        assert sshd is not None
        return [sshd, "-D", "-e", "-f", str(settings)]

    def stop(self) -> None:
        super().stop()
        if self._made_run:
            with suppress(OSError):
                PRIVILEGE_SEPARATION.rmdir()

    def _batch(self, *commands: str) -> list[str]:
        batch = self.directory / "batch"
        batch.write_text("".join(f"{command}\n" for command in commands))
        options = {
            "Port": self.port,
            "IdentityFile": self.directory / "user_key",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": self.directory / "known_hosts",
            "LogLevel": "ERROR",
        }
        given = [word for item in options.items() for word in ("-o", "{}={}".format(*item))]
        return [
            "sftp",
            "-q",
            "-F",
            "none",
            *given,
            "-b",
            str(batch),
            f"{getpass.getuser()}@127.0.0.1",
        ]

    def upload(self, source: Path, name: str) -> list[str]:
        return self._batch(f"put {source} {self.root / name}")

    def download(self, name: str, target: Path) -> list[str]:
        return self._batch(f"get {self.root / name} {target}")

    def upload_all(self, batch: Batch) -> list[str]:
        return self._batch(f"cd {self.root}", f"put {batch.directory}/*")

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        return self._batch(f"get {self.root}/* {target}/")
