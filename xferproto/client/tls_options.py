"""The TLS options of C{twistd xfer-client}."""

from __future__ import annotations

from typing import Any

from twisted.python import usage

from xferproto.net.certificates import parse_fingerprint

_WITH_TLS = ("ca", "fingerprint", "cert", "key")


class TLSOptions(usage.Options):
    """Options for TLS, and for the certificates to trust and to show."""

    optFlags = [["tls", None, "Connect with TLS, and check the depot's certificate."]]

    optParameters: list[Any] = [
        ["ca", None, None, "PEM file of the certificates to trust, instead of the platform's."],
        [
            "fingerprint",
            None,
            None,
            "SHA-256 of the depot's certificate; then its name and issuer do not count.",
            parse_fingerprint,
        ],
        ["cert", None, None, "PEM file of the client's own certificate."],
        ["key", None, None, "PEM file of the certificate's key, unless --cert contains it."],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        if not self["tls"]:
            for name in _WITH_TLS:
                if self[name] is not None:
                    raise usage.UsageError(f"--{name} goes with --tls")
        elif self["key"] is not None and self["cert"] is None:
            raise usage.UsageError("--key goes with --cert")
