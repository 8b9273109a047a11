"""
Certificates and keys: read from PEM files, and made for a start.

Nothing here imports Twisted. What is wrong with a file is told in one sentence that names it.
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
"""What a certificate for a start is good for when nothing else is said."""

LIFE = timedelta(days=365)
"""How long a certificate for a start is good."""

_SKEW = timedelta(hours=1)
"""So far a clock may be behind, and still take a new certificate for good."""


@dataclass(frozen=True)
class Credential:
    """
    What one end of a connection shows and proves.

    @ivar certificate: its own certificate.
    @ivar chain: those between it and the root, the issuer of the first one first.
    @ivar key: the private key of the first.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: Any


def read_credential(certificate: Path, key: Path | None = None) -> Credential:
    """
    A certificate with its key.

    @param certificate: a PEM file: the certificate, and those between it and the root after it.
    @param key: a PEM file; if None, the key is in the file of the certificate.
    @raise CertificateError: one of them can't be read, is none, or they do not belong together.
    """
    own, *chain = read_certificates(certificate)
    source = certificate if key is None else key
    match = _KEY.search(_read(source))
    if match is None:
        raise CertificateError(f"There is no private key in {source}.")
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
    All certificates of a PEM file, at least one.

    @raise CertificateError: it can't be read, or has none.
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
    """The SHA-256 of a certificate, as 32 pairs of hexadecimal digits with colons between them."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def parse_fingerprint(text: str) -> str:
    """
    A SHA-256 as L{fingerprint} writes it, from digits of either case, with colons or without.

    @raise ValueError: it is none.
    """
    digits = text.strip().replace(":", "")
    if not re.fullmatch("[0-9A-Fa-f]{64}", digits):
        raise ValueError(f"{text} is no SHA-256 fingerprint; that is 64 hexadecimal digits")
    return bytes.fromhex(digits).hex(":").upper()


def subject(certificate: x509.Certificate) -> str:
    """Whose certificate it is, safe to show."""
    return printable(certificate.subject.rfc4514_string() or "a certificate without a subject")


def validity(certificate: x509.Certificate, now: datetime | None = None) -> str | None:
    """Why a certificate is not good at this time: one clause, or None where it is."""
    now = now or datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        return f"it has expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        return f"it is not good before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
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
    A new key on the curve P-256, and a certificate for it that it signs itself.

    @param names: the host names and IP addresses that it is good for; the first is its common name.
    @raise CertificateError: one of them is none.
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
    Write a certificate and its key as PEM files, the key for its owner's eyes only.

    @raise CertificateError: one of them is there already, or can't be written; then neither is.
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
                raise CertificateError(f"{path} is there already, and stays as it is.") from None
            raise CertificateError(f"Can't write {path}: {error.strerror}.") from None


def address(name: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is given by, or None where it is a name."""
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        return None
