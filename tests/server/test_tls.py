"""Client and server over TLS, on the loopback: who trusts whom, and what is told when not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.server.test_tcp import LARGE, Raw, ServerCase
from tests.support.certificates import DAY, Authority, Files, key_pem, write, write_authority
from xferproto import CertificateError, ConnectionCut, TLSFailed, connect, tls_endpoint
from xferproto.client import service as client_service
from xferproto.client.tls import HANDSHAKE_TIMEOUT
from xferproto.model.errors import TooLarge
from xferproto.net.certificates import Credential, make_credential, subject
from xferproto.net.tls import failure_of
from xferproto.server import service as server_service
from xferproto.server.line.session import DISCARD_LIMIT
from xferproto.server.listen import WrappedEndpoint, parse_endpoint
from xferproto.server.tls import ServerCertificate

reactor: Any = _reactor


class TLSCase(ServerCase):
    """
    A depot that listens with TLS.

    @ivar directory: where certificates are.
    @ivar authority: signs them; C{ca} is its file.
    """

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = Authority()
        self.ca = write_authority(self.directory, self.authority)

    async def listen(
        self, files: Files, client_ca: Path | None = None, factory: IProtocolFactory | None = None
    ) -> int:
        """Listen with a certificate: the port."""
        self.certificate = ServerCertificate(files.cert, files.key, client_ca)
        below = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        endpoint = WrappedEndpoint(reactor, below, False, self.certificate)
        listening: Any = await endpoint.listen(factory or self.factory)
        self.addCleanup(listening.stopListening)
        number: int = listening.getHost().port
        return number

    def issue(self, *names: str, **options: Any) -> Files:
        """Files of a new certificate that the authority signs."""
        return write(self.directory, "server", self.authority.issue(*names, **options))

    async def over_tls(self, number: int, host: str = "localhost", **terms: Any) -> Any:
        """A new client, which trusts the authority if nothing else is said."""
        if "fingerprint" not in terms:
            terms = {"ca": self.ca, **terms}
        client = await connect(reactor, tls_endpoint(reactor, host, number, **terms))
        self.clients.append(client)
        return client

    async def assert_fails(self, number: int, *words: str, **terms: Any) -> str:
        """Connecting raises one line that has these words."""
        failed: Any = self.assertFailure(
            Deferred.fromCoroutine(self.over_tls(number, **terms)), TLSFailed
        )
        text = str(await failed)
        self.assertNotIn("\n", text)
        for word in words:
            self.assertIn(word, text)
        return text


class TransferTests(TLSCase):
    """What goes over plain TCP goes over TLS."""

    max_file_size = 20 * 1024 * 1024

    async def test_exchange(self) -> None:
        """Files large and small go both ways, prompted or not; a listing comes."""
        number = await self.listen(self.issue("localhost"))
        client = await self.over_tls(number)
        entry = await client.upload(LARGE, "large")
        self.assertEqual(entry.id, md5(LARGE).hexdigest())
        await client.upload(b"hello", "small")
        target = Path(self.mktemp())
        await client.download(entry.id, target)
        self.assertEqual(target.read_bytes(), LARGE)
        self.assertEqual([one.name for one in await client.list_files()], ["large", "small"])
        await client.verify(entry.id)

    async def test_many(self) -> None:
        """Pipelined small files, and many connections at once."""
        number = await self.listen(self.issue("localhost"))
        clients = [await self.over_tls(number) for _ in range(8)]
        for index, client in enumerate(clients):
            files = [(f"{index} {one}".encode(), f"{index}/{one}") for one in range(50)]
            told: list[Any] = []
            await client.upload_many(files, lambda name, outcome: told.append(outcome))  # noqa: B023
        self.assertEqual(len(await clients[0].list_files()), 8 * 50)

    async def test_closing(self) -> None:
        """The last line arrives, however much the client still sends."""
        number = await self.listen(self.issue("localhost"))
        endpoint = tls_endpoint(reactor, "localhost", number, ca=self.ca)
        raw: Any = await connectProtocol(endpoint, Raw())
        raw.transport.write(b"x" * 5000 + bytes(1024 * 1024))
        answer = await raw.lost
        self.assertTrue(answer.startswith(b"ERROR line-too-long "), answer)
        self.assertTrue(answer.endswith(b".\n"), answer)

    async def test_refused_upload(self) -> None:
        """A refusal is raised, also of a payload that is too large to be taken away."""
        client = await self.over_tls(await self.listen(self.issue("localhost")))
        await self.assertFailure(client.upload(bytes(self.max_file_size + 1), "a"), TooLarge)
        self.assertLess(DISCARD_LIMIT, self.max_file_size)

    async def test_peer_that_never_reads(self) -> None:
        """A download that nobody reads is held back, and holds nobody up."""
        number = await self.listen(self.issue("localhost"))
        client = await self.over_tls(number)
        entry = await client.upload(LARGE * 2, "large")
        endpoint = tls_endpoint(reactor, "localhost", number, ca=self.ca)
        raw: Any = await connectProtocol(endpoint, Raw())
        self.raws.append(raw)
        raw.transport.pauseProducing()
        raw.transport.write(b"DOWNLOAD " + entry.id.encode() + b"\n")
        target = Path(self.mktemp())
        await client.download(entry.id, target)
        self.assertEqual(target.stat().st_size, entry.size)
        raw.transport.resumeProducing()
        await raw.counts(len(f"{entry.id};large;{entry.size}\n") + entry.size)

    async def test_endpoint_string(self) -> None:
        """Twisted's own description of a TLS client does as well, and fails as clearly."""
        number = await self.listen(self.issue("localhost"))
        roots = self.directory / "roots"
        roots.mkdir()
        write_authority(roots, self.authority)
        trusting = f"tls:localhost:{number}:trustRoots={roots}"
        client = await connect(reactor, trusting)
        self.clients.append(client)
        await client.upload(b"hello", "small")
        stranger = await connect(reactor, f"tls:localhost:{number}")
        self.clients.append(stranger)
        failed: Any = self.assertFailure(stranger.list_files(), TLSFailed)
        self.assertIn("not trusted", str(await failed))


class ServerTrustTests(TLSCase):
    """Whom a client takes for the server."""

    async def test_trusted(self) -> None:
        """A certificate that the authority signed for this name, or this address, is good."""
        number = await self.listen(self.issue("localhost", "127.0.0.1"))
        for host in ("localhost", "127.0.0.1"):
            self.assertEqual(await (await self.over_tls(number, host)).list_files(), [])

    async def test_chain(self) -> None:
        """So is one that somebody in between signed."""
        middle = Authority("In Between", self.authority)
        number = await self.listen(write(self.directory, "server", middle.issue("localhost")))
        self.assertEqual(await (await self.over_tls(number)).list_files(), [])

    async def test_self_signed(self) -> None:
        """One made for a start is good where it is its own authority, or pinned."""
        files = write(self.directory, "server", make_credential())
        number = await self.listen(files)
        for host in ("localhost", "127.0.0.1"):
            client = await self.over_tls(number, host, ca=files.cert)
            self.assertEqual(await client.list_files(), [])
        digits = files.fingerprint.replace(":", "").lower()
        client = await self.over_tls(number, fingerprint=digits)
        self.assertEqual(await client.list_files(), [])

    async def test_not_trusted(self) -> None:
        """One that signed itself is told with its fingerprint, and what to do."""
        files = write(self.directory, "server", make_credential())
        number = await self.listen(files)
        for ca in (None, self.ca):
            await self.assert_fails(
                number, "CN=localhost", files.fingerprint, "--fingerprint", "--ca", ca=ca
            )

    async def test_another_authority(self) -> None:
        """One of an authority that is not trusted here is told so."""
        files = write(self.directory, "server", Authority("Another").issue("localhost"))
        await self.assert_fails(
            await self.listen(files), "not signed by a trusted authority", "--ca"
        )

    async def test_another_name(self) -> None:
        """A certificate for another name, or only for the name, is not for what was asked for."""
        number = await self.listen(self.issue("depot.example"))
        await self.assert_fails(number, "CN=depot.example", "is not for localhost")
        await self.assert_fails(number, "is not for 127.0.0.1", host="127.0.0.1")

    async def test_expired(self) -> None:
        """One whose time is over, or has not come, is told with that time."""
        number = await self.listen(self.issue("localhost", age=2 * DAY))
        await self.assert_fails(number, "it has expired on 20")
        number = await self.listen(self.issue("localhost", age=-2 * DAY))
        await self.assert_fails(number, "it is not valid before 20")

    async def test_pinned(self) -> None:
        """With the right fingerprint, name, time and authority do not count."""
        stranger = Authority("Another").issue("depot.example", age=9 * DAY)
        files = write(self.directory, "server", stranger)
        number = await self.listen(files)
        client = await self.over_tls(number, "127.0.0.1", fingerprint=files.fingerprint)
        self.assertEqual(await client.list_files(), [])

    async def test_wrong_pin(self) -> None:
        """With the wrong one they do not help; the found one is told; nothing is sent."""
        files = self.issue("localhost")
        other = write(self.directory, "other", make_credential())
        number = await self.listen(files)
        with capturedLogs() as events:
            await self.assert_fails(
                number, files.fingerprint, other.fingerprint, fingerprint=other.fingerprint
            )
            await self.assert_fails(
                number, files.fingerprint, fingerprint=other.fingerprint, ca=self.ca
            )
        self.assertFalse([one for one in events if one.get("log_level") == "error"])

    async def test_old_version(self) -> None:
        """A server that speaks nothing newer than TLS 1.1 is refused."""
        files = self.issue("localhost")
        number = await self.listen(files)
        context = self.certificate._context
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(SSL.TLS1_1_VERSION)
        await self.assert_fails(number, "version")

    async def test_no_tls(self) -> None:
        """A server without TLS is told from one that is not trusted."""

        class Plain(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"ERROR bad-command This is not a command.\n")

        number = await self.plain(Plain)
        await self.assert_fails(number, "does not speak TLS")

    async def test_cut(self) -> None:
        """A server that hangs up in the handshake is worth another try."""

        class Rude(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        number = await self.plain(Rude)
        failed: Any = Deferred.fromCoroutine(self.over_tls(number))
        self.assertIn("handshake", str(await self.assertFailure(failed, ConnectionCut)))

    async def test_silent(self) -> None:
        """A server that says nothing is given up after some time."""
        arrived: Deferred[None] = Deferred()

        class Silent(Protocol):
            def dataReceived(self, data: bytes) -> None:
                arrived.callback(None)

        number = await self.plain(Silent)
        endpoint = tls_endpoint(reactor, "localhost", number)
        endpoint._clock = clock = Clock()
        failed = self.assertFailure(connect(reactor, endpoint), TLSFailed)
        await arrived
        clock.advance(HANDSHAKE_TIMEOUT)
        self.assertIn("The TLS handshake took longer", str(await failed))

    async def test_given_up(self) -> None:
        """Whoever does not want to wait any longer cancels; nothing is left of it."""
        arrived: Deferred[None] = Deferred()
        lost: Deferred[None] = Deferred()

        class Silent(Protocol):
            def dataReceived(self, data: bytes) -> None:
                arrived.callback(None)

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                lost.callback(None)

        connecting = connect(reactor, tls_endpoint(reactor, "localhost", await self.plain(Silent)))
        await arrived
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError)
        await lost

    async def plain(self, protocol: type[Protocol]) -> int:
        """Listen without TLS: the port."""
        factory = Factory.forProtocol(protocol)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def test_bad_files(self) -> None:
        """Files that can't be used, and a fingerprint that is none, are refused at once."""
        missing = self.directory / "missing.pem"
        for terms in ({"ca": missing}, {"cert": missing}):
            self.assertRaises(CertificateError, tls_endpoint, reactor, "localhost", 1, **terms)
        for bad in ({"fingerprint": "x"}, {"key": missing}):
            self.assertRaises(ValueError, tls_endpoint, reactor, "localhost", 1, **bad)


class ClientTrustTests(TLSCase):
    """Whom a server takes for a client."""

    async def test_good(self) -> None:
        """A certificate that its authority signed is taken, and known to the connection."""
        number = await self.listen(self.issue("localhost"), self.ca)
        mine = write(self.directory, "alice", self.authority.issue("alice"))
        client = await self.over_tls(number, cert=mine.cert, key=mine.key)
        self.assertEqual(await client.list_files(), [])
        (connection,) = self.factory.connections._open
        shown = connection.transport.getPeerCertificate()
        self.assertEqual(subject(shown.to_cryptography()), "CN=alice")

    async def test_key_in_the_same_file(self) -> None:
        """The key may be where the certificate is."""
        number = await self.listen(self.issue("localhost"), self.ca)
        credential = self.authority.issue("alice")
        mine = write(self.directory, "alice", credential)
        mine.cert.write_bytes(mine.cert.read_bytes() + key_pem(credential))
        client = await self.over_tls(number, cert=mine.cert)
        self.assertEqual(await client.list_files(), [])

    async def test_none(self) -> None:
        """A client without one is let in, as a stranger."""
        number = await self.listen(self.issue("localhost"), self.ca)
        self.assertEqual(await (await self.over_tls(number)).list_files(), [])
        (connection,) = self.factory.connections._open
        self.assertIsNone(connection.transport.getPeerCertificate())

    async def test_not_asked_for(self) -> None:
        """Where the server takes none, a client that has one does not show it."""
        number = await self.listen(self.issue("localhost"))
        mine = write(self.directory, "alice", Authority("Another").issue("alice"))
        client = await self.over_tls(number, cert=mine.cert, key=mine.key)
        self.assertEqual(await client.list_files(), [])

    async def test_wrong(self) -> None:
        """One of another authority, or whose time is over, is refused; both sides are told."""
        number = await self.listen(self.issue("localhost"), self.ca)
        for credential in (
            Authority("Another").issue("alice"),
            self.authority.issue("alice", age=timedelta(days=3)),
        ):
            mine = write(self.directory, "alice", credential)
            with capturedLogs() as events:
                client = await self.over_tls(number, cert=mine.cert, key=mine.key)
                failed: Any = self.assertFailure(client.list_files(), TLSFailed)
                text = str(await failed)
                await client.disconnect()
            self.assertIn("refuses the client's certificate", text)
            told = [formatEvent(event) for event in events]
            self.assertEqual(len([line for line in told if "TLS failed" in line]), 1, told)
            self.assertFalse([line for line in told if "Traceback" in line])


class ReloadTests(TLSCase):
    """New files while the server runs."""

    async def test_new(self) -> None:
        """Who connects from then on sees the new one; who is connected goes on."""
        old = self.issue("localhost")
        number = await self.listen(old)
        before = await self.over_tls(number, fingerprint=old.fingerprint)
        new = self.issue("localhost")
        with capturedLogs() as events:
            self.certificate.reload()
        self.assertIn(f"SHA-256 {new.fingerprint}", formatEvent(events[0]))
        after = await self.over_tls(number, fingerprint=new.fingerprint)
        for client in (before, after):
            await client.upload(b"hello", "small")

    async def test_broken(self) -> None:
        """Files that can't be used change nothing, and the log says which."""
        old = self.issue("localhost")
        number = await self.listen(old, self.ca)
        for path in (old.cert, old.key, self.ca):
            kept = path.read_bytes()
            path.write_bytes(b"nothing")
            with capturedLogs() as events:
                self.certificate.reload()
            path.write_bytes(kept)
            line = formatEvent(events[0])
            self.assertEqual(len(events), 1)
            self.assertIn("is not replaced", line)
            self.assertIn(str(path), line)
            client = await self.over_tls(number, fingerprint=old.fingerprint)
            self.assertEqual(await client.list_files(), [])

    def test_too_weak(self) -> None:
        """A key that OpenSSL will not use is told as one."""
        key = rsa.generate_private_key(65537, 1024)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime.now(UTC))
            .not_valid_after(datetime.now(UTC) + DAY)
            .sign(key, hashes.SHA256())
        )
        files = write(self.directory, "weak", Credential(certificate, (), key))
        error = self.assertRaises(CertificateError, ServerCertificate, files.cert, files.key, None)
        self.assertIn("key too small", str(error))


class OptionsTests(SynchronousTestCase):
    """The command lines."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.files = write(self.directory, "server", make_credential())

    def assert_refused(self, service: Any, *arguments: object) -> str:
        """They end with one line: that line."""

        def make() -> None:
            options = service.Options()
            options.parseOptions([str(argument) for argument in arguments])
            service.makeService(options)

        line = str(self.assertRaises(SystemExit, make).code)
        self.assertNotIn("\n", line)
        return line

    def test_server(self) -> None:
        """A file that can't be used is named; so is an option without the other it takes."""
        missing = self.directory / "missing.pem"
        cert, key = self.files.cert, self.files.key
        for arguments, words in (
            (("--tls-cert", missing), str(missing)),
            (("--tls-cert", cert), f"no private key in {cert}"),
            (("--tls-cert", cert, "--tls-key", missing), str(missing)),
            (("--tls-cert", cert, "--tls-key", key, "--client-ca", key), str(key)),
            (("--tls-key", key), "--tls-key needs --tls-cert"),
            (("--client-ca", cert), "--client-ca needs --tls-cert"),
            (("--endpoint", "tls+tcp:0"), "tls+ needs --tls-cert"),
        ):
            self.assertIn(words, self.assert_refused(server_service, *arguments))

    def test_client(self) -> None:
        """The same, of the client."""
        missing = self.directory / "missing.pem"
        for arguments, words in (
            (("--tls", "--ca", missing), str(missing)),
            (("--tls", "--cert", self.files.cert), "no private key"),
            (("--tls", "--key", self.files.key), "--key goes with --cert"),
            (("--tls", "--fingerprint", "ab:cd"), "ab:cd is not a SHA-256 fingerprint"),
            (("--ca", self.files.cert), "--ca goes with --tls"),
            (("--fingerprint", self.files.fingerprint), "--fingerprint goes with --tls"),
            (("--tls", "--endpoint", "tcp:localhost:9"), "--tls goes with --host"),
        ):
            self.assertIn(words, self.assert_refused(client_service, *arguments))

    def test_endpoints(self) -> None:
        """Wrappers are taken off from outside; what is inside is Twisted's."""
        certificate = ServerCertificate(self.files.cert, self.files.key, None)
        for text, proxied, with_tls in (
            ("tcp:0", False, False),
            ("tls+tcp:0", False, True),
            ("haproxy:tcp:0", True, False),
            ("tls+haproxy:tcp:0", True, True),
        ):
            wrapped: Any = parse_endpoint(reactor, text, certificate)
            self.assertEqual(wrapped._proxied, proxied)
            self.assertEqual(wrapped._certificate is certificate, with_tls)
        for text in ("haproxy:tls+tcp:0", "tls+", "haproxy:", "tls+nonsense:1"):
            self.assertRaises(ValueError, parse_endpoint, reactor, text, certificate)


class FailureTests(SynchronousTestCase):
    """What OpenSSL says, in words."""

    def test_words(self) -> None:
        """Each has a sentence of its own; what is unknown is told as it is."""
        for text, words in (
            ("wrong version number", "does not speak TLS"),
            ("tlsv1 alert unknown ca", "refuses the client's certificate"),
            ("ssl/tls alert bad certificate", "refuses the client's certificate"),
            ("tlsv13 alert certificate required", "wants a certificate"),
            ("tlsv1 alert protocol version", "no version of TLS"),
            ("sslv3 alert handshake failure", "TLS failed (sslv3 alert handshake failure)"),
        ):
            error = failure_of(Failure(SSL.Error([("SSL routines", "", text)])))
            self.assertIn(words, str(error))
        self.assertIn("TLS failed (Error)", str(failure_of(Failure(SSL.Error()))))
        self.assertIsNone(failure_of(Failure(ConnectionCut("x"))))
        self.assertIsNone(failure_of(None))
