"""
xfer: a file depot that proves what it stores.

The names below are the Python API; README.md shows it in use, docs/protocol.md specifies the wire.
"""

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
from xferproto.version import __version__

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
