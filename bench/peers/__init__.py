"""The peers: other servers and their clients, each with its settings in a temporary directory."""

from bench.peers.ftp import PyFtpdLib, VsFtpd
from bench.peers.nginx import Nginx
from bench.peers.peer import Peer
from bench.peers.rsync import Rsync, RsyncMd5
from bench.peers.sftp import Sftp

__all__ = ["PEERS", "Peer"]

PEERS: tuple[type[Peer], ...] = (Rsync, RsyncMd5, Nginx, VsFtpd, PyFtpdLib, Sftp)
