"""Read the TLS options and the certificate of a server, and reload it while the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python import usage
from zope.interface import implementer

from xferproto.model.errors import CertificateError
from xferproto.net.certificates import (
    fingerprint,
    read_certificates,
    read_credential,
    subject,
    validity,
)
from xferproto.net.tls import new_context, trust

log = Logger("xfer")


class TLSOptions(usage.Options):
    """Parse the TLS options of C{twistd xfer}."""

    optParameters: list[Any] = [
        [
            "tls-cert",
            None,
            None,
            "PEM file of the certificate, followed by its chain: listen with TLS.",
        ],
        [
            "tls-key",
            None,
            None,
            "PEM file of its private key; not needed if it is in the file of --tls-cert.",
        ],
        [
            "client-ca",
            None,
            None,
            "PEM file of authorities: ask clients for a certificate that one of them signed.",
        ],
    ]

    def postOptions(self) -> None:
        for name in ("tls-cert", "tls-key", "client-ca"):
            if self[name] is not None:
                self[name] = Path(self[name]).absolute()  # a daemon changes its directory
                if self["tls-cert"] is None:
                    raise usage.UsageError(f"--{name} needs --tls-cert")

    def certificate(self) -> ServerCertificate | None:
        """
        Read the server's certificate, or return None without C{--tls-cert}.

        @raise CertificateError: a file can't be used.
        """
        if self["tls-cert"] is None:
            return None
        return ServerCertificate(self["tls-cert"], self["tls-key"], self["client-ca"])


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """
    Hold the TLS context of a server: its certificate, and the authorities of client certificates.

    The files are read at once, and again by L{reload}.

    @param certificate: a PEM file: the certificate, followed by the intermediate ones.
    @param key: a PEM file with its key; if None, the key is in the other file.
    @param client_ca: a PEM file of the authorities that client certificates are checked against. A
        client without a certificate may connect; one with a certificate that is not valid may not.
    @raise CertificateError: a file can't be used.
    """

    def __init__(self, certificate: Path, key: Path | None, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._context, self._description = self._read()

    def _read(self) -> tuple[SSL.Context, str]:
        credential = read_credential(self._certificate, self._key)
        try:
            context = new_context(credential)
            if self._client_ca is not None:
                authorities = read_certificates(self._client_ca)
                trust(context, authorities)
                for authority in authorities:
                    context.add_client_ca(authority)
                context.set_session_id(b"xfer")
                context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE)
        except SSL.Error as error:  # such as a key too short for OpenSSL's security level
            text = "; ".join(entry[-1] for entry in error.args[0])
            raise CertificateError(f"OpenSSL won't use {self._certificate}: {text}.") from None
        shown = credential.certificate
        bad = validity(shown)
        description = (
            f"{subject(shown)}, valid until {shown.not_valid_after_utc:%Y-%m-%d}, "
            f"SHA-256 {fingerprint(shown)}{'' if bad is None else f'; but {bad}'}"
        )
        return context, description

    def announce(self) -> None:
        """Log which certificate is in use."""
        log.info("the TLS certificate is {description}", description=self._description)

    def reload(self) -> None:
        """
        Read the files again, for new connections.

        If they can't be used, the log says why, and the former certificate stays in use.
        """
        try:
            self._context, self._description = self._read()
        except CertificateError as error:
            log.error("the TLS certificate is not replaced: {error}", error=error)
        else:
            self.announce()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)
