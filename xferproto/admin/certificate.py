"""Make a self-signed certificate: C{xfer-depot certificate}."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from xferproto.files.directories import unusable
from xferproto.model.errors import CertificateError
from xferproto.net.certificates import (
    LOCAL_NAMES,
    address,
    fingerprint,
    make_credential,
    write_credential,
)

CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"


def add_certificate_command(commands: Any) -> None:
    """Add the command to the subparsers of C{xfer-depot}."""
    what = "make a self-signed certificate that is valid for a year"
    command = commands.add_parser("certificate", help=what, description=what.capitalize() + ".")
    command.add_argument(
        "directory",
        type=Path,
        nargs="?",
        metavar="DIR",
        help=f"directory for {CERTIFICATE_FILE} and {KEY_FILE}; created if it does not exist",
    )
    command.add_argument(
        "--cert", type=Path, metavar="FILE", help="file to write the certificate to, as PEM"
    )
    command.add_argument(
        "--key", type=Path, metavar="FILE", help="file to write its private key to, as PEM"
    )
    command.add_argument(
        "--name",
        action="append",
        metavar="HOST",
        help="host name or IP address that clients connect to; can be repeated "
        f"(default: {', '.join(LOCAL_NAMES)})",
    )
    command.set_defaults(command=_certificate, parser=command)


def _certificate(options: argparse.Namespace) -> int:
    given = options.cert is not None, options.key is not None
    if given != ((True, True) if options.directory is None else (False, False)):
        options.parser.error("give a directory, or both --cert and --key")
    try:
        _make(options)
    except CertificateError as error:
        print(f"xfer-depot: {error}", file=sys.stderr)
        return 1
    return 0


def _make(options: argparse.Namespace) -> None:
    certificate, key = options.cert, options.key
    names = options.name or LOCAL_NAMES
    credential = make_credential(names)
    if options.directory is not None:
        try:
            options.directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            reason = unusable(options.directory, error)
            raise CertificateError(f"Can't make {options.directory}: {reason}") from None
        certificate, key = options.directory / CERTIFICATE_FILE, options.directory / KEY_FILE
    write_credential(credential, certificate, key)
    good = credential.certificate.not_valid_after_utc
    print(f"{certificate}: certificate of {', '.join(names)}, valid until {good:%Y-%m-%d}")
    print(f"{key}: its private key; keep it secret")
    print(f"SHA-256 fingerprint: {fingerprint(credential.certificate)}")
    server = f"twistd -n xfer --tls-cert {_quoted(certificate)} --tls-key {_quoted(key)}"
    client = f"twistd -n xfer-client --tls --host {shlex.quote(names[0])}"
    if not all(map(_is_local, names)):  # other machines need the network, and a login
        server += " --interface 0.0.0.0 --users users.toml"
        client += " --user NAME"
        print("user:   xfer-depot users add users.toml NAME")
    print(f"server: {server}")
    print(f"client: {client} --fingerprint {fingerprint(credential.certificate)}")
    print(f"    or: {client} --ca {_quoted(certificate)}")


def _is_local(name: str) -> bool:
    """Return whether a host is this machine itself."""
    ip = address(name)
    return name == "localhost" if ip is None else ip.is_loopback


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
