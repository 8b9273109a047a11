"""The server's end of TLS: its options, its certificate, and a new one while it runs."""

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
    """What C{twistd xfer} takes for TLS."""

    optParameters: list[Any] = [
        ["tls-cert", None, None, "PEM file of the certificate, chain after it: listen with TLS."],
        ["tls-key", None, None, "PEM file of its key, unless --tls-cert has it."],
        ["client-ca", None, None, "PEM file: ask clients for certificates that these signed."],
    ]

    def postOptions(self) -> None:
        for name in ("tls-cert", "tls-key", "client-ca"):
            if self[name] is not None:
                self[name] = Path(self[name]).absolute()  # a daemon changes its directory
                if self["tls-cert"] is None:
                    raise usage.UsageError(f"--{name} goes with --tls-cert")

    def certificate(self) -> ServerCertificate | None:
        """
        The server's certificate, where one is given.

        @raise CertificateError: a file can't be used.
        """
        if self["tls-cert"] is None:
            return None
        return ServerCertificate(self["tls-cert"], self["tls-key"], self["client-ca"])


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """
    What the server shows, and whose certificates it takes; read from files, again when told to.

    @param certificate: a PEM file: the certificate, and those between it and the root after it.
    @param key: a PEM file with its key; if None, the key is in the other file.
    @param client_ca: a PEM file with the certificates that client certificates are checked by. A
        client without one is let in; one with a certificate that is not good is not.
    @raise CertificateError: a file can't be used.
    """

    def __init__(self, certificate: Path, key: Path | None, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._context, self._told = self._read()

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
        except SSL.Error as error:  # a key that is too short for OpenSSL's security level
            text = "; ".join(entry[-1] for entry in error.args[0])
            raise CertificateError(f"OpenSSL won't use {self._certificate}: {text}.") from None
        shown = credential.certificate
        bad = validity(shown)
        told = (
            f"{subject(shown)}, good until {shown.not_valid_after_utc:%Y-%m-%d}, "
            f"SHA-256 {fingerprint(shown)}{'' if bad is None else f'; but {bad}'}"
        )
        return context, told

    def announce(self) -> None:
        """Write into the log which certificate is in force."""
        log.info("the TLS certificate is {told}", told=self._told)

    def reload(self) -> None:
        """
        Read the files again, for the connections that come from now on.

        Where they can't be used, the log says why, and what was in force stays.
        """
        try:
            self._context, self._told = self._read()
        except CertificateError as error:
            log.error("the TLS certificate stays as it was: {error}", error=error)
        else:
            self.announce()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)
