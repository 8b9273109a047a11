"""TLS connections of a client: trust in the server's certificate, and messages if there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from service_identity.exceptions import CertificateError as UnusableCertificate
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from xferproto.model.errors import ConnectionCut, TLSFailed
from xferproto.net.certificates import (
    Credential,
    address,
    fingerprint,
    parse_fingerprint,
    read_certificates,
    read_credential,
    subject,
    validity,
)
from xferproto.net.tls import failure_of, new_context, trust

HANDSHAKE_TIMEOUT = 30.0
"""Seconds for the handshake."""


def tls_endpoint(
    reactor: Any,
    host: str,
    port: int,
    ca: Path | str | None = None,
    fingerprint: str | None = None,
    cert: Path | str | None = None,
    key: Path | str | None = None,
) -> TLSEndpoint:
    """
    Make an endpoint of a depot with TLS, for L{connect<xferproto.client.factory.connect>}.

    The depot's certificate has to be valid for C{host} and signed by a trusted authority; if a
    fingerprint is given, only that counts.

    @param ca: a PEM file with the certificates that are trusted, instead of the platform's.
    @param fingerprint: the SHA-256 of the server's own certificate, in hexadecimal digits.
    @param cert: a PEM file with the client's own certificate.
    @param key: a PEM file with the key of C{cert}, unless that has it.
    @return: an endpoint. Its C{connect} raises L{TLSFailed} where the handshake goes wrong.
    @raise CertificateError: a file can't be used.
    @raise ValueError: C{fingerprint} is none, or a key comes without a certificate.
    """
    terms = client_terms(host, ca, fingerprint, cert, key)
    below = HostnameEndpoint(reactor, host.encode("idna"), port)
    return TLSEndpoint(reactor, below, terms)


def client_terms(
    host: str,
    ca: Path | str | None = None,
    fingerprint: str | None = None,
    cert: Path | str | None = None,
    key: Path | str | None = None,
) -> ClientTerms:
    """Read the files of certificates; parameters and errors as of L{tls_endpoint}."""
    if key is not None and cert is None:
        raise ValueError("a key takes a certificate")
    return ClientTerms(
        host,
        None if ca is None else read_certificates(Path(ca)),
        None if fingerprint is None else parse_fingerprint(fingerprint),
        None if cert is None else read_credential(Path(cert), None if key is None else Path(key)),
    )


@implementer(IOpenSSLClientConnectionCreator)
class ClientTerms:
    """
    Decide whether a client trusts a server's certificate.

    @param host: the name or address that the certificate has to be valid for.
    @param authorities: the trusted certificates; None for the platform's.
    @param pin: the fingerprint that the certificate has to have; then nothing else counts.
    @param credential: the client's own certificate and key.
    """

    def __init__(
        self,
        host: str,
        authorities: Sequence[x509.Certificate] | None = None,
        pin: str | None = None,
        credential: Credential | None = None,
    ) -> None:
        self.host = host
        self.pin = pin
        self._context = new_context(credential)
        if authorities is None:
            self._context.set_default_verify_paths()
        else:
            trust(self._context, authorities)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if address(self.host) is None:  # an address is no server name (RFC 6066, section 3)
            connection.set_tlsext_host_name(self.host.encode("idna"))
        handshake = tlsProtocol.wrappedProtocol
        assert isinstance(handshake, Handshake)

        def look_at(_: SSL.Connection, shown: X509, number: int, depth: int, good: int) -> bool:
            if self.pin is not None:
                return True  # it is compared when the server has proven that it has the key
            if handshake.objection is None:
                handshake.objection = self._objection(shown.to_cryptography(), depth, bool(good))
            return handshake.objection is None

        connection.set_verify(SSL.VERIFY_PEER, look_at)
        return connection

    def _objection(self, shown: x509.Certificate, depth: int, good: bool) -> str | None:
        """Say what is wrong with a certificate of the server's chain; the first has the depth 0."""
        who = f"certificate ({subject(shown)}, SHA-256 {fingerprint(shown)})"
        if not good:
            if (reason := validity(shown)) is not None:
                return f"The server's {who} is not valid: {reason}."
            if depth or shown.issuer != shown.subject:
                return (
                    f"The server's {who} is not signed by a trusted authority; "
                    "give the authority's certificate with --ca."
                )
            return (
                f"The server's {who} is self-signed and not trusted; if this is the right "
                "fingerprint, give it with --fingerprint, or the certificate with --ca."
            )
        return None if depth else self._wrong_name(shown, who)

    def _wrong_name(self, shown: x509.Certificate, who: str) -> str | None:
        try:
            if (ip := address(self.host)) is None:
                verify_certificate_hostname(shown, self.host.encode("idna").decode("ascii"))
            else:
                verify_certificate_ip_address(shown, str(ip))
        except (VerificationError, UnusableCertificate):
            return (
                f"The server's {who} is not for {self.host}; "
                "connect by a name that it is for, or pin it with --fingerprint."
            )
        return None

    def pin_objection(self, shown: x509.Certificate | None) -> str | None:
        """Say what is wrong with the certificate that the server has proven to be its own."""
        if self.pin is None or (shown is not None and fingerprint(shown) == self.pin):
            return None
        found = "none" if shown is None else fingerprint(shown)
        return (
            f"The server's certificate has the SHA-256 fingerprint {found}, not the pinned "
            f"{self.pin}: the certificate has changed, or somebody intercepts the connection; "
            "ask the operator for the new fingerprint, and do not connect until then."
        )


@implementer(IHandshakeListener)
class Handshake(Protocol):
    """
    Stand in for a client's protocol until the handshake is complete.

    @ivar objection: why the server is not trusted, once known.
    @ivar done: fires with the client's protocol, which is connected then.
    """

    transport: TLSMemoryBIOProtocol

    def __init__(self, factory: IProtocolFactory, terms: ClientTerms, peer: IAddress) -> None:
        self.objection: str | None = None
        self.done: Deferred[IProtocol] = Deferred(lambda _: self.transport.abortConnection())
        self._factory = factory
        self._terms = terms
        self._peer = peer

    def handshakeCompleted(self) -> None:
        handle: Any = self.transport.getHandle()
        self.objection = self._terms.pin_objection(
            handle.get_peer_certificate(as_cryptography=True)
        )
        protocol: Any = None if self.objection else self._factory.buildProtocol(self._peer)
        if protocol is None:
            self.transport.abortConnection()
            return
        self.transport.wrappedProtocol = protocol
        protocol.makeConnection(self.transport)
        self.done.callback(protocol)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.done.called:
            return
        if self.objection is not None:
            self.done.errback(TLSFailed(self.objection))
        elif (error := failure_of(reason)) is not None:
            self.done.errback(error)
        else:
            self.done.errback(
                ConnectionCut(
                    "The connection was cut in the TLS handshake; "
                    "perhaps the server does not speak TLS."
                )
            )


class Handshakes(Factory):
    """Make a L{Handshake} for each connection."""

    noisy = False

    def __init__(self, factory: IProtocolFactory, terms: ClientTerms) -> None:
        self._factory = factory
        self._terms = terms

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress) -> Handshake:  # type: ignore[override]
        return Handshake(self._factory, self._terms, addr)


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """
    Connect with TLS over another endpoint, until the handshake is complete.

    @param clock: limits the time of the handshake.
    @param below: the endpoint that the bytes go over.
    """

    def __init__(self, clock: Any, below: IStreamClientEndpoint, terms: ClientTerms) -> None:
        self._clock = clock
        self._below = below
        self._terms = terms

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect.

        @raise TLSFailed: the server is not trusted, does not trust the client, or speaks no TLS.
        @raise ConnectionCut: the server closed the connection in the handshake.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        handshakes = Handshakes(factory, self._terms)
        wrapping = TLSMemoryBIOFactory(self._terms, True, handshakes, self._clock)
        transport: Any = await self._below.connect(wrapping)
        handshake = transport.wrappedProtocol
        if not isinstance(handshake, Handshake):  # it is through already
            connected: IProtocol = handshake
            return connected
        try:
            return await handshake.done.addTimeout(HANDSHAKE_TIMEOUT, self._clock)
        except TimeoutError:
            raise TLSFailed(
                f"The TLS handshake took longer than {HANDSHAKE_TIMEOUT:.0f} s; "
                "perhaps the server does not speak TLS."
            ) from None
