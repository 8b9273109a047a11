"""Certificates as files: what is read, what is refused, and the command that makes one."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.admin.test_main import run
from tests.support.certificates import DAY, Authority, key_pem, write, write_authority
from xferproto.model.errors import CertificateError
from xferproto.net.certificates import (
    fingerprint,
    make_credential,
    parse_fingerprint,
    read_certificates,
    read_credential,
    validity,
    write_credential,
)
from xferproto.server.auth.options import check_reach
from xferproto.server.service import Options


class FilesCase(SynchronousTestCase):
    """Has a directory."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()


class ReadTests(FilesCase):
    """Certificates and keys that are there, and those that are not."""

    def assert_refused(self, words: str, certificate: Path, key: Path | None = None) -> None:
        text = str(self.assertRaises(CertificateError, read_credential, certificate, key))
        self.assertIn(words, text)
        self.assertNotIn("\n", text)

    def test_chain(self) -> None:
        """The first certificate is one's own, the others stand between it and the root."""
        middle = Authority("In Between", Authority())
        files = write(self.directory, "server", middle.issue("localhost"))
        credential = read_credential(files.cert, files.key)
        self.assertEqual(fingerprint(credential.certificate), files.fingerprint)
        self.assertEqual(credential.chain, (middle.certificate,))

    def test_key_in_the_same_file(self) -> None:
        """One file may have both, in either order, and text and parameters between them."""
        credential = make_credential()
        public = credential.certificate.public_bytes(Encoding.PEM)
        parameters = (
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        )
        path = self.directory / "both.pem"
        for data in (public + b"subject=x\n" + parameters, parameters + key_pem(credential)):
            other = key_pem(credential) if data.startswith(public) else public
            path.write_bytes(data + other)
            self.assertEqual(read_credential(path).certificate, credential.certificate)

    def test_missing(self) -> None:
        """A file that is not there is named."""
        files = write(self.directory, "server", make_credential())
        missing = self.directory / "missing.pem"
        self.assert_refused(f"Can't read {missing}: No such file", missing, files.key)
        self.assert_refused(f"Can't read {missing}: No such file", files.cert, missing)
        self.assert_refused(f"Can't read {self.directory}: Is a dir", self.directory)

    def test_something_else(self) -> None:
        """So is one that holds no certificate, no key, or a damaged one."""
        files = write(self.directory, "server", make_credential())
        other = self.directory / "other.pem"
        for data in (b"", b"hello", b"\xff\xfe", files.cert.read_bytes()[:300]):
            other.write_bytes(data)
            self.assert_refused(f"There is no certificate in {other}", other, files.key)
            self.assert_refused(f"There is no private key in {other}.", files.cert, other)
        self.assert_refused(f"There is no private key in {files.cert}; give the file", files.cert)
        other.write_bytes(files.key.read_bytes().replace(b"MIG", b"AAA"))
        self.assert_refused(f"private key in {other} is damaged", files.cert, other)

    def test_of_two_pairs(self) -> None:
        """A key of another certificate is refused."""
        one = write(self.directory, "one", make_credential())
        two = write(self.directory, "two", make_credential())
        self.assert_refused(f"The key in {two.key} is not that of", one.cert, two.key)

    def test_password(self) -> None:
        """A key with a password is refused: nobody is there to type it."""
        credential = make_credential()
        files = write(self.directory, "server", credential)
        files.key.write_bytes(
            credential.key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        self.assert_refused("has a password", files.cert, files.key)

    def test_authorities(self) -> None:
        """A file of authorities may have many."""
        path = write_authority(self.directory, Authority())
        path.write_bytes(path.read_bytes() * 3)
        self.assertEqual(len(read_certificates(path)), 3)

    def test_fingerprints(self) -> None:
        """A fingerprint is 64 digits, of either case, with colons or without."""
        text = fingerprint(make_credential().certificate)
        for form in (text, text.lower(), text.replace(":", ""), f" {text} "):
            self.assertEqual(parse_fingerprint(form), text)
        for form in ("", text[:-1], text + "0", "x" * 64, "５" * 64):
            self.assertRaises(ValueError, parse_fingerprint, form)

    def test_validity(self) -> None:
        """Before and after its time, a certificate is not good."""
        certificate = make_credential().certificate
        now = datetime.now(UTC)
        self.assertIsNone(validity(certificate, now))
        self.assertIn("expired", validity(certificate, now + 366 * DAY) or "")
        self.assertIn("not valid before", validity(certificate, now - DAY) or "")


class WriteTests(FilesCase):
    """C{xfer-depot certificate}."""

    def test_directory(self) -> None:
        """A pair that belongs together, for this machine, the key for its owner alone."""
        where = self.directory / "tls"
        status, out, err = run("certificate", where)
        self.assertEqual((status, err), (0, ""))
        credential = read_credential(where / "cert.pem", where / "key.pem")
        self.assertEqual((where / "key.pem").stat().st_mode & 0o777, 0o600)
        self.assertEqual(where.stat().st_mode & 0o777, 0o700)
        names = credential.certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])
        addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
        self.assertEqual(addresses, ["127.0.0.1", "::1"])
        left = credential.certificate.not_valid_after_utc - datetime.now(UTC)
        self.assertTrue(timedelta(days=364) < left <= timedelta(days=365), left)
        print_ = fingerprint(credential.certificate)
        self.assertIn(f"SHA-256 fingerprint: {print_}\n", out)
        self.assertIn(f"--tls-cert {shlex.quote(str(where / 'cert.pem'))}", out)
        self.assertIn(f"--tls --host localhost --fingerprint {print_}\n", out)
        self.assert_starts(out)

    def assert_starts(self, out: str) -> None:
        """The server takes the printed options."""
        (line,) = (line for line in out.splitlines() if line.startswith("server: "))
        _, _, _, plugin, *arguments = shlex.split(line)
        options = Options()
        options.parseOptions(arguments)
        check_reach(options)
        self.assertEqual((plugin, options.certificate() is None), ("xfer", False))

    def test_files_and_names(self) -> None:
        """The files and the names may be others."""
        cert, key = self.directory / "a.crt", self.directory / "a.key"
        names = ["--name", "depot.example", "--name", "192.0.2.7", "--name", "bücher.example"]
        status, out, _ = run("certificate", "--cert", cert, "--key", key, *names)
        self.assertEqual(status, 0, out)
        shown = read_credential(cert, key).certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        dns = shown.value.get_values_for_type(x509.DNSName)
        self.assertEqual(dns, ["depot.example", "xn--bcher-kva.example"])
        self.assertIn("--host depot.example --user NAME", out)
        self.assertIn("xfer-depot users add users.toml NAME\n", out)
        self.assert_starts(out)

    def test_never_overwrites(self) -> None:
        """What is there stays, and nothing is written beside it."""
        for there, other in (("cert.pem", "key.pem"), ("key.pem", "cert.pem")):
            where = self.directory / there.replace(".", "-")
            where.mkdir()
            (where / there).write_text("mine")
            status, out, err = run("certificate", where)
            self.assertEqual((status, out), (1, ""))
            self.assertIn(f"{where / there} already exists", err)
            self.assertEqual((where / there).read_text(), "mine")
            self.assertFalse((where / other).exists())

    def test_refused(self) -> None:
        """A name that is none, and a place that can't be written to, are one line."""
        for name in ("", "a b", "a;b", "..", "a/b", "1.2.3.4/24", "\x1b[2J"):
            status, _, err = run("certificate", self.directory / "new", "--name", name)
            self.assertEqual((status, err.count("\n")), (1, 1), err)
            self.assertNotIn("\x1b", err)
        status, _, err = run("certificate", self.directory / "not" / "there")
        self.assertEqual((status, err.count("\n")), (1, 1), err)
        credential = make_credential()
        missing = self.directory / "missing"
        self.assertRaises(
            CertificateError, write_credential, credential, missing / "cert", self.directory / "key"
        )
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_usage(self) -> None:
        """Either a directory or both files."""
        for arguments in ([], ["--cert", "a"], [self.directory, "--cert", "a", "--key", "b"]):
            failed = self.assertRaises(SystemExit, run, "certificate", *arguments)
            self.assertEqual(failed.code, 2)
