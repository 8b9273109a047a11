"""Certificates for tests: authorities, and what they sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from xferproto.net.certificates import Credential, fingerprint, make_credential, write_credential

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Files:
    """
    Files of a credential.

    @ivar cert: the certificate, with those between it and the root.
    @ivar key: its key.
    @ivar fingerprint: that of the certificate.
    """

    cert: Path
    key: Path
    fingerprint: str


class Authority:
    """
    Signs certificates.

    @param name: its common name.
    @param above: who signs its own; itself where it is None.
    """

    def __init__(self, name: str = "An Authority", above: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.above = above
        self.certificate = _signed(
            self.name,
            self.key.public_key(),
            above or self,
            (x509.BasicConstraints(ca=True, path_length=None), True),
        )

    def issue(self, name: str, *others: str, age: timedelta = timedelta()) -> Credential:
        """A credential with these names, signed so long ago, and good for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        model = make_credential((name, *others)).certificate
        names = model.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate = _signed(model.subject, key.public_key(), self, (names, False), age=age)
        chain = (self.certificate,) if self.above else ()
        return Credential(certificate, chain, key)


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: Authority,
    extension: tuple[x509.ExtensionType, bool],
    age: timedelta = timedelta(),
) -> x509.Certificate:
    begin = datetime.now(UTC) - age
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - DAY / 24)
        .not_valid_after(begin + DAY)
        .add_extension(*extension)
        .sign(issuer.key, hashes.SHA256())
    )


def write(directory: Path, stem: str, credential: Credential) -> Files:
    """Write a credential into a directory, in place of what is there under that name."""
    files = Files(
        directory / f"{stem}.pem", directory / f"{stem}.key", fingerprint(credential.certificate)
    )
    for path in (files.cert, files.key):
        path.unlink(missing_ok=True)
    write_credential(credential, files.cert, files.key)
    return files


def write_authority(directory: Path, authority: Authority, stem: str = "ca") -> Path:
    """Write the certificate of an authority into a directory."""
    path = directory / f"{stem}.pem"
    path.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    return path


def key_pem(credential: Credential) -> bytes:
    """The key of a credential as PEM."""
    data: bytes = credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return data
