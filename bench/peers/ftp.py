"""FTP servers, and curl. Neither hashes, neither syncs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.contents import Batch
from bench.peers import curl
from bench.peers.peer import Peer

SETTINGS = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
local_enable=NO
no_anon_password=YES
ftp_username={user}
anon_root={jail}
allow_writeable_chroot=YES
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
connect_from_port_20=NO
xferlog_enable=NO
secure_chroot_dir={empty}
seccomp_sandbox=NO
"""


class _Ftp(Peer):
    """What FTP servers have in common. Each small file takes a connection of its own there."""

    path = ""

    def _url(self, name: str = "") -> str:
        return f"ftp://127.0.0.1:{self.port}/{self.path}{name}"

    def upload(self, source: Path, name: str) -> list[str]:
        return curl.upload(source, self._url(name))

    def download(self, name: str, target: Path) -> list[str]:
        return curl.download(self._url(name), target)

    def upload_all(self, batch: Batch) -> list[str]:
        return curl.upload_all(batch, self._url(), self.directory / "curl.conf")

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        return curl.download_all(batch, self._url(), target, self.directory / "curl.conf")


class VsFtpd(_Ftp):
    """For anonymous users, who are the owner of its directory."""

    name = "vsftpd, curl"
    programs = {"vsftpd": "vsftpd", "curl": "curl"}
    root_only = True
    path = "root/"

    def serve(self) -> list[str]:
        settings = self.directory / "vsftpd.conf"
        empty = self.directory / "empty"
        empty.mkdir(exist_ok=True)
        user = "daemon"  # any user will do who has a home directory
        shutil.chown(self.root, user)
        settings.write_text(
            SETTINGS.format(port=self.port, user=user, jail=self.directory, empty=empty)
        )
        return ["vsftpd", str(settings)]


class PyFtpdLib(_Ftp):
    """Its own command, from PyPI."""

    name = "pyftpdlib, curl"
    programs = {"curl": "curl"}
    module = "pyftpdlib"
    not_small = "FTP takes a connection for each file; vsftpd shows what that costs"

    def serve(self) -> list[str]:
        return [
            *(sys.executable, "-m", "pyftpdlib", "--write"),
            *("--interface", "127.0.0.1", "--port", str(self.port), "--directory", str(self.root)),
        ]
