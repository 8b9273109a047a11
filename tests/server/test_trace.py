"""What is written while hostile names and tokens come in, as the system sees it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat

from twisted.trial.unittest import SynchronousTestCase

from fuzz.targets import SEEDS
from tests.support.processes import Server, new_directory

CALLS = "open,openat,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat"
FURTHER = "mkdir,mkdirat,rmdir,truncate,chmod,fchmodat,mknod,mknodat"

WRITES = re.compile(r"O_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND)")

NAMES = [
    b"../../escape",
    b"/etc/escape",
    b"a/../../escape",
    b"..\\escape",
    b"%2e%2e/escape",
    b"\x1b]0;escape\x07",
    b"$(touch escape)",
    b"~/escape",
    b"objects/../escape",
    "．．/escape".encode(),
    b"catalogue.sqlite",
    b"lock",
]


class TraceTests(SynchronousTestCase):
    """A server under strace, and under an umask that forbids nothing."""

    def test_writes(self) -> None:
        """All that is opened for writing, renamed or removed lies in the storage directory."""
        if shutil.which("strace") is None:
            raise self.skipTest("strace is not installed")
        directory = new_directory(self)
        trace = directory / "trace"
        strace = ("strace", "-D", "-f", "-qq", "-y", "-o", trace, "-e", f"trace={CALLS},{FURTHER}")
        self.addCleanup(os.umask, os.umask(0))
        server = Server(self, directory, under=strace)
        for seed in SEEDS:
            with server.connect(self) as connection:
                connection.sendall(seed[1:])
        for name in NAMES:
            with server.connect(self) as connection:
                connection.sendall(b"UPLOAD %s;5\nhello" % name)
                connection.sendall(b"UPLOAD %s;20000\n" % name + bytes(20_000))
                connection.sendall(b"RESUME %s;9;tok:%d\n0\nabc" % (name, len(name)))
                connection.shutdown(1)
                while connection.recv(2**16):
                    pass
        self.assertEqual([*directory.rglob("escape")], [])
        for path in server.storage.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)
        self.assertEqual(stat.S_IMODE(server.storage.stat().st_mode), 0o700)
        server.signal(signal.SIGTERM)
        server.wait()
        self.assertIn("rename", trace.read_text("utf-8", "replace"))
        outside = set()
        for line in trace.read_text("utf-8", "replace").splitlines():
            if " = -1 " in line or "(" not in line:
                continue
            call = line.partition("(")[0].split()[-1]
            if call.startswith("open") and not WRITES.search(line):
                continue
            # What is given beside a directory's descriptor, which -y shows, is within that.
            line = re.sub(r'\d+<([^>]*)>, "(?!/)', r'"\1/', line)
            for path in re.findall(r'"([^"]*)"', line):
                if not path.startswith(f"{server.storage}") and path != "/dev/null":
                    outside.add(f"{call} {path}")
        outside = {one for one in outside if "__pycache__" not in one and "dropin.cache" not in one}
        self.assertEqual(outside, set())
