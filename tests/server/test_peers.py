"""
The server beside programs that are not ours: OpenSSL, HAProxy, nc, socat, systemd's sockets.

A test whose program is not there is skipped, and says so; C{make peers} installs them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support.certificates import Authority, Files, write, write_authority
from tests.support.processes import (
    PATIENCE,
    Outcome,
    Server,
    connected,
    new_directory,
    read_line,
    run,
)
from xferproto.net.certificates import make_credential

UNITS = Path(__file__).resolve().parents[2] / "contrib" / "systemd"

LIST = b"LIST_FILES\nQUIT\n"
NOTHING = b"No files available at the moment\nDONE\n"

STARTER = """
import os, socket, sys
families = {"INET": socket.AF_INET, "INET6": socket.AF_INET6, "UNIX": socket.AF_UNIX}
names, wanted, command = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
for number, (family, address) in enumerate(one.split("=") for one in wanted):
    listener = socket.socket(families[family])
    listener.bind(address if family == "UNIX" else (address, 0))
    listener.listen()
    os.dup2(listener.fileno(), 3 + number)  # inheritable
    if listener.fileno() == 3 + number:
        os.set_inheritable(3 + number, True)
        listener.detach()
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(wanted)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""
"""Starts a program as systemd does: sockets that listen, their number and their names."""


def program(name: str) -> str:
    """
    Where a program is.

    @raise SkipTest: nowhere.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise SkipTest(f"{name} is not installed; as root, make peers installs it")
    return found


def talk(command: Sequence[str | Path], given: bytes) -> tuple[int, bytes, bytes]:
    """Run a program with this input: its status, and what it writes on both streams."""
    ended = subprocess.run(
        [*map(str, command)], input=given, capture_output=True, timeout=PATIENCE, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


class PeerCase(SynchronousTestCase):
    """What the cases below share."""

    def setUp(self) -> None:
        self.directory = new_directory(self)

    def server(
        self,
        *options: str | Path,
        under: Sequence[str | Path] = (),
        before: Sequence[str | Path] = (),
    ) -> Server:
        """A server that has to end well, and without a traceback in its log."""
        # What a proxy or systemd stands for may be anybody: that has to be said.
        open_to_all = ("--anonymous", "list,read,write,delete,all")
        server = Server(self, self.directory, *open_to_all, *options, under=under, before=before)
        self.addCleanup(self.stop, server)
        return server

    def stop(self, server: Server) -> None:
        """Stop a server: it has nothing to complain of."""
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait().err, [])
        self.assertNotIn("Traceback", "\n".join(server.out))

    def tls_server(
        self, *options: str | Path, before: Sequence[str | Path] = ()
    ) -> tuple[Server, Files]:
        """A server with TLS, and its certificate."""
        files = write(self.directory, "server", make_credential())
        return self.server(
            *("--tls-cert", files.cert, "--tls-key", files.key, *options), before=before
        ), files

    def s_client(
        self, port: int, *options: str | Path, given: bytes = LIST
    ) -> tuple[int, bytes, bytes]:
        """Let OpenSSL's client send something."""
        address = f"127.0.0.1:{port}"
        command = [program("openssl"), "s_client", "-connect", address, *options]
        return talk(command, given)

    def shown(self, port: int) -> str:
        """The fingerprint of the certificate that OpenSSL's client is shown."""
        _, out, _ = self.s_client(port, given=b"")
        _, text, _ = talk(
            [program("openssl"), "x509", "-noout", "-fingerprint", "-sha256"],
            out[out.index(b"-----BEGIN CERT") :],
        )
        return text.decode().strip().partition("=")[2]

    def secure(self, port: int, files: Files) -> ssl.SSLSocket:
        """A TLS connection made by Python."""
        context = ssl.create_default_context(cafile=files.cert)
        connection = context.wrap_socket(connected(self, port), server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection


class OpenSSLTests(PeerCase):
    """C{openssl s_client}."""

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, with forward secrecy; 1.1 is refused."""
        server, files = self.tls_server()
        verified = ("-CAfile", files.cert, "-verify_return_error", "-verify_hostname", "localhost")
        for version in ("TLSv1.2", "TLSv1.3"):
            option = "-" + version.lower().replace("v", "").replace(".", "_")
            status, out, err = self.s_client(server.port, option, "-ign_eof", *verified)
            self.assertEqual(status, 0, err)
            self.assertIn(NOTHING, out)
            cipher = re.search(rb"New, \S+, Cipher is (\S+)", out)
            assert cipher is not None
            self.assertRegex(cipher[1], rb"^(ECDHE-ECDSA-|TLS_)(AES|CHACHA20)")
            self.assertIn(b"Compression: NONE", out)
        old = ("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
        status, out, err = self.s_client(server.port, *old)
        self.assertNotEqual(status, 0)
        self.assertNotIn(b"DONE", out)
        self.assertIn(b"protocol version", err)
        server.wait_for("TLS failed")

    def test_weak_cipher(self) -> None:
        """Ciphers without forward secrecy or authenticated encryption are refused."""
        server, _ = self.tls_server()
        for cipher in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA"):
            status, _, err = self.s_client(server.port, "-tls1_2", "-cipher", cipher)
            self.assertNotEqual(status, 0)
            self.assertIn(b"handshake failure", err)

    def test_renegotiation(self) -> None:
        """A handshake in the middle of a connection is refused."""
        server, _ = self.tls_server()
        _, out, err = self.s_client(server.port, "-tls1_2", given=b"R\n" + LIST)
        self.assertIn(b"RENEGOTIATING", out + err)
        self.assertNotIn(b"DONE\n", out.partition(b"RENEGOTIATING")[2].replace(b"\nDONE\n", b"", 1))
        self.assertIn(b"no renegotiation", err)

    def test_certificate(self) -> None:
        """The certificate of the file is shown."""
        server, files = self.tls_server()
        self.assertEqual(self.shown(server.port), files.fingerprint)

    def test_client_certificates(self) -> None:
        """One that was signed by the authority, or none, is let in; another is not."""
        authority = Authority()
        ca = write_authority(self.directory, authority)
        server, _ = self.tls_server("--client-ca", ca)
        good = write(self.directory, "good", authority.issue("alice"))
        bad = write(self.directory, "bad", Authority("Another").issue("alice"))
        for version in ("-tls1_2", "-tls1_3"):
            quiet = (version, "-quiet")
            shown = ("-cert", good.cert, "-key", good.key)
            for options in ((), shown):
                status, out, err = self.s_client(server.port, *quiet, *options)
                self.assertEqual((status, out), (0, NOTHING), err)
            wrong = ("-cert", bad.cert, "-key", bad.key)
            status, out, err = self.s_client(server.port, *quiet, *wrong)
            self.assertNotEqual(status, 0)
            self.assertEqual(out, b"")
            self.assertIn(b"unknown ca", err)
            server.wait_for("TLS failed: certificate verify failed")

    def test_reload(self) -> None:
        """On SIGHUP who comes sees the new certificate; who is there goes on; broken ones wait."""
        server, old = self.tls_server()
        before = self.secure(server.port, old)
        before.sendall(b"UPLOAD a;10\nhello")
        new = write(self.directory, "server", make_credential())
        self.assertEqual(self.shown(server.port), old.fingerprint)
        server.signal(signal.SIGHUP)
        server.wait_for(f"SHA-256 {new.fingerprint}")
        self.assertEqual(self.shown(server.port), new.fingerprint)
        new.key.write_text("nothing")
        server.signal(signal.SIGHUP)
        self.assertIn(str(new.key), server.wait_for("is not replaced"))
        self.assertEqual(self.shown(server.port), new.fingerprint)
        before.sendall(b"hello")
        self.assertEqual(read_line(before), md5(b"hellohello").hexdigest().encode() + b"\n")

    def test_privileges(self) -> None:
        """Root reads the key and opens the port; who serves then can't, and says so on SIGHUP."""
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        self.directory.chmod(0o711)
        storage = self.directory / "storage"
        storage.mkdir()
        os.chown(storage, 65534, 65534)
        server, files = self.tls_server(before=("--uid", "65534", "--gid", "65534"))
        status = Path(f"/proc/{server.pid}/status").read_text()
        self.assertIn("\nUid:\t65534\t65534\t", status)
        _, out, _ = self.s_client(server.port, "-quiet", given=b"UPLOAD a;6\nhello\nQUIT\n")
        self.assertEqual(out, md5(b"hello\n").hexdigest().encode() + b"\n")
        server.signal(signal.SIGHUP)
        self.assertIn("Permission denied", server.wait_for("is not replaced"))
        self.assertEqual(self.shown(server.port), files.fingerprint)


class ClientTests(PeerCase):
    """C{twistd xfer-client --tls}."""

    def client(self, server: Server, *options: str | Path) -> Outcome:
        where = ("--tls", "--host", "localhost", "--port", str(server.port))
        return run(self.directory, "-n", "xfer-client", *where, *options)

    def test_large(self) -> None:
        """A large file comes back as it was, which cmp says."""
        server, files = self.tls_server()
        large = self.directory / "large"
        block = os.urandom(1024 * 1024)
        with large.open("wb") as file:
            for number in range(96):
                file.write(number.to_bytes(4) + block)
        sent = ("--ca", files.cert, "--file", large, "--output", self.directory / "received")
        outcome = self.client(server, *sent)
        self.assertEqual((outcome.status, outcome.err), (0, []))
        received = self.directory / "received" / "large"
        self.assertEqual(talk([program("cmp"), large, received], b""), (0, b"", b""))

    def test_errors(self) -> None:
        """Whoever is not trusted is told in one line, with what to do."""
        server, files = self.tls_server()
        other = write(self.directory, "other", make_credential())
        for options, words in (
            ((), "--fingerprint"),
            (("--ca", other.cert), files.fingerprint),
            (("--fingerprint", other.fingerprint), files.fingerprint),
        ):
            outcome = self.client(server, *options)
            self.assertEqual(outcome.status, 1)
            self.assertEqual(len(outcome.err), 1, outcome.err)
            self.assertIn(words, outcome.err[0])
        outcome = self.client(server, "--fingerprint", files.fingerprint, "--tries", "3")
        self.assertEqual((outcome.status, outcome.err), (0, []))


class ProxyTests(PeerCase):
    """HAProxy in front."""

    def haproxy(self, server: str) -> int:
        """A HAProxy before a server of this description: its port."""
        found = program("haproxy")
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        configuration = self.directory / "haproxy.cfg"
        configuration.write_text(
            "global\n  maxconn 100\n"
            "defaults\n  mode tcp\n  timeout connect 60s\n  timeout client 60s\n"
            "  timeout server 60s\n  timeout client-fin 60s\n"
            f"listen depot\n  bind fd@{listener.fileno()}\n  server depot {server}\n"
        )
        process = subprocess.Popen(
            [found, "-db", "-q", "-f", configuration],
            pass_fds=(listener.fileno(),),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def stop() -> None:
            process.kill()
            process.wait()

        self.addCleanup(stop)
        port: int = listener.getsockname()[1]
        return port

    def come_from(self, port: int, address: str = "127.0.0.2") -> tuple[socket.socket, str]:
        """A connection from another address of this machine, and how the log has to tell it."""
        connection = socket.create_connection(
            ("127.0.0.1", port), timeout=PATIENCE, source_address=(address, 0)
        )
        self.addCleanup(connection.close)
        return connection, f"connected from {address} {connection.getsockname()[1]}"

    def test_both_versions(self) -> None:
        """The log has the peer of the proxy; an end of input goes through and is answered."""
        server = self.server("--endpoint", "haproxy:tcp:0:interface=127.0.0.1")
        for version in ("send-proxy", "send-proxy-v2"):
            port = self.haproxy(f"127.0.0.1:{server.port} {version}")
            connection, line = self.come_from(port)
            connection.sendall(b"LIST_FILES")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.makefile("rb").read(), NOTHING)
            server.wait_for(line)

    def test_large(self) -> None:
        """Uploads and downloads go through as they are."""
        server = self.server("--endpoint", "haproxy:tcp:0:interface=127.0.0.1")
        port = self.haproxy(f"127.0.0.1:{server.port} send-proxy-v2")
        content = os.urandom(16 * 1024 * 1024)
        id = md5(content).hexdigest().encode()
        connection, _ = self.come_from(port)
        connection.sendall(b"UPLOAD a;%d\n" % len(content) + content)
        self.assertEqual(read_line(connection), id + b"\n")
        connection.sendall(b"DOWNLOAD " + id + b"\nQUIT\n")
        self.assertEqual(read_line(connection), id + b";a;%d\n" % len(content))
        self.assertEqual(connection.makefile("rb").read(), content)

    def test_tls(self) -> None:
        """TLS goes through the proxy, or is spoken by it: behind the header both times."""
        server, files = self.tls_server("--endpoint", "tls+haproxy:tcp:0:interface=127.0.0.1")
        depot = f"127.0.0.1:{server.port} send-proxy-v2"
        connection, line = self.come_from(self.haproxy(depot))
        context = ssl.create_default_context(cafile=files.cert)
        with context.wrap_socket(connection, server_hostname="localhost") as secure:
            secure.sendall(LIST)
            self.assertEqual(secure.makefile("rb").read(), NOTHING)
        server.wait_for(line)
        speaking = self.haproxy(f"{depot} ssl verify required ca-file {files.cert}")
        connection, line = self.come_from(speaking)
        connection.sendall(LIST)
        self.assertEqual(connection.makefile("rb").read(), NOTHING)
        server.wait_for(line)

    def test_without_a_proxy(self) -> None:
        """Who comes past the proxy is cut off."""
        server = self.server("--endpoint", "haproxy:tcp:0:interface=127.0.0.1")
        connection = server.connect(self)
        connection.sendall(LIST)
        server.wait_for("which is not a proxy: no PROXY header")
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)


class SystemdTests(PeerCase):
    """Sockets that somebody else has opened."""

    def activated(self, names: str, sockets: str, *options: str | Path) -> Server:
        """A server that is started with sockets, as systemd does it."""
        return self.server(*options, under=[sys.executable, "-c", STARTER, names, sockets])

    def test_by_number_and_name(self) -> None:
        """TCP and UNIX sockets are served, by their numbers or by their names."""
        path = self.directory / "socket"
        for first, second in (("index=0", "index=1"), ("name=depot", "name=local")):
            path.unlink(missing_ok=True)
            server = self.activated(
                "depot:local",
                f"INET=127.0.0.1,UNIX={path}",
                *("--endpoint", f"systemd:domain=INET:{first}"),
                *("--endpoint", f"systemd:domain=UNIX:{second}"),
            )
            connection = server.connect(self)
            connection.sendall(b"LIST_FILES")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.makefile("rb").read(), NOTHING)
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(PATIENCE)
                local.connect(str(path))
                local.sendall(LIST)
                self.assertEqual(local.makefile("rb").read(), NOTHING)
            self.stop(server)  # which has the storage directory

    def test_tls(self) -> None:
        """With the server's certificate."""
        files = write(self.directory, "server", make_credential())
        server = self.activated(
            "xfer",
            "INET=127.0.0.1",
            *("--endpoint", "tls+systemd:domain=INET:name=xfer"),
            *("--tls-cert", files.cert, "--tls-key", files.key),
        )
        secure = self.secure(server.port, files)
        secure.sendall(LIST)
        self.assertEqual(secure.makefile("rb").read(), NOTHING)

    def test_none(self) -> None:
        """Without them the server does not start, and says which endpoint it was."""
        options = ("xfer", "--endpoint", "systemd:domain=INET:index=0")
        outcome = run(self.directory, "-n", *options)
        self.assertNotEqual(outcome.status, 0)
        self.assertEqual(len(outcome.err), 1, outcome.err)
        self.assertIn("systemd:domain=INET:index=0", outcome.err[0])

    def test_units(self) -> None:
        """systemd finds nothing wrong with the units, once twistd is where they say."""
        names = ("xfer.service", "xfer.socket", "xfer-watch.service")
        for name in names:
            text = (UNITS / name).read_text()
            text = text.replace("/opt/xfer/bin/twistd", shutil.which("true") or "/bin/true")
            (self.directory / name).write_text(text)
        command: list[str | Path] = [program("systemd-analyze"), "verify"]
        units = [self.directory / name for name in names]
        self.assertEqual(talk([*command, *units], b""), (0, b"", b""))


class ByHandTests(PeerCase):
    """C{nc} and C{socat}."""

    def test_nc(self) -> None:
        """What the README shows: a request whose input ends, and a file with its line before it."""
        nc = program("nc")
        server = self.server()
        where = [nc, "-N", "127.0.0.1", str(server.port)]
        self.assertEqual(talk(where, b"LIST_FILES")[:2], (0, NOTHING))
        content = os.urandom(100_000)
        id = md5(content).hexdigest().encode()
        self.assertEqual(talk(where, b"UPLOAD a;100000\n" + content)[:2], (0, id + b"\n"))
        self.assertEqual(talk(where, b"DOWNLOAD " + id)[:2], (0, id + b";a;100000\n" + content))

    def test_socat(self) -> None:
        """A request whose input ends."""
        server = self.server()
        where = [program("socat"), "-t", str(PATIENCE), "-", f"TCP:127.0.0.1:{server.port}"]
        self.assertEqual(talk(where, b"LIST_FILES")[:2], (0, NOTHING))

    def test_socat_tls(self) -> None:
        """The same over TLS, which socat checks, with a QUIT at the end."""
        socat = program("socat")
        secure, files = self.tls_server()
        address = f"OPENSSL:localhost:{secure.port},pf=ip4,cafile={files.cert}"
        status, out, err = talk([socat, "-t", str(PATIENCE), "-,ignoreeof", address], LIST)
        self.assertEqual((status, out), (0, NOTHING), err)
