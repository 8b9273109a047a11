"""
xfer: a file depot that proves what it stores.

The names below are the Python API; README.md shows it in use, docs/protocol.md specifies the wire.
They are imported when they are first used: a command that needs none of them starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xferproto.version import __version__

if TYPE_CHECKING:
    from xferproto.client.factory import XferClientFactory, connect
    from xferproto.client.protocol import XferClientProtocol
    from xferproto.client.retry import RetryingClient
    from xferproto.client.tls import tls_endpoint
    from xferproto.entry import Entry, Status
    from xferproto.errors import (
        CertificateError,
        ConnectionCut,
        HashMismatch,
        RequestError,
        SourceChanged,
        TargetExists,
        TLSFailed,
        UnexpectedReply,
        XferError,
    )

_PLACES = {
    "client.factory": ("XferClientFactory", "connect"),
    "client.protocol": ("XferClientProtocol",),
    "client.retry": ("RetryingClient",),
    "client.tls": ("tls_endpoint",),
    "entry": ("Entry", "Status"),
    "errors": (
        "CertificateError",
        "ConnectionCut",
        "HashMismatch",
        "RequestError",
        "SourceChanged",
        "TLSFailed",
        "TargetExists",
        "UnexpectedReply",
        "XferError",
    ),
}
"""The module of each name."""

__all__ = [
    "CertificateError",
    "ConnectionCut",
    "Entry",
    "HashMismatch",
    "RequestError",
    "RetryingClient",
    "SourceChanged",
    "Status",
    "TLSFailed",
    "TargetExists",
    "UnexpectedReply",
    "XferClientFactory",
    "XferClientProtocol",
    "XferError",
    "__version__",
    "connect",
    "tls_endpoint",
]


def __getattr__(name: str) -> Any:
    for place, names in _PLACES.items():
        if name in names:
            value = getattr(import_module(f"xferproto.{place}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
