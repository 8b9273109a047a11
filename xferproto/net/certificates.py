"""
Read certificates and keys from PEM files, and make self-signed ones.

Nothing here imports Twisted. Each error is one sentence that names the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xferproto.model.errors import CertificateError
from xferproto.model.escape import printable

_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""The names of a self-signed certificate by default."""

LIFE = timedelta(days=365)
"""How long a self-signed certificate is valid."""

_SKEW = timedelta(hours=1)
"""How far a clock may be behind, and a new certificate is still valid there."""


@dataclass(frozen=True)
class Credential:
    """
    Hold a certificate, its chain and its private key.

    @ivar certificate: the certificate of this end.
    @ivar chain: the intermediate certificates, the issuer of the certificate first.
    @ivar key: its private key.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: Any


def read_credential(certificate: Path, key: Path | None = None) -> Credential:
    """
    Read a certificate with its key.

    @param certificate: a PEM file: the certificate, followed by the intermediate ones.
    @param key: a PEM file; if None, the key is in the file of the certificate.
    @raise CertificateError: a file can't be read or has none, or the two do not belong together.
    """
    own, *chain = read_certificates(certificate)
    source = certificate if key is None else key
    match = _KEY.search(_read(source))
    if match is None:
        hint = "; give the file that has it as well (--tls-key, --key)" if key is None else ""
        raise CertificateError(f"There is no private key in {source}{hint}.")
    try:
        private = load_pem_private_key(match[0], None)
    except TypeError:
        raise CertificateError(
            f"The key in {source} has a password; write it without one, readable to its owner."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"The private key in {source} is damaged, or unknown.") from None
    if _public(private.public_key()) != _public(own.public_key()):
        raise CertificateError(f"The key in {source} is not that of the certificate {certificate}.")
    return Credential(own, tuple(chain), private)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """
    Read all certificates of a PEM file, at least one.

    @raise CertificateError: the file can't be read, or has none.
    """
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise CertificateError(f"There is no certificate in {path}, or a damaged one.") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"Can't read {path}: {error.strerror}.") from None


def _public(key: Any) -> bytes:
    data: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate: 32 pairs of hex digits with colons between them."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def parse_fingerprint(text: str) -> str:
    """
    Parse a SHA-256, with or without colons, into the form of L{fingerprint}.

    @raise ValueError: the text is not 64 hexadecimal digits.
    """
    digits = text.strip().replace(":", "")
    if not re.fullmatch("[0-9A-Fa-f]{64}", digits):
        raise ValueError(f"{text} is not a SHA-256 fingerprint, which has 64 hexadecimal digits")
    return bytes.fromhex(digits).hex(":").upper()


def subject(certificate: x509.Certificate) -> str:
    """Return the subject of a certificate, safe to show."""
    return printable(certificate.subject.rfc4514_string() or "a certificate without a subject")


def validity(certificate: x509.Certificate, now: datetime | None = None) -> str | None:
    """Return why a certificate is not valid at a time, as one clause, or None if it is."""
    now = now or datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        return f"it has expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        return f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        ascii = name.encode("idna").decode("ascii")
    except UnicodeError:
        ascii = ""
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", ascii):
        raise CertificateError(f"{printable(name)} is neither a host name nor an IP address.")
    return x509.DNSName(ascii)


def make_credential(
    names: Sequence[str] = LOCAL_NAMES, now: datetime | None = None, life: timedelta = LIFE
) -> Credential:
    """
    Make a key on the curve P-256, and a self-signed certificate for it.

    @param names: the host names and IP addresses that it is for; the first is its common name.
    @raise CertificateError: a name is neither a host name nor an IP address.
    """
    now = now or datetime.now(UTC)
    alternatives = x509.SubjectAlternativeName([*map(_general_name, names)])
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Credential(builder.sign(key, hashes.SHA256()), (), key)


def write_credential(credential: Credential, certificate: Path, key: Path) -> None:
    """
    Write a certificate and its key as PEM files, the key readable to its owner only.

    @raise CertificateError: a file exists or can't be written; then neither is written.
    """
    written: list[Path] = []
    private = credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = b"".join(
        one.public_bytes(Encoding.PEM) for one in (credential.certificate, *credential.chain)
    )
    for path, data, mode in ((key, private, 0o600), (certificate, public, 0o644)):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                written.append(path)
                file.write(data)
        except OSError as error:
            for done in written:
                done.unlink()
            if isinstance(error, FileExistsError):
                raise CertificateError(f"{path} already exists, and is not replaced.") from None
            raise CertificateError(f"Can't write {path}: {error.strerror}.") from None


def address(name: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a host is, or None if it is a name."""
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        return None
