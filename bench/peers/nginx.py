"""nginx with WebDAV's PUT, and curl. Neither hashes, neither syncs."""

from __future__ import annotations

import os
from pathlib import Path

from bench.contents import Batch
from bench.peers import curl
from bench.peers.peer import Peer

SETTINGS = """
daemon off;
{user}
worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location / {{ dav_methods PUT; }}
    }}
}}
"""


class Nginx(Peer):
    """One connection at a time, kept open for as long as there are files."""

    name = "nginx, curl"
    programs = {"nginx": "nginx-light", "curl": "curl"}

    def serve(self) -> list[str]:
        settings = self.directory / "nginx.conf"
        user = "user root;" if os.getuid() == 0 else ""
        settings.write_text(
            SETTINGS.format(user=user, directory=self.directory, port=self.port, root=self.root)
        )
        return [
            "nginx",
            "-p",
            str(self.directory),
            "-c",
            str(settings),
            "-e",
            str(self.directory / "error.log"),
        ]

    def _url(self, name: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def upload(self, source: Path, name: str) -> list[str]:
        return curl.upload(source, self._url(name))

    def download(self, name: str, target: Path) -> list[str]:
        return curl.download(self._url(name), target)

    def upload_all(self, batch: Batch) -> list[str]:
        return curl.upload_all(batch, self._url(), self.directory / "curl.conf")

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        return curl.download_all(batch, self._url(), target, self.directory / "curl.conf")
